"""What the campaign has to know of a calculator: its name, its identity, and what the child is told of it.

Nothing heavy is imported here: identities are asked for by every command that opens a campaign.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llzo_al.config.labelling.ase import ASECalculator, CalculatorJobs
from llzo_al.config.labelling.first_principles import ABINIT, CP2K, GPAW, Espresso, UniversalPotential
from llzo_al.errors import UserError

_FORMAT = 1

_NOT_PHYSICS = {
    *("engine", "virials", "threads", "timeout_s", "memory_limit_GB", "frames_per_job", "run_parameters"),
    *("retry_parameters", "version", "command", "device", "pseudopotential_directory", "max_iterations"),
}
"""Keys of a preset's section that do not change a label."""

_NAMES = {"gpaw": "GPAW", "espresso": "Quantum ESPRESSO", "cp2k": "CP2K", "abinit": "ABINIT"}

_INSTALL = {
    "gpaw": "sudo apt-get install g++ libxc-dev libopenblas-dev, then CC=g++ python -m pip install gpaw",
}
"""How to install what pip alone does not."""

PACKAGES = {
    "mace": "mace-torch",
    "chgnet": "chgnet",
    "matgl": "matgl",
    "sevennet": "sevenn",
    "orb": "orb-models",
    "mattersim": "mattersim",
}
"""Package on PyPI of each family of universal potentials."""


def recipe_name(settings: CalculatorJobs) -> str:
    """What reports call the labeller."""
    if isinstance(settings, ASECalculator):
        return f"ase:{settings.calculator.replace(':', '.')}"
    if isinstance(settings, UniversalPotential):
        return f"{settings.family}{f' {settings.model}' if settings.model else ''} (universal potential)"
    return {"gpaw": "GPAW", "espresso": "Quantum ESPRESSO", "cp2k": "CP2K", "abinit": "ABINIT"}[
        settings.engine
    ]


def physics(settings: CalculatorJobs, elements: Sequence[str]) -> dict[str, Any]:
    """All and only what changes a label; see `llzo_al.labelling.base.Labeller.physics`.

    Raises
    ------
    UserError
        If a version is not given and cannot be found out on this machine.
    """
    if isinstance(settings, ASECalculator):
        return _any_calculator(settings)
    values = {key: value for key, value in settings.settings().items() if key not in _NOT_PHYSICS}
    return {
        "format": _FORMAT,
        "engine": settings.engine,
        "version": _version(settings, elements),
        "settings": values,
    }


def _any_calculator(settings: ASECalculator) -> dict[str, Any]:
    """Identity of a calculator by import path.

    What is left at its default of the keys that came later is not among it, so that older labels stay valid.
    """
    known = {
        "format": _FORMAT,
        "engine": "ase",
        "calculator": settings.calculator.replace(":", "."),
        "version": settings.version,
        "parameters": json.loads(json.dumps(settings.parameters)),
    }
    if settings.magnetic_moments_muB:
        known["magnetic_moments_muB"] = dict(settings.magnetic_moments_muB)
    return known


def child_spec(settings: CalculatorJobs, *, attempt: int = 1) -> dict[str, Any]:
    """What the labelling child needs to build the calculator, as JSON.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.
    attempt
        Which attempt it is, from 1; later ones get `retry_parameters` over `run_parameters`.
    """
    retries = settings.retry_parameters
    later = retries[min(attempt - 2, len(retries) - 1)] if attempt > 1 and retries else {}
    run = {**settings.run_parameters, **later}
    common = {"virials": settings.virials, "run_parameters": run, "threads": settings.threads}
    if isinstance(settings, ASECalculator):
        return {
            **common,
            "calculator": settings.calculator,
            "parameters": settings.parameters,
            "charge_parameter": settings.charge_parameter,
            "multiplicity_parameter": settings.multiplicity_parameter,
            "magnetic_moments_muB": settings.magnetic_moments_muB,
        }
    return {**common, "preset": settings.engine, "settings": settings.settings()}


