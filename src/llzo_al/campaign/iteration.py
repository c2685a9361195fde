"""One iteration: train, explore, assess and select, close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.dataset_stage import ExportedDataset, export_dataset
from llzo_al.errors import UpstreamError
from llzo_al.exploration.md import MDInputs, run_md
from llzo_al.exploration.potential import deepmd_potential
from llzo_al.exploration.runs import ExplorationRun, exploration_runs
from llzo_al.files import MANIFEST, fingerprint, finished, read_manifest, run_stage
from llzo_al.training.train import TrainInputs, TrainResult, train_model

_WITHOUT_EFFECT = frozenset(
    {"steps", "warm_start_steps", "final_steps", "checkpoint_steps", "committee_size", "warm_start"}
)
"""Settings of `training` that change no single model, or that a training's key holds in another way."""

_NETWORK = (
    "backend",
    "rcut_A",
    "rcut_smooth_A",
    "embedding_neurons",
    "axis_neurons",
    "fitting_neurons",
)


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A finished training.

    Attributes
    ----------
    index
        Number in the committee.
    directory
        Where its files lie.
    token
        Hash of everything that it was trained with.
    result
        What the training stage reported.
    """

    index: int
    directory: Path
    token: str
    result: TrainResult

    @property
    def file(self) -> Path:
        """The model that LAMMPS loads."""
        return self.directory / self.result.model


def iteration_dataset(campaign: Campaign, number: int) -> ExportedDataset:
    """Export (or find) the data set of an iteration."""
    return export_dataset(campaign, campaign.directory.iteration(number) / "dataset", before_iteration=number)


def train(campaign: Campaign, number: int, index: int, *, threads: int) -> TrainedModel:
    """Train one model of an iteration's committee, or find it finished."""
    return run_training(
        campaign,
        iteration_training(campaign, number, index),
        threads=threads,
        name=f"iteration-{number}-model-{index}",
    )


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that is to be, or has been, run.

    Attributes
    ----------
    index
        Number in the committee.
    directory
        Where it lives.
    dataset
        What it sees.
    steps
        Training steps.
    seed
        Seed of weights and of the order of frames.
    warm
        Model that it starts from.
    """

    index: int
    directory: Path
    dataset: ExportedDataset
    steps: int
    seed: int
    warm: TrainedModel | None

    def key(self, campaign: Campaign) -> dict[str, Any]:
        """Everything that the trained model depends on."""
        return {
            "dataset": self.dataset.token,
            "settings": {
                name: value
                for name, value in campaign.config.training.settings().items()
                if name not in _WITHOUT_EFFECT
            },
            "elements": list(campaign.config.elements),
            "steps": self.steps,
            "seed": self.seed,
            "warm_start": self.warm.token if self.warm is not None else None,
        }


def iteration_training(campaign: Campaign, number: int, index: int) -> Training:
    """One training of an iteration."""
    config = campaign.config
    warm = previous_model(campaign, number, index) if config.training.warm_start else None
    return Training(
        index=index,
        directory=campaign.directory.iteration(number) / "train" / f"model-{index}",
        dataset=iteration_dataset(campaign, number),
        steps=config.training.steps if warm is None else config.training.steps_when_warm,
        seed=derived_seed(config.seed, "train", number, index),
        warm=warm,
    )


def run_training(campaign: Campaign, training: Training, *, threads: int, name: str) -> TrainedModel:
    """Run a training in its directory, or find it finished."""
    key = training.key(campaign)

    def compute(work: Path) -> dict[str, Any]:
        result = train_model(
            TrainInputs(
                training_systems=training.dataset.training_systems,
                test_systems=training.dataset.test_systems,
                settings=campaign.config.training,
                elements=tuple(campaign.config.elements),
                steps=training.steps,
                seed=training.seed,
                init_model=training.warm.directory if training.warm is not None else None,
                threads=threads,
            ),
            work,
            progress=campaign.progress_file(name),
        )
        if result.notes:
            campaign.say(f"warning: training of {name.replace('-', ' ')}", *result.notes)
        return result.as_dict()

    outputs = run_stage(training.directory, stage="train", key=key, compute=compute)
    return _trained(training, key, outputs)


def finished_training(campaign: Campaign, training: Training) -> TrainedModel | None:
    """The model of a training that finished with its present inputs."""
    key = training.key(campaign)
    outputs = finished(training.directory, key)
    return None if outputs is None else _trained(training, key, outputs)


def committee(campaign: Campaign, number: int) -> list[TrainedModel]:
    """Finished models of an iteration, in order.

    Raises
    ------
    UpstreamError
        If fewer than two trainings finished: a committee of one has no deviation.
    """
    size = campaign.config.training.committee_size
    found = [
        finished_training(campaign, iteration_training(campaign, number, index)) for index in range(size)
    ]
    models = [model for model in found if model is not None]
    if len(models) < 2:
        raise UpstreamError(
            f"iteration {number}: {len(models)} of {size} trainings finished, at least two are needed for "
            f"a deviation; see their failures and learning curves under "
            f"{campaign.directory.iteration(number) / 'train'}"
        )
    return models


def _trained(training: Training, key: dict[str, Any], outputs: dict[str, Any]) -> TrainedModel:
    return TrainedModel(
        index=training.index,
        directory=training.directory,
        token=fingerprint(key),
        result=TrainResult.from_dict(outputs),
    )


def planned_runs(campaign: Campaign, number: int) -> list[ExplorationRun]:
    """MD runs of an iteration."""
    return exploration_runs(
        campaign.config.exploration, base=campaign.base, seed=campaign.config.seed, iteration=number
    )


def run_directory(campaign: Campaign, number: int, index: int) -> Path:
    """Where one MD run of an iteration lives."""
    return campaign.directory.iteration(number) / "explore" / f"run-{index:03d}"


def explore(campaign: Campaign, number: int, index: int, *, threads: int) -> dict[str, Any]:
    """Run one MD of an iteration, or find it finished.

    Returns
    -------
    dict
        The `MDResult` as a dictionary.
    """
    run = planned_runs(campaign, number)[index]
    models = committee(campaign, number)
    settings = campaign.config.exploration
    key = explore_key(campaign, run, models)
    directory = run_directory(campaign, number, index)

    def compute(work: Path) -> dict[str, Any]:
        result = run_md(
            MDInputs(
                frame=run.frame,
                elements=tuple(campaign.config.elements),
                potential=deepmd_potential(
                    [model.file for model in models],
                    campaign.config.elements,
                    deviation_interval_steps=run.frame_interval_steps,
                ),
                ensemble=settings.ensemble,
                temperature_K=run.temperature_K,
                pressure_bar=settings.pressure_bar,
                timestep_fs=settings.timestep_fs,
                steps=run.steps,
                frame_interval_steps=run.frame_interval_steps,
                restart_interval_steps=run.restart_interval_steps,
                thermostat_time_fs=settings.thermostat_time_fs,
                barostat_time_fs=settings.barostat_time_fs,
                seed=run.seed,
                guard=settings.guard,
                threads=threads,
            ),
            work,
            progress=campaign.progress_file(f"iteration-{number}-run-{index}"),
        )
        if result.notes:
            campaign.say(f"warning: MD of iteration {number} run {index}", *result.notes)
        return result.as_dict()

    return run_stage(directory, stage="explore", key=key, compute=compute)


def explore_key(campaign: Campaign, run: ExplorationRun, models: Sequence[TrainedModel]) -> dict[str, Any]:
    """Everything that an MD run depends on."""
    start = [
        each.sha256
        for each in campaign.input_files
        if each.section == "exploration" and each.name == run.kind
    ]
    return {
        "models": [model.token for model in models],
        "group": run.group,
        "temperature_K": run.temperature_K,
        "seed": run.seed,
        "settings": {
            name: value
            for name, value in campaign.config.exploration.settings().items()
            if name != "supercells" or value  # runs of versions without this key stay valid
        },
        **({"start": start} if start else {}),
    }


FinishedRun = tuple[int, ExplorationRun, dict[str, Any]]
"""Number of an MD run, the run, and what came of it."""


def finished_runs(campaign: Campaign, number: int) -> list[FinishedRun]:
    """MD runs of an iteration that finished with the current models and settings."""
    models = committee(campaign, number)
    found = []
    for index, run in enumerate(planned_runs(campaign, number)):
        outputs = finished(run_directory(campaign, number, index), explore_key(campaign, run, models))
        if outputs is not None:
            found.append((index, run, outputs))
    return found


def previous_model(campaign: Campaign, number: int, index: int) -> TrainedModel | None:
    """Model of the same number from the iteration before, if its network is the one that is trained now."""
    directory = campaign.directory.iteration(number - 1) / "train" / f"model-{index}"
    if number == 0 or not (directory / MANIFEST).exists():
        return None
    manifest = read_manifest(directory)
    before = manifest["inputs"]
    if before["elements"] != list(campaign.config.elements) or _network(before["settings"]) != _network(
        campaign.config.training.settings()
    ):
        return None
    return TrainedModel(
        index=index,
        directory=directory,
        token=manifest["inputs_hash"],
        result=TrainResult.from_dict(manifest["outputs"]),
    )


def _network(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of the settings of `training` a model must share with the one that it starts from."""
    return {name: settings.get(name) for name in _NETWORK} | {
        "model": (settings.get("overrides") or {}).get("model")
    }


def derived_seed(seed: int, *path: str | int) -> int:
    """Seed of one random choice, from the campaign's seed and the choice's own name."""
    return int(fingerprint([seed, *path])[:12], 16) % (2**31 - 1) + 1
