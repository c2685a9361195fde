"""Molecular dynamics with LAMMPS in a child process: guarded, and continued after an interruption."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llzo_al.dataset.frames import Frame
from llzo_al.errors import EngineError
from llzo_al.exploration.box import LammpsBox
from llzo_al.exploration.guard import GuardLimits
from llzo_al.exploration.potential import LammpsPotential, quoted
from llzo_al.exploration.trajectory import MDFrame, read_trajectory
from llzo_al.files import file_hash, fingerprint
from llzo_al.process import engine_environment, run_child

if TYPE_CHECKING:
    from llzo_al.config.exploration import Guard

__all__ = [
    "COMPLETED",
    "GUARD_FRAME",
    "TRAJECTORY",
    "MDFrame",
    "MDInputs",
    "MDResult",
    "read_trajectory",
    "run_md",
]

COMPLETED = "completed"
TRAJECTORY = "trajectory.extxyz"
"""Physical frames of a run, the start included."""
GUARD_FRAME = "guard_frame.extxyz"
"""The frame that the guard ended a run with."""
_CHILD = "llzo_al.exploration.md_child"


@dataclass(frozen=True, kw_only=True)
class MDInputs:
    """One run of molecular dynamics. A combination that makes no sense raises ValueError.

    Attributes
    ----------
    frame
        Where it starts; periodic in three directions.
    elements
        Elements in the order of the potential's atom types.
    potential
        What drives it. A committee's deviation interval must divide `frame_interval_steps`.
    ensemble
        "nvt" or "npt" (Nose-Hoover chains). In npt the three lengths of an orthogonal cell change
        independently, and of any other cell the angles too.
    temperature_K, pressure_bar
        Targets.
    timestep_fs, steps
        Timestep and length. Steps behind the last whole frame interval are run and guarded, but give
        no frame.
    frame_interval_steps
        Steps between frames, at which the guard looks.
    restart_interval_steps
        Steps between restart files, rounded to whole frame intervals.
    thermostat_time_fs, barostat_time_fs
        Relaxation times.
    seed
        Seed of the initial velocities, 1 to 2**31 - 1. They have no net momentum and no net rotation.
    guard
        When the run has left physics behind; None ends it only at numbers that are not finite, and where
        LAMMPS itself gives up.
    threads
        Cores for the engine.
    """

    frame: Frame
    elements: tuple[str, ...]
    potential: LammpsPotential
    ensemble: Literal["nvt", "npt"] = "nvt"
    temperature_K: float
    pressure_bar: float = 0.0
    timestep_fs: float = 1.0
    steps: int
    frame_interval_steps: int
    restart_interval_steps: int
    thermostat_time_fs: float = 100.0
    barostat_time_fs: float = 1000.0
    seed: int
    guard: Guard | None
    threads: int = 1

    def __post_init__(self) -> None:
        unknown = sorted(set(self.frame.symbols) - set(self.elements))
        if unknown:
            raise ValueError(f"the frame holds {', '.join(unknown)}, the run's elements are {self.elements}")
        if not all(self.frame.periodic):
            raise ValueError("molecular dynamics needs a frame that is periodic in three directions")
        LammpsBox.of(self.frame.cell_A)
        charges = self.potential.charges_e
        if charges is not None and len(charges) != len(self.elements):
            raise ValueError(f"{len(charges)} charges for {len(self.elements)} elements")
        for name in ("temperature_K", "timestep_fs", "thermostat_time_fs", "barostat_time_fs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a positive number")
        for name in ("steps", "frame_interval_steps", "restart_interval_steps", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 1 <= self.seed < 2**31:
            raise ValueError(f"seed is {self.seed}, expected 1 to 2**31 - 1")
        interval = self.potential.deviation_interval_steps
        if interval and self.frame_interval_steps % interval:
            raise ValueError(
                f"the committee's deviation is computed every {interval} steps, which does not divide the "
                f"frame interval of {self.frame_interval_steps} steps"
            )


@dataclass(frozen=True, kw_only=True)
class MDResult:
    """How a run went.

    Attributes
    ----------
    trajectory
        Name of the trajectory file in the run's directory.
    n_frames
        Frames in it, the start included.
    ended
        "completed", or the guard's sentence ("guard: Li-O 1.02 Å < 1.16 Å at step 350").
    stable
        Whether it completed.
    steps_done
        Steps up to the last state that was found physical.
    resumed_from_step
        Step of the restart file that this call went on from; None for a run in one piece.
    timings
        `startup_s` (until the first step: interpreter, LAMMPS, models, first forces), `engine_s` (LAMMPS's
        steps), `frames_s` (guard, files), of this call alone.
    max_deviation_eV_per_A
        Largest force deviation of the committee in the trajectory; None without a committee.
    notes
        What a person should know: restart files that were of no use, and where the run went on instead.
    """

    trajectory: str
    n_frames: int
    ended: str
    stable: bool
    steps_done: int
    resumed_from_step: int | None
    timings: Mapping[str, float]
    max_deviation_eV_per_A: float | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MDResult:
        """Result from what `as_dict` gave."""
        return cls(**{**data, "notes": tuple(data.get("notes", ()))})


def run_md(inputs: MDInputs, directory: Path, *, progress: Path | None = None) -> MDResult:
    """Run molecular dynamics in `directory`, or go on with the same run that was interrupted there.

    A run of other inputs that the directory may hold is removed. The trajectory, `trajectory.extxyz`, holds
    energies, forces and stresses of the model that drives the run and the committee's deviation; positions
    keep the start frame's orientation and order of atoms and are unwrapped. A frame that the guard rejects is
    in `guard_frame.extxyz` and not in the trajectory.

    Parameters
    ----------
    inputs
        The run.
    directory
        Working directory, created if need be.
    progress
        Progress file, kept up to date.

    Raises
    ------
    EngineError
        If LAMMPS cannot be run: a missing model, a missing plugin, a wrong pair command.
    UserError
        If the guard's pairs are not pairs of elements.
    """
    for model in inputs.potential.models:
        if not Path(model).is_file():
            raise EngineError(f"{model}: the model file is missing; train (or freeze) the model first")
    spec = _spec(inputs)
    result = run_child(
        _CHILD,
        {
            **spec,
            "run": fingerprint({**spec, "potential": _portable(inputs.potential)}),
            "progress": None if progress is None else str(progress.resolve()),
            "task": inputs.frame.provenance.group,
            "started": time.time(),
        },
        directory=directory,
        environment=engine_environment(threads=inputs.threads, deepmd_plugin=inputs.potential.needs_deepmd),
    )
    return MDResult.from_dict(result)


def _spec(inputs: MDInputs) -> dict[str, Any]:
    """Everything that the run's numbers depend on."""
    limits = None
    if inputs.guard is not None:
        present = [element for element in inputs.elements if element in inputs.frame.symbols]
        limits = GuardLimits.of(inputs.guard, present, inputs.temperature_K).as_dict()
    interval = inputs.frame_interval_steps
    return {
        "symbols": list(inputs.frame.symbols),
        "positions_A": inputs.frame.positions_A.tolist(),
        "cell_A": inputs.frame.cell_A.tolist(),
        "elements": list(inputs.elements),
        "potential": inputs.potential.as_dict(),
        "ensemble": inputs.ensemble,
        "temperature_K": inputs.temperature_K,
        "pressure_bar": inputs.pressure_bar,
        "timestep_fs": inputs.timestep_fs,
        "steps": inputs.steps,
        "frame_interval_steps": interval,
        "restart_interval_steps": max(1, round(inputs.restart_interval_steps / interval)) * interval,
        "thermostat_time_fs": inputs.thermostat_time_fs,
        "barostat_time_fs": inputs.barostat_time_fs,
        "seed": inputs.seed,
        "limits": limits,
    }


def _portable(potential: LammpsPotential) -> dict[str, Any]:
    """A potential that is told by its models' contents instead of their paths."""
    data = potential.as_dict()
    for model in potential.models:
        digest = file_hash(Path(model))
        data["commands"] = [
            command.replace(quoted(model), digest).replace(model, digest) for command in data["commands"]
        ]
    return {**data, "models": []}
