"""Figures of the elements, pooled, and what has to be said of them in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.environments import EnvironmentSet
from llzo_al.coverage.grid import Grid
from llzo_al.coverage.measure import AUTO_CEILING, REPEATS, Measured, Resampled
from llzo_al.coverage.neighbours import QUANTILE, Neighbours
from llzo_al.coverage.pca import PrincipalSpace, Projection
from llzo_al.coverage.report import ElementCoverage, Interval, PooledCoverage

_LOW_CEILING = 0.5
_FEW_CELLS_SHARE = 0.1
_SENSITIVE = 0.15
"""Difference of the ratio between half and twice the number of bins from which it is worth a warning."""
_FAR = 2.0
"""Times the expected share of far environments from which it is worth a warning."""


def element_coverage(
    name: str,
    space: PrincipalSpace,
    grid: Grid,
    measured: Measured,
    near: Neighbours | None,
    known: Projection,
    seen: Projection,
    outside: NDArray[np.bool_],
    *,
    fitted_on: str,
) -> ElementCoverage:
    """Everything that is told of one element."""
    chosen, resampled = measured.chosen, measured.resampled
    interval = resampled and _interval(chosen.coverage, resampled.coverage)
    by_environment = resampled and _interval(chosen.environment_coverage, resampled.environment_coverage)
    ratio_interval = None
    if interval and chosen.ratio is not None and chosen.coverage > 0:
        scale = chosen.ratio / chosen.coverage
        ratio_interval = (interval[0] * scale, interval[1] * scale)
    return ElementCoverage(
        symbol=name,
        bins=chosen.bins,
        coverage=chosen.coverage,
        environment_coverage=chosen.environment_coverage,
        coverage_interval=interval or None,
        environment_coverage_interval=by_environment or None,
        ceiling=chosen.ceiling,
        environment_ceiling=chosen.environment_ceiling,
        coverage_of_halves=chosen.halves,
        environment_coverage_of_halves=chosen.environment_halves,
        ratio=chosen.ratio,
        environment_ratio=chosen.environment_ratio,
        ratio_interval=ratio_interval,
        unseen_mass=chosen.unseen_mass,
        unseen_mass_between_trajectories=chosen.unseen_mass_between_trajectories,
        by_bins=measured.levels,
        neighbours=near,
        n_components=space.n_components,
        variance_kept=space.variance_kept,
        residual_share_training=_median(known.residual_share),
        residual_share_visited=_median(seen.residual_share),
        off_share=float(seen.off.mean()),
        fitted_on=fitted_on,
        n_fitted=space.n_fitted,
        n_constant_features=space.n_constant,
        n_training_environments=len(known),
        n_visited_environments=len(seen),
        cells_visited=chosen.cells_visited,
        cells_covered=chosen.cells_covered,
        n_planes=len(grid.planes),
        outside_share=float(outside.mean()),
        edges=tuple(zip(grid.low.tolist(), grid.high.tolist(), strict=True)),
    )


def pool(elements: Sequence[ElementCoverage], resampled: Sequence[Resampled | None]) -> PooledCoverage:
    """Weighted means over the elements; see `PooledCoverage`."""
    weights = np.array([element.n_visited_environments for element in elements], dtype=np.float64)
    shares = weights / weights.sum()
    coverage = float(shares @ [element.coverage for element in elements])
    by_environment = float(shares @ [element.environment_coverage for element in elements])
    interval = environment_interval = None
    draws = [one for one in resampled if one is not None]
    if len(draws) == len(elements):
        interval = _interval(coverage, shares @ [one.coverage for one in draws])
        environment_interval = _interval(by_environment, shares @ [one.environment_coverage for one in draws])
    ceiling, halves, ratio, uncapped = _pooled_ratio(
        weights, [(element.coverage_of_halves, element.ceiling) for element in elements]
    )
    environment_ceiling, _, environment_ratio, _ = _pooled_ratio(
        weights,
        [(element.environment_coverage_of_halves, element.environment_ceiling) for element in elements],
    )
    ratio_interval = None
    if interval and ratio is not None and coverage > 0:
        low, high = (min(end * ratio / coverage, 1.0) for end in interval)
        ratio_interval = (low, high)
    far = [
        (weight, element.neighbours.far_share)
        for weight, element in zip(weights, elements, strict=True)
        if element.neighbours is not None
    ]
    return PooledCoverage(
        coverage=coverage,
        environment_coverage=by_environment,
        coverage_interval=interval,
        environment_coverage_interval=environment_interval,
        ceiling=ceiling,
        environment_ceiling=environment_ceiling,
        coverage_of_halves=halves,
        ratio=ratio,
        ratio_interval=ratio_interval,
        environment_ratio=environment_ratio,
        ratio_uncapped=uncapped,
        unseen_mass=float(shares @ [element.unseen_mass for element in elements]),
        unseen_mass_between_trajectories=_mean(
            weights, [element.unseen_mass_between_trajectories for element in elements]
        ),
        far_share=_mean(np.array([weight for weight, _ in far]), [share for _, share in far]),
        outside_share=float(shares @ [element.outside_share for element in elements]),
        off_share=float(shares @ [element.off_share for element in elements]),
    )


def _pooled_ratio(
    weights: NDArray[np.float64], pairs: Sequence[tuple[float | None, float | None]]
) -> tuple[float | None, float | None, float | None, float | None]:
    """Ceiling, coverage of halves, their capped and their uncapped ratio."""
    rows = [
        (weight, halves, ceiling)
        for weight, (halves, ceiling) in zip(weights, pairs, strict=True)
        if halves is not None and ceiling is not None
    ]
    if not rows:
        return None, None, None, None
    weight, halves, ceilings = np.array(rows, dtype=np.float64).T
    ceiling, covered = float(weight @ ceilings / weight.sum()), float(weight @ halves / weight.sum())
    if not ceiling:
        return ceiling, covered, None, None
    capped = float(weight @ np.minimum(halves, ceilings) / (weight @ ceilings))
    return ceiling, covered, capped, covered / ceiling


def _interval(value: float, draws: NDArray[np.float64]) -> Interval:
    """95 % of the draws, moved to the value: drawing with replacement leaves trajectories, and cells, out."""
    low, high = np.quantile(draws - draws.mean(), [0.025, 0.975])
    return max(0.0, value + float(low)), min(1.0, value + float(high))


def _median(values: NDArray[np.float32]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _mean(weights: NDArray[np.float64], values: Sequence[float | None]) -> float | None:
    rows = [(weight, value) for weight, value in zip(weights, values, strict=True) if value is not None]
    if not rows:
        return None
    known, numbers = np.array(rows, dtype=np.float64).T
    return float(known @ numbers / known.sum())


def statements(settings: Coverage, *, trajectories_given: bool) -> tuple[str, ...]:
    """How the figures were made, in words."""
    at_most = "" if settings.max_components is None else f" and at most {settings.max_components}"
    fitted = {
        "training": "the training set's environments",
        "visited": "the visited environments",
        "both": "the environments of both sets",
    }[settings.fitted_on]
    edges = {
        "common": "the common range of training and visited environments",
        "training": "the range of the training environments",
        "visited": "the range of the visited environments",
    }[settings.edges]
    if settings.bins == "auto":
        cells = (
            "N x N cells in each plane of two principal components, N for each element the finest of 5, 10, "
            f"20, 40 and 80 at which the ceiling is {AUTO_CEILING:g} or more"
        )
    else:
        cells = f"{settings.bins} x {settings.bins} cells in each plane of two principal components"
    scope = (
        "one space for all elements together: " if settings.elements == "together" else "for each element "
    )
    subspace = (
        " So does one of which more lies outside the components than of any training environment, also in a "
        "space fitted without that."
        if settings.subspace_check
        else ""
    )
    resampled = (
        "Intervals: 95 % of the figures when whole trajectories are drawn again with replacement, centred on "
        "the figure; the ceiling is held."
        if trajectories_given
        else "Intervals: as if each frame were a trajectory of its own, since trajectories were not given; "
        "too narrow where frames are correlated."
    )
    return (
        f"Coverage: {cells}; cells that both sets hold / cells that the visited set holds, averaged over the "
        "planes (You et al. 2024, Eqs. 2 to 6). Environment-weighted: the share of visited environments in "
        "such cells.",
        f"Fit: {scope}the columns are standardised and the PCA is fitted on {fitted}; components up to "
        f"{settings.variance:.0%} of the variance, at least 2{at_most}. An environment that differs in a "
        f"feature that is constant there counts as uncovered in every plane.{subspace}",
        f"Edges: the cells divide {edges} along each component.",
        "Pooling: elements are weighted by their number of visited environments.",
        f"Ceiling: coverage of a random half of the visited frames by the other half, mean of {REPEATS} "
        "splits, in the same planes and cells. Ratio: the training set's coverage of the same halves divided "
        "by it; in the pooled ratio no element counts for more than its ceiling.",
        "Unseen mass: the share of further MD that would fall into cells not visited yet, from cells visited "
        "once (Good 1953), and from cells that one or two trajectories visited (Chao and Jost 2012).",
        resampled,
        "Full space: share of visited environments farther from the nearest training one than "
        f"{QUANTILE:.0%} of the training environments are from other training frames, on samples.",
    )


def warnings(
    training: EnvironmentSet,
    visited: EnvironmentSet,
    elements: Sequence[ElementCoverage],
    settings: Coverage,
) -> tuple[str, ...]:
    """What makes single figures worth less than they look, in words."""
    told = []
    for symbol in training.elements:
        if training.count(symbol) and not visited.count(symbol):
            told.append(f"{symbol}: the visited set holds none; not counted.")
    for element in elements:
        told += [f"{element.symbol}: {words}" for words in _element_warnings(element)]
    short = [element for element in elements if element.variance_kept < settings.variance - 1e-9]
    if short:
        shares = ", ".join(f"{element.symbol} {element.variance_kept:.2f}" for element in short)
        told.append(
            f"the {settings.max_components} components that max_components allows hold less than "
            f"{settings.variance:g} of the variance: {shares}."
        )
    return tuple(told)


def _element_warnings(element: ElementCoverage) -> list[str]:
    told = []
    cells = element.bins**2
    mean_cells = element.cells_visited / element.n_planes
    if not element.n_training_environments:
        told.append("the training set holds none: coverage 0, in a space fitted on the visited set.")
    if element.ceiling is None:
        told.append("a single visited environment cannot be split: no ceiling and no ratio.")
    elif element.ceiling < _LOW_CEILING:
        told.append(
            f"the ceiling is only {element.ceiling:.2f}: {element.n_visited_environments} visited "
            f"environments are too few for {cells} cells, and the ratio means little; use fewer bins or "
            "longer runs."
        )
    if mean_cells < _FEW_CELLS_SHARE * cells and element.n_visited_environments > cells:
        told.append(
            f"visited environments fill {mean_cells:.1f} of {cells} cells in the mean plane: the training "
            "set's range is much wider, and the cells are coarse; use more bins."
        )
    around = [
        one for one in element.by_bins if one.bins in (element.bins // 2, element.bins, 2 * element.bins)
    ]
    ratios = [min(one.ratio, 1.0) for one in around if one.ratio is not None]
    if ratios and max(ratios) - min(ratios) > _SENSITIVE:
        by_bins = ", ".join(f"{one.ratio:.2f} with {one.bins}" for one in around if one.ratio is not None)
        told.append(f"the ratio depends on the number of bins: {by_bins}.")
    near = element.neighbours
    expected = 1 - QUANTILE
    if near is not None and near.far_share - 2 * near.far_share_error > _FAR * expected:
        told.append(
            f"{near.far_share:.0%} (± {near.far_share_error:.0%}) of the visited environments lie farther "
            f"from the nearest training environment than {QUANTILE:.0%} of the training ones do; "
            f"{expected:.0%} would be expected. The planes may hide a hole."
        )
    return told
