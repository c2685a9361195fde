"""Dynamics and relaxations with the forces of an ASE calculator, in a child process."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError, UserError
from llzo_al.files import fingerprint
from llzo_al.labelling.ase_child import frame_atoms
from llzo_al.labelling.base import checked_label
from llzo_al.labelling.jobs import START_S, Limits, frame_record
from llzo_al.labelling.streaming import stream_child
from llzo_al.progress import ProgressFile
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun

SNAPSHOTS = "snapshots.jsonl"
"""Snapshots of a trajectory, one to a line, each on disk before the next step starts."""
PATH = "relaxation.jsonl"
"""Ionic steps of a relaxation, one to a line, each on disk before the next one starts."""
TELL_S = 0.5
"""Shortest time between two messages of the children."""
_MD_CHILD = "llzo_al.labelling.ase_md_child"
_RELAXATION_CHILD = "llzo_al.labelling.ase_relaxation_child"

_log = logging.getLogger(__name__)


def ase_snapshots(
    run: MDRun,
    calculator: Mapping[str, Any],
    directory: Path,
    *,
    environment: Mapping[str, str],
    limits: Limits | None = None,
    labels: bool = True,
    progress: Path | None = None,
) -> list[tuple[Frame, Label | None]]:
    """Langevin dynamics with the forces of a calculator; see `llzo_al.labelling.base.Labeller.snapshots`.

    A killed run continues from its last checkpoint, with the same random numbers as if it had not been
    interrupted.

    Parameters
    ----------
    run
        The trajectory; ``run.parameters`` are taken as part of `calculator` already.
    calculator
        ``calculator``, ``parameters``, ``run_parameters`` and ``virials`` as the child takes them.
    directory
        Working directory, kept until the run is done.
    environment
        Environment of the child.
    limits
        Time limit of one step, and memory.
    labels
        Whether the numbers of the dynamics are the snapshots' labels.
    progress
        Where to tell the progress.

    Raises
    ------
    UserError
        If the calculator cannot be made.
    EngineError
        If the run ends without a snapshot.
    """
    spec = {
        **calculator,
        "start": frame_record(run.frame),
        "corners": [list(corner) for corner in run.corners],
        "timestep_fs": run.timestep_fs,
        "friction_per_fs": 1.0 / run.thermostat_time_fs,
        "snapshot_at": list(run.snapshot_at),
        "seed": run.seed,
    }
    blame = f"{run.group}: parameters" if run.parameters else "labelling.{key}"
    ended = _run_child(
        _MD_CHILD,
        spec,
        directory,
        environment=environment,
        limits=limits or Limits(),
        shown=ProgressFile(progress, task=run.group, total=run.total_steps),
        blame=blame,
    )
    return _read_snapshots(run, directory / SNAPSHOTS, ended, labels=labels)


def ase_relaxation(
    run: RelaxationRun,
    calculator: Mapping[str, Any],
    directory: Path,
    *,
    environment: Mapping[str, str],
    limits: Limits | None = None,
    progress: Path | None = None,
) -> list[tuple[Frame, Label | None]]:
    """Relaxation with the forces of a calculator; see `llzo_al.labelling.base.Labeller.relaxation`.

    The optimiser is L-BFGS (Liu and Nocedal, Math. Program. 45, 503 (1989)); a cell relaxes together with the
    atoms, its deformation gradient by the logarithm (ASE's `FrechetCellFilter`). Parameters are those of
    `ase_snapshots`.

    Raises
    ------
    UserError
        If the calculator cannot be made.
    EngineError
        If not even the start could be computed.
    """
    spec = {
        **calculator,
        "start": frame_record(run.frame),
        "fmax_eV_per_A": run.fmax_eV_per_A,
        "steps_max": run.steps_max,
        "cell": run.cell,
    }
    ended = _run_child(
        _RELAXATION_CHILD,
        spec,
        directory,
        environment=environment,
        limits=limits or Limits(),
        shown=ProgressFile(progress, task=run.group, total=run.steps_max),
        blame="labelling.{key}",
    )
    return _read_path(run, directory / PATH, ended)


def run_key(spec: Mapping[str, Any]) -> str:
    """What a child's checkpoint must hold to be its own: all of its `spec` that changes numbers."""
    return fingerprint(
        {key: value for key, value in spec.items() if key not in ("run_parameters", "threads")}
    )


def starting_atoms(spec: Mapping[str, Any]) -> Atoms:
    """Atoms that a child starts from, with the magnetic moments that its `spec` gives elements."""
    atoms = frame_atoms(spec["start"])
    moments = spec.get("magnetic_moments_muB") or {}
    if moments:
        atoms.set_initial_magnetic_moments([moments.get(symbol, 0.0) for symbol in atoms.symbols])
    return atoms


def _run_child(
    module: str,
    spec: Mapping[str, Any],
    directory: Path,
    *,
    environment: Mapping[str, str],
    limits: Limits,
    shown: ProgressFile,
    blame: str,
) -> str:
    """Run a child to its end; returns why it ended early, or nothing."""
    ended = ""
    tell = shown.begin  # with the first message: the step that an interrupted run goes on from
    try:
        for message in stream_child(
            module,
            spec,
            directory=directory,
            environment=environment,
            silence_s=None if limits.silence_s is None else limits.silence_s + TELL_S,
            memory_GB=limits.memory_GB,
            start_s=START_S,
        ):
            if "refused" in message:
                raise UserError(f"{blame.format(key=message['key'])}: {message['refused']}")
            if "ended" in message:
                ended = str(message["ended"])
            else:
                tell(int(message["step"]), str(message["state"]))
                tell = shown.update
    finally:
        shown.close()
    return ended


def _read_snapshots(run: MDRun, path: Path, ended: str, *, labels: bool) -> list[tuple[Frame, Label | None]]:
    pairs: list[tuple[Frame, Label | None]] = []
    for record in _records(path):
        frame, label = _labelled(run.frame, record, f"{run.group}: snapshot at step {record['step']}")
        told = run.snapshot(frame, int(record["step"]), len(pairs), potential_energy_eV=label.energy_eV)
        pairs.append((told, label if labels and not run.relabel else None))
    if not pairs:
        why = f" ({ended})" if ended else ""
        raise EngineError(f"{run.group}: the run gave no snapshot{why}; see {path.parent / 'child.log'}")
    if ended:
        _log.warning(
            "%s ended after %d of %d snapshots: %s", run.group, len(pairs), len(run.snapshot_at), ended
        )
    return pairs


def _read_path(run: RelaxationRun, path: Path, ended: str) -> list[tuple[Frame, Label | None]]:
    records = [record for record in _records(path) if "step" in record]
    if not records:
        raise EngineError(f"{run.group}: the start could not be computed ({ended}); see {path.parent}")
    if not records[-1]["converged"]:
        why = ended or f"forces above {run.fmax_eV_per_A:g} eV/angstrom after {run.steps_max} steps"
        _log.warning("%s did not converge: %s", run.group, why)
    kept = [each for each in records if each["step"] % run.keep_every == 0 or each is records[-1]]
    pairs: list[tuple[Frame, Label | None]] = []
    for record in kept:
        frame, label = _labelled(run.frame, record, f"{run.group}: ionic step {record['step']}")
        told = run.path_frame(frame, int(record["step"]), len(pairs), relaxed=bool(record["converged"]))
        pairs.append((told, label))
    return pairs


def _records(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def _labelled(start: Frame, record: Mapping[str, Any], what: str) -> tuple[Frame, Label]:
    """Frame and label of a child's record."""
    cell_A = start.cell_A if "cell_A" not in record else np.array(record["cell_A"])
    frame = Frame(
        symbols=start.symbols,
        positions_A=np.array(record["positions_A"]),
        cell_A=cell_A,
        periodic=start.periodic,
        charge=start.charge,
        multiplicity=start.multiplicity,
        provenance=start.provenance,
    )
    label = checked_label(
        frame,
        energy_eV=record["energy_eV"],
        forces_eV_per_A=record["forces_eV_per_A"],
        virial_eV=record["virial_eV"],
        wall_s=float(record["wall_s"]),
        program=str(record.get("program", "")),
    )
    if isinstance(label, LabelFailure):
        raise EngineError(f"{what}: {label.reason}")
    return frame, label
