"""Figures of two located sets: coverage, its ceiling, its interval, its dependence on the number of bins.

A coverage falls with the number of cells and rises with the number of samples, even where nothing is
missing. What calibrates it is counted in the same planes and cells: what one half of the visited set covers
of the other (the ceiling), how many cells were visited once only, and how the figures move when whole
trajectories are left out or taken twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.grid import Keying, Located, PlaneTally, tally_planes

Floats = NDArray[np.float64]
Seeds = tuple[int, ...]

AUTO_BINS = (5, 10, 20, 40, 80)
"""Numbers of bins that ``bins: auto`` chooses from."""
AUTO_CEILING = 0.8
"""Lowest ceiling that it accepts."""
PARTS = 16
"""Parts of equal size that the visited frames are dealt to at random; a half is half of the parts."""
REPEATS = 8
"""Halvings that a ceiling is averaged over."""
BLOCKS = 32
"""Largest number of blocks of whole trajectories that the bootstrap draws from."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Numbers of bins that are counted at once.

    Attributes
    ----------
    bins
        Ascending, each a multiple of the one before.
    """

    bins: tuple[int, ...]

    @property
    def finest(self) -> int:
        """The largest number."""
        return self.bins[-1]

    @classmethod
    def around(cls, bins: int) -> Levels:
        """Half of a number of bins (where that is a whole one of at least 2), the number, and its double."""
        half = (bins // 2,) if bins % 2 == 0 and bins >= 4 else ()
        return cls(bins=(*half, bins, 2 * bins))

    @classmethod
    def automatic(cls) -> Levels:
        """The numbers to choose from, and the double of the last."""
        return cls(bins=(*AUTO_BINS, 2 * AUTO_BINS[-1]))


@dataclass(frozen=True, kw_only=True)
class LevelFigures:
    """Figures at one number of bins, each a mean over the planes.

    Attributes
    ----------
    bins
        Bins along each axis.
    coverage
        Share of the visited cells that training holds (You et al. 2024, Eq. 6).
    environment_coverage
        Share of the visited environments that lie in cells that training holds.
    ceiling, environment_ceiling
        The same of one half of the visited set by the other half; None without halves.
    halves, environment_halves
        The same of those halves by training.
    unseen_mass
        Good-Turing estimate of the share of a further sample that would fall into cells not visited yet:
        cells visited once / visited environments (Good, Biometrika 40, 237 (1953)).
    unseen_mass_between_trajectories
        The same from the cells that one or two trajectories visited (Chao and Jost, Ecology 93, 2533 (2012),
        the estimator for incidences), which the correlation along a trajectory does not lower; None with a
        single trajectory.
    cells_visited, cells_covered
        Summed over the planes.
    """

    bins: int
    coverage: float
    environment_coverage: float
    ceiling: float | None
    environment_ceiling: float | None
    halves: float | None
    environment_halves: float | None
    unseen_mass: float
    unseen_mass_between_trajectories: float | None
    cells_visited: int
    cells_covered: int

    @property
    def ratio(self) -> float | None:
        """`halves` / `ceiling`; None without halves, or where they share no cell."""
        return None if not self.ceiling or self.halves is None else self.halves / self.ceiling

    @property
    def environment_ratio(self) -> float | None:
        """`environment_halves` / `environment_ceiling`, or None."""
        if not self.environment_ceiling or self.environment_halves is None:
            return None
        return self.environment_halves / self.environment_ceiling


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Figures with the visited trajectories drawn again with replacement.

    Attributes
    ----------
    coverage, environment_coverage
        Means over the planes, shape (n_samples,) each.
    """

    coverage: Floats
    environment_coverage: Floats


