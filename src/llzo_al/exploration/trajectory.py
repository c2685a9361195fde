"""Trajectories as extended XYZ: appended frame by frame, cut after an interruption, read back."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from ase import Atoms

from llzo_al.dataset.frames import FloatArray, Frame, Provenance
from llzo_al.errors import StageError

_STEP = re.compile(rb"\bstep=(\d+)\b")
_DEVIATION = re.compile(rb"\bforce_deviation_max_eV_per_A=(\S+)")
_READ_ERRORS = (OSError, ValueError, LookupError, RuntimeError, StopIteration)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One instant of a run at full precision, in the start frame's orientation and order of atoms.

    Attributes
    ----------
    step, time_ps
        Where in the run.
    positions_A
        Unwrapped positions, shape (n_atoms, 3): continuous from the start frame's on.
    cell_A
        Lattice vectors as rows, shape (3, 3).
    energy_eV, forces_eV_per_A, virial_eV
        Of the model that drives the run; shapes (), (n_atoms, 3), (3, 3); virial = -stress x volume.
    temperature_K
        Instantaneous temperature.
    force_deviation_max_eV_per_A, force_deviation_mean_eV_per_A
        Largest and mean deviation of the committee's forces over the atoms; None without a committee.
    """

    step: int
    time_ps: float
    positions_A: FloatArray
    cell_A: FloatArray
    energy_eV: float
    forces_eV_per_A: FloatArray
    virial_eV: FloatArray
    temperature_K: float
    force_deviation_max_eV_per_A: float | None = None
    force_deviation_mean_eV_per_A: float | None = None


@dataclass(frozen=True, kw_only=True)
class MDFrame:
    """A frame of a trajectory.

    Attributes
    ----------
    frame
        The configuration (positions unwrapped, on the grid that frames are kept on).
    step, time_ps
        Where in the run.
    temperature_K
        Instantaneous temperature (the target is in the frame's provenance).
    energy_eV, forces_eV_per_A, virial_eV
        Of the model that drives the run; shapes (), (n_atoms, 3), (3, 3); virial = -stress x volume.
    force_deviation_max_eV_per_A, force_deviation_mean_eV_per_A
        Largest and mean over the atoms of the standard deviation of the committee's forces,
        sqrt(<|F - <F>|^2>) over the models; None without a committee.
    """

    frame: Frame
    step: int
    time_ps: float
    temperature_K: float
    energy_eV: float
    forces_eV_per_A: FloatArray
    virial_eV: FloatArray
    force_deviation_max_eV_per_A: float | None = None
    force_deviation_mean_eV_per_A: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrajectoryScan:
    """What a trajectory file holds whole.

    Attributes
    ----------
    steps
        Step of each whole frame.
    ends
        Offset in bytes behind each whole frame.
    max_deviation_eV_per_A
        Largest force deviation up to each whole frame; None where no frame tells one.
    """

    steps: tuple[int, ...]
    ends: tuple[int, ...]
    max_deviation_eV_per_A: tuple[float | None, ...]


def snapshot_text(snapshot: Snapshot, symbols: tuple[str, ...]) -> str:
    """A snapshot as one frame of extended XYZ, with the keys that ASE gives energy, forces and stress.

    ASE's own writer costs the engine's process more than half a second of imports.
    """
    stress = -snapshot.virial_eV / abs(np.linalg.det(snapshot.cell_A))
    entries = {
        "Lattice": _numbers(snapshot.cell_A),
        "Properties": "species:S:1:pos:R:3:forces:R:3",
        "step": snapshot.step,
        "time_ps": snapshot.time_ps,
        "temperature_K": snapshot.temperature_K,
        "energy": snapshot.energy_eV,
        "stress": _numbers(stress),
        "force_deviation_max_eV_per_A": snapshot.force_deviation_max_eV_per_A,
        "force_deviation_mean_eV_per_A": snapshot.force_deviation_mean_eV_per_A,
        "pbc": '"T T T"',
    }
    comment = " ".join(f"{key}={value}" for key, value in entries.items() if value is not None)
    rows = np.hstack([snapshot.positions_A, snapshot.forces_eV_per_A]).tolist()
    row = "%-2s" + 6 * " %16.8f"
    lines = [row % (symbol, *numbers) for symbol, numbers in zip(symbols, rows, strict=True)]
    return "\n".join([str(len(symbols)), comment, *lines, ""])


