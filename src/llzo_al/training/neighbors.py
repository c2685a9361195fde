"""How many neighbours atoms have in the training data: what DeePMD-kit's `sel` must hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from llzo_al.evaluation.systems import LabelledSystem

FloatArray = NDArray[np.float64]
MARGIN = 1.1
_MULTIPLE = 4


@dataclass(frozen=True, kw_only=True)
class Neighbors:
    """Neighbour statistics of training data.

    Attributes
    ----------
    most
        Largest number of neighbours of each element within the cutoff, in the order of the elements.
    min_distance_A
        Shortest distance of two atoms (angstrom); infinite where no atom has another within the cutoff.
    """

    most: tuple[int, ...]
    min_distance_A: float

    @property
    def selection(self) -> tuple[int, ...]:
        """`sel` by DeePMD-kit's own rule: the counts times 1.1, rounded up to multiples of 4; at least 4."""
        return tuple(max(_MULTIPLE * ceil(int(MARGIN * count) / _MULTIPLE), _MULTIPLE) for count in self.most)

    def fits(self, selection: Sequence[int]) -> bool:
        """Whether `selection` holds every neighbour."""
        return len(selection) == len(self.most) and all(
            count <= room for count, room in zip(self.most, selection, strict=True)
        )


def count_neighbors(
    systems: Iterable[LabelledSystem], *, elements: Sequence[str], cutoff_A: float
) -> Neighbors:
    """Count the neighbours of every atom of every frame, periodic images included.

    Raises
    ------
    StageError
        If a system holds an element that is not in `elements`.
    """
    most = np.zeros(len(elements), dtype=np.int64)
    shortest = np.inf
    for system in systems:
        types = system.types(elements)
        for positions, cell in zip(system.positions_A, system.cells_A, strict=True):
            counts, nearest = _frame(positions, cell if system.periodic else None, types, cutoff_A)
            present = np.unique(types)
            most[present] = np.maximum(most[present], counts)
            shortest = min(shortest, nearest)
    return Neighbors(most=tuple(int(count) for count in most), min_distance_A=float(shortest))


def _frame(
    positions: FloatArray, cell: FloatArray | None, types: NDArray[np.int64], cutoff_A: float
) -> tuple[NDArray[np.int64], float]:
    """Largest neighbour count for each present element, and the shortest distance, of one frame."""
    images, image_types = _with_images(positions, cell, types, cutoff_A)
    centres = images[: len(positions)]
    most = []
    for kind in np.unique(types):
        tree = cKDTree(images[image_types == kind])
        found = tree.query_ball_point(centres, cutoff_A, return_length=True)
        most.append(int((found - (types == kind)).max()))
    distances, _ = cKDTree(images).query(centres, k=2)
    return np.array(most, dtype=np.int64), float(distances[:, 1].min())


def _with_images(
    positions: FloatArray, cell: FloatArray | None, types: NDArray[np.int64], cutoff_A: float
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Atoms of the cell first, then their periodic images within the cutoff of the cell's faces."""
    if cell is None:
        return positions, types
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    fractional -= np.floor(fractional)
    reach = cutoff_A * np.linalg.norm(inverse, axis=0)
    spans = [np.arange(-ceil(value), ceil(value) + 1) for value in reach]
    shifts = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    shifts = shifts[np.any(shifts != 0, axis=1)]
    shifted = fractional[None] + shifts[:, None]
    near = np.all((shifted >= -reach) & (shifted <= 1 + reach), axis=2)
    images = np.concatenate([fractional, shifted[near]]) @ cell
    image_types = np.concatenate([types, np.broadcast_to(types, near.shape)[near]])
    return images, image_types
