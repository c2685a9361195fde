"""The planes of pairs of principal components, cut into cells, and which cells a set of environments visits.

You et al., npj Comput. Mater. 10, 57 (2024), Eqs. 2 to 6: each of the m(m-1)/2 planes of two components is
cut into N x N equal cells; the coverage of a plane is the number of cells that the training set and the
visited set share, divided by the number of cells that the visited set holds; it is averaged over the planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.pca import Projection

_CHUNK = 1 << 17
"""Environments that are located at once: few enough for the processor's cache."""


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
        return self.small_cells(plane, coarser, rows).astype(np.int64)

    def small_cells(self, plane: tuple[int, int], coarser: int, rows: slice) -> NDArray[Any]:
        """`cells` in the smallest unsigned integers that hold them, which are the fastest to count."""
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
