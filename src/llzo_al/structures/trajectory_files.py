"""Frames of trajectory files, one at a time: VASP's, ASE's and extended XYZ, packed or not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal
from xml.etree import ElementTree

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import ParseError
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

FileFormat = Literal["xdatcar", "outcar", "vasprun", "traj", "extxyz"]
FloatArray = NDArray[np.float64]

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_KILOBAR_EV_PER_A3 = 0.1 / 160.21766208
_ITERATION = re.compile(r"Iteration\s+(\d+)\(\s*(\d+)\)")
_NELM = re.compile(r"NELM\s*=\s*(\d+)")


class TrajectoryError(Exception):
    """A file breaks off or does not hold what its format says; the message tells where."""


@dataclass(frozen=True)
class Visited:
    """A frame of a trajectory file.

    Attributes
    ----------
    atoms
        The atoms, with what the file says of energy, forces and stress.
    converged
        False where the file says that the electrons of this frame did not converge.
    """

    atoms: Atoms
    converged: bool = True

    @property
    def energy_eV(self) -> float | None:
        """The energy that forces belong to, where the file has one."""
        calculator = self.atoms.calc
        if calculator is None:
            return None
        for name in ("free_energy", "energy"):
            try:
                return float(calculator.get_property(name, self.atoms, allow_calculation=False))
            except (PropertyNotImplementedError, TypeError):
                continue
        return None

    def array(self, name: Literal["forces", "stress"]) -> FloatArray | None:
        """Forces (eV/angstrom), shape (n_atoms, 3), or stress (eV/angstrom^3), shape (3, 3), if there."""
        if self.atoms.calc is None:
            return None
        try:
            found = self.atoms.calc.get_property(name, self.atoms, allow_calculation=False)
        except PropertyNotImplementedError:
            return None
        if found is None:
            return None
        if name == "stress":
            found = self.atoms.get_stress(voigt=False)
        return np.asarray(found, dtype=np.float64)


def guess_format(path: Path) -> FileFormat | None:
    """Format by a file's name, without the ending of a packed one; None if the name does not tell."""
    name = path.name.lower()
    for ending in _OPENERS:
        name = name.removesuffix(ending)
    if name.startswith("xdatcar"):
        return "xdatcar"
    if name.startswith("outcar"):
        return "outcar"
    if name.endswith(".xml"):
        return "vasprun"
    if name.endswith(".traj"):
        return "traj"
    return "extxyz" if name.endswith((".extxyz", ".xyz")) else None


def read_frames(path: Path, file_format: FileFormat) -> Iterator[Visited]:
    """Frames of a file in the order of time; one of them at a time is in memory.

    Parameters
    ----------
    path
        The file; a text format may be packed by gzip, bzip2 or xz.
    file_format
        What it is.

    Raises
    ------
    TrajectoryError
        Where the file breaks off, or is not what it should be; frames before were given.
    """
    number = 0
    try:
        for visited in _traj(path) if file_format == "traj" else _text(path, file_format):
            yield visited
            number += 1
    except TrajectoryError:
        raise
    except _BROKEN as error:
        raise TrajectoryError(
            f"after {number} whole frames it cannot be read ({type(error).__name__}: {error})"
        ) from error


_BROKEN = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError),
    *(ElementTree.ParseError, lzma.LZMAError, zlib.error, ParseError),
)
"""What the formats' readers raise on files that are cut short or something else."""


def _text(path: Path, file_format: FileFormat) -> Iterator[Visited]:
    opener = _OPENERS.get(path.suffix, open)
    readers = {"xdatcar": _xdatcar, "outcar": _outcar, "vasprun": _vasprun, "extxyz": _extxyz}
    with opener(path, "rt", encoding="utf-8", errors="strict") as handle:
        yield from readers[file_format](handle)


def _traj(path: Path) -> Iterator[Visited]:
    from ase.io.trajectory import TrajectoryReader

    if path.suffix in _OPENERS:
        raise TrajectoryError("ASE's .traj files are binary and read as they are: unpack it")
    with TrajectoryReader(str(path)) as frames:
        for index in range(len(frames)):
            yield Visited(frames[index])


def _extxyz(handle: IO[str]) -> Iterator[Visited]:
    from ase.io import read

    while head := handle.readline():
        if not head.strip():
            continue
        count = int(head)
        lines = [head, *islice(handle, count + 1)]
        if len(lines) != count + 2:
            raise ValueError(f"the last frame has {len(lines) - 2} of its {count} atoms")
        yield Visited(read(io.StringIO("".join(lines)), format="extxyz", index=0))