def _numbers(array: FloatArray) -> str:
    return '"' + " ".join(map(repr, array.ravel().tolist())) + '"'


class TrajectoryWriter:
    """Appends snapshots to an extended XYZ file; each is handed to the system whole.

    Parameters
    ----------
    path
        The file, appended to.
    symbols
        Chemical symbols of the run.
    """

    def __init__(self, path: Path, symbols: tuple[str, ...]) -> None:
        self._symbols = symbols
        self._file = path.open("ab")

    def append(self, snapshot: Snapshot) -> None:
        """Append one frame."""
        self._file.write(snapshot_text(snapshot, self._symbols).encode())
        self._file.flush()

    def sync(self) -> None:
        """Force what was appended to disk."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def scan_trajectory(path: Path) -> TrajectoryScan:
    """Whole frames of a trajectory; whatever follows the last whole one is left out."""
    steps: list[int] = []
    ends: list[int] = []
    largest: list[float | None] = []
    with path.open("rb") as file:
        while (header := file.readline()).endswith(b"\n") and header.strip().isdigit():
            comment = file.readline()
            lines = [file.readline() for _ in range(int(header))]
            step = _STEP.search(comment)
            if step is None or not comment.endswith(b"\n") or not all(line.endswith(b"\n") for line in lines):
                break
            deviation = _DEVIATION.search(comment)
            known = [value for value in (largest[-1] if largest else None,) if value is not None]
            if deviation is not None:
                known.append(float(deviation.group(1)))
            steps.append(int(step.group(1)))
            ends.append(file.tell())
            largest.append(max(known) if known else None)
    return TrajectoryScan(steps=tuple(steps), ends=tuple(ends), max_deviation_eV_per_A=tuple(largest))


def cut_trajectory(path: Path, n_frames: int, scan: TrajectoryScan) -> None:
    """Keep the first `n_frames` frames of a scanned trajectory."""
    with path.open("r+b") as file:
        file.truncate(scan.ends[n_frames - 1] if n_frames else 0)
        os.fsync(file.fileno())


def read_trajectory(path: Path, *, provenance: Provenance | None = None) -> list[MDFrame]:
    """Read a trajectory that `run_md` wrote.

    Parameters
    ----------
    path
        The extended XYZ file.
    provenance
        Provenance of the run; each frame gets it with its own index and step. By default source
        "exploration" and the file's folder as group.

    Raises
    ------
    StageError
        If the file is missing or is not such a trajectory.
    """
    from ase.io.extxyz import read_extxyz

    origin = provenance or Provenance(source="exploration", kind="", group=path.parent.name)
    try:
        with path.open(encoding="utf-8") as file:
            return [_md_frame(atoms, origin, i) for i, atoms in enumerate(read_extxyz(file, slice(None)))]
    except _READ_ERRORS as error:
        raise StageError(
            f"{path}: cannot be read as a trajectory ({type(error).__name__}: {error}); remove the folder of "
            "this run and run again"
        ) from error


def _md_frame(atoms: Atoms, origin: Provenance, index: int) -> MDFrame:
    info = atoms.info
    step = int(info["step"])
    details = {**origin.details, "step": step}
    return MDFrame(
        frame=Frame.from_atoms(atoms, replace(origin, frame=index, details=details)),
        step=step,
        time_ps=float(info["time_ps"]),
        temperature_K=float(info["temperature_K"]),
        energy_eV=float(atoms.get_potential_energy()),
        forces_eV_per_A=np.array(atoms.get_forces(), dtype=np.float64),
        virial_eV=-np.array(atoms.get_stress(voigt=False), dtype=np.float64) * float(atoms.get_volume()),
        force_deviation_max_eV_per_A=_optional(info.get("force_deviation_max_eV_per_A")),
        force_deviation_mean_eV_per_A=_optional(info.get("force_deviation_mean_eV_per_A")),
    )


def _optional(value: float | None) -> float | None:
    return None if value is None else float(value)
