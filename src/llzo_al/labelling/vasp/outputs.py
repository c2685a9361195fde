"""What a directory of VASP's output holds: the one reader for labels, relaxations, dynamics and ingest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.dataset.frames import FloatArray, LabelFailure

SUFFIXES = ("", ".gz", ".bz2", ".xz", ".Z")
"""Endings under which an output is looked for."""


@dataclass(frozen=True, kw_only=True)
class IonicStep:
    """One finished ionic step, atoms in the order of the run's POSCAR.

    Attributes
    ----------
    positions_A
        Cartesian positions, shape (n_atoms, 3).
    cell_A
        Lattice vectors as rows, shape (3, 3).
    energy_eV
        VASP's free energy (``free  energy   TOTEN`` of OUTCAR, ``e_fr_energy`` of vasprun.xml): the one
        whose derivatives the forces and the stress are.
    forces_eV_per_A
        Forces, shape (n_atoms, 3).
    virial_eV
        Virial, shape (3, 3), = -stress x volume with ASE's sign of stress, without kinetic part; None where
        the run has no stress.
    electronic_steps
        Steps of its self-consistent cycle.
    converged
        Whether that cycle ended by its criterion: fewer steps than NELM, and where the energies of the
        cycle are known, a last change below EDIFF (so that a cycle that was stopped does not count).
    wall_s
        Seconds that VASP worked on it, 0 where the file does not tell.
    """

    positions_A: FloatArray
    cell_A: FloatArray
    energy_eV: float
    forces_eV_per_A: FloatArray
    virial_eV: FloatArray | None
    electronic_steps: int
    converged: bool
    wall_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ParsedRun:
    """What VASP left of one run.

    Attributes
    ----------
    source
        Name of the file that was read ("vasprun.xml.gz", "OUTCAR").
    version
        VASP's version, "" where the file does not tell.
    symbols
        Chemical symbols in the order of the run's POSCAR.
    incar
        Tags that VASP found in its INCAR, upper case, values as numbers, truth values, text or lists; from
        an OUTCAR, what it repeats of them.
    parameters
        Tags as VASP used them, defaults included, spelled like `incar`.
    kpoints
        Divisions of an automatic k-point mesh, or None.
    potcar_titles
        TITEL of each species in turn ("PAW_PBE Li_sv 10Sep2004").
    species
        Chemical symbol of each of these titles.
    steps
        Finished ionic steps in their order, converged or not.
    gamma_centred
        Whether that mesh holds the Gamma point; None where the file does not tell.
    complete
        Whether the file goes on to its regular end. A run that was killed leaves finished steps all the same.
    """

    source: str
    version: str
    symbols: tuple[str, ...]
    incar: Mapping[str, Any]
    parameters: Mapping[str, Any]
    kpoints: tuple[int, int, int] | None
    potcar_titles: tuple[str, ...]
    species: tuple[str, ...]
    steps: tuple[IonicStep, ...]
    complete: bool
    gamma_centred: bool | None = None

    @property
    def program(self) -> str:
        """What computed it, as labels say it."""
        return f"VASP {self.version}".strip()


def find_output(directory: Path, name: str) -> Path | None:
    """The file `name` in `directory`, compressed or not; None if there is none or it is empty."""
    for suffix in SUFFIXES:
        path = directory / f"{name}{suffix}"
        if path.is_file() and path.stat().st_size > 0:
            return path
    return None


def read_vasp_run(directory: Path) -> ParsedRun | LabelFailure:
    """Read a run from its ``vasprun.xml``, or where that gives no ionic step, from its ``OUTCAR``.

    Each may be compressed. A file that breaks off gives the ionic steps that it holds in full.

    Parameters
    ----------
    directory
        Where VASP ran.

    Returns
    -------
    ParsedRun or LabelFailure
        A run with one ionic step at least; otherwise the failure, whose cause is "empty output" (no output,
        or no more than a header), "truncated output" (the file breaks off before the end of the first ionic
        step), "out of memory", "input refused" or "crash", told by VASP's own last words where it left some.
    """
    from llzo_al.labelling.vasp.diagnosis import diagnose

    run = read_outputs(find_output(directory, "vasprun.xml"), find_output(directory, "OUTCAR"))
    return diagnose(directory) if run is None else run


def read_outputs(vasprun: Path | None, outcar: Path | None) -> ParsedRun | None:
    """The same for given files: the first that is whole, or else the one with the most ionic steps.

    Parameters
    ----------
    vasprun, outcar
        The two outputs of one run, under whatever names.

    Returns
    -------
    ParsedRun or None
        None if neither holds a finished ionic step.

    Raises
    ------
    OSError
        If none of them can be read.
    """
    from llzo_al.labelling.vasp.outcar import read_outcar
    from llzo_al.labelling.vasp.vasprun import read_vasprun

    found: list[ParsedRun] = []
    unreadable: OSError | None = None
    for path, read in ((vasprun, read_vasprun), (outcar, read_outcar)):
        if path is None:
            continue
        try:
            run = read(path)
        except OSError as error:
            unreadable = error
            continue
        if run.steps and run.complete:
            return run
        found.append(run)
    if not found and unreadable is not None:
        raise unreadable
    best = max(found, key=lambda run: len(run.steps), default=None)
    return best if best is not None and best.steps else None


def virial_eV(stress_kB: FloatArray, cell_A: FloatArray) -> FloatArray:
    """Virial from the stress as VASP prints it (kilobar; positive where the cell wants to expand)."""
    from ase.units import GPa

    return np.asarray(stress_kB * (0.1 * GPa) * abs(np.linalg.det(cell_A)), dtype=np.float64)


def is_converged(
    electronic_steps: int, nelm: int, changes_eV: tuple[float, ...] | None, ediff_eV: float
) -> bool:
    """Whether a self-consistent cycle ended by its criterion.

    Parameters
    ----------
    electronic_steps
        Steps that it took.
    nelm
        Their limit. A cycle that took all of them counts as unconverged.
    changes_eV
        The last change of the free energy, or None where it is not known (empty after a single step).
    ediff_eV
        EDIFF.
    """
    if not 0 < electronic_steps < nelm:
        return False
    if changes_eV is None:
        return True
    limit = max(abs(ediff_eV), 1e-8) * 1.001 + 1e-8
    return bool(changes_eV and abs(changes_eV[-1]) <= limit)
