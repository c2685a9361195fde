"""How the workflow grows: the fan-outs, the next iteration, the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fireworks import FireTaskBase, Firework, FWAction, Workflow

from llzo_al.campaign import closing, final, iteration
from llzo_al.campaign.campaign import Campaign
from llzo_al.process import usable_cores
from llzo_al.workflow.owner import owner_of

CATEGORIES = ("control", "train", "md", "label")
"""Kinds of work that workers take; the limits of `resources` are set by who takes which."""


def available_cores(campaign: Campaign) -> int:
    """Cores that the local workers may fill."""
    return campaign.config.resources.cores or usable_cores()


def category_limits(campaign: Campaign) -> dict[str, int]:
    """How many tasks of each category may run at once on this machine."""
    cores = available_cores(campaign)
    resources = campaign.config.resources
    return {
        "control": cores,
        "train": min(cores, resources.max_trainings or cores),
        "md": min(cores, resources.max_md_runs or cores),
        "label": min(max(cores // campaign.labeller.threads, 1), resources.max_label_jobs or cores),
    }


def start(campaign: Campaign) -> Workflow:
    """The workflow that starts or continues a campaign, from what its directory holds."""
    number = closing.first_open_iteration(campaign)
    initial_data = _firework(campaign, "InitialDataTask", "initial data", "control")
    decided = closing.decision(campaign, number - 1) if number > 0 else None
    if decided is not None and decided.stop:
        following = _firework(campaign, "StartFinalTask", "final: data set", "control", fizzled_parents=True)
    else:
        following = _start_iteration(campaign, number)
    return Workflow(
        [initial_data, following],
        {initial_data: [following]},
        name=campaign.config.name,
        metadata=owner_of(campaign.directory).metadata,
    )


def after(campaign: Campaign) -> Workflow:
    """What follows a closed iteration: the first open one, or the final training."""
    number = closing.first_open_iteration(campaign)
    if closing.decision(campaign, number - 1).stop:
        return Workflow([_firework(campaign, "StartFinalTask", "final: data set", "control")], name="final")
    return Workflow([_start_iteration(campaign, number)], name=f"iteration {number}")


def iteration_workflow(campaign: Campaign, number: int) -> Workflow:
    """Trainings, then MD runs, then assessment, then close; joins carry failed members along."""
    name = f"iteration {number}"
    n_models = campaign.config.training.committee_size
    n_runs = len(iteration.planned_runs(campaign, number))
    trainings = [
        _firework(
            campaign,
            "TrainTask",
            f"{name}: train model {index}",
            "train",
            threads=_threads(campaign, "train", n_models),
            iteration=number,
            model=index,
        )
        for index in range(n_models)
    ]
    runs = [
        _firework(
            campaign,
            "ExploreTask",
            f"{name}: MD run {index}",
            "md",
            threads=_threads(campaign, "md", n_runs),
            fizzled_parents=True,
            iteration=number,
            run=index,
        )
        for index in range(n_runs)
    ]
    assess = _firework(
        campaign, "AssessTask", f"{name}: assess", "control", fizzled_parents=True, iteration=number
    )
    close = _firework(
        campaign, "CloseIterationTask", f"{name}: close", "control", fizzled_parents=True, iteration=number
    )
    links: dict[Firework, list[Firework]] = {training: list(runs) for training in trainings}
    links.update({run: [assess] for run in runs})
    links[assess] = [close]
    return Workflow([*trainings, *runs, assess, close], links, name=name)


def final_workflow(campaign: Campaign) -> Workflow:
    """Final trainings and their test."""
    n_models = campaign.config.training.committee_size
    trainings = [
        _firework(
            campaign,
            "FinalTrainTask",
            f"final: train model {index}",
            "train",
            threads=_threads(campaign, "train", n_models),
            model=index,
        )
        for index in range(n_models)
    ]
    finish = _firework(campaign, "FinishTask", "final: test", "control", fizzled_parents=True)
    return Workflow([*trainings, finish], {training: [finish] for training in trainings}, name="final")


def labels(campaign: Campaign, jobs: Sequence[Sequence[str]]) -> list[Firework]:
    """A firework for each labelling job."""
    return [
        _firework(
            campaign,
            "LabelTask",
            f"label {len(job)} frames",
            "label",
            identities=list(job),
        )
        for job in jobs
    ]


def reference_md(campaign: Campaign, n_runs: int) -> list[Firework]:
    """A firework for each trajectory of the reference."""
    return [
        _firework(
            campaign,
            "ReferenceMDTask",
            f"reference MD {index}",
            "label",
            threads=campaign.labeller.threads,
            run=index,
        )
        for index in range(n_runs)
    ]


def detour(fireworks: Sequence[Firework]) -> FWAction:
    """Put independent fireworks between a firework and its children."""
    return FWAction(detours=[Workflow([firework]) for firework in fireworks])


def final_is_done(campaign: Campaign) -> bool:
    """Whether nothing is left to do for the campaign as it stands."""
    number = closing.first_open_iteration(campaign)
    if number == 0 or not closing.decision(campaign, number - 1).stop:
        return False
    return final.finished_final(campaign) is not None


def _start_iteration(campaign: Campaign, number: int) -> Firework:
    return _firework(
        campaign,
        "StartIterationTask",
        f"iteration {number}: data set",
        "control",
        fizzled_parents=True,
        iteration=number,
    )


def _threads(campaign: Campaign, category: str, n_tasks: int) -> int:
    """Cores of each of `n_tasks` equal tasks, so that together they fill the machine."""
    at_once = max(1, min(n_tasks, category_limits(campaign)[category]))
    return max(1, available_cores(campaign) // at_once)


def _firework(
    campaign: Campaign,
    task: str,
    name: str,
    category: str,
    *,
    fizzled_parents: bool = False,
    **parameters: Any,
) -> Firework:
    from llzo_al.workflow import tasks

    kind: type[FireTaskBase] = getattr(tasks, task)
    root = str(campaign.directory.root)
    spec: dict[str, Any] = {"_category": category, "_llzo_al_name": name, **owner_of(campaign.directory).spec}
    if fizzled_parents:
        spec["_allow_fizzled_parents"] = True
        # FireWorks would copy every failed parent in here, past MongoDB's 16 MB when they are thousands.
        spec["_fizzled_parents"] = []
    return Firework([kind(campaign_dir=root, **parameters)], spec=spec, name=name)
