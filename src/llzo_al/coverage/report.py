"""What is said of the coverage of a visited set by a training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.grid import Grid
from llzo_al.coverage.pca import PrincipalSpace


@dataclass(frozen=True, kw_only=True)
class ElementCoverage:
    """Coverage of one element's visited environments.

    Attributes
    ----------
    symbol
        The element.
    coverage
        You et al. (2024), Eq. 6: cells that both sets hold / cells that the visited set holds, averaged over
        the planes.
    ceiling
        Coverage of one half of the visited set by its other half, averaged over seeded splits; None where
        there are no two environments to split.
    coverage_of_halves
        Coverage by the training set of the very halves that the ceiling was measured on.
    ratio
        `coverage_of_halves` / `ceiling`, above 1 where training covers more than the other half does; None
        without a ceiling, or where the halves share no cell.
    n_components
        Components kept.
    variance_kept
        Share of the variance of the set that the PCA was fitted on which they hold.
    fitted_on
        "training", or "visited" where the training set lacks the element.
    n_constant_features
        Features that are constant in that set and left out of the PCA.
    n_training_environments, n_visited_environments
        Environments of the sets.
    n_training_used, n_visited_used
        Those of them that were used (a seeded sample beyond `environments_max`).
    cells_visited, cells_covered
        Summed over the planes, both layers.
    n_planes
        Planes.
    outside_share
        Share of the visited environments outside the training set's range along any component, or off it in
        a feature that is constant there.
    edges
        Range that the cells divide along each component, (low, high), in standardised units.
    """

    symbol: str
    coverage: float
    ceiling: float | None
    coverage_of_halves: float | None
    ratio: float | None
    n_components: int
    variance_kept: float
    fitted_on: str
    n_constant_features: int
    n_training_environments: int
    n_visited_environments: int
    n_training_used: int
    n_visited_used: int
    cells_visited: int
    cells_covered: int
    n_planes: int
    outside_share: float
    edges: tuple[tuple[float, float], ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return {**vars(self), "edges": [list(pair) for pair in self.edges]}


@dataclass(frozen=True, kw_only=True)
class PooledCoverage:
    """Coverage of all elements together, weighted by their visited environments.

    Attributes
    ----------
    coverage
        Weighted mean of the elements' coverages.
    ceiling, coverage_of_halves
        The same of the elements that have a ceiling.
    ratio
        Weighted mean of min(coverage_of_halves, ceiling) / weighted mean of ceiling: an element that is
        covered beyond its ceiling does not make up for another one that is not. At most 1.
    ratio_uncapped
        The same without the minimum.
    outside_share
        Share of the visited environments outside the training set's range.
    """

    coverage: float
    ceiling: float | None
    coverage_of_halves: float | None
    ratio: float | None
    ratio_uncapped: float | None
    outside_share: float


@dataclass(frozen=True, kw_only=True)
class VisitedFrames:
    """What the training set misses in each visited frame.

    An environment's novelty is the share of its element's planes in which the training set does not hold its
    cell.

    Attributes
    ----------
    novelty
        Mean novelty of the frame's environments, 0 to 1, shape (n_frames,).
    environments
        Environments that were used, shape (n_frames,).
    uncovered_environments
        Those among them whose cell the training set misses in at least one plane, shape (n_frames,).
    outside_environments
        Those among them outside the training set's range, shape (n_frames,).
    uncovered_cells
        For each frame the sorted numbers of its cells that the training set misses, over all elements and
        planes. A number stands for the same cell in every frame of one report.
    """

    novelty: NDArray[np.float64]
    environments: IntArray
    uncovered_environments: IntArray
    outside_environments: IntArray
    uncovered_cells: tuple[IntArray, ...]


@dataclass(frozen=True, kw_only=True)
class CoverageReport:
    """Coverage of a visited set by a training set, with all that is needed to judge it.

    Attributes
    ----------
    pooled, elements
        The figures; elements that the visited set lacks are not among them.
    bins
        Cells along each axis of a plane (N).
    statements
        In words: how the figures were made.
    warnings
        In words: what makes single figures worth less than they look.
    n_training_frames, n_visited_frames
        Frames of the sets.
    frames
        What is missing in each visited frame; not part of the JSON.
    spaces, grids
        The fitted spaces and grids, by element; not part of the JSON.
    """

    pooled: PooledCoverage
    elements: tuple[ElementCoverage, ...]
    bins: int
    statements: tuple[str, ...]
    warnings: tuple[str, ...]
    n_training_frames: int
    n_visited_frames: int
    frames: VisitedFrames
    spaces: Mapping[str, PrincipalSpace]
    grids: Mapping[str, Grid]

    @property
    def element_ratios(self) -> dict[str, float | None]:
        """Ratio to the ceiling of each element."""
        return {element.symbol: element.ratio for element in self.elements}

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return {
            "pooled": dict(vars(self.pooled)),
            "elements": {element.symbol: element.as_dict() for element in self.elements},
            "bins": self.bins,
            "statements": list(self.statements),
            "warnings": list(self.warnings),
            "n_training_frames": self.n_training_frames,
            "n_visited_frames": self.n_visited_frames,
        }
