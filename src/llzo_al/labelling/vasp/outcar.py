"""Reader of OUTCAR that keeps what a killed run has finished.

The text is cut at the end of each ionic step and searched for the last occurrence of what is wanted, which is
many times faster than looking at each line; one step and one block of the file are in memory.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.dataset.frames import FloatArray
from llzo_al.labelling.vasp.outputs import IonicStep, ParsedRun, is_converged, virial_eV

_BLOCK = 1 << 22
_STEP_END = "free  energy   TOTEN"
_CYCLE_ENERGY = "free energy    TOTEN"
_END = "General timing and accounting"
_ITERATION = re.compile(r"Iteration\s*\d+\(\s*(\d+)\s*\)")
_TAG = re.compile(r"\b([A-Z][A-Z_]{2,13})\s*=\s*(-?[\w.+-]+)")
_TAGS: dict[str, type] = {
    "NELM": int,
    "EDIFF": float,
    "ENCUT": float,
    "ISPIN": int,
    "ISMEAR": int,
    "SIGMA": float,
    "NSW": int,
    "IBRION": int,
    "ISIF": int,
    "ISYM": int,
    "ICHARG": int,
    "IALGO": int,
    "IMAGES": int,
    "NELECT": float,
    "NUPDOWN": float,
    "POTIM": float,
    "TEBEG": float,
    "TEEND": float,
    "GGA": str,
    "PREC": str,
    "LREAL": str,
    "ADDGRID": str,
    "LASPH": str,
    "METAGGA": str,
    "LDAU": str,
    "LHFCALC": str,
    "IVDW": int,
    "LUSE_VDW": str,
    "LSORBIT": str,
    "LNONCOLLINEAR": str,
    "LDIPOL": str,
    "IDIPOL": int,
    "LMONO": str,
    "LSOL": str,
    "EFIELD": float,
}
"""Tags of the header that are kept."""


def read_outcar(path: Path) -> ParsedRun:
    """Read an ``OUTCAR``, whole or broken off; what is beyond the break is not there.

    Positions have the five digits of its tables; those of the first step have the eight of its header.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    reader = _Reader()
    for text in _segments(path):
        reader.take(text)
    symbols = tuple(
        symbol for symbol, count in zip(reader.species, reader.counts, strict=False) for _ in range(count)
    )
    return ParsedRun(
        source=path.name,
        version=reader.version,
        symbols=symbols,
        incar={},
        parameters=reader.parameters,
        kpoints=reader.kpoints,
        gamma_centred=reader.gamma_centred,
        potcar_titles=tuple(reader.titles),
        species=tuple(reader.species),
        steps=tuple(reader.steps),
        complete=reader.complete,
    )


def _segments(path: Path) -> Iterator[str]:
    """Pieces of a file that each end with an ionic step, and the rest.

    An archive that was cut ends where it was cut.
    """
    from monty.io import zopen

    text = ""
    with zopen(path, "rt", encoding="utf-8", errors="replace") as handle:
        while True:
            try:
                block = str(handle.read(_BLOCK))
            except EOFError:
                break
            except zlib.error as error:
                raise OSError(f"{path}: the archive is damaged ({error})") from error
            if not block:
                break
            text += block
            begin = 0
            while (found := text.find(_STEP_END, begin)) >= 0:
                end = text.find("\n", found)
                if end < 0:
                    break
                yield text[begin : end + 1]
                begin = end + 1
            text = text[begin:]
    yield text


class _Reader:
    """Takes the pieces one after the other."""

    def __init__(self) -> None:
        self.version = ""
        self.titles: list[str] = []
        self.counts: list[int] = []
        self.parameters: dict[str, Any] = {}
        self.kpoints: tuple[int, int, int] | None = None
        self.gamma_centred: bool | None = None
        self.steps: list[IonicStep] = []
        self.complete = False
        self._first_positions_A: FloatArray | None = None
        self._cell_A: FloatArray | None = None
        self._begun = False

    @property
    def species(self) -> list[str]:
        """Chemical symbol of each title."""
        return [species_of(title) for title in self.titles]

    def take(self, text: str) -> None:
        """Take a piece: the header with the first one, a step where it holds one, the end with the last."""
        if not self._begun:
            self._begun = True
            begin = text.find("- Iteration ")
            self._header(text[: begin if begin >= 0 else len(text)])
        elif self.steps:
            self._time(text)
        self._step(text)
        self.complete = self.complete or _END in text

    def _header(self, text: str) -> None:
        named: list[str] = []
        for line in text.splitlines():
            if not self.version and line.lstrip().startswith("vasp."):
                self.version = line.split()[0].removeprefix("vasp.")
            if line.startswith(" POTCAR:"):
                named.append(" ".join(line.split(":", 1)[1].split()))
            if "=" not in line:
                continue
            if "TITEL" in line:
                self.titles.append(" ".join(line.split("=", 1)[1].split()))
            elif "ions per type" in line:
                self.counts = [int(word) for word in line.split("=")[1].split()]
            else:
                for name, value in _TAG.findall(line):
                    if name in _TAGS and name not in self.parameters:
                        self.parameters[name] = _converted(value, _TAGS[name])
        if len(self.titles) != len(self.counts):  # NWRITE = 0 and 1 leave out the POTCARs' own headers
            self.titles = named[: len(self.counts)]
        self.kpoints, self.gamma_centred = _mesh(text)
        self._first_positions_A = _rows(
            text, text.find("position of ions in cartesian coordinates"), skip=1, shape=(sum(self.counts), 3)
        )

    def _time(self, text: str) -> None:
        """The time that the step before took, which stands behind its energy."""
        found = text.find("LOOP+")
        if found >= 0 and (words := text[found : text.find("\n", found)].split()):
            self.steps[-1] = replace(self.steps[-1], wall_s=_number(words[-1]))

    def _step(self, text: str) -> None:
        cell_A = _rows(text, text.rfind("direct lattice vectors"), skip=1, shape=(3, 6))
        self._cell_A = self._cell_A if cell_A is None else cell_A[:, :3]
        end = text.rfind(_STEP_END)
        ions = _rows(text, text.rfind("TOTAL-FORCE"), skip=2, shape=(sum(self.counts), 6))
        if end < 0 or ions is None or self._cell_A is None:
            return
        steps, changes_eV = _cycle(text)
        stress_kB = _stress(text)
        self.steps.append(
            IonicStep(
                positions_A=self._positions_A(ions[:, :3]),
                cell_A=self._cell_A,
                energy_eV=_number(text[end:].partition("=")[2].split()[0]),
                forces_eV_per_A=ions[:, 3:],
                virial_eV=None if stress_kB is None else virial_eV(stress_kB, self._cell_A),
                electronic_steps=steps,
                converged=is_converged(
                    steps, self.parameters.get("NELM", 60), changes_eV, self.parameters.get("EDIFF", 1e-4)
                ),
            )
        )

    def _positions_A(self, rounded_A: FloatArray) -> FloatArray:
        """The header's positions for the first step, if they are those of its table."""
        exact_A = self._first_positions_A
        if self.steps or exact_A is None or np.abs(exact_A - rounded_A).max(initial=0.0) > 6e-6:
            return rounded_A
        return exact_A


