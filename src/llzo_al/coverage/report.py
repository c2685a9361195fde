"""What is said of the coverage of a visited set by a training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llzo_al.coverage.figures import LevelFigures
from llzo_al.coverage.neighbours import Neighbours
from llzo_al.coverage.reference import ReferenceFrame, frame_fingerprint
from llzo_al.coverage.visited import VisitedFrames

Interval = tuple[float, float]
"""Lower and upper end, 95 %."""


@dataclass(frozen=True, kw_only=True)
class ElementCoverage:
    """Coverage of one element's visited environments.

    Attributes
    ----------
    symbol
        The element, or "all".
    bins
        Cells along each axis of a plane (N).
    coverage
        You et al. (2024), Eq. 6, with the subspace check where it is on: cells that both sets hold / cells
        that the visited set holds, averaged over the planes.
    environment_coverage
        Share of the visited environments that lie in cells that training holds, averaged over the planes.
    coverage_interval, environment_coverage_interval
        From resampled trajectories; None without.
    ceiling, environment_ceiling
        The same of one half of the visited set by its other half, averaged over seeded splits; None where
        there are no two environments to split.
    coverage_of_halves, environment_coverage_of_halves
        Coverage by the training set of the very halves that the ceiling was measured on.
    ratio, environment_ratio
        `coverage_of_halves` / `ceiling`, above 1 where training covers more than the other half does; None
        without a ceiling, or where the halves share no cell.
    ratio_interval
        `ratio` scaled by the resampled coverages, the ceiling held; None without.
    unseen_mass, unseen_mass_between_trajectories
        Good-Turing estimates of the share of further MD that would fall into cells not visited yet; see
        `llzo_al.coverage.figures.LevelFigures`.
    by_bins
        The figures with other numbers of bins.
    neighbours
        The check in the full reduced space; None where training has fewer than two frames.
    n_components
        Components kept.
    variance_kept
        Share of the variance of the set that the PCA was fitted on which they hold.
    residual_share_training, residual_share_visited
        Median share of an environment's own variance that lies outside the components; None for an empty set.
    off_share
        Share of the visited environments off the space: more of them outside the components than of any
        training environment, or different in a feature that is constant in training.
    fitted_on
        Set that the PCA was fitted on; "visited" where the training set lacks the element.
    n_fitted
        Environments that it was fitted on.
    n_constant_features
        Features that are constant in that set and left out of the PCA.
    n_training_environments, n_visited_environments
        Environments of the sets.
    cells_visited, cells_covered
        Summed over the planes, both layers.
    n_planes
        Planes.
    outside_share
        Share of the visited environments outside the training set's range along any component, or off the
        space.
    edges
        Range that the cells divide along each component, (low, high), in standardised units.
    """

    symbol: str
    bins: int
    coverage: float
    environment_coverage: float
    coverage_interval: Interval | None
    environment_coverage_interval: Interval | None
    ceiling: float | None
    environment_ceiling: float | None
    coverage_of_halves: float | None
    environment_coverage_of_halves: float | None
    ratio: float | None
    environment_ratio: float | None
    ratio_interval: Interval | None
    unseen_mass: float
    unseen_mass_between_trajectories: float | None
    by_bins: tuple[LevelFigures, ...]
    neighbours: Neighbours | None
    n_components: int
    variance_kept: float
    residual_share_training: float | None
    residual_share_visited: float | None
    off_share: float
    fitted_on: str
    n_fitted: int
    n_constant_features: int
    n_training_environments: int
    n_visited_environments: int
    cells_visited: int
    cells_covered: int
    n_planes: int
    outside_share: float
    edges: tuple[Interval, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        by_bins = [
            {**asdict(one), "ratio": one.ratio, "environment_ratio": one.environment_ratio}
            for one in self.by_bins
        ]
        return {**asdict(self), "by_bins": by_bins, "edges": [list(pair) for pair in self.edges]}


@dataclass(frozen=True, kw_only=True)
class PooledCoverage:
    """Coverage of all elements together, weighted by their visited environments.

    Attributes
    ----------
    coverage, environment_coverage
        Weighted means of the elements' coverages.
    coverage_interval, environment_coverage_interval, ratio_interval
        From resampled trajectories; None without.
    ceiling, coverage_of_halves, environment_ceiling
        The same of the elements that have a ceiling.
    ratio, environment_ratio
        Weighted mean of min(coverage of halves, ceiling) / weighted mean of ceiling: an element that is
        covered beyond its ceiling does not make up for another one that is not, and one that training lacks
        counts as if its ceiling were 1. At most 1.
    ratio_uncapped
        `ratio` without the minimum.
    unseen_mass, unseen_mass_between_trajectories
        Weighted means of the elements' estimates.
    far_share
        Weighted mean of the elements' `Neighbours.far_share`; None without.
    outside_share, off_share
        Shares of the visited environments outside the training set's range, and off its space.
    """

    coverage: float
    environment_coverage: float
    coverage_interval: Interval | None
    environment_coverage_interval: Interval | None
    ceiling: float | None
    environment_ceiling: float | None
    coverage_of_halves: float | None
    ratio: float | None
    ratio_interval: Interval | None
    environment_ratio: float | None
    ratio_uncapped: float | None
    unseen_mass: float
    unseen_mass_between_trajectories: float | None
    far_share: float | None
    outside_share: float
    off_share: float


@dataclass(frozen=True, kw_only=True)
class CoverageReport:
    """Coverage of a visited set by a training set, with all that is needed to judge it.

    Attributes
    ----------
    pooled, elements
        The figures; elements that the visited set lacks are not among them.
    bins
        Cells along each axis of a plane (N) as the settings say, a number or "auto".
    statements
        In words: how the figures were made.
    warnings
        In words: what makes single figures worth less than they look.
    n_training_frames, n_visited_frames
        Frames of the sets.
    frames
        What is missing in each visited frame, None if it was not asked for; not part of the JSON.
    frames_of_reference
        Space and edges of each element, for other sets to be measured in; not part of the JSON.
    """

    pooled: PooledCoverage
    elements: tuple[ElementCoverage, ...]
    bins: int | str
    statements: tuple[str, ...]
    warnings: tuple[str, ...]
    n_training_frames: int
    n_visited_frames: int
    frames: VisitedFrames | None
    frames_of_reference: Mapping[str, ReferenceFrame]

    @property
    def element_ratios(self) -> dict[str, float | None]:
        """Ratio to the ceiling of each element."""
        return {element.symbol: element.ratio for element in self.elements}

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values; ``frame`` tells whether two reports were measured in the same frame."""
        return {
            "pooled": asdict(self.pooled),
            "elements": {element.symbol: element.as_dict() for element in self.elements},
            "bins": self.bins,
            "statements": list(self.statements),
            "warnings": list(self.warnings),
            "n_training_frames": self.n_training_frames,
            "n_visited_frames": self.n_visited_frames,
            "frame": frame_fingerprint(self.frames_of_reference),
        }
