"""Coverage of what MD visits by what the models were trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.ceiling import REPEATS, split_half_ceiling
from llzo_al.coverage.environments import Environments, Float32Array, IntArray, require_finite
from llzo_al.coverage.grid import Grid, Located, count_cells, uncovered
from llzo_al.coverage.pca import PrincipalSpace, Projection, fit_space
from llzo_al.coverage.report import (
    CoverageReport,
    ElementCoverage,
    PooledCoverage,
    VisitedFrames,
)
from llzo_al.errors import StageError

_LOW_CEILING = 0.5
_FEW_CELLS_SHARE = 0.1
_ROUNDING = 1e-6
"""Share of a range by which rounded positions may carry an environment beyond it."""


@dataclass(frozen=True, kw_only=True)
class _Missed:
    """What training misses of one element's visited environments, one row for each that was used."""

    frame: IntArray
    novelty: NDArray[np.float64]
    outside: NDArray[np.bool_]
    cell_frame: IntArray
    """Frames of the pairs (frame, uncovered cell), shape (n_pairs,)."""
    cell: IntArray
    """Cells of those pairs, shape (n_pairs,)."""
    n_cells: int


@dataclass(frozen=True, kw_only=True)
class _ElementResult:
    coverage: ElementCoverage
    space: PrincipalSpace
    grid: Grid
    missed: _Missed


def assess_coverage(
    training: Environments, visited: Environments, settings: Coverage, *, seed: int
) -> CoverageReport:
    """PCA coverage of the visited set by the training set, and its ceiling.

    You et al., npj Comput. Mater. 10, 57 (2024), Eqs. 2 to 6, for each element on its own and pooled by the
    number of visited environments. The columns are standardised and the PCA is fitted on the training set's
    environments; the cells divide the common range of both sets. Beside it the ceiling from split halves of
    the visited set, measured in the same space and cells; see `split_half_ceiling`.

    Parameters
    ----------
    training, visited
        Environments with the same elements and descriptor.
    settings
        Bins, components, and the largest number of environments of an element.
    seed
        Seed of the splits and of the sample beyond `environments_max`.

    Returns
    -------
    CoverageReport
        An element that training lacks has coverage 0, in a space fitted on the visited set. One that the
        visited set lacks is not counted.

    Raises
    ------
    StageError
        If a set is empty, if the sets do not belong together, or if a descriptor is not finite.
    """
    _check(training, visited)
    results = [
        _assess_element(training, visited, symbol, settings, seed=(seed, number))
        for number, symbol in enumerate(visited.elements)
        if visited.count(symbol)
    ]
    elements = tuple(result.coverage for result in results)
    return CoverageReport(
        pooled=_pool(elements),
        elements=elements,
        bins=settings.bins,
        statements=_statements(settings),
        warnings=_warnings(training, visited, elements, settings),
        n_training_frames=training.n_frames,
        n_visited_frames=visited.n_frames,
        frames=_visited_frames([result.missed for result in results], visited.n_frames),
        spaces={result.coverage.symbol: result.space for result in results},
        grids={result.coverage.symbol: result.grid for result in results},
    )


def _check(training: Environments, visited: Environments) -> None:
    for name, environments in (("training", training), ("visited", visited)):
        if not environments.n_environments:
            raise StageError(f"the {name} set holds no environment: coverage needs at least one in each set")
    if training.elements != visited.elements:
        raise StageError(
            f"the training set's elements are {', '.join(training.elements)} and the visited set's "
            f"{', '.join(visited.elements)}: compute both with the same list of elements"
        )
    if training.n_features != visited.n_features:
        raise StageError(
            f"descriptors have {training.n_features} features in training and {visited.n_features} in the "
            "visited set: compute both with the same settings"
        )
    require_finite(training, "training")
    require_finite(visited, "visited")


def _sample(
    environments: Environments, symbol: str, most: int, seed: tuple[int, ...]
) -> tuple[Float32Array, IntArray]:
    """Descriptors and frames of at most `most` environments, in their own order."""
    values, frames = environments.values[symbol], environments.frame_index[symbol]
    if len(values) <= most:
        return values, frames
    rows = np.sort(np.random.default_rng(seed).choice(len(values), size=most, replace=False))
    return values[rows], frames[rows]


