"""Figures of two located sets: coverage, its ceiling, its interval, its dependence on the number of bins.

A coverage falls with the number of cells and rises with the number of samples, even where nothing is
missing. What calibrates it is counted in the same planes and cells: what one half of the visited set covers
of the other (the ceiling), how many cells were visited once only, and how the figures move when whole
trajectories are left out or taken twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.figures import Floats, LevelFigures, Measured
from llzo_al.coverage.grid import Located
from llzo_al.coverage.resampling import Draws, Seeds, dealt, drawn_weights, halvings, trajectory_blocks
from llzo_al.coverage.tally import Keying, PlaneTally, coarser_tally, tally_planes

AUTO_BINS = (5, 10, 20, 40, 80)
"""Numbers of bins that ``bins: auto`` chooses from."""
AUTO_CEILING = 0.8
"""Lowest ceiling that it accepts."""


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
            (dealt(frames, seed), trajectory_blocks(trajectories, seed)),
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
    sums = [_Sums(level, halvings(parts.n_keys, seed)) for level in levels.bins]
    weights = drawn_weights(block.n_keys, samples, seed)
    draws = None if weights is None else Draws(weights)
    for tally in tally_planes(known, seen, [parts, block]):
        coarse, finer = tally, levels.finest
        for one in reversed(sums):
            coarse, finer = coarser_tally(coarse, finer, one.bins), one.bins
            one.add(coarse)
            if draws is not None and one.bins == bins:
                draws.add(coarse)
    figures = tuple(one.figures(len(seen)) for one in sums)
    chosen = next(one for one in figures if one.bins == (bins or _automatic(figures)))
    if draws is not None and bins is None:
        for tally in tally_planes(known, seen, [block], coarser=levels.finest // chosen.bins):
            draws.add(tally)
    return Measured(levels=figures, chosen=chosen, resampled=draws.resampled() if draws else None)


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


def _automatic(figures: Sequence[LevelFigures]) -> int:
    """The finest number of bins whose ceiling is high enough; the coarsest if none is."""
    fine = [one.bins for one in figures if one.bins in AUTO_BINS and (one.ceiling or 0.0) >= AUTO_CEILING]
    return max(fine, default=AUTO_BINS[0])
