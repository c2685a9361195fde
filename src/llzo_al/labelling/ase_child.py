"""Child process of an ASE calculator: labels frame after frame."""

from __future__ import annotations

import difflib
import importlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    CalculatorSetupError,
    FileIOCalculator,
    PropertyNotImplementedError,
)

from llzo_al.labelling.streaming import Emit, stream_main


class Refused(Exception):
    """The calculator cannot be made from what the campaign file says.

    Parameters
    ----------
    key
        Key of the section `labelling` that is to blame.
    reason
        What was given and what was expected.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key
        self.reason = reason


def factory(path: str) -> Callable[..., Any]:
    """The class or function at an import path, ``package.module.Name`` or ``package.module:Name``.

    Raises
    ------
    Refused
        If there is none.
    """
    module_name, _, name = path.replace(":", ".").rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise Refused(
            "calculator", f"{path}: {error}; is the package installed in this environment?"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        known = [key for key in vars(module) if not key.startswith("_")]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {module_name}.{close[0]}?" if close else ""
        raise Refused("calculator", f"{path}: {module_name} has no class or function {name!r}.{hint}")
    made: Callable[..., Any] = found
    return made


def make_calculator(spec: Mapping[str, Any]) -> Any:
    """The calculator of a `spec` with ``calculator``, ``parameters`` and ``run_parameters``.

    Raises
    ------
    Refused
        If the import path or the parameters are wrong, or the calculator has no forces.
    """
    make = factory(spec["calculator"])
    parameters = {**spec["parameters"], **spec["run_parameters"]}
    try:
        calculator = make(**parameters)
    except (TypeError, ValueError, KeyError, CalculatorSetupError) as error:
        raise Refused(
            "parameters", f"{spec['calculator']} refuses {parameters}: {type(error).__name__}: {error}"
        ) from error
    _refuse_ignored(calculator, make, parameters, spec)
    offered = getattr(calculator, "implemented_properties", None)
    if offered and not {"energy", "forces"} <= set(offered):
        raise Refused(
            "calculator", f"{spec['calculator']} gives {', '.join(offered)}; energy and forces are needed"
        )
    return calculator


def _refuse_ignored(
    calculator: Any, make: Callable[..., Any], parameters: Mapping[str, Any], spec: Mapping[str, Any]
) -> None:
    """Refuse parameters that a calculator of ASE's own kind would take and never look at."""
    import inspect

    if not isinstance(calculator, Calculator) or isinstance(calculator, FileIOCalculator):
        return
    if type(calculator).set is not Calculator.set or not calculator.default_parameters:
        return
    named = set(inspect.signature(make).parameters) | set(calculator.default_parameters)
    for key in parameters:
        if key not in named:
            close = difflib.get_close_matches(key, sorted(named), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            where = "parameters" if key in spec["parameters"] else "run_parameters"
            raise Refused(f"{where}.{key}", f"{spec['calculator']} has no parameter {key!r}.{hint}")


def frame_atoms(record: Mapping[str, Any]) -> Atoms:
    """ASE `Atoms` of a frame's record."""
    return Atoms(
        symbols=record["symbols"],
        positions=np.array(record["positions_A"]),
        cell=np.array(record["cell_A"]),
        pbc=record["periodic"],
    )


def evaluate(atoms: Atoms, *, virials: bool) -> dict[str, Any]:
    """Energy (eV), forces (eV/angstrom) and virial (eV, or None) of atoms with a calculator.

    The energy is the calculator's ``free_energy``, which the forces belong to, where it has one.
    """
    forces = atoms.get_forces(apply_constraint=False)
    try:
        energy = atoms.get_potential_energy(force_consistent=True)
    except PropertyNotImplementedError:
        energy = atoms.get_potential_energy()
    virial = None
    if virials and atoms.pbc.all():
        try:
            virial = -atoms.get_stress(voigt=False, apply_constraint=False) * atoms.get_volume()
        except PropertyNotImplementedError:
            virial = None
    return {
        "energy_eV": float(energy),
        "forces_eV_per_A": np.asarray(forces, dtype=float).tolist(),
        "virial_eV": None if virial is None else np.asarray(virial, dtype=float).tolist(),
    }


def failure(error: Exception) -> dict[str, str]:
    """Cause and reason of a calculator's exception; what says that it did not converge is "not converged"."""
    text = f"{type(error).__name__}: {error}"
    return {"cause": "not converged" if "converge" in text.lower() else "calculator error", "reason": text}


def work(spec: dict[str, Any], _: Path, emit: Emit) -> None:
    """Label the frames of `spec`, telling each start and each result (see `label_in_child`)."""
    try:
        calculator = make_calculator(spec)
    except Refused as error:
        if not spec["frames"]:
            emit({"refused": error.reason, "key": error.key})
            return
        raise
    for record in spec["frames"]:
        emit({"start": record["index"]})
        started = time.perf_counter()
        try:
            atoms = frame_atoms(record)
            atoms.calc = calculator
            result = evaluate(atoms, virials=spec["virials"])
        except Exception as error:  # noqa: BLE001 - any calculator's own exception is this frame's failure
            import traceback

            traceback.print_exc()
            result = failure(error)
            calculator = make_calculator(spec)
        emit({"index": record["index"], **result, "wall_s": time.perf_counter() - started})


if __name__ == "__main__":
    stream_main(work)
