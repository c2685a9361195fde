"""Facts of the coverage of one iteration, and of what is learned from it."""

from __future__ import annotations

from typing import Literal

from llzo_al.reporting.facts.base import Fact, Measured


class PooledCoverage(Fact):
    """Coverage of all elements together, weighted by the number of environments."""

    coverage: Measured = None
    """You et al. (2024), Eq. 6, with the subspace check where it is on; of all visited frames."""
    ceiling: Measured = None
    """The same of one half of the visited frames by the other half."""
    ratio: Measured = None
    """Coverage of the same half by the training set, divided by the ceiling: not the quotient of the two
    figures above. Pooled: at most the ceiling counts of each element, so that it is at most 1."""
    ratio_interval: tuple[float, float] | None = None
    """95 % of the ratios when trajectories are drawn again."""
    environment_coverage: Measured = None
    """Share of the visited environments in cells that training holds."""
    environment_ratio: Measured = None
    """The ratio of those shares, formed in the same way."""
    unseen_mass_between_trajectories: Measured = None
    """Share of further MD that would fall into cells not visited yet (Good-Turing, between trajectories)."""
    off_share: Measured = None
    """Share of the visited environments off the space of the kept components."""


class CoverageByBins(Fact):
    """Coverage with another number of bins."""

    bins: int
    """Cells along each axis of a plane."""
    coverage: Measured = None
    """As in `PooledCoverage`."""
    ceiling: Measured = None
    """As in `PooledCoverage`."""
    ratio: Measured = None
    """As in `PooledCoverage`."""


class NeighbourFacts(Fact):
    """Distances to the nearest training environment, in the full reduced space."""

    far_share: float
    """Share of visited environments farther than 95 % of the training environments are from one another."""
    far_share_error: float
    """Its standard error."""
    distance_ratio: Measured = None
    """Median distance of visited environments by that of training environments."""


class ElementCoverage(PooledCoverage):
    """Coverage of one element's environments."""

    bins: int | None = None
    """Cells along each axis of a plane (N)."""
    by_bins: tuple[CoverageByBins, ...] = ()
    """With other numbers of bins."""
    neighbours: NeighbourFacts | None = None
    """The check in the full reduced space."""
    residual_share_training: Measured = None
    """Median share of an environment's own variance outside the components, in training."""
    residual_share_visited: Measured = None
    """The same of the visited environments."""
    n_components: int | None = None
    """Principal components kept."""
    n_training_environments: int | None = None
    """Environments in the training set."""
    n_visited_environments: int | None = None
    """Environments that MD visited."""
    cells_visited: int | None = None
    """Cells that MD visits, over all planes."""
    cells_covered: int | None = None
    """Those of them that the training set visits too."""


class CoverageFacts(Fact):
    """Coverage in one iteration."""

    pooled: PooledCoverage = PooledCoverage()
    """All elements."""
    elements: dict[str, ElementCoverage] = {}
    """Each element."""
    bins: int | Literal["auto"]
    """Cells along each axis of a plane (N), as the campaign file says."""
    fit_set: str
    """What standardisation and PCA were fitted on, in words."""
    edges: str
    """How the cells' edges were set, in words."""
    definitions: tuple[str, ...] = ()
    """How the other figures are defined, in words."""
    remarks: tuple[str, ...] = ()
    """What makes single figures worth less than they look, in words."""


class ConditionFacts(Fact):
    """Coverage of what MD visited at one condition."""

    kind: str
    """Structure."""
    temperature_K: float
    """Temperature."""
    n_frames: int
    """Visited frames."""
    environment_coverage: dict[str, float]
    """Share of each element's environments in cells that training holds."""


class HistoryPoint(Fact):
    """Coverage of an iteration in the common frame of the latest one."""

    iteration: int
    """Iteration."""
    frame: str
    """Fingerprint of the frame of reference."""
    ratio: Measured = None
    """Pooled ratio, as in `PooledCoverage`."""
    coverage: Measured = None
    """Pooled coverage."""
    environment_coverage: Measured = None
    """Pooled, weighted by environments."""
    element_ratios: dict[str, float | None] = {}
    """Ratio of each element."""


class CalibrationFacts(Fact):
    """How deviation, novelty and distance to training predict the true force error."""

    in_words: str
    """The fit and its reliability."""
    n_frames: int
    """Frames that it was fitted on."""
    rank_correlation_deviation: Measured = None
    """Spearman's rank correlation of the mean deviation with the true error."""
    rank_correlation_novelty: Measured = None
    """Of the novelty with it."""
    rank_correlation_distance: Measured = None
    """Of the distance to training with it."""
    rank_correlation_predicted: Measured = None
    """Of the error predicted without the own trajectory with it."""
    explained: Measured = None
    """Share of the variance of log(error) that predictions without the own trajectory explain."""
    interval_factor: Measured = None
    """90 % interval of the true error: the prediction divided and multiplied by this."""
    median_meV_per_A: Measured = None
    """Expected force RMSE of the visited frames, median."""
    p90_meV_per_A: Measured = None
    """The same, 90th percentile."""
    share_above_limit: Measured = None
    """Share of the visited frames with an expected force RMSE above the threshold."""
