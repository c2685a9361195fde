"""Child process of a relaxation with an ASE calculator, from ionic step to ionic step."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from llzo_al.files import read_json_lines, write_atomic
from llzo_al.labelling.ase_child import Refused, evaluate, make_calculator
from llzo_al.labelling.ase_dynamics import PATH, run_key, starting_atoms
from llzo_al.labelling.streaming import Emit, stream_main


class Relaxation:
    """A relaxation that can be taken up again where a killed process left it.

    The optimiser's memory of earlier steps is not kept: after an interruption it starts anew from the last
    ionic step.

    Parameters
    ----------
    spec
        Start, calculator and settings of the relaxation.
    directory
        Where its path is.
    """

    def __init__(self, spec: Mapping[str, Any], directory: Path) -> None:
        self._spec = spec
        self._file = directory / PATH
        self.atoms: Atoms = starting_atoms(spec)
        self.step = -1
        self.converged = False
        self._resume()
        self.atoms.calc = make_calculator(spec, directory / "engine")

    def _resume(self) -> None:
        """Go back to the last ionic step of this relaxation; a line that a kill cut short is dropped."""
        key = run_key(self._spec)
        lines = read_json_lines(self._file)
        if not lines or lines[0].get("key") != key:
            lines = [{"key": key}]
        write_atomic(self._file, "".join(json.dumps(line) + "\n" for line in lines))
        if len(lines) > 1:
            last = lines[-1]
            self.step, self.converged = last["step"], last["converged"]
            self.atoms.set_cell(last["cell_A"])
            self.atoms.positions[:] = last["positions_A"]

    def run(self, emit: Emit) -> None:
        """Relax until it has converged or its steps are spent, telling each ionic step."""
        first = max(self.step, 0)
        moving = FrechetCellFilter(self.atoms) if self._spec["cell"] else self.atoms
        optimizer = LBFGS(moving, logfile=None)
        started = time.perf_counter()
        for converged in optimizer.irun(
            fmax=self._spec["fmax_eV_per_A"], steps=self._spec["steps_max"] - first
        ):
            step = first + optimizer.nsteps
            if step > self.step:
                self._write(step, bool(converged), time.perf_counter() - started)
            emit({"step": step, "state": f"{self._largest_force():.3f} eV/angstrom"})
            started = time.perf_counter()

    def _largest_force(self) -> float:
        forces = self.atoms.get_forces(apply_constraint=False)
        return float(np.linalg.norm(forces, axis=1).max(initial=0.0))

    def _write(self, step: int, converged: bool, wall_s: float) -> None:
        """Append an ionic step with its label."""
        if not np.isfinite(self.atoms.positions).all():
            raise FloatingPointError("positions are not finite")
        record = {
            "step": step,
            "converged": converged,
            "positions_A": self.atoms.positions.tolist(),
            "cell_A": self.atoms.cell.array.tolist(),
            "wall_s": wall_s,
            **evaluate(self.atoms, virials=self._spec["virials"]),
        }
        with self._file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        self.step, self.converged = step, converged


def work(spec: dict[str, Any], directory: Path, emit: Emit) -> None:
    """Relax, telling each ionic step; one that breaks ends early with what it has."""
    try:
        relaxation = Relaxation(spec, directory)
    except Refused as error:
        emit({"refused": error.reason, "key": error.key})
        return
    if relaxation.converged or relaxation.step >= spec["steps_max"]:
        return
    try:
        relaxation.run(emit)
    except Exception as error:  # noqa: BLE001 - any calculator's own exception ends the relaxation here
        traceback.print_exc()
        emit({"ended": f"step {relaxation.step + 1}: {type(error).__name__}: {error}"})


if __name__ == "__main__":
    stream_main(work)
