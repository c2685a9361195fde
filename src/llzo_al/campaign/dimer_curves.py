"""The finished potential's curves beside the labelled dimers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.iteration import TrainedModel
from llzo_al.errors import StageError
from llzo_al.evaluation.dimers import DimerLabels, as_key, compare_dimers, labelled_dimers
from llzo_al.files import MANIFEST, read_json, read_manifest, run_stage, write_json


def compare_with_dimers(campaign: Campaign, models: Sequence[TrainedModel]) -> list[dict[str, Any]]:
    """Compare the final models with the labelled dimers, once; nothing is done where there are none.

    Returns
    -------
    list of dict
        The curve of each pair; none where the comparison failed, which is told, then and in the report: it
        is no reason to lose a finished potential.
    """
    _failed(campaign).unlink(missing_ok=True)
    labelled = _labelled(campaign)
    if not labelled:
        return []

    def compute(work: Path) -> dict[str, Any]:
        return {"curves": compare_dimers([model.file for model in models], labelled, work)}

    try:
        outputs = run_stage(
            _directory(campaign), stage="dimer_curves", key=_key(models, labelled), compute=compute
        )
    except StageError as error:
        message = f"the final models could not be compared with the labelled dimers: {error}"
        campaign.say(message)
        write_json(_failed(campaign), {"models": _tokens(models), "message": message})
        return []
    curves: list[dict[str, Any]] = outputs["curves"]
    return curves


def finished_curves(campaign: Campaign, models: Sequence[TrainedModel]) -> list[dict[str, Any]]:
    """What `compare_with_dimers` found for these models, or nothing; the label store is not read."""
    if not (_directory(campaign) / MANIFEST).exists():
        return []
    manifest = read_manifest(_directory(campaign))
    if manifest["inputs"]["models"] != _tokens(models):
        return []
    curves: list[dict[str, Any]] = manifest["outputs"]["curves"]
    return curves


def comparison_failure(campaign: Campaign, models: Sequence[TrainedModel]) -> str:
    """Why `compare_with_dimers` gave no curves of these models; "" where it did not fail."""
    if not _failed(campaign).exists():
        return ""
    failed = read_json(_failed(campaign))
    return str(failed["message"]) if failed["models"] == _tokens(models) else ""


def _labelled(campaign: Campaign) -> list[DimerLabels]:
    found = labelled_dimers(
        campaign.store.records(split=("training", "held-out"), physics=campaign.physics),
        force_cap_eV_per_A=campaign.config.dataset.force_cap_eV_per_A,
    )
    order = campaign.config.elements.index
    return sorted(found, key=lambda each: [order(symbol) for symbol in each.symbols])


def _directory(campaign: Campaign) -> Path:
    return campaign.directory.final / "dimers"


def _failed(campaign: Campaign) -> Path:
    """What is left of a comparison that failed."""
    return campaign.directory.final / "dimers_failed.json"


def _key(models: Sequence[TrainedModel], labelled: Sequence[DimerLabels]) -> dict[str, Any]:
    return {"models": _tokens(models), "labels": as_key(labelled)}


def _tokens(models: Sequence[TrainedModel]) -> list[str]:
    return [model.token for model in models]
