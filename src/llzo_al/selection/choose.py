"""Which of the visited frames are labelled next, and why each one is or is not."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from llzo_al.config.assessment import Selection
from llzo_al.errors import StageError

Rule = Literal["uncovered", "deviation", "unphysical", "duplicate", "covered", "limit"]
"""Which rule decided on a frame; the first two choose, the others reject."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A visited frame that could be labelled.

    Attributes
    ----------
    index
        The frame's number, its own among all candidates.
    group
        Its trajectory.
    step
        Its MD step, or another number within the trajectory.
    force_deviation_eV_per_A
        Largest deviation of the committee's forces on an atom.
    novelty
        Mean share of planes in which training misses its environments, 0 to 1.
    uncovered_cells
        Numbers of its cells that training misses, each once, shape (n_cells,).
    cell_weights
        What covering each of these cells is worth: the share of all visited environments that lie in it, the
        same for every frame that holds the cell, shape (n_cells,).
    mean_descriptor
        Standardised mean descriptor, shape (n_features_total,); see
        `llzo_al.coverage.environments.frame_means`.
    n_atoms
        Number of atoms.
    """

    index: int
    group: str
    step: int
    force_deviation_eV_per_A: float
    novelty: float
    uncovered_cells: NDArray[np.int64]
    cell_weights: NDArray[np.float64]
    mean_descriptor: NDArray[np.float64]
    n_atoms: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a candidate.

    Attributes
    ----------
    index, group, step
        The candidate.
    chosen
        Whether it is labelled.
    rule
        The rule that decided.
    reason
        The same in words, with the numbers.
    force_deviation_eV_per_A
        Its deviation; None where it is not finite.
    novelty
        Its novelty.
    new_cells
        Uncovered cells that no frame chosen before it holds (0 where no rule looked at them).
    gain
        Their weight.
    """

    index: int
    group: str
    step: int
    chosen: bool
    rule: Rule
    reason: str
    force_deviation_eV_per_A: float | None
    novelty: float
    new_cells: int = 0
    gain: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SelectionResult:
    """The frames to label, in the order in which they were chosen, and those that are not.

    Attributes
    ----------
    chosen
        In the order of choice.
    rejected
        By index.
    uncovered_cells
        Cells that training misses, over all candidates that are not unphysical.
    cells_covered_by_choice
        Those of them that the chosen frames hold.
    uncovered_weight, weight_covered_by_choice
        The same by weight.
    """

    chosen: tuple[Verdict, ...]
    rejected: tuple[Verdict, ...]
    uncovered_cells: int
    cells_covered_by_choice: int
    uncovered_weight: float
    weight_covered_by_choice: float

    @property
    def indices(self) -> list[int]:
        """Indices of the chosen frames, in the order of choice."""
        return [verdict.index for verdict in self.chosen]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values, with the number of frames that each rule decided on."""
        rules = Counter(verdict.rule for verdict in (*self.chosen, *self.rejected))
        return {
            "chosen": [dict(vars(verdict)) for verdict in self.chosen],
            "rejected": [dict(vars(verdict)) for verdict in self.rejected],
            "counts": dict(sorted(rules.items())),
            "uncovered_cells": self.uncovered_cells,
            "cells_covered_by_choice": self.cells_covered_by_choice,
            "uncovered_weight": self.uncovered_weight,
            "weight_covered_by_choice": self.weight_covered_by_choice,
        }


def select_frames(
    candidates: Sequence[Candidate],
    settings: Selection,
    *,
    seed: int,
    existing_means: NDArray[np.float64] | None = None,
) -> SelectionResult:
    """Choose the frames to label.

    Frames whose deviation is above the trust range, or not finite, are taken for unphysical. Of the others
    first those whose cells that neither training nor the frames chosen before hold weigh most (greedy maximum
    coverage, evaluated lazily: Minoux, in Optimization Techniques, Springer (1978). The weight covered is a
    monotone submodular function, so it is at least 1 - 1/e of the best possible where no duplicate is passed
    over: Nemhauser, Wolsey and Fisher, Math. Program. 14, 265 (1978)), then those with a deviation in the
    trust range, the largest first. Ties go to the larger deviation, then by a hash of the seed and the frame.
    A frame whose mean descriptor is closer than `duplicate_distance` to that of a training frame or of one
    already chosen is passed over.

    Parameters
    ----------
    candidates
        In any order: the result does not depend on it.
    settings
        Trust range, limit, and distance of duplicates.
    seed
        Seed of the last tie-break.
    existing_means
        Mean descriptors of the training set's frames, shape (n_training_frames, n_features_total).

    Returns
    -------
    SelectionResult
        With one reason for every candidate.

    Raises
    ------
    StageError
        If two candidates share an index, or if mean descriptors differ in length or are not finite.
    """
    _check(candidates, existing_means)
    return _Chooser(candidates, settings, seed, existing_means).run()


def _check(candidates: Sequence[Candidate], existing_means: NDArray[np.float64] | None) -> None:
    repeated = [index for index, count in Counter(one.index for one in candidates).items() if count > 1]
    if repeated:
        raise StageError(f"candidate frames: index {repeated[0]} occurs twice, expected one frame for each")
    lengths = {one.mean_descriptor.shape for one in candidates}
    if existing_means is not None and len(existing_means):
        lengths.add(existing_means.shape[1:])
    if len(lengths) > 1:
        raise StageError(f"mean descriptors have different shapes: {sorted(lengths)}, expected one length")
    for one in candidates:
        if not np.isfinite(one.mean_descriptor).all():
            raise StageError(f"candidate frame {one.index} ({_name(one)}): its mean descriptor is not finite")


def _name(candidate: Candidate) -> str:
    return f"frame {candidate.step} of {candidate.group}"


class _Chooser:
    """One selection under way."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        settings: Selection,
        seed: int,
        existing_means: NDArray[np.float64] | None,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._existing = existing_means if existing_means is not None and len(existing_means) else None
        self._all = sorted(candidates, key=lambda one: one.index)
        self._open: dict[int, Candidate] = {}
        self._chosen: list[Verdict] = []
        self._chosen_frames: list[Candidate] = []
        self._rejected: list[Verdict] = []
        self._covered: set[int] = set()
        self._weights: dict[int, float] = {}

    def run(self) -> SelectionResult:
        self._reject_unphysical()
        for one in self._open.values():
            self._weights.update(zip(one.uncovered_cells.tolist(), one.cell_weights.tolist(), strict=True))
        missing = set(self._weights)
        self._reject_known()
        for candidate in self._by_gain():
            count, weight = self._gain(candidate)
            self._take(
                candidate, "uncovered", f"covers {_cells(count)} that training does not (weight {weight:.3g})"
            )
        for candidate in self._by_deviation():
            self._take(
                candidate,
                "deviation",
                f"deviation {candidate.force_deviation_eV_per_A:.3g} eV/Å in the trust range",
            )
        for candidate in list(self._open.values()):
            self._reject_rest(candidate)
        return SelectionResult(
            chosen=tuple(self._chosen),
            rejected=tuple(sorted(self._rejected, key=lambda verdict: verdict.index)),
            uncovered_cells=len(missing),
            cells_covered_by_choice=len(missing & self._covered),
            uncovered_weight=sum(self._weights.values()),
            weight_covered_by_choice=sum(self._weights[cell] for cell in missing & self._covered),
        )

    @property
    def _full(self) -> bool:
        return len(self._chosen) >= self._settings.max_frames

    def _gain(self, candidate: Candidate) -> tuple[int, float]:
        """New cells that a candidate would cover, and their weight."""
        new = [cell for cell in candidate.uncovered_cells.tolist() if cell not in self._covered]
        return len(new), sum(self._weights.get(cell, 0.0) for cell in new)

    def _tie_break(self, candidate: Candidate) -> str:
        text = f"{self._seed}:{candidate.group}:{candidate.step}:{candidate.index}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _reject_unphysical(self) -> None:
        high = self._settings.deviation_high_eV_per_A
        for candidate in self._all:
            deviation = candidate.force_deviation_eV_per_A
            if not math.isfinite(deviation):
                self._reject(candidate, "unphysical", "unphysical: the deviation is not a finite number")
            elif deviation > high:
                reason = f"unphysical: deviation {deviation:.3g} eV/Å above {high:g}"
                self._reject(candidate, "unphysical", reason)
            else:
                self._open[candidate.index] = candidate

    def _reject_known(self) -> None:
        if self._existing is None or not self._open:
            return
        frames = list(self._open.values())
        distances = _rms_distances(np.array([one.mean_descriptor for one in frames]), self._existing)
        for candidate, row in zip(frames, distances, strict=True):
            nearest = int(np.argmin(row))
            if row[nearest] < self._settings.duplicate_distance:
                self._reject(
                    candidate,
                    "duplicate",
                    f"near-duplicate of training frame {nearest} (distance {row[nearest]:.3g})",
                )

    def _by_gain(self) -> Iterator[Candidate]:
        """Open candidates by the weight that they add, until none adds any or the limit is reached."""
        heap = [
            (-self._gain(one)[1], -one.force_deviation_eV_per_A, self._tie_break(one), one.index)
            for one in self._open.values()
        ]
        heapq.heapify(heap)
        while heap and not self._full:
            old, deviation, tie, index = heapq.heappop(heap)
            count, gain = self._gain(self._open[index])
            if not count:
                continue
            if gain < -old * (1 - 1e-12):
                heapq.heappush(heap, (-gain, deviation, tie, index))
                continue
            yield self._open[index]

    def _by_deviation(self) -> Iterator[Candidate]:
        low = self._settings.deviation_low_eV_per_A
        trusted = [one for one in self._open.values() if one.force_deviation_eV_per_A > low]
        for candidate in sorted(
            trusted, key=lambda one: (-one.force_deviation_eV_per_A, self._tie_break(one))
        ):
            if self._full:
                return
            yield candidate

    def _take(self, candidate: Candidate, rule: Rule, reason: str) -> None:
        twin = self._chosen_twin(candidate)
        if twin is not None:
            other, distance = twin
            reason = f"near-duplicate of chosen {_name(other)} (distance {distance:.3g})"
            self._reject(candidate, "duplicate", reason)
            return
        self._chosen.append(_verdict(candidate, rule, reason, chosen=True, new=self._gain(candidate)))
        self._chosen_frames.append(candidate)
        self._covered.update(candidate.uncovered_cells.tolist())
        del self._open[candidate.index]

    def _chosen_twin(self, candidate: Candidate) -> tuple[Candidate, float] | None:
        if not self._chosen_frames:
            return None
        others = np.array([one.mean_descriptor for one in self._chosen_frames])
        distances = _rms_distances(candidate.mean_descriptor[None, :], others)[0]
        nearest = int(np.argmin(distances))
        if distances[nearest] >= self._settings.duplicate_distance:
            return None
        return self._chosen_frames[nearest], float(distances[nearest])

    def _reject_rest(self, candidate: Candidate) -> None:
        deviation, low = candidate.force_deviation_eV_per_A, self._settings.deviation_low_eV_per_A
        new = self._gain(candidate)
        if new[0] or deviation > low:
            reason = f"limit of {self._settings.max_frames} frames reached"
            self._reject(candidate, "limit", reason, new)
            return
        covered = "covered by the chosen frames" if len(candidate.uncovered_cells) else "covered"
        self._reject(candidate, "covered", f"{covered} and deviation {deviation:.3g} eV/Å not above {low:g}")

    def _reject(
        self, candidate: Candidate, rule: Rule, reason: str, new: tuple[int, float] = (0, 0.0)
    ) -> None:
        self._rejected.append(_verdict(candidate, rule, reason, chosen=False, new=new))
        self._open.pop(candidate.index, None)


def _verdict(
    candidate: Candidate, rule: Rule, reason: str, *, chosen: bool, new: tuple[int, float]
) -> Verdict:
    deviation = candidate.force_deviation_eV_per_A
    return Verdict(
        index=candidate.index,
        group=candidate.group,
        step=candidate.step,
        chosen=chosen,
        rule=rule,
        reason=reason,
        force_deviation_eV_per_A=deviation if math.isfinite(deviation) else None,
        novelty=candidate.novelty,
        new_cells=new[0],
        gain=new[1],
    )


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _rms_distances(rows: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square difference per feature, shape (n_rows, n_others)."""
    features = max(rows.shape[1], 1)
    return np.asarray(cdist(rows, others), dtype=np.float64) / math.sqrt(features)
