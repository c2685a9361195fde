"""Which of the visited frames are labelled next, and why each one is or is not."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llzo_al.config.assessment import Selection
from llzo_al.errors import StageError
from llzo_al.selection.candidates import Candidate, Rule, SelectionResult, Verdict


def select_frames(
    candidates: Sequence[Candidate],
    settings: Selection,
    *,
    seed: int,
    cell_weights: ArrayLike,
    existing_means: NDArray[np.float64] | None = None,
) -> SelectionResult:
    """Choose the frames to label.

    Frames whose deviation is above the trust range, or not finite, are taken for unphysical. Of the others
    first those whose cells that neither training nor the frames chosen before hold weigh most (greedy maximum
    coverage, evaluated lazily: Minoux, in Optimization Techniques, Springer (1978). The weight covered is a
    monotone submodular function, so it is at least 1 - 1/e of the best possible where no duplicate is passed
    over: Nemhauser, Wolsey and Fisher, Math. Program. 14, 265 (1978)), then those in the trust range, the
    largest deviation first; or, with a limit in error units and an expected error of every frame, those with
    a larger expected error, the largest first. Ties go to the frame farther from training, then by a hash of
    the seed and the frame. A frame whose mean descriptor is closer than `duplicate_distance` to that of a
    training frame or of one already chosen is passed over.

    Parameters
    ----------
    candidates
        In any order: the result does not depend on it.
    settings
        Trust range, limit, and distance of duplicates.
    seed
        Seed of the last tie-break.
    cell_weights
        What covering each cell is worth, shape (n_cells,): the share of all visited environments in it.
    existing_means
        Mean descriptors of the training set's frames, shape (n_training_frames, n_features_total).

    Returns
    -------
    SelectionResult
        With one reason for every candidate.

    Raises
    ------
    StageError
        If two candidates share an index, if a cell has no weight, or if mean descriptors differ in length or
        are not finite.
    """
    weights = np.asarray(cell_weights, dtype=np.float64)
    _check(candidates, len(weights), existing_means)
    return _Chooser(candidates, settings, seed, weights, existing_means).run()


def _check(candidates: Sequence[Candidate], n_cells: int, existing_means: NDArray[np.float64] | None) -> None:
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
        if (
            len(one.uncovered_cells)
            and not 0 <= one.uncovered_cells.min() <= one.uncovered_cells.max() < n_cells
        ):
            raise StageError(
                f"candidate frame {one.index} ({_name(one)}): its cells leave 0 to {n_cells - 1}, "
                "for which weights are given"
            )


def _name(candidate: Candidate) -> str:
    return f"frame {candidate.step} of {candidate.group}"


class _Chooser:
    """One selection under way."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        settings: Selection,
        seed: int,
        weights: NDArray[np.float64],
        existing_means: NDArray[np.float64] | None,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._weights = weights
        self._existing = existing_means if existing_means is not None and len(existing_means) else None
        self._all = sorted(candidates, key=lambda one: one.index)
        self._by_error = settings.deviation_low_as_error_meV_per_A is not None and all(
            one.expected_error_meV_per_A is not None for one in candidates
        )
        self._open: dict[int, Candidate] = {}
        self._chosen: list[Verdict] = []
        self._chosen_frames: list[Candidate] = []
        self._rejected: list[Verdict] = []
        self._covered = np.zeros(len(weights), dtype=np.bool_)

    def run(self) -> SelectionResult:
        self._reject_unphysical()
        missing = np.zeros_like(self._covered)
        for one in self._open.values():
            missing[one.uncovered_cells] = True
        self._reject_known()
        for candidate in self._by_gain():
            count, weight = self._gain(candidate)
            self._take(
                candidate, "uncovered", f"covers {_cells(count)} that training does not (weight {weight:.3g})"
            )
        for candidate in self._by_doubt():
            self._take(candidate, "deviation", self._words(candidate, chosen=True))
        for candidate in list(self._open.values()):
            self._reject_rest(candidate)
        covered = missing & self._covered
        return SelectionResult(
            chosen=tuple(self._chosen),
            rejected=tuple(sorted(self._rejected, key=lambda verdict: verdict.index)),
            uncovered_cells=int(missing.sum()),
            cells_covered_by_choice=int(covered.sum()),
            uncovered_weight=float(self._weights[missing].sum()),
            weight_covered_by_choice=float(self._weights[covered].sum()),
        )

    @property
    def _full(self) -> bool:
        return len(self._chosen) >= self._settings.max_frames

    def _gain(self, candidate: Candidate) -> tuple[int, float]:
        """New cells that a candidate would cover, and their weight."""
        new = candidate.uncovered_cells[~self._covered[candidate.uncovered_cells]]
        return len(new), float(self._weights[new].sum())

    def _tie_break(self, candidate: Candidate) -> tuple[float, str]:
        text = f"{self._seed}:{candidate.group}:{candidate.step}:{candidate.index}"
        distance = candidate.distance if math.isfinite(candidate.distance) else math.inf
        return -distance, hashlib.sha256(text.encode()).hexdigest()

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
        distances, nearest = _nearest(np.array([one.mean_descriptor for one in frames]), self._existing)
        for candidate, distance, number in zip(frames, distances, nearest, strict=True):
            if distance < self._settings.duplicate_distance:
                reason = f"near-duplicate of training frame {number} (distance {distance:.3g})"
                self._reject(candidate, "duplicate", reason)

    def _by_gain(self) -> Iterator[Candidate]:
        """Open candidates by the weight that they add, until none adds any or the limit is reached."""
        heap = [(-self._gain(one)[1], self._tie_break(one), one.index) for one in self._open.values()]
        heapq.heapify(heap)
        while heap and not self._full:
            old, tie, index = heapq.heappop(heap)
            count, gain = self._gain(self._open[index])
            if not count:
                continue
            if gain < -old * (1 - 1e-12):
                heapq.heappush(heap, (-gain, tie, index))
                continue
            yield self._open[index]

    def _by_doubt(self) -> Iterator[Candidate]:
        """Open candidates in the trust range, the most doubtful first, until the limit is reached."""
        doubtful = [one for one in self._open.values() if self._doubt(one) > self._limit]
        for candidate in sorted(doubtful, key=lambda one: (-self._doubt(one), *self._tie_break(one))):
            if self._full:
                return
            yield candidate

    def _doubt(self, candidate: Candidate) -> float:
        """What the lower limit is a limit of: the deviation, or the expected error."""
        if self._by_error and candidate.expected_error_meV_per_A is not None:
            return candidate.expected_error_meV_per_A
        return candidate.force_deviation_eV_per_A

    @property
    def _limit(self) -> float:
        error = self._settings.deviation_low_as_error_meV_per_A
        return error if self._by_error and error is not None else self._settings.deviation_low_eV_per_A

    def _words(self, candidate: Candidate, *, chosen: bool) -> str:
        value = f"{self._doubt(candidate):.3g}"
        if self._by_error:
            return f"expected force error {value} meV/Å {'' if chosen else 'not '}above {self._limit:g}"
        if chosen:
            return f"deviation {value} eV/Å in the trust range"
        return f"deviation {value} eV/Å not above {self._limit:g}"

    def _take(self, candidate: Candidate, rule: Rule, reason: str) -> None:
        twin = self._chosen_twin(candidate)
        if twin is not None:
            other, distance = twin
            reason = f"near-duplicate of chosen {_name(other)} (distance {distance:.3g})"
            self._reject(candidate, "duplicate", reason)
            return
        self._chosen.append(_verdict(candidate, rule, reason, chosen=True, new=self._gain(candidate)))
        self._chosen_frames.append(candidate)
        self._covered[candidate.uncovered_cells] = True
        del self._open[candidate.index]

    def _chosen_twin(self, candidate: Candidate) -> tuple[Candidate, float] | None:
        if not self._chosen_frames:
            return None
        others = np.array([one.mean_descriptor for one in self._chosen_frames])
        distances = np.linalg.norm(others - candidate.mean_descriptor, axis=1) / _root_of_features(others)
        nearest = int(np.argmin(distances))
        if distances[nearest] >= self._settings.duplicate_distance:
            return None
        return self._chosen_frames[nearest], float(distances[nearest])

    def _reject_rest(self, candidate: Candidate) -> None:
        new = self._gain(candidate)
        if new[0] or self._doubt(candidate) > self._limit:
            reason = f"limit of {self._settings.max_frames} frames reached"
            self._reject(candidate, "limit", reason, new)
            return
        covered = "covered by the chosen frames" if len(candidate.uncovered_cells) else "covered"
        self._reject(candidate, "covered", f"{covered} and {self._words(candidate, chosen=False)}")

    def _reject(
        self, candidate: Candidate, rule: Rule, reason: str, new: tuple[int, float] = (0, 0.0)
    ) -> None:
        self._rejected.append(_verdict(candidate, rule, reason, chosen=False, new=new))
        self._open.pop(candidate.index, None)


def _verdict(
    candidate: Candidate, rule: Rule, reason: str, *, chosen: bool, new: tuple[int, float]
) -> Verdict:
    return Verdict(
        index=candidate.index,
        group=candidate.group,
        step=candidate.step,
        chosen=chosen,
        rule=rule,
        reason=reason,
        force_deviation_eV_per_A=_finite(candidate.force_deviation_eV_per_A),
        novelty=candidate.novelty,
        distance=_finite(candidate.distance),
        expected_error_meV_per_A=_finite(candidate.expected_error_meV_per_A),
        new_cells=new[0],
        gain=new[1],
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _nearest(
    rows: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Root mean square difference per feature to the nearest of `others`, and its number, shape (n,) each."""
    from sklearn.neighbors import NearestNeighbors  # see `llzo_al.coverage.pca`

    search = NearestNeighbors(n_neighbors=1).fit(others)
    distance, nearest = search.kneighbors(rows)
    return distance[:, 0] / _root_of_features(rows), nearest[:, 0]


def _root_of_features(rows: NDArray[np.float64]) -> float:
    return math.sqrt(max(rows.shape[1], 1))
