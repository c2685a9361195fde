"""The planes of pairs of principal components, cut into cells, and which cells a set of environments visits.

You et al., npj Comput. Mater. 10, 57 (2024), Eqs. 2 to 6: each of the m(m-1)/2 planes of two components is
cut into N x N equal cells; the coverage of a plane is the number of cells that the training set and the
visited set share, divided by the number of cells that the visited set holds; it is averaged over the planes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.pca import Projection

_DENSE_CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Equal bins along each component.

    Every plane has a second layer of cells for environments that are off the space (`Projection.off`): one
    that differs in a feature that is constant in training never shares a cell with training.

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
        points = [one.coordinates for one in projections if len(one.coordinates)]
        return cls(
            low=np.min([one.min(axis=0) for one in points], axis=0),
            high=np.max([one.max(axis=0) for one in points], axis=0),
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
        """Bins of each environment; those outside the range count to the outermost bins."""
        width = self.high - self.low
        steps = np.divide(self.bins, width, out=np.zeros_like(width), where=width > 0)
        bins = np.floor((projection.coordinates - self.low) * steps).astype(np.int64)
        np.clip(bins, 0, self.bins - 1, out=bins)
        return Located(bins=np.asfortranarray(bins), layer=projection.off * self.bins**2, grid=self)


@dataclass(frozen=True, kw_only=True)
class Located:
    """A set of environments on a grid.

    Attributes
    ----------
    bins
        Bin along each component, shape (n, n_components).
    layer
        What an environment's layer adds to its cell's number, shape (n,).
    grid
        The grid.
    """

    bins: IntArray
    layer: IntArray
    grid: Grid

    def __len__(self) -> int:
        return len(self.layer)

    def cells(self, plane: tuple[int, int]) -> IntArray:
        """Number of each environment's cell in a plane, shape (n,), below `Grid.cells_per_plane`."""
        first, second = plane
        return self.bins[:, first] * self.grid.bins + self.bins[:, second] + self.layer

    def rows(self, chosen: NDArray[np.bool_]) -> Located:
        """The chosen environments only; `chosen` has shape (n,)."""
        return Located(bins=self.bins[chosen], layer=self.layer[chosen], grid=self.grid)


@dataclass(frozen=True, kw_only=True)
class PlaneCounts:
    """Cells of each plane.

    Attributes
    ----------
    visited
        Cells that the tested set holds, shape (n_planes,).
    covered
        Those among them that the reference holds too, shape (n_planes,).
    """

    visited: IntArray
    covered: IntArray

    @property
    def coverage(self) -> float:
        """Mean over the planes of covered / visited cells (You et al., Eq. 6)."""
        return float(np.mean(self.covered / self.visited))


def occupied(cells: IntArray, n_cells: int) -> IntArray:
    """Sorted numbers of the cells that occur, each once."""
    if n_cells > _DENSE_CELLS:
        return np.unique(cells)
    seen = np.zeros(n_cells, dtype=np.bool_)
    seen[cells] = True
    return np.flatnonzero(seen)


def count_cells(reference: Located, tested: Located) -> PlaneCounts:
    """Count the cells of `tested`, and those of them that `reference` covers.

    Raises
    ------
    ValueError
        If the tested set is empty.
    """
    if not len(tested):
        raise ValueError("the coverage of an empty set is not defined")
    grid = tested.grid
    visited, covered = [], []
    for plane in grid.planes:
        ours = occupied(tested.cells(plane), grid.cells_per_plane)
        theirs = occupied(reference.cells(plane), grid.cells_per_plane)
        visited.append(len(ours))
        covered.append(len(np.intersect1d(ours, theirs, assume_unique=True)))
    return PlaneCounts(visited=np.array(visited), covered=np.array(covered))


def uncovered(reference: Located, tested: Located) -> Iterator[tuple[int, IntArray, NDArray[np.bool_]]]:
    """For each plane: its number, each tested environment's cell, and whether `reference` misses it."""
    grid = tested.grid
    for number, plane in enumerate(grid.planes):
        cells = tested.cells(plane)
        theirs = occupied(reference.cells(plane), grid.cells_per_plane)
        if grid.cells_per_plane <= _DENSE_CELLS:
            lookup = np.ones(grid.cells_per_plane, dtype=np.bool_)
            lookup[theirs] = False
            yield number, cells, lookup[cells]
        else:
            yield number, cells, ~np.isin(cells, theirs)