def _assess_element(
    training: Environments, visited: Environments, symbol: str, settings: Coverage, *, seed: tuple[int, int]
) -> _ElementResult:
    known, _ = _sample(training, symbol, settings.environments_max, (*seed, 1))
    seen, frames = _sample(visited, symbol, settings.environments_max, (*seed, 2))
    space = fit_space(
        known if len(known) else seen, variance=settings.variance, max_components=settings.max_components
    )
    known_projection, seen_projection = space.project(known), space.project(seen)
    grid = Grid.over([known_projection, seen_projection], settings.bins)
    known_cells, seen_cells = grid.locate(known_projection), grid.locate(seen_projection)
    counts = count_cells(known_cells, seen_cells)
    ceiling = split_half_ceiling(known_cells, seen_cells, frames, seed=(*seed, 3))
    outside = _outside(known_projection, seen_projection)
    coverage = ElementCoverage(
        symbol=symbol,
        coverage=counts.coverage,
        ceiling=ceiling.ceiling if ceiling else None,
        coverage_of_halves=ceiling.coverage_of_halves if ceiling else None,
        ratio=ceiling.ratio if ceiling else None,
        n_components=space.n_components,
        variance_kept=space.variance_kept,
        fitted_on="training" if len(known) else "visited",
        n_constant_features=space.n_constant,
        n_training_environments=training.count(symbol),
        n_visited_environments=visited.count(symbol),
        n_training_used=len(known),
        n_visited_used=len(seen),
        cells_visited=int(counts.visited.sum()),
        cells_covered=int(counts.covered.sum()),
        n_planes=len(grid.planes),
        outside_share=float(outside.mean()),
        edges=tuple(zip(grid.low.tolist(), grid.high.tolist(), strict=True)),
    )
    missed = _missed(known_cells, seen_cells, frames, outside)
    return _ElementResult(coverage=coverage, space=space, grid=grid, missed=missed)


def _outside(training: Projection, visited: Projection) -> NDArray[np.bool_]:
    """Visited environments outside the training set's range along any component, or off its space."""
    if not len(training.coordinates):
        return np.ones(len(visited.off), dtype=np.bool_)
    low, high = training.coordinates.min(axis=0), training.coordinates.max(axis=0)
    margin = _ROUNDING * (high - low)
    beyond = (visited.coordinates < low - margin) | (visited.coordinates > high + margin)
    return np.asarray(beyond.any(axis=1) | visited.off, dtype=np.bool_)


def _missed(training: Located, visited: Located, frames: IntArray, outside: NDArray[np.bool_]) -> _Missed:
    n_cells = len(visited.grid.planes) * visited.grid.cells_per_plane
    missed_planes = np.zeros(len(visited), dtype=np.int64)
    pairs = [np.zeros(0, dtype=np.int64)]
    for plane, cells, missing in uncovered(training, visited):
        missed_planes += missing
        numbers = plane * visited.grid.cells_per_plane + cells[missing]
        pairs.append(np.unique(frames[missing] * n_cells + numbers))
    packed = np.concatenate(pairs)
    return _Missed(
        frame=frames,
        novelty=missed_planes / len(visited.grid.planes),
        outside=outside,
        cell_frame=packed // n_cells,
        cell=packed % n_cells,
        n_cells=n_cells,
    )


def _visited_frames(missed: list[_Missed], n_frames: int) -> VisitedFrames:
    frame = np.concatenate([one.frame for one in missed])
    novelty = np.concatenate([one.novelty for one in missed])
    outside = np.concatenate([one.outside for one in missed])
    environments = np.bincount(frame, minlength=n_frames)
    offsets = np.concatenate(([0], np.cumsum([one.n_cells for one in missed])))
    cells = np.concatenate([one.cell + offset for one, offset in zip(missed, offsets[:-1], strict=True)])
    cell_frame = np.concatenate([one.cell_frame for one in missed])
    order = np.lexsort((cells, cell_frame))
    ends = np.cumsum(np.bincount(cell_frame, minlength=n_frames))
    return VisitedFrames(
        novelty=np.bincount(frame, weights=novelty, minlength=n_frames) / np.maximum(environments, 1),
        environments=environments,
        uncovered_environments=np.bincount(frame[novelty > 0], minlength=n_frames),
        outside_environments=np.bincount(frame[outside], minlength=n_frames),
        uncovered_cells=tuple(np.split(cells[order], ends[:-1])),
    )


