"""The end of a campaign: final training on everything, and its held-out test."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.closing import first_open_iteration
from llzo_al.campaign.dataset_stage import ExportedDataset, export_dataset, exported_dataset, is_md
from llzo_al.campaign.dimer_curves import compare_with_dimers, comparison_failure, finished_curves
from llzo_al.campaign.iteration import (
    TrainedModel,
    Training,
    derived_seed,
    finished_training,
    previous_model,
    run_training,
)
from llzo_al.campaign.telling import errors_in_words
from llzo_al.errors import UpstreamError
from llzo_al.evaluation.errors import ErrorSummary, pool
from llzo_al.evaluation.parity import PARITY, Parity, read_parity
from llzo_al.files import finished, replacing, run_stage


def final_dataset(campaign: Campaign) -> ExportedDataset:
    """Export (or find) the data set of the final training: everything labelled so far."""
    return export_dataset(
        campaign, campaign.directory.final / "dataset", before_iteration=first_open_iteration(campaign)
    )


def train_final(campaign: Campaign, index: int, *, threads: int) -> TrainedModel:
    """Train one of the final models, or find it finished."""
    training = _training(campaign, index, final_dataset(campaign))
    return run_training(campaign, training, threads=threads, name=f"final-model-{index}")


def finish(campaign: Campaign) -> dict[str, Any]:
    """Gather the final models under ``models/`` and sum up their held-out test.

    Raises
    ------
    UpstreamError
        If no final training finished.
    """
    models = _finished(campaign, final_dataset(campaign))
    if not models:
        raise UpstreamError("no final training finished")
    key = _key(models)
    compare_with_dimers(campaign, models)
    files = _gather(campaign, models)
    outputs = run_stage(
        campaign.directory.final / "test",
        stage="final_test",
        key=key,
        compute=lambda _: {"models": files, "tests": _pooled_tests(models)},
    )
    campaign.say(
        "finished potential, root-mean-square errors on held-out frames:",
        *(errors_in_words(outputs["tests"]) or ["there are none"]),
    )
    for line in shortfalls(campaign, outputs):
        campaign.say(line)
    return outputs


def _gather(campaign: Campaign, models: Sequence[TrainedModel]) -> list[str]:
    """Copy the models to ``models/``, in place of all that were there; their names."""
    place = campaign.directory.models
    place.mkdir(exist_ok=True)
    names = []
    for model in models:
        target = place / f"model-{model.index}{model.file.suffix}"
        with replacing(target) as temporary:
            shutil.copyfile(model.file, temporary)
        names.append(target.name)
    for old in place.glob("model-*"):
        if old.name not in names:
            old.unlink()
    return names


@dataclass(frozen=True, kw_only=True)
class FinishedFinal:
    """The finished potential.

    Attributes
    ----------
    outputs
        What `finish` gave.
    dimers
        Curves of the potential beside the labelled dimers, as `compare_with_dimers` left them.
    dimers_failed
        Why there are none, "" where the comparison did not fail.
    parity
        Labels and the first model's predictions of held-out frames, by kind of structure.
    """

    outputs: dict[str, Any]
    dimers: list[dict[str, Any]]
    dimers_failed: str
    parity: dict[str, Parity]


def finished_final(campaign: Campaign) -> FinishedFinal | None:
    """The potential of the campaign as it stands, or None; also where a model is gone."""
    models = _finished_models(campaign)
    outputs = finished(campaign.directory.final / "test", _key(models)) if models else None
    if outputs is None or not all((campaign.directory.models / name).exists() for name in outputs["models"]):
        return None
    return FinishedFinal(
        outputs=outputs,
        dimers=finished_curves(campaign, models),
        dimers_failed=comparison_failure(campaign, models),
        parity=read_parity(models[0].directory / PARITY),
    )


def _finished_models(campaign: Campaign) -> list[TrainedModel]:
    dataset = exported_dataset(
        campaign, campaign.directory.final / "dataset", before_iteration=first_open_iteration(campaign)
    )
    return [] if dataset is None else _finished(campaign, dataset)


def shortfalls(campaign: Campaign, outputs: Mapping[str, Any]) -> list[str]:
    """Limits of `stopping` that the final potential itself misses on held-out MD frames, in sentences."""
    md = [ErrorSummary.from_dict(values) for name, values in outputs["tests"].items() if is_md(name)]
    if not md:
        return []
    errors, limits = pool(md), campaign.config.stopping
    advice = "train longer (training.final_steps) before you use it"
    told = []
    if errors.energy_rmse_meV_per_atom > limits.energy_rmse_meV_per_atom:
        told.append(
            f"the final potential's energy RMSE {errors.energy_rmse_meV_per_atom:.1f} > "
            f"{limits.energy_rmse_meV_per_atom:g} meV/atom on held-out MD frames: {advice}"
        )
    if errors.force_rmse_meV_per_A > limits.force_rmse_meV_per_A:
        told.append(
            f"the final potential's force RMSE {errors.force_rmse_meV_per_A:.0f} > "
            f"{limits.force_rmse_meV_per_A:g} meV/Å on held-out MD frames: {advice}"
        )
    return told


def _training(campaign: Campaign, index: int, dataset: ExportedDataset) -> Training:
    config = campaign.config
    warm = None
    if config.training.warm_start:
        warm = previous_model(campaign, first_open_iteration(campaign), index)
    return Training(
        index=index,
        directory=campaign.directory.final / "train" / f"model-{index}",
        dataset=dataset,
        steps=config.training.final_steps or 2 * config.training.steps,
        seed=derived_seed(config.seed, "final", index),
        warm=warm,
    )


def _finished(campaign: Campaign, dataset: ExportedDataset) -> list[TrainedModel]:
    size = campaign.config.training.committee_size
    found = [finished_training(campaign, _training(campaign, index, dataset)) for index in range(size)]
    return [model for model in found if model is not None]


def _key(models: list[TrainedModel]) -> dict[str, Any]:
    return {"models": [model.token for model in models]}


def _pooled_tests(models: list[TrainedModel]) -> dict[str, Any]:
    """Test of the first model, set by set, and over all sets."""
    tests: Mapping[str, ErrorSummary] = models[0].result.tests
    result = {name: summary.as_dict() for name, summary in tests.items()}
    if tests:
        result["all"] = pool(tests.values()).as_dict()
    return result
