"""Trajectories that the reference runs for the initial data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.config.initial_data import Source
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.records import Split
from llzo_al.dataset.splits import assign_held_out
from llzo_al.files import run_stage
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.sources import SourceContext, source_runs


def source_context(campaign: Campaign) -> SourceContext:
    """What the sources of a campaign may depend on besides their own sections."""
    config = campaign.config
    return SourceContext(elements=tuple(config.elements), base=campaign.base, seed=config.seed)


def run_reference_md(campaign: Campaign, index: int, *, threads: int) -> tuple[str, ...]:
    """Run one reference trajectory and enter its snapshots into the label store.

    Returns
    -------
    tuple of str
        Identities of the snapshots.
    """
    source, run, split = md_runs(campaign)[index]
    name = f"initial-run-{index}"

    def compute(directory: Path) -> dict[str, Any]:
        pairs: list[tuple[Frame, Label | None]] = campaign.labeller.snapshots(
            run, directory, threads=threads, progress=campaign.progress_file(name)
        )
        identities = campaign.store.request(
            [frame for frame, _ in pairs], physics=campaign.physics, split=split
        )
        for identity, (frame, label) in zip(identities, pairs, strict=True):
            if label is not None:
                campaign.store.add_label(identity, label, frame=frame)
        return {"identities": identities, "group": run.group, "split": split}

    key = {
        "source": source.settings(),
        "seed": campaign.config.seed,
        "held_out_share": campaign.config.dataset.held_out_share,
        "group": run.group,
        **campaign.level_of_theory,
    }
    outputs = run_stage(
        campaign.directory.initial / "reference_md" / f"{index:03d}",
        stage="reference_md",
        key=key,
        compute=compute,
    )
    return tuple(outputs["identities"])


def md_runs(campaign: Campaign) -> list[tuple[Source, MDRun, Split]]:
    """Reference trajectories with the split of each: whole trajectories are held out."""
    runs: list[tuple[Source, MDRun, Split]] = []
    for source in campaign.config.initial_data:
        of_source = source_runs(source, source_context(campaign))
        held_out = assign_held_out(
            [run.group for run in of_source],
            share=campaign.config.dataset.held_out_share,
            seed=campaign.config.seed,
        )
        runs += [(source, run, "held-out" if run.group in held_out else "training") for run in of_source]
    return runs
