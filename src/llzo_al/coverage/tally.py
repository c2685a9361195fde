"""Counts of a plane's cells: what a reference set holds of them, and how often a tested set visits each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.grid import Located

DENSE_CELLS = 65536
"""Up to this many cells, or one for each environment, a plane is counted in an array of all its cells;
beyond it by sorting."""
_CHUNK = 1 << 17
"""Environments that are counted at once: few enough for the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class PlaneTally:
    """What a reference set and a tested set hold of one plane.

    Attributes
    ----------
    plane
        The two components.
    numbers
        Numbers of the cells that the arrays below have entries for, shape (n_cells,), ascending.
    known
        Which of them the reference set holds, shape (n_cells,).
    counts
        For each keying the tested environments by key and cell, shape (n_keys, n_cells) each.
    """

    plane: tuple[int, int]
    numbers: IntArray
    known: NDArray[np.bool_]
    counts: tuple[IntArray, ...]

    @property
    def visited(self) -> IntArray:
        """Tested environments in each cell, shape (n_cells,)."""
        return np.asarray(self.counts[0].sum(axis=0))

    def misses(self, cells: IntArray) -> NDArray[np.bool_]:
        """Which of some tested environments, given by their cells, shape (n,), the reference set misses."""
        last = len(self.numbers) - 1
        whole = last >= 0 and self.numbers[0] == 0 and self.numbers[last] == last
        return ~self.known[cells if whole else np.searchsorted(self.numbers, cells)]


@dataclass(frozen=True, kw_only=True)
class Keying:
    """A division of the tested environments.

    Attributes
    ----------
    keys
        Part that each environment belongs to, shape (n,).
    n_keys
        Number of parts.
    """

    keys: NDArray[Any]
    n_keys: int


def tally_planes(
    reference: Located, tested: Located, keyings: Sequence[Keying] = (), *, coarser: int = 1
) -> Iterator[PlaneTally]:
    """Count, plane by plane, what both sets hold.

    Parameters
    ----------
    reference, tested
        Environments on one grid.
    keyings
        Divisions of the tested set; without any it is counted as a whole.
    coarser
        Bins that are taken together; it divides the grid's number of bins.
    """
    keyings = keyings or [Keying(keys=np.zeros(len(tested), dtype=np.uint8), n_keys=1)]
    n_cells = 2 * (tested.grid.bins // coarser) ** 2
    tally = _dense if n_cells <= max(DENSE_CELLS, min(len(tested), 50 * DENSE_CELLS)) else _sorted
    for plane in tested.grid.planes:
        yield tally(reference, tested, keyings, plane, coarser, n_cells)


def _dense(
    reference: Located,
    tested: Located,
    keyings: Sequence[Keying],
    plane: tuple[int, int],
    coarser: int,
    n_cells: int,
) -> PlaneTally:
    known = np.zeros(n_cells, dtype=np.bool_)
    for rows in _chunks(len(reference)):
        known[reference.small_cells(plane, coarser, rows)] = True
    counts = [np.zeros(keying.n_keys * n_cells, dtype=np.int64) for keying in keyings]
    # Every chunk's counters are added up, so that it should not be small against them.
    for rows in _chunks(len(tested), max(_CHUNK, 2 * n_cells * max(one.n_keys for one in keyings))):
        cells = tested.small_cells(plane, coarser, rows)
        for keying, total in zip(keyings, counts, strict=True):
            place = keying.keys[rows] * np.uint32(n_cells)
            place += cells
            total += np.bincount(place, minlength=len(total))
    return PlaneTally(
        plane=plane,
        numbers=np.arange(n_cells),
        known=known,
        counts=tuple(total.reshape(-1, n_cells) for total in counts),
    )


def _sorted(
    reference: Located,
    tested: Located,
    keyings: Sequence[Keying],
    plane: tuple[int, int],
    coarser: int,
    _: int,
) -> PlaneTally:
    numbers, cells = np.unique(tested.cells(plane, coarser=coarser), return_inverse=True)
    known = np.isin(numbers, reference.cells(plane, coarser=coarser))
    counts = []
    for keying in keyings:
        total = np.bincount(
            cells + keying.keys.astype(np.int64) * len(numbers), minlength=keying.n_keys * len(numbers)
        )
        counts.append(total.reshape(-1, len(numbers)))
    return PlaneTally(plane=plane, numbers=numbers, known=known, counts=tuple(counts))


def _chunks(length: int, size: int = _CHUNK) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, start + size)


def coarser_tally(tally: PlaneTally, finest: int, bins: int) -> PlaneTally:
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
