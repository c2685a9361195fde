"""Densities, shortest distances, compositions and counts of structures, gathered while they are made."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from llzo_al.dataset.frames import Frame
from llzo_al.structures.models.charges import FORMAL_CHARGES_E

SEARCH_A = 5.0
"""Distances beyond it are not looked for (angstrom)."""
SEARCH_OF_DIMERS_A = 12.0
"""The same where there are only two atoms."""

EMPTY_A3 = 100.0
"""Volume for each atom beyond which a cell has no density worth telling (lithium metal: 21)."""

_NOT_TOLD = (
    "copy",
    "index",
    "formal_charge_e",
    "distance_A",
    "step",
    "scale_factor",
    "rattle_std_A",
    "symmetry",
)
"""Details that say which structure it is rather than what it is like, or that are told anyway."""

_AMU_PER_A3_IN_G_PER_CM3 = 1.66053906660
"""CODATA 2018: the atomic mass constant in 1e-24 g."""

_Counts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class FrameFigures:
    """What is told of one structure.

    Attributes
    ----------
    density_g_per_cm3
        Mass by the volume of the cell, vacuum included; None without a cell, or where the cell is nearly
        empty (more than `EMPTY_A3` for each atom).
    shortest_A
        Shortest distance of each pair of elements that comes within `SEARCH_A`, images included.
    composition
        Smallest formula, the less electronegative elements first.
    formal_charge
        What the source tells of it; otherwise the sum of the ions' formal charges less the frame's own
        charge, 0 where they balance; None where there are no cations or no anions, or one's charge is not
        known.
    """

    density_g_per_cm3: float | None
    shortest_A: dict[str, float]
    composition: str
    formal_charge: int | None


@dataclass(kw_only=True)
class KindSummary:
    """Structures of one kind.

    Attributes
    ----------
    frames
        How many.
    atoms_min, atoms_max
        Smallest and largest number of atoms.
    densities_g_per_cm3, shortest_A
        Of each structure that has one.
    pairs_A
        Shortest distance of each pair of elements in any of them.
    compositions, formal_charges
        How many have which reduced formula, and which sum of formal charges.
    details_low, details_high
        Smallest and largest of every number that a source tells of its structures: the excess of a slab, the
        mismatch of an interface, the Ewald energy of an ordering.
    """

    frames: int = 0
    atoms_min: int = 0
    atoms_max: int = 0
    densities_g_per_cm3: array[float] = field(default_factory=lambda: array("d"))
    shortest_A: array[float] = field(default_factory=lambda: array("d"))
    pairs_A: dict[str, float] = field(default_factory=dict)
    compositions: Counter[str] = field(default_factory=Counter)
    formal_charges: Counter[int | None] = field(default_factory=Counter)
    details_low: dict[str, float] = field(default_factory=dict)
    details_high: dict[str, float] = field(default_factory=dict)

    @property
    def shortest_pair(self) -> tuple[str, float] | None:
        """The pair of elements that comes closest, and its distance (angstrom)."""
        pairs = self.pairs_A
        return min(pairs.items(), key=lambda item: item[1]) if pairs else None

    def add(self, frame: Frame) -> None:
        """Count one structure."""
        figures = frame_figures(frame)
        self.atoms_min = min(self.atoms_min, frame.n_atoms) if self.frames else frame.n_atoms
        self.atoms_max = max(self.atoms_max, frame.n_atoms)
        self.frames += 1
        if figures.density_g_per_cm3 is not None:
            self.densities_g_per_cm3.append(figures.density_g_per_cm3)
        if figures.shortest_A:
            self.shortest_A.append(min(figures.shortest_A.values()))
        for pair, distance_A in figures.shortest_A.items():
            self.pairs_A[pair] = min(distance_A, self.pairs_A.get(pair, distance_A))
        self.compositions[figures.composition] += 1
        self.formal_charges[figures.formal_charge] += 1
        for name, value in _numbers(frame.provenance.details):
            self.details_low[name] = min(value, self.details_low.get(name, value))
            self.details_high[name] = max(value, self.details_high.get(name, value))

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "frames": self.frames,
            "atoms": [self.atoms_min, self.atoms_max],
            "density_g_per_cm3": _range(self.densities_g_per_cm3),
            "shortest_A": _range(self.shortest_A),
            "shortest_of_pairs_A": {pair: round(value, 4) for pair, value in sorted(self.pairs_A.items())},
            "compositions": dict(self.compositions.most_common()),
            "formal_charges": {
                "unknown" if charge is None else f"{charge:+d}" if charge else "0": count
                for charge, count in self.formal_charges.most_common()
            },
            "details": {name: [low, self.details_high[name]] for name, low in self.details_low.items()},
        }


@dataclass(kw_only=True)
class Summary:
    """Structures by kind, in the order in which the kinds came.

    Attributes
    ----------
    kinds
        Of each kind.
    """

    kinds: dict[str, KindSummary] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """How many structures there are."""
        return sum(kind.frames for kind in self.kinds.values())

    def add(self, frame: Frame) -> None:
        """Count one structure."""
        self.kinds.setdefault(frame.provenance.kind, KindSummary()).add(frame)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "frames": self.frames,
            "kinds": {name: kind.as_dict() for name, kind in self.kinds.items()},
        }


def frame_figures(frame: Frame) -> FrameFigures:
    """Density, shortest distances, composition and formal charge of a structure."""
    counts = tuple(sorted(Counter(frame.symbols).items()))
    told = frame.provenance.details.get("formal_charge_e")
    formal = _formal_charge(counts) if told is None else round(told)
    volume_A3 = abs(float(np.linalg.det(frame.cell_A))) if all(frame.periodic) else np.inf
    filled = volume_A3 <= EMPTY_A3 * frame.n_atoms
    return FrameFigures(
        density_g_per_cm3=_mass_amu(counts) / volume_A3 * _AMU_PER_A3_IN_G_PER_CM3 if filled else None,
        shortest_A=shortest_distances_A(frame),
        composition=_reduced_formula(counts),
        formal_charge=None if formal is None else formal - frame.charge,
    )


def shortest_distances_A(frame: Frame) -> dict[str, float]:
    """Shortest distance of each pair of elements that comes within `SEARCH_A`, images included.

    Keys are pairs, the less electronegative element first ("Li-O").
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    cell_A = np.where(np.array(frame.periodic)[:, None], frame.cell_A, np.eye(3))
    positions_A = np.ascontiguousarray(frame.positions_A)
    first, second, _, distances_A = find_points_in_spheres(
        positions_A,
        positions_A,
        r=SEARCH_A if frame.n_atoms > 2 else SEARCH_OF_DIMERS_A,
        pbc=np.array(frame.periodic, dtype=np.int64),
        lattice=np.ascontiguousarray(cell_A),
        tol=1e-8,
    )
    apart = distances_A > 1e-8
    elements = sorted(set(frame.symbols), key=_electronegativity)
    types = np.array([elements.index(symbol) for symbol in frame.symbols])
    pairs = np.sort([types[first[apart]], types[second[apart]]], axis=0)
    table = np.full((len(elements), len(elements)), np.inf)
    np.minimum.at(table, (pairs[0], pairs[1]), distances_A[apart])
    return {
        f"{elements[i]}-{elements[j]}": float(table[i, j])
        for i, j in zip(*np.nonzero(np.isfinite(table)), strict=True)
    }


