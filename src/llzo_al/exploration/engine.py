"""LAMMPS, driven through its Python module in the process that this is imported in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import EngineError
from llzo_al.exploration.box import LammpsBox
from llzo_al.exploration.potential import LammpsPotential
from llzo_al.exploration.trajectory import Snapshot
from llzo_al.process import import_lammps, last_lines

RESTART_PATTERN = "restart-*.tmp"
"""Name under which LAMMPS writes a restart file; the star stands for the step."""

_UNSTABLE = (
    "Lost atoms",
    "Non-numeric",
    "Out of range atoms",
    "out of range atoms",
    "Neighbor list overflow",
    "Too many neighbor",
    "skewed too far",
    "too far flipped",
    "became too small",
    "box dimensions",
    "Illegal simulation box",
    "Domain too large",
    "Atom moved too far",
    "Bad box",
)
"""What LAMMPS says of a run that has blown up."""


class UnstableRunError(Exception):
    """LAMMPS gave up because atoms or box were lost; the message is LAMMPS's."""


class RestartError(Exception):
    """A restart file cannot be read."""


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What `Engine` needs of a run; attributes as in `llzo_al.exploration.md.MDInputs`."""

    symbols: tuple[str, ...]
    elements: tuple[str, ...]
    positions_A: FloatArray
    box: LammpsBox
    potential: LammpsPotential
    ensemble: str
    temperature_K: float
    pressure_bar: float
    timestep_fs: float
    frame_interval_steps: int
    restart_interval_steps: int
    thermostat_time_fs: float
    barostat_time_fs: float
    seed: int

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> EngineSettings:
        """Settings from a run's JSON description."""
        plain = (
            *("ensemble", "temperature_K", "pressure_bar", "timestep_fs", "frame_interval_steps"),
            *("restart_interval_steps", "thermostat_time_fs", "barostat_time_fs", "seed"),
        )
        return cls(
            symbols=tuple(spec["symbols"]),
            elements=tuple(spec["elements"]),
            positions_A=np.array(spec["positions_A"], dtype=np.float64).reshape(-1, 3),
            box=LammpsBox.of(np.array(spec["cell_A"], dtype=np.float64)),
            potential=LammpsPotential.from_dict(spec["potential"]),
            **{name: spec[name] for name in plain},
        )


