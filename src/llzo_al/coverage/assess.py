"""Coverage of what MD visits by what the models were trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.environments import EnvironmentSet, Float32Array, IntArray, require_finite
from llzo_al.coverage.grid import Grid, Located
from llzo_al.coverage.measure import Levels, Measured, Missed, measure, missed
from llzo_al.coverage.neighbours import Neighbours, nearest_training
from llzo_al.coverage.parallel import run_jobs
from llzo_al.coverage.pca import PrincipalSpace, Projection, fit_space
from llzo_al.coverage.report import CoverageReport, ElementCoverage, VisitedFrames
from llzo_al.coverage.summary import element_coverage, pool, statements, warnings
from llzo_al.errors import StageError

ALL = "all"
"""Name of the one space of ``elements: together``."""

_ROUNDING = 1e-6
"""Share of a range by which rounded positions may carry an environment beyond it."""
_IN_MEMORY_BYTES = 256 * 2**20
"""Projected coordinates of a set larger than this are kept on disk while it is measured."""
_CHUNK = 1 << 16
_CROSS_CHECKED = 20000
"""Largest sample that the subspace's own error is estimated on."""


@dataclass(frozen=True, kw_only=True)
class ReferenceFrame:
    """A fixed frame of reference of one element: what makes coverages of several iterations comparable.

    Attributes
    ----------
    space
        Standardisation and principal components.
    low, high
        Edges of the cells along each component, shape (n_components,).
    residual_limit
        Largest residual of a training environment; infinite without a check.
    """

    space: PrincipalSpace
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    residual_limit: float


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One set's environments of one element, or of all elements together."""

    environments: EnvironmentSet
    symbols: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return sum(self.environments.count(symbol) for symbol in self.symbols)

    def frames(self) -> IntArray:
        return np.concatenate([self.environments.frames(symbol) for symbol in self.symbols])

    def chunks(self) -> Iterator[Float32Array]:
        """Descriptors some at a time; refuses those that are not finite."""
        for symbol in self.symbols:
            for chunk in self.environments.chunks(symbol):
                if not np.isfinite(chunk.sum(axis=1)).all():
                    require_finite(self.environments, self.name)
                yield chunk

    def extremes(self) -> tuple[Float32Array, Float32Array]:
        ends = [(chunk.min(axis=0), chunk.max(axis=0)) for chunk in self.chunks()]
        low, high = zip(*ends, strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    def sample(self, most: int, seed: tuple[int, ...]) -> Float32Array:
        numbers = np.arange(len(self))
        if len(numbers) > most:
            numbers = np.sort(np.random.default_rng(seed).choice(numbers, size=most, replace=False))
        parts, start = [], 0
        for symbol in self.symbols:
            end = start + self.environments.count(symbol)
            inside = numbers[(numbers >= start) & (numbers < end)] - start
            parts.append(self.environments.rows(symbol, inside))
            start = end
        return np.concatenate(parts)


@dataclass(frozen=True, kw_only=True)
class _ElementResult:
    coverage: ElementCoverage
    measured: Measured
    frame: ReferenceFrame
    frames: IntArray
    missed: Missed | None
    outside: NDArray[np.bool_]  # these three are empty where details of frames are not asked for


def assess_coverage(
    training: EnvironmentSet,
    visited: EnvironmentSet,
    settings: Coverage | None = None,
    *,
    seed: int = 1,
    trajectories: Sequence[int] | IntArray | None = None,
    per_frame: bool = True,
    fixed: dict[str, ReferenceFrame] | None = None,
    processes: int = 1,
) -> CoverageReport:
    """PCA coverage of the visited set by the training set, and what calibrates it.

    You et al., npj Comput. Mater. 10, 57 (2024), Eqs. 2 to 6, for each element on its own and pooled by the
    number of visited environments (or for all elements in one space). The columns are standardised and the
    PCA is fitted on the training set's environments; the cells divide the common range of both sets, unless
    the settings say otherwise. Beside it the ceiling from split halves of the visited set, Good-Turing
    estimates, an interval from resampled trajectories, other numbers of bins, and a check in the full reduced
    space; see `llzo_al.coverage.measure` and `llzo_al.coverage.neighbours`.

    Parameters
    ----------
    training, visited
        Environments with the same elements and descriptor, in memory or on disk.
    settings
        Bins, components and samples; by default those of the campaign file.
    seed
        Seed of the splits and samples.
    trajectories
        Trajectory of each visited frame, shape (n_frames,); by default each frame is one of its own.
    per_frame
        Find out what is missing in each visited frame; needed for selection, slow for very large sets.
    fixed
        Frames of reference of an earlier report (`CoverageReport.frames_of_reference`), by element; what is
        not given is fitted.
    processes
        Elements that are measured at once, each in a process of its own, the most frequent first. It changes
        no figure. Sets in memory are copied to every process; those on disk are not.

    Returns
    -------
    CoverageReport
        An element that training lacks has coverage 0, in a space fitted on the visited set. One that the
        visited set lacks is not counted.

    Raises
    ------
    StageError
        If a set is empty, if the sets do not belong together, or if a descriptor is not finite.

    Examples
    --------
    >>> report = assess_coverage(training, visited, trajectories=run_of_frame)  # doctest: +SKIP
    >>> report.pooled.ratio, report.pooled.ratio_interval  # doctest: +SKIP
    """
    settings = settings or Coverage()
    _check(training, visited)
    if trajectories is None:
        runs, given = np.arange(visited.n_frames), False
    else:
        runs, given = np.asarray(trajectories, dtype=np.int64), True
    if runs.shape != (visited.n_frames,):
        raise StageError(
            f"trajectories: {len(runs)} given for {visited.n_frames} visited frames; expected one for each"
        )
    jobs = []
    for number, (name, symbols) in enumerate(_spaces(visited, settings)):
        sides = (
            _Side(environments=training, symbols=symbols, name="training"),
            _Side(environments=visited, symbols=symbols, name="visited"),
        )
        if len(sides[1]):
            frame = (fixed or {}).get(name)
            jobs.append(
                partial(
                    _assess,
                    name,
                    sides,
                    settings,
                    runs,
                    seed=(seed, number),
                    per_frame=per_frame,
                    fixed=frame,
                )
            )
    results = run_jobs(jobs, [len(job.args[1][1]) for job in jobs], processes)
    elements = tuple(result.coverage for result in results)
    resampled = [result.measured.resampled for result in results]
    return CoverageReport(
        pooled=pool(elements, resampled),
        elements=elements,
        bins=settings.bins,
        statements=statements(settings, trajectories_given=given),
        warnings=warnings(training, visited, elements, settings),
        n_training_frames=training.n_frames,
        n_visited_frames=visited.n_frames,
        frames=_visited_frames(results, visited.n_frames) if per_frame else None,
        frames_of_reference={result.coverage.symbol: result.frame for result in results},
    )


def _spaces(visited: EnvironmentSet, settings: Coverage) -> list[tuple[str, tuple[str, ...]]]:
    if settings.elements == "together":
        return [(ALL, tuple(visited.elements))]
    return [(symbol, (symbol,)) for symbol in visited.elements]


def _check(training: EnvironmentSet, visited: EnvironmentSet) -> None:
    for name, environments in (("training", training), ("visited", visited)):
        if not sum(environments.count(symbol) for symbol in environments.elements):
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


def _assess(
    name: str,
    sides: tuple[_Side, _Side],
    settings: Coverage,
    runs: IntArray,
    *,
    seed: tuple[int, int],
    per_frame: bool,
    fixed: ReferenceFrame | None,
) -> _ElementResult:
    training, visited = sides
    with tempfile.TemporaryDirectory(prefix="llzo-al-coverage-") as scratch:
        space, fitted_on = (fixed.space, "given") if fixed else _fit(training, visited, settings, seed)
        known = _project(space, training, Path(scratch) / "training")
        seen = _project(space, visited, Path(scratch) / "visited")
        limit = fixed.residual_limit if fixed else _residual_limit(training, known, settings, seed)
        known, seen = _with_limit(known, limit), _with_limit(seen, limit)
        levels = Levels.automatic() if settings.bins == "auto" else Levels.around(settings.bins)
        grid = (
            Grid(low=fixed.low, high=fixed.high, bins=levels.finest)
            if fixed
            else Grid.over(_within(known, seen, settings), levels.finest)
        )
        located: tuple[Located, Located] = (grid.locate(known), grid.locate(seen))
        frames = visited.frames()
        measured = measure(
            *located,
            frames=frames,
            trajectories=runs[frames],
            levels=levels,
            bins=None if settings.bins == "auto" else settings.bins,
            samples=settings.bootstrap_samples,
            seed=(*seed, 3),
        )
        lacking = None
        if per_frame:
            lacking = missed(*located, frames=frames, coarser=levels.finest // measured.chosen.bins)
        near: Neighbours | None = nearest_training(
            known, training.frames(), seen, sample=settings.neighbour_sample, seed=(*seed, 4)
        )
        outside = _outside(known, seen)
        coverage = element_coverage(
            name, space, grid, measured, near, known, seen, outside, fitted_on=fitted_on
        )
    frame = ReferenceFrame(space=space, low=grid.low, high=grid.high, residual_limit=limit)
    kept = slice(None) if per_frame else slice(0)
    return _ElementResult(
        coverage=coverage,
        measured=measured,
        frame=frame,
        frames=frames[kept].copy(),
        missed=lacking,
        outside=outside[kept].copy(),
    )


def _fit(
    training: _Side, visited: _Side, settings: Coverage, seed: tuple[int, int]
) -> tuple[PrincipalSpace, str]:
    sides = {"training": [training], "visited": [visited], "both": [training, visited]}[settings.fitted_on]
    fitted_on = settings.fitted_on
    if not any(len(side) for side in sides):
        sides, fitted_on = [visited], "visited"
    present = [side for side in sides if len(side)]
    most = settings.fit_environments_max
    values = np.concatenate(
        [side.sample(most // len(present), (*seed, 1, number)) for number, side in enumerate(present)]
    )
    low, high = zip(*(side.extremes() for side in present), strict=True)
    space = fit_space(
        values,
        variance=settings.variance,
        max_components=settings.max_components,
        extremes=(np.min(low, axis=0), np.max(high, axis=0)),
    )
    return space, fitted_on


def _project(space: PrincipalSpace, side: _Side, scratch: Path) -> Projection:
    if len(side) * space.n_components * 4 <= _IN_MEMORY_BYTES:
        return space.project(side.chunks())
    scratch.mkdir()
    return space.project(side.chunks(), scratch)


def _residual_limit(training: _Side, known: Projection, settings: Coverage, seed: tuple[int, int]) -> float:
    """Largest residual of a training environment, also in a space fitted without it."""
    if not settings.subspace_check or not len(known):
        return float("inf")
    sample = training.sample(_CROSS_CHECKED, (*seed, 2))
    # Every second one along the first features that differ: the same halves whatever the order of frames.
    order = _row_order(sample)
    fitted, tested = sample[order[::2]], sample[order[1::2]]
    limit = float(known.residual.max())
    if len(fitted) > 1:
        space = fit_space(fitted, variance=settings.variance, max_components=settings.max_components)
        limit = max(limit, float(space.project(tested).residual.max()))
    return limit * (1 + _ROUNDING)


def _row_order(sample: Float32Array) -> IntArray:
    """Order of the rows by their first feature, where that is equal by the second one, and so on."""
    for width in (8, sample.shape[1]):  # the first few nearly always differ
        order = np.lexsort(sample[:, :width].T[::-1])
        rows = sample[order, :width]
        if (rows[1:] != rows[:-1]).any(axis=1).all():
            break
    return order


def _with_limit(projection: Projection, limit: float) -> Projection:
    return replace(projection, off=projection.off | (projection.residual > limit))


def _within(known: Projection, seen: Projection, settings: Coverage) -> list[Projection]:
    chosen = {"common": [known, seen], "training": [known], "visited": [seen]}[settings.edges]
    return chosen if any(len(one) for one in chosen) else [seen]


def _outside(training: Projection, visited: Projection) -> NDArray[np.bool_]:
    """Visited environments outside the training set's range along any component, or off its space."""
    if not len(training):
        return np.ones(len(visited), dtype=np.bool_)
    low, high = training.low, training.high
    margin = _ROUNDING * (high - low)
    lowest, highest = (low - margin).astype(np.float32), (high + margin).astype(np.float32)
    outside = visited.off.copy()
    for start in range(0, len(outside), _CHUNK):
        rows = slice(start, start + _CHUNK)
        points = np.asarray(visited.coordinates[rows])
        outside[rows] |= ((points < lowest) | (points > highest)).any(axis=1)
    return outside


def _visited_frames(results: list[_ElementResult], n_frames: int) -> VisitedFrames:
    lacking = [result.missed for result in results if result.missed is not None]
    frame = np.concatenate([result.frames for result in results])
    planes = [len(result.frame.low) * (len(result.frame.low) - 1) // 2 for result in results]
    novelty = np.concatenate([one.planes / count for one, count in zip(lacking, planes, strict=True)])
    outside = np.concatenate([result.outside for result in results])
    environments = np.bincount(frame, minlength=n_frames)
    offsets = np.concatenate(([0], np.cumsum([one.n_cells for one in lacking])))
    cells = np.concatenate([one.cell + offset for one, offset in zip(lacking, offsets[:-1], strict=True)])
    cell_frame = np.concatenate([one.cell_frame for one in lacking])
    counts = np.concatenate([one.cell_environments for one in lacking])
    order = np.lexsort((cells, cell_frame))
    ends = np.cumsum(np.bincount(cell_frame, minlength=n_frames))
    return VisitedFrames(
        novelty=np.bincount(frame, weights=novelty, minlength=n_frames) / np.maximum(environments, 1),
        environments=environments,
        uncovered_environments=np.bincount(frame[novelty > 0], minlength=n_frames),
        outside_environments=np.bincount(frame[outside], minlength=n_frames),
        uncovered_cells=tuple(np.split(cells[order], ends[:-1])),
        cell_environments=tuple(np.split(counts[order], ends[:-1])),
        element_novelty={
            result.coverage.symbol: _frame_means(result.frames, one.planes / count, n_frames)
            for result, one, count in zip(results, lacking, planes, strict=True)
        },
    )


def _frame_means(frames: IntArray, values: NDArray[np.float64], n_frames: int) -> NDArray[np.float64]:
    """Mean of the environments' values in each frame, shape (n_frames,); not a number without any."""
    count = np.bincount(frames, minlength=n_frames)
    total = np.bincount(frames, weights=values, minlength=n_frames)
    means: NDArray[np.float64] = np.full(n_frames, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
