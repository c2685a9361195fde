"""Pretrained universal potentials, where a user has installed one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ase import Atoms

from llzo_al.labelling.presets.common import NotSupported, Refused, Run, charge_of, multiplicity_of
from llzo_al.labelling.presets.recipes import PACKAGES

MODULES = {
    "mace": "mace.calculators",
    "chgnet": "chgnet.model.dynamics",
    "matgl": "matgl.ext.ase",
    "sevennet": "sevenn.calculator",
    "orb": "orb_models.forcefield.calculator",
    "mattersim": "mattersim.forcefield",
}
"""Module that holds each family's ASE calculator."""


def check(settings: Mapping[str, Any], run: Run) -> None:  # noqa: ARG001 - as all presets
    """Import the family's package.

    Raises
    ------
    Refused
        If it is not installed.
    """
    family = settings["family"]
    try:
        importlib.import_module(MODULES[family])
    except ImportError as error:
        raise Refused(
            "family",
            f"{family} needs the Python package {PACKAGES[family]} ({error}); python -m pip install "
            f"{PACKAGES[family]}",
        ) from error


def build(settings: Mapping[str, Any], atoms: Atoms, run: Run) -> Any:
    """The family's ASE calculator."""
    multiplicity = multiplicity_of(atoms)
    if charge_of(atoms) or multiplicity not in (None, 1):
        raise NotSupported("a universal potential knows neither charges nor spin multiplicities")
    module = importlib.import_module(MODULES[settings["family"]])
    return _MAKERS[settings["family"]](module, settings["model"], settings["device"], dict(run.parameters))


def verify(calculator: Any, run: Run) -> None:
    """Nothing to verify: a model does not iterate."""


def _mace(module: Any, model: str | None, device: str, more: dict[str, Any]) -> Any:
    return module.mace_mp(model=model, device=device, default_dtype="float64", **more)


def _chgnet(module: Any, model: str | None, device: str, more: dict[str, Any]) -> Any:
    loaded = None
    if model is not None:
        package = importlib.import_module("chgnet.model.model")
        loaded = package.CHGNet.load(model_name=model)
    return module.CHGNetCalculator(model=loaded, use_device=device, **more)


def _matgl(module: Any, model: str | None, device: str, more: dict[str, Any]) -> Any:
    matgl = importlib.import_module("matgl")
    potential = matgl.load_model(model or "TensorNet-MatPES-PBE-v2025.1-PES").to(device)
    return module.PESCalculator(potential=potential, **more)


def _sevennet(module: Any, model: str | None, device: str, more: dict[str, Any]) -> Any:
    return module.SevenNetCalculator(model=model or "7net-0", device=device, **more)


def _orb(module: Any, model: str | None, device: str, more: dict[str, Any]) -> Any:
    pretrained = importlib.import_module("orb_models.forcefield.pretrained")
    loaded = getattr(pretrained, model or "orb_v3_conservative_inf_omat")(device=device)
    return module.ORBCalculator(loaded, device=device, **more)


def _mattersim(module: Any, model: str | None, device: str, more: dict[str, Any]) -> Any:
    return module.MatterSimCalculator(**({"load_path": model} if model else {}), device=device, **more)


_MAKERS = {
    "mace": _mace,
    "chgnet": _chgnet,
    "matgl": _matgl,
    "sevennet": _sevennet,
    "orb": _orb,
    "mattersim": _mattersim,
}
