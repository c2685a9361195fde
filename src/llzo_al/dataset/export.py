"""The data set in other programs' formats: DeePMD-kit through dpdata, and extended XYZ through ASE."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
import dpdata
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from llzo_al.dataset.frames import FloatArray, Frame, Label
from llzo_al.dataset.records import Record
from llzo_al.errors import StageError, UserError
from llzo_al.files import read_json, replacing, sync_directory, write_json

INDEX = "systems.json"
"""File beside the DeePMD systems: the identities of each system's frames, in order."""


class _SystemKey(NamedTuple):
    formula: str
    periodic: bool
    virials: bool

    @property
    def name(self) -> str:
        ending = "" if self.periodic else "-nopbc"
        return self.formula + ending + ("" if self.virials else "-novirial")


def write_deepmd(
    records: Sequence[Record], directory: Path, *, elements: Sequence[str], virials: bool
) -> list[Path]:
    """Write labelled records as DeePMD-kit systems (``deepmd/npy``, float64).

    One system holds one composition, named by its formula in the order of `elements`, its atoms
    sorted by type. Frames without a virial, where virials are asked for, form a system of their own
    (``-novirial``), as do frames without periodicity (``-nopbc``). All systems have the type map `elements`.
    ``systems.json`` lists the identities of each system's frames.

    Parameters
    ----------
    records
        Labelled records; their order is kept within a system.
    directory
        Where the systems go; replaced as a whole.
    elements
        The type map.
    virials
        Write virials where there are any.

    Returns
    -------
    list of Path
        The systems' directories, sorted by name.

    Raises
    ------
    UserError
        If a frame has an element outside the type map, or is periodic along only one or two vectors.
    StageError
        If a record has no label.
    """
    systems: dict[_SystemKey, list[Record]] = {}
    for record in records:
        systems.setdefault(_key(record, elements, virials), []).append(record)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        index = {}
        for key, members in systems.items():
            _write_system(members, temporary / key.name, elements=elements, virials=virials and key.virials)
            index[key.name] = [record.identity for record in members]
        write_json(temporary / INDEX, index)
        _replace(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(directory / key.name for key in systems)


def write_extxyz(records: Sequence[Record], path: Path) -> None:
    """Write records as extended XYZ, atomically; `ase.io.read` gives energies, forces and stresses back.

    The comment line holds the identity, the split and the provenance besides what ASE itself writes;
    the stress is -virial / volume.

    Raises
    ------
    StageError
        If a record has no label.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for record in records:
            ase.io.write(handle, labelled_atoms(record), format="extxyz")


def labelled_atoms(record: Record) -> Atoms:
    """ASE `Atoms` with the label in a `SinglePointCalculator`, and identity, split and provenance in `info`.

    Raises
    ------
    StageError
        If the record has no label.
    """
    label = _label(record)
    atoms = record.frame.to_atoms()
    origin = record.frame.provenance
    info: dict[str, Any] = {
        "identity": record.identity,
        "split": record.split,
        "source": origin.source,
        "kind": origin.kind,
        "group": origin.group,
        "iteration": origin.iteration,
        "frame": origin.frame,
        "temperature_K": origin.temperature_K,
        "reason": origin.reason,
    }
    atoms.info.update({key: value for key, value in info.items() if value is not None})
    results: dict[str, Any] = {"energy": label.energy_eV, "forces": label.forces_eV_per_A}
    if label.virial_eV is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(-label.virial_eV / atoms.get_volume())
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _label(record: Record) -> Label:
    if record.label is None:
        raise StageError(f"{record.identity}: the frame has no label and cannot be exported")
    return record.label


def _key(record: Record, elements: Sequence[str], virials: bool) -> _SystemKey:
    label, frame = _label(record), record.frame
    where = f"{record.identity} ({frame.provenance.kind}, {frame.provenance.group})"
    unknown = sorted(set(frame.symbols) - set(elements))
    if unknown:
        raise UserError(
            f"{where}: {', '.join(unknown)} is not in the type map {' '.join(elements)}; add it to "
            "`elements` or leave the structure out"
        )
    if any(frame.periodic) and not all(frame.periodic):
        raise UserError(
            f"{where}: periodic along {sum(frame.periodic)} of 3 vectors, but DeePMD-kit knows frames that "
            "are periodic along all or none; give the structure a cell with vacuum and make it fully periodic"
        )
    return _SystemKey(
        formula=_formula(frame, elements),
        periodic=all(frame.periodic),
        virials=label.virial_eV is not None or not virials,
    )


def _formula(frame: Frame, elements: Sequence[str]) -> str:
    numbers = {element: frame.symbols.count(element) for element in elements}
    return "".join(f"{element}{number}" for element, number in numbers.items() if number)


def _write_system(records: Sequence[Record], path: Path, *, elements: Sequence[str], virials: bool) -> None:
    type_of = {element: index for index, element in enumerate(elements)}
    types = sorted(type_of[symbol] for symbol in records[0].frame.symbols)
    coordinates, forces = [], []
    for record in records:
        order = np.argsort([type_of[symbol] for symbol in record.frame.symbols], kind="stable")
        coordinates.append(record.frame.positions_A[order])
        forces.append(_label(record).forces_eV_per_A[order])
    data: dict[str, Any] = {
        "atom_names": list(elements),
        "atom_numbs": [types.count(index) for index in range(len(elements))],
        "atom_types": np.array(types, dtype=np.int64),
        "orig": np.zeros(3),
        "cells": np.array([record.frame.cell_A for record in records]),
        "coords": np.array(coordinates),
        "energies": np.array([_label(record).energy_eV for record in records]),
        "forces": np.array(forces),
    }
    if virials:
        data["virials"] = _virials(records)
    if not all(records[0].frame.periodic):
        data["nopbc"] = True
    dpdata.LabeledSystem(data=data).to_deepmd_npy(str(path), set_size=len(records), prec=np.float64)


def _virials(records: Sequence[Record]) -> FloatArray:
    """Virials of records that all have one, shape (n, 3, 3), eV."""
    return np.array([_label(record).virial_eV for record in records], dtype=np.float64)


def _replace(temporary: Path, directory: Path) -> None:
    """Put the finished `temporary` in the place of `directory`."""
    old = directory.with_name(f".{directory.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    temporary.rename(directory)
    sync_directory(directory.parent)
    shutil.rmtree(old, ignore_errors=True)


def read_index(directory: Path) -> dict[str, list[str]]:
    """Identities of each system's frames, as `write_deepmd` left them.

    Raises
    ------
    StageError
        If the index is missing or damaged.
    """
    index: dict[str, list[str]] = read_json(directory / INDEX)
    return index
