"""Crystallographic sites of a crystal's atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from llzo_al.errors import UserError
from llzo_al.structures.library import CRYSTALS, quiet_spglib
from llzo_al.structures.models.partial import partial_crystal

_SYMPREC_A = 1e-3


def site_labels(atoms: Atoms, name: str, *, primitive: bool) -> list[str]:
    """Site of each atom: multiplicity in the conventional cell and Wyckoff letter, such as "24d".

    Parameters
    ----------
    atoms
        The crystal's cell.
    name
        Its name. In an ordering of a built-in crystal the sites are those of the crystal itself, such as
        "24d" and "96h" for lithium in c-LLZO, whose ordered cell has hardly any symmetry of its own.
    primitive
        Whether it is the primitive cell.

    Raises
    ------
    UserError
        If spglib finds no symmetry.
    """
    if name in CRYSTALS and CRYSTALS[name].partial_sites:
        return _labels_of_ordering(atoms, name, primitive)
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    with quiet_spglib():
        symmetry = SpacegroupAnalyzer(AseAtomsAdaptor.get_structure(atoms), symprec=_SYMPREC_A)
        found = symmetry.get_symmetry_dataset()
    if found is None:
        raise UserError(f"structure {name!r}: spglib finds no symmetry in it, so its sites have no names")
    orbits = np.asarray(found.crystallographic_orbits)
    per_cell = len(found.std_positions) / len(atoms)
    return [
        f"{round(np.count_nonzero(orbits == orbit) * per_cell)}{letter}"
        for orbit, letter in zip(orbits, found.wyckoffs, strict=True)
    ]


def _labels_of_ordering(atoms: Atoms, name: str, primitive: bool) -> list[str]:
    """Labels by position: each atom of the ordering is on a site of the full crystal."""
    crystal = partial_crystal(name, base=Path(), primitive=primitive)
    sites = crystal.atoms.get_scaled_positions()
    inverse = np.linalg.inv(np.array(crystal.atoms.cell))
    labels = []
    for position in atoms.positions:
        apart = sites - position @ inverse
        labels.append(crystal.labels[int(np.abs(apart - np.round(apart)).max(axis=1).argmin())])
    return labels
