"""Reader of OUTCAR that keeps what a killed run has finished.

The text is cut at the end of each ionic step and searched for the last occurrence of what is wanted, which is
many times faster than looking at each line; one step and one block of the file are in memory.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.dataset.frames import FloatArray
from llzo_al.labelling.vasp.outcar_text import STEP_END, cycle, mesh, number, segments, stress_kB, table
from llzo_al.labelling.vasp.outputs import IonicStep, ParsedRun, is_converged, virial_eV

_END = "General timing and accounting"
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
    for text in segments(path):
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
        self.kpoints, self.gamma_centred = mesh(text)
        self._first_positions_A = table(
            text, text.find("position of ions in cartesian coordinates"), skip=1, shape=(sum(self.counts), 3)
        )

    def _time(self, text: str) -> None:
        """The time that the step before took, which stands behind its energy."""
        found = text.find("LOOP+")
        if found >= 0 and (words := text[found : text.find("\n", found)].split()):
            self.steps[-1] = replace(self.steps[-1], wall_s=number(words[-1]))

    def _step(self, text: str) -> None:
        cell_A = table(text, text.rfind("direct lattice vectors"), skip=1, shape=(3, 6))
        self._cell_A = self._cell_A if cell_A is None else cell_A[:, :3]
        end = text.rfind(STEP_END)
        ions = table(text, text.rfind("TOTAL-FORCE"), skip=2, shape=(sum(self.counts), 6))
        if end < 0 or ions is None or self._cell_A is None:
            return
        steps, changes_eV = cycle(text)
        stress = stress_kB(text)
        self.steps.append(
            IonicStep(
                positions_A=self._positions_A(ions[:, :3]),
                cell_A=self._cell_A,
                energy_eV=number(text[end:].partition("=")[2].split()[0]),
                forces_eV_per_A=ions[:, 3:],
                virial_eV=None if stress is None else virial_eV(stress, self._cell_A),
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


def _converted(text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        return text