class Engine:
    """A LAMMPS instance that runs one trajectory, in pieces.

    Parameters
    ----------
    settings
        The run.
    log
        LAMMPS's log, appended to.
    restart
        Restart file to go on from; None starts from the frame with new velocities.

    Raises
    ------
    EngineError
        If LAMMPS refuses a command.
    RestartError
        If the restart file cannot be read.
    UnstableRunError
        If the first evaluation already loses atoms.
    """

    def __init__(self, settings: EngineSettings, *, log: Path, restart: Path | None = None) -> None:
        self._settings = settings
        self._log = log
        self._lammps: Any = import_lammps().lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
        self._command(f"log {log.name} append")
        self._setup(restart)

    @property
    def step(self) -> int:
        """Present step."""
        return int(self._lammps.extract_global("ntimestep"))

    def advance(self, steps: int) -> None:
        """Run `steps` further steps.

        Nothing is set up anew in between, so that pieces give the same trajectory as one long run.
        """
        self._command(f"run {steps} pre no post no")

    def close(self) -> None:
        """End LAMMPS."""
        self._lammps.close()

    def snapshot(self) -> Snapshot:
        """The present state, without a deviation."""
        box = self._settings.box
        cell = self._cell()
        wrapped = np.array(self._lammps.gather_atoms("x", 1, 3), dtype=np.float64).reshape(-1, 3)
        images = np.array(self._lammps.gather_atoms("image", 0, 3), dtype=np.float64).reshape(-1, 3)
        forces = np.array(self._lammps.gather_atoms("f", 1, 3), dtype=np.float64).reshape(-1, 3)
        pressure = np.array(self._lammps.numpy.extract_compute("virial", 0, 1), dtype=np.float64)
        xx, yy, zz, xy, xz, yz = pressure
        volume = float(np.linalg.det(cell))
        virial = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) * volume
        step = self.step
        return Snapshot(
            step=step,
            time_ps=round(step * self._settings.timestep_fs * 1e-3, 9),
            positions_A=box.to_frame(wrapped + images @ cell),
            cell_A=box.to_frame(cell),
            energy_eV=float(self._lammps.get_thermo("pe")),
            forces_eV_per_A=box.to_frame(forces),
            virial_eV=box.tensor_to_frame(virial / float(self._lammps.extract_global("nktv2p"))),
            temperature_K=float(self._lammps.get_thermo("temp")),
        )

    def _cell(self) -> FloatArray:
        low, high, xy, yz, xz, *_ = self._lammps.extract_box()
        lx, ly, lz = np.subtract(high, low)
        return np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]], dtype=np.float64)

    def _setup(self, restart: Path | None) -> None:
        settings = self._settings
        style = "atomic" if settings.potential.charges_e is None else "charge"
        self._commands(["units metal", f"atom_style {style}", "atom_modify map array", "boundary p p p"])
        if restart is None:
            self._create_atoms()
        else:
            self._read_restart(restart)
        self._commands([*settings.potential.commands, *self._dynamics()])
        if restart is None:
            self._command(
                f"velocity all create {settings.temperature_K!r} {settings.seed} "
                "mom yes rot yes dist gaussian"
            )
        self._command("run 0 post no")

    def _dynamics(self) -> list[str]:
        settings = self._settings
        target = f"{settings.temperature_K!r} {settings.temperature_K!r}"
        relaxation_ps = settings.thermostat_time_fs * 1e-3
        fix = f"fix motion all {settings.ensemble} temp {target} {relaxation_ps!r}"
        if settings.ensemble == "npt":
            coupling = "aniso" if settings.box.orthogonal else "tri"
            pressure = f"{settings.pressure_bar!r} {settings.pressure_bar!r}"
            fix += f" {coupling} {pressure} {settings.barostat_time_fs * 1e-3!r}"
        return [
            "neighbor 1.0 bin",
            "neigh_modify every 1 delay 0 check yes",
            f"timestep {settings.timestep_fs * 1e-3!r}",
            "compute virial all pressure NULL virial",
            f"thermo {settings.frame_interval_steps}",
            "thermo_style custom step temp pe vol press c_virial[1] c_virial[2] c_virial[3]",
            "thermo_modify lost error norm no",
            fix,
            f"restart {settings.restart_interval_steps} {RESTART_PATTERN}",
        ]

    def _create_atoms(self) -> None:
        settings = self._settings
        self._commands(settings.box.create_commands(len(settings.elements)))
        scaled = np.linalg.solve((settings.box.cell_A @ settings.box.rotation).T, settings.positions_A.T).T
        images = np.floor(scaled)
        inside = np.minimum(scaled - images, np.nextafter(1.0, 0.0)) @ settings.box.cell_A
        n_atoms = len(settings.symbols)
        created = self._lammps.create_atoms(
            n_atoms,
            list(range(1, n_atoms + 1)),
            [settings.elements.index(symbol) + 1 for symbol in settings.symbols],
            inside.ravel().tolist(),
            image=[self._lammps.encode_image_flags(*map(int, image)) for image in images],
        )
        if created != n_atoms:
            raise EngineError(f"LAMMPS took {created} of {n_atoms} atoms; is an atom outside of the cell?")
        for number, element in enumerate(settings.elements, 1):
            self._command(f"mass {number} {float(atomic_masses[atomic_numbers[element]])!r}")
        for number, charge in enumerate(settings.potential.charges_e or (), 1):
            self._command(f"set type {number} charge {charge!r}")

    def _read_restart(self, restart: Path) -> None:
        try:
            self._command(f"read_restart {restart.name}")
        except EngineError as error:
            raise RestartError(f"{restart}: {error}") from error

    def _commands(self, commands: Sequence[str]) -> None:
        for command in commands:
            self._command(command)

    def _command(self, command: str) -> None:
        try:
            self._lammps.command(command)
        except Exception as error:
            message = _plain_message(str(error))
            if command.startswith("run ") and any(sign in message for sign in _UNSTABLE):
                raise UnstableRunError(message) from error
            hint = ""
            if "Unrecognized pair style 'deepmd'" in message:
                hint = (
                    "; DeePMD-kit's plugin for LAMMPS was not loaded: install it with "
                    'python -m pip install "deepmd-kit[cpu,lmp]", and see llzo-al doctor'
                )
            raise EngineError(
                f"LAMMPS: {message}{hint}; the command was: {command}; last lines of {self._log}:\n"
                f"{last_lines(self._log, 6)}"
            ) from error


def _plain_message(message: str) -> str:
    """LAMMPS's message without its place in LAMMPS's source."""
    first = message.strip().splitlines()[0] if message.strip() else "no message"
    return re.sub(r"^ERROR( on proc \d+)?:\s*|\s*\([^()]*\.(cpp|h):\d+\)\s*$", "", first)