@lru_cache
def _electronegativity(symbol: str) -> tuple[float, str]:
    from pymatgen.core.periodic_table import Element

    value = Element(symbol).data.get("X")
    return (float(value) if isinstance(value, int | float) else np.inf), symbol


@lru_cache(maxsize=4096)
def _mass_amu(counts: _Counts) -> float:
    from ase.data import atomic_masses, atomic_numbers

    return float(sum(number * atomic_masses[atomic_numbers[symbol]] for symbol, number in counts))


@lru_cache(maxsize=4096)
def _reduced_formula(counts: _Counts) -> str:
    divisor = math.gcd(*(number for _, number in counts))
    parts = sorted(counts, key=lambda part: _electronegativity(part[0]))
    return "".join(f"{symbol}{number // divisor if number > divisor else ''}" for symbol, number in parts)


@lru_cache(maxsize=4096)
def _formal_charge(counts: _Counts) -> int | None:
    charges = [FORMAL_CHARGES_E.get(symbol, 0) for symbol, _ in counts]
    if not (all(charges) and min(charges) < 0 < max(charges)):
        return None
    return sum(number * charge for (_, number), charge in zip(counts, charges, strict=True))


def _numbers(details: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers of a frame's details; those of an entry that holds several by both names."""
    for name, value in details.items():
        if name in _NOT_TOLD:
            continue
        for inner, number in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield f"{name} {inner}".strip(), number


def _range(values: array[float]) -> list[float] | None:
    return [round(min(values), 4), round(max(values), 4)] if values else None
