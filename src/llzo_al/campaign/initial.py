"""Initial data: frames of the sources that need no run of the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.reference_runs import md_runs, source_context
from llzo_al.dataset.frames import Frame
from llzo_al.dataset.records import Split
from llzo_al.dataset.splits import split_frames
from llzo_al.errors import StageError
from llzo_al.files import run_stage
from llzo_al.structures.sources import source_frames, source_runs


@dataclass(frozen=True, kw_only=True)
class InitialData:
    """What the initial sources ask for.

    Attributes
    ----------
    identities
        Frames that wait for a label or have one.
    n_md_runs
        Trajectories that the reference has to run.
    """

    identities: tuple[str, ...]
    n_md_runs: int


def initial_key(campaign: Campaign) -> dict[str, Any]:
    """Everything that the initial frames depend on."""
    config = campaign.config
    return {
        "sources": [source.settings() for source in config.initial_data],
        "seed": config.seed,
        "held_out_share": config.dataset.held_out_share,
        **campaign.level_of_theory,
    }


def prepare_initial_data(campaign: Campaign) -> InitialData:
    """Generate the initial frames, fix their splits and enter them into the label store.

    Raises
    ------
    StageError
        If a source gives no frame.
    """

    def compute(_: Path) -> dict[str, Any]:
        identities: list[str] = []
        context = source_context(campaign)
        for number, source in enumerate(campaign.config.initial_data):
            if source_runs(source, context):
                continue
            frames = list(source_frames(source, context))
            if not frames:
                raise StageError(f"initial_data[{number}] ({source.kind}): the source gives no structure")
            splits = split_frames(
                frames, share=campaign.config.dataset.held_out_share, seed=campaign.config.seed
            )
            identities += _request(campaign, frames, [splits[frame.provenance.group] for frame in frames])
        return {"identities": identities, "n_md_runs": len(md_runs(campaign))}

    outputs = run_stage(
        campaign.directory.initial / "structures",
        stage="structures",
        key=initial_key(campaign),
        compute=compute,
    )
    return InitialData(identities=tuple(outputs["identities"]), n_md_runs=outputs["n_md_runs"])


def _request(campaign: Campaign, frames: Sequence[Frame], splits: Sequence[Split]) -> list[str]:
    identities: list[str] = []
    for split, members in _by_split(frames, splits):
        identities += campaign.store.request(members, physics=campaign.physics, split=split)
    return identities


def _by_split(frames: Sequence[Frame], splits: Sequence[Split]) -> Iterator[tuple[Split, list[Frame]]]:
    kinds: tuple[Split, ...] = ("training", "held-out")
    for kind in kinds:
        members = [frame for frame, split in zip(frames, splits, strict=True) if split == kind]
        if members:
            yield kind, members