def _pool(elements: tuple[ElementCoverage, ...]) -> PooledCoverage:
    weights = np.array([element.n_visited_environments for element in elements], dtype=np.float64)
    total = weights.sum()
    pooled_ceiling = pooled_halves = ratio = uncapped = None
    split = [
        (element.n_visited_environments, element.coverage_of_halves, element.ceiling)
        for element in elements
        if element.ceiling is not None and element.coverage_of_halves is not None
    ]
    if split:
        weight, halves, ceilings = np.array(split, dtype=np.float64).T
        pooled_ceiling = float(weight @ ceilings / weight.sum())
        pooled_halves = float(weight @ halves / weight.sum())
        if pooled_ceiling > 0:
            ratio = float(weight @ np.minimum(halves, ceilings) / (weight @ ceilings))
            uncapped = pooled_halves / pooled_ceiling
    return PooledCoverage(
        coverage=float(weights @ [element.coverage for element in elements] / total),
        ceiling=pooled_ceiling,
        coverage_of_halves=pooled_halves,
        ratio=ratio,
        ratio_uncapped=uncapped,
        outside_share=float(weights @ [element.outside_share for element in elements] / total),
    )


def _statements(settings: Coverage) -> tuple[str, ...]:
    at_most = "" if settings.max_components is None else f" and at most {settings.max_components}"
    return (
        f"Coverage: {settings.bins} x {settings.bins} cells in each plane of two principal components; cells "
        "that both sets hold / cells that the visited set holds, averaged over the planes (You et al. 2024, "
        "Eqs. 2 to 6).",
        "Fit: for each element the columns are standardised and the PCA is fitted on the training set's "
        f"environments; components up to {settings.variance:.0%} of the variance, at least 2"
        f"{at_most}. An environment that differs in a feature that is constant in training "
        "counts as uncovered in every plane.",
        "Edges: the cells divide the common range of training and visited environments along each component.",
        "Pooling: elements are weighted by their number of visited environments.",
        f"Ceiling: coverage of a random half of the visited frames by the other half, mean of {REPEATS} "
        "splits, in the same planes and cells. Ratio: the training set's coverage of the same halves divided "
        "by it; in the pooled ratio no element counts for more than its ceiling.",
    )


def _warnings(
    training: Environments, visited: Environments, elements: tuple[ElementCoverage, ...], settings: Coverage
) -> tuple[str, ...]:
    told = []
    for symbol in training.elements:
        if training.count(symbol) and not visited.count(symbol):
            told.append(f"{symbol}: the visited set holds none; not counted.")
    for element in elements:
        told += [f"{element.symbol}: {words}" for words in _element_warnings(element, settings)]
    short = [element for element in elements if element.variance_kept < settings.variance - 1e-9]
    if short:
        shares = ", ".join(f"{element.symbol} {element.variance_kept:.2f}" for element in short)
        told.append(
            f"the {settings.max_components} components that max_components allows hold less than "
            f"{settings.variance:g} of the variance: {shares}."
        )
    return tuple(told)


def _element_warnings(element: ElementCoverage, settings: Coverage) -> list[str]:
    told = []
    cells = settings.bins**2
    mean_cells = element.cells_visited / element.n_planes
    if element.fitted_on == "visited":
        told.append("the training set holds none: coverage 0, in a space fitted on the visited set.")
    if element.ceiling is None:
        told.append("a single visited environment cannot be split: no ceiling and no ratio.")
    elif element.ceiling < _LOW_CEILING:
        told.append(
            f"the ceiling is only {element.ceiling:.2f}: {element.n_visited_used} visited environments are "
            f"too few for {cells} cells, and the ratio means little; use fewer bins or longer runs."
        )
    if mean_cells < _FEW_CELLS_SHARE * cells and element.n_visited_used > cells:
        told.append(
            f"visited environments fill {mean_cells:.1f} of {cells} cells in the mean plane: the training "
            "set's range is much wider, and the cells are coarse; use more bins."
        )
    if element.n_training_used < element.n_training_environments or (
        element.n_visited_used < element.n_visited_environments
    ):
        told.append(
            f"{element.n_training_used} of {element.n_training_environments} training and "
            f"{element.n_visited_used} of {element.n_visited_environments} visited environments were used "
            "(environments_max)."
        )
    return told
