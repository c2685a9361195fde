"""Slabs with two free surfaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.slabs import Slabs
from llzo_al.dataset.frames import Frame
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models.charges import counts_of, formula, ionic_charges_e
from llzo_al.structures.models.copies import model_frames
from llzo_al.structures.models.planes import Planes, crystal_planes
from llzo_al.structures.names import kind_of


@dataclass(frozen=True, kw_only=True)
class Slab:
    """A slab cut from a crystal.

    Attributes
    ----------
    atoms
        The slab in its cell, vacuum included, periodic in three directions.
    bottom, top
        Fractional heights of the two cuts, which name the slab.
    bonds_cut
        Bonds that both cuts break, of those that should stay whole.
    charge_e
        Sum of the formal charges.
    details
        What is known of it, for the provenance.
    """

    atoms: Atoms
    bottom: float
    top: float
    bonds_cut: int
    charge_e: int
    details: dict[str, Any]


def slab_frames(source: Slabs, *, base: Path, seed: int) -> Iterator[Frame]:
    """Slabs of each crystal and plane, one at a time.

    Parameters
    ----------
    source, base, seed
        As for `llzo_al.structures.models.frames.model_source_frames`.

    Raises
    ------
    UserError
        If a structure is unknown, or a plane has no slab of the kind that is asked for.
    """
    for name in dict.fromkeys(source.structures):
        crystal = load_structure(name, base=base)
        for miller in source.miller_indices:
            where = f"initial_data (slabs): {name} {tuple(miller)}"
            planes = crystal_planes(crystal, miller, where=where)
            found = cut_slabs(planes, source, where=where)
            for slab in found[: source.terminations]:
                label = f"{name}/{'.'.join(map(str, miller))}/{slab.bottom:.4f}-{slab.top:.4f}"
                yield from model_frames(
                    slab.atoms,
                    source,
                    name=label,
                    structure_kind=f"{kind_of(name)} slab ({' '.join(map(str, miller))})",
                    details={"miller": list(miller), **slab.details},
                    seed=seed,
                )


def cut_slabs(planes: Planes, source: Slabs, *, where: str) -> list[Slab]:
    """All different slabs of a plane, the best first.

    First come those of the smallest imbalance of formal charges, then those that cut the fewest bonds, then
    the thinnest.

    Raises
    ------
    UserError
        If there is none, with what could be changed.
    """
    cut = planes.bonds_cut(source.bonds_A)
    slabs: dict[tuple[Any, ...], Slab] = {}
    for bottom in planes.terminations:
        for first_top in planes.opposite_cuts(bottom, symmetric=source.symmetric):
            slab = _thick_enough(planes, bottom, first_top, cut, source, where)
            if slab.details["stoichiometric"] or not source.stoichiometric:
                slabs.setdefault(_profile(slab.atoms), slab)
    if not slabs:
        raise UserError(f"{where}: {_why_none(planes, source)}")
    return sorted(
        slabs.values(),
        key=lambda slab: (
            abs(slab.charge_e),
            slab.bonds_cut,
            slab.details["thickness_A"],
            slab.bottom,
            slab.top,
        ),
    )


def _thick_enough(
    planes: Planes, bottom: float, top: float, cut: Mapping[float, int], source: Slabs, where: str
) -> Slab:
    atoms = planes.slab(bottom, top)
    while len(atoms) == 0 or np.ptp(atoms.positions[:, 2]) < source.thickness_A - 1e-6:
        top += 1.0
        atoms = planes.slab(bottom, top)
    thickness_A = float(np.ptp(atoms.positions[:, 2]))
    length_A = thickness_A + source.vacuum_A
    atoms.cell[2] = [0.0, 0.0, length_A]
    atoms.positions[:, 2] += (length_A - thickness_A) / 2 - atoms.positions[:, 2].min()
    atoms.pbc = True
    symbols = atoms.get_chemical_symbols()
    charges = ionic_charges_e(symbols, where=where)
    bonds_cut = cut[bottom] + _cuts_at(planes, top, cut)
    excess = _excess(counts_of(symbols), counts_of(planes.cell.get_chemical_symbols()), charges, symbols)
    return Slab(
        atoms=atoms,
        bottom=bottom,
        top=top,
        bonds_cut=bonds_cut,
        charge_e=int(charges.sum()),
        details={
            "thickness_A": round(thickness_A, 3),
            "vacuum_A": source.vacuum_A,
            "area_A2": round(planes.area_A2, 3),
            "symmetric": source.symmetric,
            "composition": formula(counts_of(sorted(symbols))),
            "stoichiometric": not any(excess.values()),
            "excess_over_crystal": excess,
            "formal_charge_e": int(charges.sum()),
            "dipole_e_A": round(float(charges @ (atoms.positions[:, 2] - length_A / 2)), 3) + 0.0,
            "bonds_cut": bonds_cut,
        },
    )


def _cuts_at(planes: Planes, height: float, cut: Mapping[float, int]) -> int:
    """Bonds cut at a height that may lie beyond the cell."""
    nearest = min(planes.terminations, key=lambda each: abs((each - height + 0.5) % 1.0 - 0.5))
    return cut[nearest]


def _excess(
    slab: Mapping[str, int], crystal: Mapping[str, int], charges: Any, symbols: Sequence[str]
) -> dict[str, float]:
    """Atoms beyond the crystal's composition, counted for as many atoms of the most charged cation."""
    charge_of = dict(zip(symbols, charges.tolist(), strict=True))
    reference = max(charge_of, key=lambda symbol: (charge_of[symbol], symbol))
    units = Fraction(slab[reference], crystal[reference])
    return {
        element: round(float(slab.get(element, 0) - units * number), 4)
        for element, number in crystal.items()
        if element != reference
    }


def _profile(atoms: Atoms) -> tuple[Any, ...]:
    """Elements and heights, the same for a slab and the slab turned round."""
    middle = float(atoms.cell[2, 2]) / 2
    heights = np.round(atoms.positions[:, 2] - middle, 2) + 0.0
    symbols = atoms.get_chemical_symbols()
    up = tuple(sorted(zip(symbols, heights.tolist(), strict=True)))
    down = tuple(sorted(zip(symbols, (-heights + 0.0).tolist(), strict=True)))
    return min(up, down)


def _why_none(planes: Planes, source: Slabs) -> str:
    if source.symmetric and not planes.mirrors:
        return (
            "no slab has two equivalent surfaces, since no symmetry of this crystal turns the plane over (an "
            "ordering of c-LLZO has none); set symmetric: false"
        )
    return (
        f"none of the {len(planes.terminations)} terminations gives a slab of the crystal's composition with "
        "two equivalent surfaces; set stoichiometric: false or symmetric: false"
    )
