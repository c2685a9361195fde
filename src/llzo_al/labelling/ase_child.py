"""Child process of an ASE calculator: labels frame after frame."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    CalculationFailed,
    Calculator,
    CalculatorSetupError,
    FileIOCalculator,
    InputError,
    PropertyNotImplementedError,
    SCFError,
)

from llzo_al.labelling.presets.common import NotConverged, NotSupported, Refused, Run
from llzo_al.labelling.presets.per_structure import PerStructure
from llzo_al.labelling.streaming import Emit, stream_main

__all__ = ["Refused", "evaluate", "frame_atoms", "make_calculator", "work"]


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


def make_calculator(spec: Mapping[str, Any], directory: Path = Path("engine")) -> Any:
    """The calculator of a `spec` (see `llzo_al.labelling.presets.recipes.child_spec`).

    Parameters
    ----------
    spec
        A preset and its settings, or an import path and its parameters.
    directory
        Where a preset's code keeps its files.

    Raises
    ------
    Refused
        If the import path or the parameters are wrong, or the calculator has no forces.
    """
    if "preset" in spec:
        return PerStructure(spec["preset"], spec["settings"], _run(spec, directory))
    make = factory(spec["calculator"])
    parameters = {**spec["parameters"], **spec["run_parameters"]}
    return _called(make, parameters, spec)


def _run(spec: Mapping[str, Any], directory: Path) -> Run:
    return Run(directory=directory.resolve(), parameters=spec["run_parameters"], threads=spec["threads"])


def _called(make: Callable[..., Any], parameters: Mapping[str, Any], spec: Mapping[str, Any]) -> Any:
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
    """ASE `Atoms` of a frame's record; a charge or a multiplicity is in `info`."""
    info = {key: record[key] for key in ("charge", "multiplicity") if record.get(key) is not None}
    return Atoms(
        symbols=record["symbols"],
        positions=np.array(record["positions_A"]),
        cell=np.array(record["cell_A"]),
        pbc=record["periodic"],
        info=info,
    )


def evaluate(atoms: Atoms, *, virials: bool) -> dict[str, Any]:
    """Energy (eV), forces (eV/angstrom) and virial (eV, or None) of atoms with a calculator; which one.

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
        "program": _program(atoms.calc),
    }


def _program(calculator: Any) -> str:
    """What computes: what the calculator says, or its name and the version of its Python package."""
    made = getattr(calculator, "inner", calculator)
    told = getattr(made, "program", None)
    if isinstance(told, str):
        return told
    package = type(made).__module__.partition(".")[0]
    name = type(made).__name__
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return name
    return f"{name} ({package} {version})"


def failure(error: Exception) -> dict[str, str]:
    """Cause (see `llzo_al.labelling.causes`) and reason of a calculator's exception."""
    text = f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__}, see child.log"
    return {"cause": _cause(error, text.lower()), "reason": text}


def _cause(error: Exception, text: str) -> str:
    if isinstance(error, MemoryError) or "cannot allocate memory" in text or "bad_alloc" in text:
        return "out of memory"
    if isinstance(error, NotConverged | SCFError) or "converge" in text:
        return "not converged"
    if isinstance(error, NotSupported | PropertyNotImplementedError):
        return "not supported"
    if isinstance(error, Refused | InputError | CalculatorSetupError):
        return "input refused"
    if isinstance(error, CalculationFailed | CalledProcessError):
        return "crash"
    return "calculator error"


class _Frames:
    """Labels frames with a calculator that fits each of them."""

    def __init__(self, spec: Mapping[str, Any], directory: Path) -> None:
        self._spec = spec
        self._directory = directory
        self._shared = make_calculator(spec, directory / "engine")

    def label(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Energy, forces and virial of one frame; the code's files are kept where it fails."""
        files = self._directory / f"frame-{record['index']}"
        atoms = frame_atoms(record)
        if isinstance(self._shared, PerStructure):
            self._shared.renew(_run(self._spec, files))
            atoms.calc = self._shared
        else:
            atoms.calc = self._fitting(atoms)
        result = evaluate(atoms, virials=self._spec["virials"])
        if isinstance(self._shared, PerStructure):
            self._shared.close()  # before the directory that it works in is gone
        shutil.rmtree(files, ignore_errors=True)
        return result

    def renew(self) -> None:
        """Make the calculator anew after it failed."""
        self._shared = make_calculator(self._spec, self._directory / "engine")

    def _fitting(self, atoms: Atoms) -> Any:
        """The shared calculator, or one with the frame's charge and multiplicity."""
        spec = self._spec
        given = spec.get("magnetic_moments_muB") or {}
        if given:
            atoms.set_initial_magnetic_moments([given.get(symbol, 0.0) for symbol in atoms.symbols])
        extra = {}
        for what in ("charge", "multiplicity"):
            if what not in atoms.info:
                continue
            name = spec.get(f"{what}_parameter")
            if name is None:
                raise NotSupported(
                    f"the frame has {what} {atoms.info[what]}; labelling.{what}_parameter does not say by "
                    "which keyword the calculator takes it"
                )
            extra[name] = atoms.info[what]
        if not extra:
            return self._shared
        parameters = {**spec["parameters"], **spec["run_parameters"], **extra}
        return _called(factory(spec["calculator"]), parameters, spec)


def work(spec: dict[str, Any], directory: Path, emit: Emit) -> None:
    """Label the frames of `spec`, telling each start and each result (see `label_in_child`)."""
    try:
        frames = _Frames(spec, directory)
    except Refused as error:
        if not spec["frames"]:
            emit({"refused": error.reason, "key": error.key})
            return
        raise
    for record in spec["frames"]:
        emit({"start": record["index"]})
        started = time.perf_counter()
        try:
            result = frames.label(record)
        except Exception as error:  # noqa: BLE001 - any calculator's own exception is this frame's failure
            import traceback

            traceback.print_exc()
            result = failure(error)
            frames.renew()
        emit({"index": record["index"], **result, "wall_s": time.perf_counter() - started})


if __name__ == "__main__":
    stream_main(work)