def with_parameters(settings: CalculatorJobs, parameters: Mapping[str, Any], where: str) -> CalculatorJobs:
    """The settings with a single trajectory's own parameters over them.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.
    parameters
        Keyword arguments of a calculator by import path; keys of the section of a preset.
    where
        What an error calls them.

    Raises
    ------
    UserError
        If they are not this labeller's.
    """
    if not parameters:
        return settings
    changed = dict(settings.model_dump())
    if isinstance(settings, ASECalculator):
        changed["parameters"] = {**settings.parameters, **parameters}
    else:
        changed.update(parameters)
    try:
        return type(settings).model_validate(changed)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'labelling'}: {each['msg']}" for each in error.errors()
        )
        raise UserError(f"{where}: do not fit the labeller {settings.engine}: {told}") from error


def _version(settings: CalculatorJobs, elements: Sequence[str]) -> Any:
    """Version of the code and of its files: what the campaign file says, or what is found here."""
    given: str | None = getattr(settings, "version", None)
    if isinstance(settings, GPAW):
        if given is not None:
            return given
        return {
            "gpaw": _package_version("gpaw", "GPAW"),
            "setups": {
                element: _fingerprint(_gpaw_setup(settings, element), f"GPAW's PAW setup of {element}")
                for element in elements
            },
        }
    if isinstance(settings, Espresso | ABINIT):
        folder = Path(settings.pseudopotential_directory).expanduser()
        return {
            "code": given,
            "pseudopotentials": {
                element: _fingerprint(
                    folder / file, f"labelling.pseudopotentials.{element}: the pseudopotential file"
                )
                for element, file in sorted(settings.pseudopotentials.items())
            },
        }
    if isinstance(settings, UniversalPotential):
        return given if given is not None else _universal_version(settings)
    if isinstance(settings, CP2K):
        return given
    raise TypeError(f"no version for {type(settings).__name__}")


def _universal_version(settings: UniversalPotential) -> dict[str, Any]:
    package = PACKAGES[settings.family]
    found: dict[str, Any] = {"package": _package_version(package, f"labelling.family {settings.family}")}
    path = Path(settings.model).expanduser() if settings.model else None
    if path is not None and path.is_file():
        found["file"] = _fingerprint(path, "the model")
    return found


def _package_version(package: str, what: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        how = _INSTALL.get(package, f"python -m pip install {package}")
        raise UserError(
            f"labelling: {what} needs the Python package {package}, which is not installed in this "
            f"environment: {how}. Where labels are only looked at, `labelling.version` can say the version "
            "instead"
        ) from error


def gpaw_setup_directories() -> list[Path]:
    """Where GPAW looks for setups: GPAW_SETUP_PATH, then the package `gpaw-data`."""
    given = [Path(part) for part in os.environ.get("GPAW_SETUP_PATH", "").split(os.pathsep) if part]
    spec = importlib.util.find_spec("gpaw_data")
    places: Iterable[str] = (spec.submodule_search_locations or ()) if spec is not None else ()
    return [*given, *(Path(place) / "setups" for place in places)]


def _gpaw_setup(settings: GPAW, element: str) -> Path:
    kind = settings.setups.get(element, settings.setups.get("default", ""))
    stem = f"{element}.{kind}.{settings.xc}" if kind and kind != "paw" else f"{element}.{settings.xc}"
    places = gpaw_setup_directories()
    for place in places:
        for name in (stem, f"{stem}.gz"):
            if (place / name).is_file():
                return place / name
    looked = ", ".join(map(str, places)) or "no directory at all"
    raise UserError(
        f"labelling: GPAW has no PAW setup {stem} (looked in {looked}); python -m pip install gpaw-data, "
        "name another directory in GPAW_SETUP_PATH, or say in `labelling.version` what the labels were made "
        "with"
    )


def _fingerprint(path: Path, what: str) -> str:
    """Hash of a file's contents, wherever it lies."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error}") from error


def refuse_unwritable(settings: CalculatorJobs) -> None:
    """Refuse parameters that cannot be written as JSON.

    Raises
    ------
    UserError
        If there is one; the message names the key.
    """
    values: Mapping[str, Any] = settings.model_dump()
    for key in ("parameters", "run_parameters", "retry_parameters", "input_data"):
        try:
            json.dumps(values.get(key), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"labelling.{key}: only numbers, text, lists and mappings can be given ({error})"
            ) from error
