"""The same structure stored twice, with two energies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase.data import atomic_numbers

from llzo_al.dataset.frames import FloatArray, Frame
from llzo_al.dataset.records import Record

TOLERANCE = 1e-4
"""Largest difference of two fingerprints of one structure: random displacements of all atoms by about 0.003
angstrom."""

_HKL = np.array(
    [hkl for hkl in product((-1, 0, 1), repeat=3) if hkl > (0, 0, 0)]
    + [(2, 0, 0), (0, 2, 0), (0, 0, 2), (3, 0, 0), (0, 3, 0), (0, 0, 3)]
)


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """Two labels of one structure that differ.

    Attributes
    ----------
    first, second
        Their identities.
    difference_meV_per_atom
        Difference of the energies, without sign.
    """

    first: str
    second: str
    difference_meV_per_atom: float


def differing_duplicates(records: Sequence[Record], *, tolerance_eV_per_atom: float) -> tuple[Duplicate, ...]:
    """Pairs of labelled periodic frames that are one structure with two energies, the worst first.

    One structure means: the same atoms in the same lattice up to a shift, a rotation, an inversion, and the
    order of atoms. Another choice of the cell (a supercell) is not seen through.
    """
    from scipy.spatial import cKDTree

    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.label is not None and all(record.frame.periodic):
            groups.setdefault(tuple(sorted(record.frame.symbols)), []).append(record)
    found = []
    for symbols, members in groups.items():
        if len(members) < 2:
            continue
        tree = cKDTree(np.array([fingerprint_of(record.frame) for record in members]))
        for one, other in tree.query_pairs(TOLERANCE, p=np.inf):
            difference = abs(_energy(members[one]) - _energy(members[other])) / len(symbols)
            if difference > tolerance_eV_per_atom:
                first, second = sorted((members[one].identity, members[other].identity))
                found.append(Duplicate(first=first, second=second, difference_meV_per_atom=1000 * difference))
    return tuple(sorted(found, key=lambda each: (-each.difference_meV_per_atom, each.first)))


def fingerprint_of(frame: Frame) -> FloatArray:
    """Numbers that a shift, a rotation, an inversion and another order of atoms leave alone.

    The metric of the lattice (relative to its largest entry), the cube root of the volume, and moduli of the
    structure factor of 19 reflections by the number of atoms: of each element alone, and of all together with
    the atomic numbers (relative to the largest) as weights, which tells how the elements lie to each other.
    """
    metric = frame.cell_A @ frame.cell_A.T
    scaled = frame.positions_A @ np.linalg.inv(frame.cell_A)
    waves = np.exp(2j * np.pi * (scaled @ _HKL.T))
    symbols = np.array(frame.symbols)
    numbers = np.array([atomic_numbers[symbol] for symbol in frame.symbols], dtype=np.float64)
    factors = [np.abs(waves[symbols == symbol].sum(axis=0)) for symbol in sorted(set(frame.symbols))]
    factors.append(np.abs((numbers / numbers.max()) @ waves))
    lengths = np.array([np.cbrt(abs(np.linalg.det(frame.cell_A)))])
    shape = metric[np.triu_indices(3)] / metric.max()
    return np.concatenate([shape, lengths, *(factor / frame.n_atoms for factor in factors)])


def _energy(record: Record) -> float:
    return float("nan") if record.label is None else record.label.energy_eV
