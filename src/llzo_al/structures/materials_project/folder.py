"""Structure files of the user's own in the place of the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from llzo_al.errors import UserError
from llzo_al.structures.library import READ_ERRORS
from llzo_al.structures.materials_project.materials import (
    Material,
    Skipped,
    foreign_elements,
    reduced_formula,
)
from llzo_al.structures.materials_project.query import SOURCE

_SUFFIXES = {".cif", ".vasp", ".poscar", ".contcar", ".extxyz", ".xyz"}
_NAMES = ("POSCAR", "CONTCAR")


def folder_materials(
    folder: Path,
    *,
    elements: Sequence[str],
    chemical_systems: Sequence[str],
    atoms_max: int,
    skip_incomplete: bool,
) -> tuple[list[Material], list[Skipped]]:
    """Materials in the structure files of a folder, sorted by name.

    Every structure of an extended XYZ file counts; one of several is called ``name-3``. What belongs to
    another chemical system or has more atoms is passed over, as the database would.

    Parameters
    ----------
    folder
        The folder; its subfolders are not looked into.
    elements
        The campaign's elements.
    chemical_systems
        Systems that are wanted, their elements in alphabetical order.
    atoms_max
        Largest number of atoms that is wanted.
    skip_incomplete
        Leave files out that cannot be used instead of refusing them.

    Raises
    ------
    UserError
        If there is no such folder, a file cannot be used, or nothing is left.
    """
    materials, skipped = [], []
    for path in _files(folder):
        try:
            found = [_material(path, name, atoms, elements) for name, atoms in _structures(path)]
        except UserError as error:
            if not skip_incomplete:
                raise UserError(f"{error}; set skip_incomplete: true to go on without such files") from error
            skipped.append(Skipped(name=path.name, reason=str(error)))
            continue
        for material in found:
            system = "-".join(sorted(set(material.atoms.get_chemical_symbols())))
            if system in chemical_systems and len(material.atoms) <= atoms_max:
                materials.append(material)
            else:
                reason = f"{system}, {len(material.atoms)} atoms: not among those that are wanted"
                skipped.append(Skipped(name=material.material_id, reason=reason))
    if not materials:
        raise UserError(
            f"{SOURCE}: none of the structures in {folder} is of {', '.join(chemical_systems)} with at most "
            f"{atoms_max} atoms; see `chemical_systems` and `atoms_max`"
        )
    return materials, skipped


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{SOURCE}: folder: {folder} is no folder; name one that holds structure files")
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and (path.suffix.lower() in _SUFFIXES or path.name.startswith(_NAMES))
    ]
    if not files:
        raise UserError(
            f"{SOURCE}: folder: {folder} holds no structure file; expected {', '.join(sorted(_SUFFIXES))}, "
            "or names "
            f"that begin with {' or '.join(_NAMES)}"
        )
    names = [_name(path) for path in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"{SOURCE}: folder: {folder} holds several files called {twice[0]}; rename all but one"
        )
    return files


def _name(path: Path) -> str:
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def _structures(path: Path) -> Iterator[tuple[str, Atoms]]:
    from ase.io import read

    try:
        several = read(path, index=":")
    except READ_ERRORS as error:
        raise UserError(f"{SOURCE}: {path}: ASE cannot read it ({type(error).__name__}: {error})") from error
    if not several:
        raise UserError(f"{SOURCE}: {path}: it holds no structure")
    for number, atoms in enumerate(several):
        yield (_name(path) if len(several) == 1 else f"{_name(path)}-{number}"), atoms


def _material(path: Path, name: str, atoms: Atoms, elements: Sequence[str]) -> Material:
    wrong = _wrong_with(atoms, elements)
    if wrong is not None:
        raise UserError(f"{SOURCE}: {path}: {name} {wrong}")
    plain = Atoms(
        symbols=atoms.get_chemical_symbols(), positions=atoms.positions, cell=np.array(atoms.cell), pbc=True
    )
    return Material(
        material_id=name, formula=reduced_formula(plain), atoms=plain, properties={"file": path.name}
    )


def _wrong_with(atoms: Atoms, elements: Sequence[str]) -> str | None:
    if len(atoms) == 0:
        return "holds no atom"
    if not (np.isfinite(atoms.positions).all() and np.isfinite(np.array(atoms.cell)).all()):
        return "holds a number that is not finite"
    if not atoms.pbc.all() or abs(atoms.cell.volume) < 1e-6:
        return "is not periodic in three directions; a crystal is expected"
    if any(share < 1 for site in atoms.info.get("occupancy", {}).values() for share in site.values()):
        return "has partially occupied sites; resolve them into ordered structures first"
    return foreign_elements(atoms, elements)