def _xdatcar(handle: IO[str]) -> Iterator[Visited]:
    """Configurations; a header may come again before any of them (variable cells, appended runs)."""
    symbols: list[str] = []
    cell = np.eye(3)
    while line := handle.readline():
        if not line.strip():
            continue
        if not line.startswith("Direct configuration"):
            symbols, cell = _xdatcar_header(handle)
            line = handle.readline()
            if not line:
                return
            if not line.startswith("Direct configuration"):
                raise ValueError(f"expected 'Direct configuration', got {line.strip()!r}")
        rows = [row.split()[:3] for row in islice(handle, len(symbols))]
        if len(rows) != len(symbols) or any(len(row) != 3 for row in rows):
            raise ValueError(f"the last frame has {len(rows)} of its {len(symbols)} atoms")
        fractional = np.array(rows, dtype=np.float64)
        yield Visited(Atoms(symbols=symbols, scaled_positions=fractional, cell=cell, pbc=True))


def _xdatcar_header(handle: IO[str]) -> tuple[list[str], FloatArray]:
    """Symbols and cell of a header whose title has been read."""
    lines = list(islice(handle, 6))
    if len(lines) != 6:
        raise ValueError("the header is cut short")
    scale = float(lines[0])
    cell = np.array([line.split()[:3] for line in lines[1:4]], dtype=np.float64)
    if scale < 0:  # VASP: minus the volume of the cell
        scale = (-scale / abs(np.linalg.det(cell))) ** (1 / 3)
    names, counts = lines[4].split(), [int(count) for count in lines[5].split()]
    if len(names) != len(counts):
        raise ValueError(f"elements {names} and their numbers {counts} do not fit together")
    return [name for name, count in zip(names, counts, strict=True) for _ in range(count)], scale * cell


def _outcar(handle: IO[str]) -> Iterator[Visited]:
    from ase.io.vasp_parsers.vasp_outcar_parsers import (
        OutcarChunkParser,
        OutcarHeaderParser,
        build_chunk,
        build_header,
    )

    lines = build_header(handle)
    header = OutcarHeaderParser().build(lines)
    limit = next((int(found[1]) for line in lines if (found := _NELM.search(line))), None)
    parser = OutcarChunkParser(header=header)
    while True:
        try:
            lines = build_chunk(handle)
        except StopIteration:
            return
        yield Visited(parser.build(lines), converged=_converged(lines, limit))


def _converged(lines: list[str], limit: int | None) -> bool:
    """Whether an ionic step of an OUTCAR ended before its last allowed electronic iteration."""
    if any("EDIFF was not reached" in line for line in lines):
        return False
    iterations = [int(found[2]) for line in lines if (found := _ITERATION.search(line))]
    return limit is None or not iterations or max(iterations) < limit


def _vasprun(handle: IO[str]) -> Iterator[Visited]:
    symbols: list[str] = []
    limit: int | None = None
    for _, element in ElementTree.iterparse(handle, events=("end",)):
        if element.tag == "atominfo":
            rows = element.findall("./array[@name='atoms']/set/rc/c[1]")
            symbols = [(row.text or "").strip() for row in rows]
        elif element.tag == "i" and element.get("name") == "NELM" and limit is None:
            limit = int(element.text or 0)
        elif element.tag == "calculation":
            yield _calculation(element, symbols, limit)
            element.clear()


def _calculation(element: ElementTree.Element, symbols: list[str], limit: int | None) -> Visited:
    cell = _varray(element, "./structure/crystal/varray[@name='basis']")
    fractional = _varray(element, "./structure/varray[@name='positions']")
    if cell is None or fractional is None or len(fractional) != len(symbols):
        raise ValueError("an ionic step lacks its cell or positions")
    atoms = Atoms(symbols=symbols, scaled_positions=fractional, cell=cell, pbc=True)
    results: dict[str, Any] = {}
    energies = {each.get("name"): each.text for each in element.findall("./energy/i")}
    steps = element.findall("scstep")
    if not energies and steps:
        energies = {each.get("name"): each.text for each in steps[-1].findall("./energy/i")}
    for ours, theirs in (("free_energy", "e_fr_energy"), ("energy", "e_0_energy")):
        if energies.get(theirs):
            results[ours] = float(str(energies[theirs]))
    forces = _varray(element, "./varray[@name='forces']")
    stress = _varray(element, "./varray[@name='stress']")
    if forces is not None:
        results["forces"] = forces
    if stress is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(-stress * _KILOBAR_EV_PER_A3)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return Visited(atoms, converged=limit is None or len(steps) < limit)


def _varray(element: ElementTree.Element, where: str) -> FloatArray | None:
    found = element.find(where)
    if found is None:
        return None
    return np.array([(row.text or "").split() for row in found.findall("v")], dtype=np.float64)