@dataclass(frozen=True, kw_only=True)
class Missed:
    """What training misses of the visited environments, one row for each.

    Attributes
    ----------
    planes
        Planes in which training does not hold the environment's cell, shape (n,).
    cell_frame, cell, cell_environments
        Frames and cells of the pairs (frame, uncovered cell), and how many environments of the frame lie in
        the cell, shape (n_pairs,) each.
    n_cells
        Numbers that `cell` can have.
    """

    planes: IntArray
    cell_frame: IntArray
    cell: IntArray
    cell_environments: IntArray
    n_cells: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All figures of one element.

    Attributes
    ----------
    levels
        Figures by number of bins, ascending.
    chosen
        The one that counts.
    resampled
        None without a bootstrap: fewer than two trajectories, or no samples asked for.
    """

    levels: tuple[LevelFigures, ...]
    chosen: LevelFigures
    resampled: Resampled | None


def measure(
    known: Located,
    seen: Located,
    *,
    frames: IntArray,
    trajectories: IntArray,
    levels: Levels,
    bins: int | None,
    samples: int,
    seed: Seeds,
) -> Measured:
    """Measure what `known` covers of `seen`.

    Whole frames are drawn at random for the two halves of a ceiling; where all environments are of one frame,
    they are drawn themselves. Frames close in time may fall to different halves, so that the ceiling is
    rather too high than too low and the ratio to it rather too low. Both coverages are of the same tested
    half. The other half is not cut down to the size of a smaller training set (few frames cannot pass for all
    that MD visits), nor is a larger training set cut down to the half's (more labels never lower the ratio).

    Parameters
    ----------
    known, seen
        Training and visited environments on a grid of `levels.finest` bins.
    frames, trajectories
        Frame and trajectory of each visited environment, shape (n,).
    levels
        Numbers of bins to count.
    bins
        The one that counts, or None to choose it by `AUTO_CEILING`.
    samples
        Resamplings of the bootstrap.
    seed
        Seeds of halves and resampling.
    """
    # The matrices of a plane are small: threads of a BLAS would wait for each other more than they work.
    with threadpool_limits(limits=1):
        return _measure(
            known,
            seen,
            (_dealt(frames, seed), _blocks(trajectories, seed)),
            levels=levels,
            bins=bins,
            samples=samples,
            seed=seed,
        )


def _measure(
    known: Located,
    seen: Located,
    keyings: tuple[Keying | None, Keying],
    *,
    levels: Levels,
    bins: int | None,
    samples: int,
    seed: Seeds,
) -> Measured:
    deal, block = keyings
    parts = deal or Keying(keys=np.zeros(len(seen), dtype=np.uint8), n_keys=1)
    sums = [_Sums(level, _halvings(parts.n_keys, seed)) for level in levels.bins]
    weights = _weights(block.n_keys, samples, seed)
    draws = None if weights is None else _Draws(weights)
    for tally in tally_planes(known, seen, [parts, block]):
        coarse, finer = tally, levels.finest
        for one in reversed(sums):
            coarse, finer = _coarser(coarse, finer, one.bins), one.bins
            one.add(coarse)
            if draws is not None and one.bins == bins:
                draws.add(coarse)
    figures = tuple(one.figures(len(seen)) for one in sums)
    chosen = next(one for one in figures if one.bins == (bins or _automatic(figures)))
    if draws is not None and bins is None:
        for tally in tally_planes(known, seen, [block], coarser=levels.finest // chosen.bins):
            draws.add(tally)
    return Measured(levels=figures, chosen=chosen, resampled=draws.resampled() if draws else None)


def missed(known: Located, seen: Located, *, frames: IntArray, coarser: int) -> Missed:
    """What training misses of each visited environment; see `measure` for the arguments."""
    bins = seen.grid.bins // coarser
    per_plane = 2 * bins**2
    n_cells = len(seen.grid.planes) * per_plane
    planes = np.zeros(len(seen), dtype=np.int64)
    pairs, counts = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for number, tally in enumerate(tally_planes(known, seen, coarser=coarser)):
        cells = seen.cells(tally.plane, coarser=coarser)
        misses = tally.misses(cells)
        planes += misses
        packed = frames[misses] * n_cells + number * per_plane + cells[misses]
        found, count = np.unique(packed, return_counts=True)
        pairs.append(found)
        counts.append(count)
    packed = np.concatenate(pairs)
    return Missed(
        planes=planes,
        cell_frame=packed // n_cells,
        cell=packed % n_cells,
        cell_environments=np.concatenate(counts),
        n_cells=n_cells,
    )


class _Sums:
    """Figures of one number of bins, summed plane by plane."""

    def __init__(self, bins: int, halvings: Floats | None) -> None:
        self.bins = bins
        self._halvings = halvings
        self._rows: list[list[float]] = []
        self._cells = [0, 0]

    def add(self, tally: PlaneTally) -> None:
        """Add a plane."""
        visited = np.flatnonzero(tally.visited)
        parts, blocks = (counts[:, visited] for counts in tally.counts)
        total, known = parts.sum(axis=0), tally.known[visited]
        self._cells[0] += len(visited)
        self._cells[1] += int(known.sum())
        row = [
            float(known.mean()),
            float(total[known].sum() / total.sum()),
            float((total == 1).sum() / total.sum()),
            _between(blocks > 0),
        ]
        if self._halvings is not None:
            row += self._of_halves(parts.astype(np.float64), known)
        self._rows.append(row)

    def _of_halves(self, parts: Floats, known: NDArray[np.bool_]) -> list[float]:
        assert self._halvings is not None  # noqa: S101 - for the type checker
        reference = self._halvings @ parts  # whole numbers, exact in double precision
        tested = parts.sum(axis=0) - reference
        held, by_other = tested > 0, reference > 0
        cells, total = np.count_nonzero(held, axis=1), tested.sum(axis=1)
        return [
            float(np.mean(np.count_nonzero(held & by_other, axis=1) / cells)),
            float(np.mean(np.einsum("hc,hc->h", tested, by_other) / total)),
            float(np.mean(np.count_nonzero(held[:, known], axis=1) / cells)),
            float(np.mean(tested @ known / total)),
        ]

    def figures(self, n_environments: int) -> LevelFigures:
        """Means over the planes."""
        coverage, by_environment, unseen, between, *halves = np.mean(self._rows, axis=0).tolist()
        ceiling, environment_ceiling, of_halves, environment_halves = halves or [None] * 4
        return LevelFigures(
            bins=self.bins,
            coverage=coverage,
            environment_coverage=by_environment,
            ceiling=ceiling,
            environment_ceiling=environment_ceiling,
            halves=of_halves,
            environment_halves=environment_halves,
            unseen_mass=unseen if n_environments > 1 else 1.0,
            unseen_mass_between_trajectories=None if np.isnan(between) else between,
            cells_visited=self._cells[0],
            cells_covered=self._cells[1],
        )


def _between(present: NDArray[np.bool_]) -> float:
    """One minus the sample coverage of incidences, `present` of shape (blocks, cells)."""
    units = len(present)
    if units < 2:
        return float("nan")
    times = present.sum(axis=0)
    once, twice, all_of_them = (times == 1).sum(), (times == 2).sum(), times.sum()
    if not once:
        return 0.0
    return float(once / all_of_them * ((units - 1) * once) / ((units - 1) * once + 2 * twice))


def _coarser(tally: PlaneTally, finest: int, bins: int) -> PlaneTally:
    """The tally of a plane with fewer bins."""
    factor = finest // bins
    if factor == 1:
        return tally
    if len(tally.numbers) == 2 * finest**2:
        return PlaneTally(
            plane=tally.plane,
            numbers=np.arange(2 * bins**2),
            known=_squares(tally.known[None], bins, factor)[0] > 0,
            counts=tuple(_squares(count, bins, factor) for count in tally.counts),
        )
    layer, rest = np.divmod(tally.numbers, finest**2)
    first, second = np.divmod(rest, finest)
    numbers = (layer * bins + first // factor) * bins + second // factor
    cells, place = np.unique(numbers, return_inverse=True)
    known = np.zeros(len(cells), dtype=np.bool_)
    known[place[tally.known]] = True
    counts = []
    for count in tally.counts:
        order = np.argsort(place, kind="stable")
        starts = np.searchsorted(place[order], np.arange(len(cells)))
        counts.append(np.add.reduceat(count[:, order], starts, axis=1))
    return PlaneTally(plane=tally.plane, numbers=cells, known=known, counts=tuple(counts))


def _squares(counts: NDArray[Any], bins: int, factor: int) -> IntArray:
    """Sums over squares of cells, shape (n, 2 * bins**2); strip by strip, which numpy adds fastest."""
    rows = counts.reshape(len(counts), 2 * bins, factor, bins * factor)
    strips = rows.sum(axis=2, dtype=np.int64)
    whole = sum(strips[:, :, one::factor] for one in range(factor))
    return np.asarray(whole).reshape(len(counts), -1)


def _automatic(figures: Sequence[LevelFigures]) -> int:
    """The finest number of bins whose ceiling is high enough; the coarsest if none is."""
    fine = [one.bins for one in figures if one.bins in AUTO_BINS and (one.ceiling or 0.0) >= AUTO_CEILING]
    return max(fine, default=AUTO_BINS[0])


def _dealt(frames: IntArray, seed: Seeds) -> Keying | None:
    """Parts of whole frames, equal in number; of environments where there is one frame; None with one."""
    _, unit = np.unique(frames, return_inverse=True)
    if unit.max(initial=0) == 0:
        unit = np.arange(len(frames))
    n_units = int(unit.max(initial=-1)) + 1
    if n_units < 2:
        return None
    parts = min(PARTS, n_units - n_units % 2)
    part = np.random.default_rng((*seed, 0)).permutation(n_units) % parts
    return Keying(keys=part[unit].astype(np.uint8), n_keys=parts)


def _halvings(parts: int, seed: Seeds) -> Floats | None:
    """Which parts are the reference half in each repeat, shape (REPEATS, parts); every half is used twice."""
    if parts < 2:
        return None
    generator = np.random.default_rng((*seed, 1))
    chosen = np.zeros((REPEATS, parts))
    for row in range(0, REPEATS, 2):
        half = generator.permutation(parts)[: parts // 2]
        chosen[row, half] = 1
        chosen[row + 1] = 1 - chosen[row]
    return chosen


def _blocks(trajectories: IntArray, seed: Seeds) -> Keying:
    """Blocks of whole trajectories."""
    _, unit = np.unique(trajectories, return_inverse=True)
    count = int(unit.max(initial=0)) + 1
    blocks = min(count, BLOCKS)
    block = np.random.default_rng((*seed, 2)).permutation(count) % blocks
    return Keying(keys=block[unit].astype(np.uint8), n_keys=blocks)


def _weights(blocks: int, samples: int, seed: Seeds) -> Floats | None:
    """How often each block is drawn in each resampling, shape (samples, blocks)."""
    if blocks < 2 or not samples:
        return None
    generator = np.random.default_rng((*seed, 3))
    return generator.multinomial(blocks, np.full(blocks, 1 / blocks), size=samples).astype(np.float64)


class _Draws:
    """Coverages with blocks drawn again, summed plane by plane.

    Parameters
    ----------
    weights
        How often each block is drawn, shape (samples, blocks).
    """

    def __init__(self, weights: Floats) -> None:
        self._weights = weights
        self._drawn = (weights > 0).astype(np.float32)
        self._coverage, self._by_environment = np.zeros(len(weights)), np.zeros(len(weights))
        self._planes = 0

    def add(self, tally: PlaneTally) -> None:
        """Add a plane; its last keying is that by blocks."""
        visited = np.flatnonzero(tally.visited)
        counts, known = tally.counts[-1][:, visited], tally.known[visited]
        held = self._drawn @ (counts > 0).astype(np.float32) > 0
        total = self._weights @ counts.sum(axis=1)
        # Where an element is not in the blocks drawn there is nothing to cover.
        cells = np.maximum(np.count_nonzero(held, axis=1), 1)
        self._coverage += np.count_nonzero(held[:, known], axis=1) / cells
        self._by_environment += (self._weights @ counts[:, known].sum(axis=1)) / np.maximum(total, 1)
        self._planes += 1

    def resampled(self) -> Resampled:
        """Means over the planes."""
        return Resampled(
            coverage=self._coverage / self._planes,
            environment_coverage=self._by_environment / self._planes,
        )
