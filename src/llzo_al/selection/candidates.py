"""Visited frames that could be labelled, and what becomes of each."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["uncovered", "deviation", "unphysical", "duplicate", "covered", "limit"]
"""Which rule decided on a frame; the first two choose, the others reject."""
_CHOOSING = ("uncovered", "deviation")
_REJECTING = {
    "limit": "over selection.max_frames",
    "duplicate": "near-duplicate",
    "covered": "known well enough",
    "unphysical": "unphysical",
}


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
    distance
        Mean distance of its environments to the nearest training environment; see
        `llzo_al.coverage.visited.VisitedFrames`. Not a number where it is unknown.
    uncovered_cells
        Numbers of its cells that training misses, each once, shape (n_cells,).
    mean_descriptor
        Standardised mean descriptor, shape (n_features_total,); see
        `llzo_al.coverage.environments.frame_means`.
    n_atoms
        Number of atoms.
    expected_error_meV_per_A
        Expected force error (root mean square); None where there is no calibration.
    """

    index: int
    group: str
    step: int
    force_deviation_eV_per_A: float
    novelty: float
    distance: float
    uncovered_cells: NDArray[np.integer[Any]]
    mean_descriptor: NDArray[np.float64]
    n_atoms: int
    expected_error_meV_per_A: float | None = None


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
    distance
        Its distance to training; None where it is unknown.
    expected_error_meV_per_A
        Its expected force error; None where it is unknown.
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
    distance: float | None
    expected_error_meV_per_A: float | None
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

    @property
    def verdicts(self) -> list[Verdict]:
        """What became of each candidate, by index."""
        return sorted((*self.chosen, *self.rejected), key=lambda verdict: verdict.index)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values: the chosen frames, and how many frames each rule decided on."""
        rules = Counter(verdict.rule for verdict in self.verdicts)
        return {
            "chosen": [dict(vars(verdict)) for verdict in self.chosen],
            "counts": dict(sorted(rules.items())),
            "uncovered_cells": self.uncovered_cells,
            "cells_covered_by_choice": self.cells_covered_by_choice,
            "uncovered_weight": self.uncovered_weight,
            "weight_covered_by_choice": self.weight_covered_by_choice,
        }

    def as_table(self) -> str:
        """What became of each candidate, as comma-separated values with a head, by index."""
        text = io.StringIO()
        table = csv.DictWriter(text, [field.name for field in fields(Verdict)], lineterminator="\n")
        table.writeheader()
        table.writerows(vars(verdict) for verdict in self.verdicts)
        return text.getvalue()


def choice_in_words(counts: Mapping[str, int]) -> str:
    """What became of the candidates, from how many frames each rule decided on; "" without any.

    Parameters
    ----------
    counts
        `SelectionResult.as_dict`'s ``counts``.
    """
    if not counts:
        return ""
    chosen = sum(counts.get(rule, 0) for rule in _CHOOSING)
    rejected = [f"{counts[rule]} {words}" for rule, words in _REJECTING.items() if counts.get(rule)]
    turned_away = f"; turned away: {', '.join(rejected)}" if rejected else ""
    return f"{chosen} of {sum(counts.values())} candidate frames chosen{turned_away}"
