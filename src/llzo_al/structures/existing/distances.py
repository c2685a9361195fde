"""Distances between the atoms of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from llzo_al.dataset.frames import FloatArray
from llzo_al.structures.existing.reading import Reading

_DENSE_ATOMS = 400
_SEARCH_A = (3.0, 6.0, 12.0)


@dataclass(frozen=True, kw_only=True)
class Closest:
    """The closest atoms of a frame.

    Attributes
    ----------
    distance_A
        Shortest distance; infinite where no two atoms are within 12 angstrom.
    fraction
        Smallest distance in units of the sum of the two covalent radii (B. Cordero et al., Dalton Trans. 2832
        (2008), as ASE carries them); infinite likewise.
    """

    distance_A: float
    fraction: float


def closest(frame: Reading, *, limit: float) -> Closest:
    """The closest atoms, periodic images included.

    A pair within half the cell's smallest height differs by at most 1/2 in each fractional coordinate, so
    that rounding these finds its closest image in a cell of any shape; what is not decided by that is left
    to ASE's neighbour list.

    Parameters
    ----------
    frame
        The frame.
    limit
        Fractions below this one are exact, and so is the shortest distance; larger fractions may be too large
        in a small cell.
    """
    radii = radii_A(frame.symbols)
    if 1 < len(radii) <= _DENSE_ATOMS and len(set(frame.periodic)) == 1:
        found, valid_below_A = _dense(frame, radii)
        exact_below = valid_below_A / (2 * radii.max())
        if found.distance_A <= valid_below_A and exact_below >= min(found.fraction, limit):
            return found
    for cutoff_A in _SEARCH_A:
        first, second, distances_A = _neighbours(frame, cutoff_A)
        if len(distances_A):
            fractions = distances_A / (radii[first] + radii[second])
            return Closest(distance_A=float(distances_A.min()), fraction=float(fractions.min()))
    return Closest(distance_A=np.inf, fraction=np.inf)


def neighbour_fraction(frame: Reading) -> float | None:
    """Median over the atoms of the distance to the nearest neighbour, in units of the sum of covalent radii.

    Near 1 in condensed matter: 0.9 in La and Zr, 1.2 in Li, 0.85 to 1.05 in their oxides.

    Returns
    -------
    float or None
        None where the frame is not condensed matter: not periodic in three directions, or fewer than four
        atoms; or where half of its atoms have no neighbour within 12 angstrom.
    """
    if not all(frame.periodic) or len(frame.symbols) < 4:
        return None
    radii = radii_A(frame.symbols)
    for cutoff_A in _SEARCH_A:
        first, second, distances_A = _neighbours(frame, cutoff_A)
        nearest = np.full(len(radii), np.inf)
        np.minimum.at(nearest, first, distances_A / (radii[first] + radii[second]))
        if np.isfinite(nearest).mean() > 0.5 and np.isfinite(np.median(nearest)):
            return float(np.median(nearest))
    return None


def radii_A(symbols: tuple[str, ...]) -> FloatArray:
    """Covalent radius of each atom (angstrom)."""
    return np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols], dtype=np.float64)


@lru_cache(maxsize=16)
def _pairs(n_atoms: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both indices of every pair of atoms."""
    first, second = np.triu_indices(n_atoms, k=1)
    return first, second


def _dense(frame: Reading, radii: FloatArray) -> tuple[Closest, float]:
    """Closest of all pairs, and the distance below which that is certain."""
    first, second = _pairs(len(radii))
    if all(frame.periodic):
        inverse = np.linalg.inv(frame.cell_A)
        scaled = frame.positions_A @ inverse
        difference = scaled[first] - scaled[second]
        difference = (difference - np.rint(difference)) @ frame.cell_A
        valid_below_A = 0.5 / float(np.linalg.norm(inverse, axis=0).max())
    else:
        difference = frame.positions_A[first] - frame.positions_A[second]
        valid_below_A = np.inf
    distances_A = np.linalg.norm(difference, axis=1)
    fractions = distances_A / (radii[first] + radii[second])
    return Closest(distance_A=float(distances_A.min()), fraction=float(fractions.min())), valid_below_A


def _neighbours(frame: Reading, cutoff_A: float) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    from ase.neighborlist import neighbor_list

    atoms = Atoms(
        numbers=np.ones(len(frame.symbols)),
        positions=frame.positions_A,
        cell=frame.cell_A,
        pbc=frame.periodic,
    )
    first, second, distances_A = neighbor_list("ijd", atoms, cutoff_A)
    return first, second, distances_A
