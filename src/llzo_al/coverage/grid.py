"""The planes of pairs of principal components, cut into cells, and which cells a set of environments visits.

You et al., npj Comput. Mater. 10, 57 (2024), Eqs. 2 to 6: each of the m(m-1)/2 planes of two components is
cut into N x N equal cells; the coverage of a plane is the number of cells that the training set and the
visited set share, divided by the number of cells that the visited set holds; it is averaged over the planes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.pca import Projection

DENSE_CELLS = 65536
"""Up to this many cells, or one for each environment, a plane is counted in an array of all its cells;
beyond it by sorting."""
_CHUNK = 1 << 17
"""Environments that are counted at once: few enough for the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Equal bins along each component.

    Every plane has a second layer of cells for environments that are off the space (`Projection.off`) or
    beyond its edges: they never share a cell with one that is neither.

    Attributes
    ----------
    low, high
        Edges of the whole range along each component, shape (n_components,).
    bins
        Bins along each component (N).
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bins: int

    @classmethod
    def over(cls, projections: Sequence[Projection], bins: int) -> Grid:
        """Grid over the common range of the sets."""
        points = [one for one in projections if len(one.off)]
        return cls(
            low=np.min([one.low for one in points], axis=0),
            high=np.max([one.high for one in points], axis=0),
            bins=bins,
        )

    @property
    def planes(self) -> list[tuple[int, int]]:
        """Pairs of components, in the order of all that is given by plane."""
        return list(combinations(range(len(self.low)), 2))

    @property
    def cells_per_plane(self) -> int:
        """Cells of one plane, both layers together."""
        return 2 * self.bins**2

    def locate(self, projection: Projection) -> Located:
        """Bins of each environment."""
        width = self.high - self.low
        steps = np.divide(self.bins, width, out=np.zeros_like(width), where=width > 0)
        n, kind = len(projection.off), np.uint8 if self.bins <= 256 else np.uint16
        bins = np.empty((n, len(width)), dtype=kind, order="F")
        layer = projection.off.copy()
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            points = np.asarray(projection.coordinates[rows])
            layer[rows] |= ((points < self.low) | (points > self.high)).any(axis=1)
            bins[rows] = np.clip(np.floor((points - self.low) * steps), 0, self.bins - 1)
        return Located(bins=bins, layer=layer, grid=self)


@dataclass(frozen=True, kw_only=True)
class Located:
    """A set of environments on a grid.

    Attributes
    ----------
    bins
        Bin along each component, shape (n, n_components).
    layer
        Which environments are off the space or beyond the edges, shape (n,).
    grid
        The grid.
    """

    bins: NDArray[Any]
    layer: NDArray[np.bool_]
    grid: Grid

    def __len__(self) -> int:
        return len(self.layer)

    def cells(self, plane: tuple[int, int], *, coarser: int = 1, rows: slice = slice(None)) -> IntArray:
        """Number of each environment's cell in a plane, shape (n,).

        Parameters
        ----------
        plane
            Two components.
        coarser
            Bins that are taken together; it divides the grid's number of bins.
        rows
            Only these environments.
        """
        return self._cells(plane, coarser, rows).astype(np.int64)

    def _cells(self, plane: tuple[int, int], coarser: int, rows: slice) -> NDArray[Any]:
        """The same in the smallest unsigned integers that hold them, which are the fastest."""
        bins = self.grid.bins // coarser
        kind: Any = np.uint16 if 2 * bins**2 <= 1 << 16 else np.uint32
        first, second = (self.bins[rows, axis] for axis in plane)
        if coarser > 1:
            first, second = first // coarser, second // coarser
        cells: NDArray[Any] = first.astype(kind)
        cells *= kind(bins)
        cells += second
        cells += self.layer[rows] * kind(bins**2)
        return cells


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
        known[reference._cells(plane, coarser, rows)] = True
    counts = [np.zeros(keying.n_keys * n_cells, dtype=np.int64) for keying in keyings]
    # Every chunk's counters are added up, so that it should not be small against them.
    for rows in _chunks(len(tested), max(_CHUNK, 2 * n_cells * max(one.n_keys for one in keyings))):
        cells = tested._cells(plane, coarser, rows)
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
