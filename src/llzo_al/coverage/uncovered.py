"""Which frames hold which cells that training misses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.grid import Located
from llzo_al.coverage.tally import tally_planes

Int32Array = NDArray[np.int32]

MOST_PAIRS = 10_000_000
"""Largest number of pairs of a frame and an uncovered cell that are kept for one element (80 MB; all
elements of LLZO take less than 1 GB while they are put together). Where there are more, the cells of every
second plane stand for those of all, or of every fourth, and so on."""


@dataclass(frozen=True, kw_only=True)
class Missed:
    """What training misses of one element's visited environments.

    Attributes
    ----------
    planes
        Planes in which training does not hold the environment's cell, shape (n_environments,).
    frame, cell
        Frames and numbers of the cells of the pairs (frame, uncovered cell), shape (n_pairs,) each.
    weights
        Environments in each of these cells times `every`, shape (n_cells,).
    every
        Cells are told of so many planes one: 1 where they are told of all.
    """

    planes: IntArray
    frame: Int32Array
    cell: Int32Array
    weights: IntArray
    every: int


@dataclass(frozen=True, kw_only=True)
class UncoveredCells:
    """The uncovered cells of each frame, as rows of a sparse matrix; ``cells[frame]`` is one of them.

    Attributes
    ----------
    cells
        Numbers of the cells, frame by frame, ascending in each, shape (n_pairs,). A number stands for the
        same cell in every frame.
    ends
        Where each frame's cells begin and end, shape (n_frames + 1,).
    weights
        Visited environments that lie in each cell, of all frames together, shape (n_cells,). Where the cells
        of every n-th plane stand for those of all, n times as many.
    """

    cells: Int32Array
    ends: IntArray
    weights: IntArray

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, frame: int) -> Int32Array:
        if not 0 <= frame < len(self):
            raise IndexError(f"frame {frame} is not among 0 to {len(self) - 1}")
        return self.cells[self.ends[frame] : self.ends[frame + 1]]

    def __iter__(self) -> Iterator[Int32Array]:
        return (self[frame] for frame in range(len(self)))


def missed(known: Located, seen: Located, *, frames: IntArray, coarser: int) -> Missed:
    """What training misses of each visited environment.

    Parameters
    ----------
    known, seen
        Training and visited environments on one grid.
    frames
        Frame of each visited environment, shape (n,).
    coarser
        Bins that are taken together.
    """
    planes = np.zeros(len(seen), dtype=np.int64)
    pairs = _Pairs(MOST_PAIRS, 2 * (seen.grid.bins // coarser) ** 2)
    for number, tally in enumerate(tally_planes(known, seen, coarser=coarser)):
        cells = seen.cells(tally.plane, coarser=coarser)
        misses = tally.misses(cells)
        planes += misses
        pairs.add(number, frames[misses], cells[misses])
    return pairs.missed(planes)


def join(parts: Sequence[Missed], n_frames: int) -> UncoveredCells:
    """The uncovered cells of several elements, frame by frame."""
    counts = [np.bincount(one.frame, minlength=n_frames) for one in parts]
    ends = np.concatenate(([0], np.cumsum(np.sum(counts, axis=0)))).astype(np.int64)
    cells = np.empty(int(ends[-1]), dtype=np.int32)
    first, start = 0, ends[:-1].copy()
    for one, count in zip(parts, counts, strict=True):
        order = np.lexsort((one.cell, one.frame))
        # Place of the pair among those of its element and frame, behind what earlier elements left there.
        place = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
        cells[np.repeat(start, count) + place] = one.cell[order] + first
        start += count
        first += len(one.weights)
    weights = [one.weights for one in parts] or [np.zeros(0, dtype=np.int64)]
    return UncoveredCells(cells=cells, ends=ends, weights=np.concatenate(weights))


class _Pairs:
    """Pairs of a frame and an uncovered cell, of every plane or, where there are too many, of some."""

    def __init__(self, most: int, cells_per_plane: int) -> None:
        self._most = most
        self._per_plane = cells_per_plane
        self._every = 1
        self._planes: dict[int, tuple[Int32Array, Int32Array, IntArray]] = {}

    def add(self, number: int, frames: IntArray, cells: IntArray) -> None:
        """Add the uncovered environments of a plane by their frames and cells, shape (n,) each."""
        if number % self._every:
            return
        packed, counts = np.unique(frames * self._per_plane + cells, return_counts=True)
        frame, cell = np.divmod(packed, self._per_plane)
        found, place = np.unique(cell, return_inverse=True)
        weights = np.zeros(len(found), dtype=np.int64)
        np.add.at(weights, place, counts)
        self._planes[number] = (frame.astype(np.int32), place.astype(np.int32), weights)
        while sum(len(frame) for frame, _, _ in self._planes.values()) > self._most and len(self._planes) > 1:
            self._every *= 2
            self._planes = {one: kept for one, kept in self._planes.items() if one % self._every == 0}

    def missed(self, planes: IntArray) -> Missed:
        """All that was added, the cells numbered one plane after the other."""
        nothing = np.zeros(0, dtype=np.int32)
        frame, cell, weights, first = [nothing], [nothing], [np.zeros(0, dtype=np.int64)], 0
        for own_frame, own_cell, own_weights in self._planes.values():
            frame.append(own_frame)
            cell.append(own_cell + np.int32(first))
            weights.append(own_weights * self._every)
            first += len(own_weights)
        return Missed(
            planes=planes,
            frame=np.concatenate(frame),
            cell=np.concatenate(cell),
            weights=np.concatenate(weights),
            every=self._every,
        )