def species_of(title: str) -> str:
    """Chemical symbol of a POTCAR's title ("PAW_PBE Zr_sv 04Jan2005": Zr)."""
    words = title.split()
    return words[1 if len(words) > 1 else 0].split("_")[0] if words else ""


def _cycle(text: str) -> tuple[int, tuple[float, ...] | None]:
    """Electronic steps of an ionic step, and the last change of the energy where every step tells it."""
    last = _ITERATION.match(text, max(text.rfind("Iteration"), 0))
    steps = 0 if last is None else int(last[1])
    if steps == 0 or text.count(_CYCLE_ENERGY) != steps:
        return steps, None
    final = text.rfind(_CYCLE_ENERGY)
    before = text.rfind(_CYCLE_ENERGY, 0, final)
    if before < 0:
        return steps, ()
    first, second = (
        _number(text[place : place + 80].partition("=")[2].split()[0]) for place in (before, final)
    )
    return steps, (second - first,)


def _stress(text: str) -> FloatArray | None:
    """Stress, shape (3, 3), of ``in kB  XX YY ZZ XY YZ ZX``."""
    found = text.rfind("in kB")
    if found < 0:
        return None
    line = text[found + 5 : text.find("\n", found)]
    if "*" in line:
        return np.full((3, 3), np.nan)
    words = line.replace("-", " -").split()
    if len(words) != 6:
        return None
    xx, yy, zz, xy, yz, zx = (_number(word) for word in words)
    return np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])


def _mesh(header: str) -> tuple[tuple[int, int, int] | None, bool | None]:
    """Divisions of the k-point mesh and whether it holds Gamma, from the irreducible points that are listed.

    The point (1/N1, 1/N2, 1/N3) of a mesh, or one that symmetry makes of it, is always among them.
    """
    count = re.search(r"Found\s+(\d+)\s+irreducible k-points", header)
    if count is None:
        return None, None
    points = _rows(header, header.find("Following reciprocal coordinates"), skip=2, shape=(int(count[1]), 4))
    if points is None:
        return None, None
    gamma = bool((np.abs(points[:, :3]).max(axis=1) < 1e-6).any())
    divisions = []
    for coordinates in np.abs(points[:, :3]).T:
        smallest = coordinates[coordinates > 1e-6].min(initial=1.0)
        divisions.append(max(1, round(1.0 / smallest)) if gamma else max(1, round(0.5 / smallest)))
    return (divisions[0], divisions[1], divisions[2]), gamma


def _rows(text: str, title: int, *, skip: int, shape: tuple[int, int]) -> FloatArray | None:
    """The table `skip` lines below the one that holds place `title`; None if it is not there in full."""
    n_rows, n_columns = shape
    begin = title
    for _ in range(skip):
        begin = text.find("\n", begin) + 1 if begin >= 0 else -1
        if begin <= 0:
            return None
    if n_rows == 0 or begin < 0:
        return None
    lines = text[begin : begin + 200 * n_rows].split("\n", n_rows)
    if len(lines) <= n_rows:  # the last row must have been ended
        return None
    # Numbers that did not fit their fields are rows of asterisks without blanks between them.
    lines = ["nan " * n_columns if "*" in line else line for line in lines[:n_rows]]
    words = " ".join(lines).split()
    if len(words) != n_rows * n_columns:
        words = " ".join(lines).replace("-", " -").split()
    if len(words) != n_rows * n_columns:
        return None
    return np.array([_number(word) for word in words]).reshape(shape)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _converted(text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        return text
