"""Everything that is told of one element, and of all elements together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.figures import Measured, Resampled
from llzo_al.coverage.grid import Grid
from llzo_al.coverage.neighbours import Neighbours
from llzo_al.coverage.pca import PrincipalSpace, Projection
from llzo_al.coverage.report import ElementCoverage, Interval, PooledCoverage


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
    lacking = np.array([not element.n_training_environments for element in elements])
    ceilings, halves = [one.ceiling for one in elements], [one.coverage_of_halves for one in elements]
    ratio, uncapped = _pooled_ratio(weights, halves, ceilings, lacking)
    environment_ceilings = [one.environment_ceiling for one in elements]
    environment_ratio, _ = _pooled_ratio(
        weights, [one.environment_coverage_of_halves for one in elements], environment_ceilings, lacking
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
        ceiling=_mean(weights, ceilings),
        environment_ceiling=_mean(weights, environment_ceilings),
        coverage_of_halves=_mean(weights, halves),
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
    weights: NDArray[np.float64],
    halves: Sequence[float | None],
    ceilings: Sequence[float | None],
    lacking: NDArray[np.bool_],
) -> tuple[float | None, float | None]:
    """The capped and the uncapped ratio.

    An element that training lacks counts as if its ceiling were 1: it must not drop out where the visited set
    holds too little of it to have one.
    """
    rows = [
        (weight, 0.0, 1.0) if lacks else (weight, half, ceiling)
        for weight, half, ceiling, lacks in zip(weights, halves, ceilings, lacking, strict=True)
        if lacks or (half is not None and ceiling is not None)
    ]
    if not rows:
        return None, None
    weight, covered, possible = np.array(rows, dtype=np.float64).T
    if not (weight @ possible):
        return None, None
    capped = float(weight @ np.minimum(covered, possible) / (weight @ possible))
    return capped, float(weight @ covered / (weight @ possible))


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
