"""Frames of a data set, one at a time, through dpdata and ASE, in electronvolts and angstroms."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError
from llzo_al.structures.existing.places import SOURCE, DataSet
from llzo_al.structures.existing.units import Units
from llzo_al.structures.library import READ_ERRORS


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One frame as a file has it.

    Attributes
    ----------
    index
        Number in its data set, from 0.
    symbols, positions_A, cell_A, periodic
        The structure: n_atoms symbols, (n_atoms, 3), (3, 3), three flags.
    energy_eV, forces_eV_per_A, virial_eV
        Its labels, shapes (), (n_atoms, 3) and (3, 3), each None where the file has none.
    charge, multiplicity
        Where the file tells them; 0 and None otherwise.
    group
        Name of its trajectory, where the file tells it.
    """

    index: int
    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray
    periodic: tuple[bool, bool, bool]
    energy_eV: float | None = None
    forces_eV_per_A: FloatArray | None = None
    virial_eV: FloatArray | None = None
    charge: int = 0
    multiplicity: int | None = None
    group: str | None = None

    @property
    def finite(self) -> bool:
        """Whether all of its numbers are finite."""
        arrays = (self.positions_A, self.cell_A, self.energy_eV, self.forces_eV_per_A, self.virial_eV)
        return all(array is None or bool(np.isfinite(array).all()) for array in arrays)


def read_frames(
    data: DataSet, *, units: Units, type_map: Sequence[str] | None = None, every: int = 1
) -> Iterator[Reading]:
    """Frames of a data set in their order.

    Formats of ASE's are read frame by frame, DeePMD-kit's npy systems set by set; what else dpdata reads is
    read file by file.

    Parameters
    ----------
    data
        What to read.
    units
        Units that its numbers are in.
    type_map
        Elements of the type numbers, where a DeePMD-kit system does not tell them.
    every
        Take one of this many frames.

    Raises
    ------
    UserError
        If it cannot be read, or does not tell its elements.
    """
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            frames = _from_ase(data) if data.format.startswith("ase/") else _from_dpdata(data, type_map)
        while True:
            # The readers' own warnings and prints are theirs; what is wrong is said by the checks.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                frame = next(frames, None)
            if frame is None:
                return
            if frame.index % every == 0:
                yield units.converted(frame)
    except (*READ_ERRORS, SyntaxError, Warning) as error:
        raise UserError(
            f"{SOURCE}: {data.path}: cannot be read as {data.format} ({type(error).__name__}: "
            f"{_short(error)}); "
            "check the file, or name its `format`"
        ) from error


def _from_ase(data: DataSet) -> Iterator[Reading]:
    from ase.io import iread

    name = data.format.removeprefix("ase/")
    trusted = name != "espresso-out" or b"convergence NOT achieved" not in data.path.read_bytes()
    lines = 0
    index = -1
    for index, atoms in enumerate(iread(data.path, index=":", format=name)):
        lines += len(atoms) + 2
        yield _of_atoms(atoms, index, trusted=trusted)
    if name in ("extxyz", "xyz") and lines < _count_lines(data.path):
        raise UserError(
            f"{SOURCE}: {data.path}: breaks off in frame {index + 1}; it may have been written half: repair "
            "or shorten it"
        )


def _count_lines(path: Path) -> int:
    """Lines that are not empty."""
    with path.open("rb") as handle:
        return sum(bool(line.strip()) for line in handle)


def _of_atoms(atoms: Atoms, index: int, *, trusted: bool) -> Reading:
    """A frame; without its labels where the file says that electrons did not converge."""
    results: dict[str, Any] = dict(atoms.calc.results) if trusted and atoms.calc is not None else {}
    # The free energy is the one that the forces of a smeared metal belong to.
    energy = results.get("free_energy", results.get("energy"))
    forces = results.get("forces")
    flags = [bool(flag) for flag in atoms.pbc]
    multiplicity = atoms.info.get("multiplicity")
    group = atoms.info.get("group")
    return Reading(
        index=index,
        symbols=tuple(atoms.get_chemical_symbols()),
        positions_A=atoms.get_positions(),
        cell_A=np.array(atoms.cell),
        periodic=(flags[0], flags[1], flags[2]),
        energy_eV=None if energy is None else float(energy),
        forces_eV_per_A=None if forces is None else np.array(forces, dtype=np.float64),
        virial_eV=_virial(atoms, results),
        charge=int(atoms.info.get("charge", 0)),
        multiplicity=None if multiplicity is None else int(multiplicity),
        group=None if group is None else str(group),
    )


