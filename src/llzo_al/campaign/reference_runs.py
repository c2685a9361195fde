"""Trajectories that the reference runs for the initial data."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from llzo_al.campaign.believed import Belief
from llzo_al.campaign.campaign import Campaign
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.records import Split
from llzo_al.dataset.splits import assign_held_out
from llzo_al.files import fingerprint, run_stage
from llzo_al.labelling.jobs import frame_record
from llzo_al.structures.decorrelation import decorrelated
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun
from llzo_al.structures.sources import SourceContext, source_runs


def source_context(campaign: Campaign) -> SourceContext:
    """What the sources of a campaign may depend on besides their own sections."""
    config = campaign.config
    return SourceContext(
        elements=tuple(config.elements),
        base=campaign.base,
        seed=config.seed,
        trains_virials=config.training.trains_virials,
    )


def run_reference_md(campaign: Campaign, index: int, *, threads: int) -> tuple[str, ...]:
    """Run one reference trajectory, or relaxation, and enter its snapshots into the label store.

    Returns
    -------
    tuple of str
        Identities of the snapshots.
    """
    run, split = md_runs(campaign)[index]
    name = f"initial-run-{index}"

    def compute(directory: Path) -> dict[str, Any]:
        given, strides = _snapshots(campaign, run, directory, name, threads)
        believed = Belief(campaign)
        pairs = [believed(frame, label) for frame, label in given]
        believed.warn()
        identities = campaign.store.request(
            [frame for frame, _ in pairs], physics=campaign.physics, split=split
        )
        for identity, (frame, label) in zip(identities, pairs, strict=True):
            if label is not None:
                campaign.store.add_label(identity, label, frame=frame)
        return {"identities": identities, "group": run.group, "split": split, "autocorrelation": strides}

    key = {"group": run.group, "run": _fingerprint(run), **campaign.level_of_theory}
    outputs = run_stage(
        campaign.directory.initial / "reference_md" / _directory_name(run),
        stage="reference_md",
        key=key,
        compute=compute,
    )
    return tuple(outputs["identities"])


def _directory_name(run: MDRun | RelaxationRun) -> str:
    """A name that does not depend on the other runs: a longer list leaves finished runs as they are."""
    readable = re.sub(r"[^\w.+-]+", "_", run.group.partition("/")[2])
    return f"{readable[:80]}-{_fingerprint(run)[:8]}"


def _fingerprint(run: MDRun | RelaxationRun) -> str:
    """Of all that the run's numbers depend on, besides the labeller."""
    settings = {each.name: getattr(run, each.name) for each in fields(run) if each.name != "frame"}
    if isinstance(run, MDRun):
        settings["segments"] = [asdict(each) for each in run.segments]
        settings["parameters"] = dict(run.parameters)
    return fingerprint({**settings, "start": frame_record(run.frame)})


def _snapshots(
    campaign: Campaign, run: MDRun | RelaxationRun, directory: Path, name: str, threads: int
) -> tuple[list[tuple[Frame, Label | None]], list[dict[str, Any]]]:
    """What a run gives for the label store, and what its autocorrelation was."""
    progress = campaign.progress_file(name)
    if isinstance(run, RelaxationRun):
        return campaign.labeller.relaxation(run, directory, threads=threads, progress=progress), []
    return decorrelated(run, campaign.labeller.snapshots(run, directory, threads=threads, progress=progress))


def md_runs(campaign: Campaign) -> list[tuple[MDRun | RelaxationRun, Split]]:
    """Reference trajectories and relaxations with the split of each: they are held out as a whole."""
    runs: list[tuple[MDRun | RelaxationRun, Split]] = []
    for source in campaign.config.initial_data:
        of_source = source_runs(source, source_context(campaign))
        held_out = assign_held_out(
            [run.group for run in of_source],
            share=campaign.config.dataset.held_out_share,
            seed=campaign.config.seed,
        )
        runs += [(run, "held-out" if run.group in held_out else "training") for run in of_source]
    return runs
