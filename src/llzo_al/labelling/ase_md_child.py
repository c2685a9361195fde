"""Child process of molecular dynamics with an ASE calculator, from checkpoint to checkpoint."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from llzo_al.files import read_json, write_json
from llzo_al.labelling.ase_child import Refused, evaluate, make_calculator
from llzo_al.labelling.ase_dynamics import SNAPSHOTS, TELL_S, run_key, starting_atoms
from llzo_al.labelling.streaming import Emit, stream_main

CHECKPOINT_S = 10.0
"""Longest wall time between checkpoints, except that a step is never cut."""
_CHECKPOINT = "checkpoint.json"


class Trajectory:
    """Langevin dynamics that can be taken up again where a killed process left it.

    Parameters
    ----------
    spec
        Start, calculator and settings of the run.
    directory
        Where the checkpoint and the snapshots are.
    """

    def __init__(self, spec: Mapping[str, Any], directory: Path) -> None:
        self._spec = spec
        self._directory = directory
        self._key = run_key(spec)
        self._random = np.random.default_rng(spec["seed"])
        self.atoms: Atoms = starting_atoms(spec)
        self.atoms.calc = make_calculator(spec, directory / "engine")
        self.atoms.set_constraint(FixCom())
        self._snapshot_at = frozenset(spec["snapshot_at"])
        self._corners = np.array(spec["corners"], dtype=float)
        self.step = 0
        if not self._resume():
            thermalize_momenta(self.atoms, self._target_K(0), rng=self._random)
        self._saved = time.monotonic()
        self._dynamics = Langevin(
            self.atoms,
            timestep=spec["timestep_fs"] * units.fs,
            temperature_K=self._target_K(self.step),
            friction=spec["friction_per_fs"] / units.fs,
            fixcm=False,
            rng=self._random,
        )

    def _resume(self) -> bool:
        """Go back to the last checkpoint, and drop the snapshots that were written after it."""
        snapshots, checkpoint = self._directory / SNAPSHOTS, self._directory / _CHECKPOINT
        saved = read_json(checkpoint) if checkpoint.exists() else {}
        if saved.get("key") != self._key:
            snapshots.unlink(missing_ok=True)
            return False
        self.step = saved["step"]
        self.atoms.positions[:] = saved["positions_A"]
        self.atoms.set_momenta(np.array(saved["momenta"]), apply_constraint=False)
        self._random.bit_generator.state = saved["random"]
        with snapshots.open("ab") as handle:
            handle.truncate(saved["snapshot_bytes"])
        return True

    def _target_K(self, step: int) -> float:
        """Target temperature after a step of the schedule."""
        return float(np.interp(step, self._corners[:, 0], self._corners[:, 1]))

    def advance(self) -> None:
        """One timestep, at the target temperature of its end."""
        self._dynamics.set_temperature(temperature_K=self._target_K(self.step + 1))
        self._dynamics.run(1)
        self.step += 1

    def is_snapshot(self) -> bool:
        """Whether this step is one of the run's snapshots."""
        return self.step in self._snapshot_at

    def write_snapshot(self, wall_s: float) -> None:
        """Append this step with its label."""
        record = {
            "step": self.step,
            "positions_A": self.atoms.positions.tolist(),
            "wall_s": wall_s,
            **evaluate(self.atoms, virials=self._spec["virials"]),
        }
        with (self._directory / SNAPSHOTS).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def save(self, *, force: bool = False) -> None:
        """Write a checkpoint if the last one is old."""
        if not force and time.monotonic() - self._saved < CHECKPOINT_S:
            return
        snapshots = self._directory / SNAPSHOTS
        write_json(
            self._directory / _CHECKPOINT,
            {
                "key": self._key,
                "step": self.step,
                "positions_A": self.atoms.positions.tolist(),
                "momenta": self.atoms.get_momenta().tolist(),
                "random": self._random.bit_generator.state,
                "snapshot_bytes": snapshots.stat().st_size if snapshots.exists() else 0,
            },
        )
        self._saved = time.monotonic()

    def broken(self) -> bool:
        """Whether the dynamics have left the numbers."""
        return not bool(np.isfinite([self.atoms.positions, self.atoms.get_momenta()]).all())

    def report(self) -> dict[str, Any]:
        """Step and temperature."""
        return {"step": self.step, "state": f"{self.atoms.get_temperature():.0f} K"}


def work(spec: dict[str, Any], directory: Path, emit: Emit) -> None:
    """Run to the last snapshot, telling step and temperature; a broken run ends early with what it has."""
    try:
        run = Trajectory(spec, directory)
    except Refused as error:
        emit({"refused": error.reason, "key": error.key})
        return
    emit(run.report())
    told = time.monotonic()
    while run.step < max(spec["snapshot_at"], default=0):
        started = time.perf_counter()
        try:
            run.advance()
            if run.broken():
                raise FloatingPointError("positions or momenta are not finite")
            if run.is_snapshot():
                run.write_snapshot(time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001 - any calculator's own exception ends the run here
            traceback.print_exc()
            emit({"ended": f"step {run.step}: {type(error).__name__}: {error}"})
            return
        run.save(force=run.is_snapshot())
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            emit(run.report())


if __name__ == "__main__":
    stream_main(work)