def _virial(atoms: Atoms, results: dict[str, Any]) -> FloatArray | None:
    """-stress x volume, or the virial that some programs write in its place."""
    from ase.stress import voigt_6_to_full_3x3_stress

    stress = results.get("stress")
    if stress is not None and all(atoms.pbc):
        tensor = np.array(stress, dtype=np.float64)
        full = voigt_6_to_full_3x3_stress(tensor) if tensor.shape == (6,) else tensor.reshape(3, 3)
        return np.array(-full * atoms.get_volume())
    for name in ("virial", "virials"):
        if name in atoms.info:
            return np.array(atoms.info[name], dtype=np.float64).reshape(3, 3)
    return None


def _from_dpdata(data: DataSet, type_map: Sequence[str] | None) -> Iterator[Reading]:
    index = 0
    for system in _systems(data, type_map):
        names = _element_names(data, system)
        symbols = tuple(names[kind] for kind in system["atom_types"])
        periodic = not system.get("nopbc", False)
        for number in range(len(system["coords"])):
            yield Reading(
                index=index,
                symbols=symbols,
                positions_A=np.asarray(system["coords"][number], dtype=np.float64),
                cell_A=np.asarray(system["cells"][number], dtype=np.float64),
                periodic=(periodic, periodic, periodic),
                energy_eV=float(system["energies"][number]) if "energies" in system else None,
                forces_eV_per_A=_entry(system, "forces", number),
                virial_eV=_entry(system, "virials", number) if periodic else None,
            )
            index += 1


def _entry(system: dict[str, Any], name: str, number: int) -> FloatArray | None:
    return np.asarray(system[name][number], dtype=np.float64) if name in system else None


def _systems(data: DataSet, type_map: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """Dictionaries of dpdata's: one for each set of an npy system, and each composition of a mixed one."""
    import dpdata

    options: dict[str, Any] = {"type_map": list(type_map)} if type_map is not None else {}
    if data.format == "deepmd/npy/mixed":
        for folder in _single_sets(data.path):
            systems = dpdata.MultiSystems()
            systems.load_systems_from_file(
                str(folder), fmt=data.format, labeled=_has_energies(folder), **options
            )
            for system in systems:
                yield system.data
    elif data.format in ("deepmd/npy", "deepmd/comp"):
        for folder in _single_sets(data.path):
            reader = dpdata.LabeledSystem if _has_energies(folder) else dpdata.System
            yield reader(str(folder), fmt=data.format, **options).data
    elif data.format == "deepmd/raw":
        reader = dpdata.LabeledSystem if (data.path / "energy.raw").is_file() else dpdata.System
        yield reader(str(data.path), fmt=data.format, **options).data
    else:
        yield dpdata.LabeledSystem(str(data.path), fmt=data.format, **options).data


def _single_sets(folder: Path) -> Iterator[Path]:
    """Views of a DeePMD-kit system, each of a single one of its sets, so that memory holds one at a time."""
    for one in sorted(folder.glob("set.*")):
        with tempfile.TemporaryDirectory(prefix="llzo-al-set-") as name:
            view = Path(name)
            for entry in folder.iterdir():
                if entry == one or (entry.is_file() and not entry.name.startswith("set.")):
                    (view / entry.name).symlink_to(entry.resolve())
            yield view


def _has_energies(folder: Path) -> bool:
    return all((one / "energy.npy").is_file() for one in folder.glob("set.*"))


def _element_names(data: DataSet, system: dict[str, Any]) -> list[str]:
    from ase.data import atomic_numbers

    names = [str(name) for name in system["atom_names"]]
    used = {names[kind] for kind in system["atom_types"]}
    unknown = sorted(name for name in used if atomic_numbers.get(name, 0) == 0)
    if unknown:
        raise UserError(
            f"{SOURCE}: {data.path}: its types {', '.join(unknown)} are no elements (there is no "
            "type_map.raw); name "
            "the elements of its type numbers, in order, with `type_map`"
        )
    return names


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:200] + " …"
