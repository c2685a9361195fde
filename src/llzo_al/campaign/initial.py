"""Initial data: frames of the sources that need no run of the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llzo_al.campaign.believed import Belief
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.reference_runs import md_runs, source_context
from llzo_al.campaign.spool import read_frames, write_frame
from llzo_al.config.initial_data import Source
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.records import Split
from llzo_al.dataset.splits import split_frames
from llzo_al.errors import UpstreamError, UserError
from llzo_al.files import finished, run_stage
from llzo_al.progress import ProgressFile
from llzo_al.structures.sources import labelled_source_frames, source_report, source_runs

CHUNK = 1000
"""Frames that are entered into the label store in one transaction, and held in memory."""

_Labelled = tuple[Frame, Label | None]


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
    files = {each.key: each.sha256 for each in campaign.input_files if each.section == "initial_data"}
    return {
        "sources": [source.settings() for source in config.initial_data],
        **({"files": files} if files else {}),
        "seed": config.seed,
        "held_out_share": config.dataset.held_out_share,
        **campaign.level_of_theory,
    }


def require_initial_data(campaign: Campaign) -> None:
    """Stop where the initial frames have not been made.

    Raises
    ------
    UpstreamError
        If a source failed; the cause is told there.
    """
    if finished(campaign.directory.initial / "structures", initial_key(campaign)) is None:
        raise UpstreamError("the initial structures were not made")


def prepare_initial_data(campaign: Campaign) -> InitialData:
    """Generate the initial frames, fix their splits and enter them into the label store.

    The frames of a source are made one at a time and put down in a file until its last one is there and the
    held-out share can be taken; at most `CHUNK` of them are in memory.

    Raises
    ------
    UserError
        If a source gives neither a frame nor a trajectory.
    """

    def compute(work: Path) -> dict[str, Any]:
        identities: list[str] = []
        reports: list[dict[str, Any]] = []
        progress = ProgressFile(
            campaign.progress_file("initial-structures"),
            task="make structures",
            total=len(campaign.config.initial_data),
            unit="sources",
        )
        try:
            for number, source in enumerate(campaign.config.initial_data):
                spool = work / f"frames-{number}.jsonl"
                splits = _spool(campaign, number, spool, progress)
                if not splits and not source_runs(source, source_context(campaign)):
                    raise UserError(
                        f"initial_data[{number}] ({source.kind}): the source gives no structure; change its "
                        "keys in the campaign file (`llzo-al structures` tells what a source gives), or "
                        "remove it"
                    )
                known_before = _known(campaign)
                entered = _enter(campaign, spool, splits)
                identities += entered
                spool.unlink()
                already_stored = len(set(entered)) - (_known(campaign) - known_before)
                reports += _reports(campaign, number, source, already_stored)
        finally:
            progress.close()
        return {"identities": identities, "n_md_runs": len(md_runs(campaign)), "reports": reports}

    outputs = run_stage(
        campaign.directory.initial / "structures",
        stage="structures",
        key=initial_key(campaign),
        compute=compute,
    )
    return InitialData(identities=tuple(outputs["identities"]), n_md_runs=outputs["n_md_runs"])


def _known(campaign: Campaign) -> int:
    """Frames of the campaign's physics in the label store."""
    total = campaign.store.counts(physics=campaign.physics).total
    return total.pending + total.labelled + total.failed


def _reports(campaign: Campaign, number: int, source: Source, already_stored: int) -> list[dict[str, Any]]:
    """What a source tells of where it looked for structures, for the log and the stage's outputs."""
    report = source_report(source, source_context(campaign))
    if report is None:
        return []
    for line in report.lines:
        campaign.say(line)
    if already_stored:
        campaign.say(f"{source.kind}: {already_stored:,} of its frames were in the label store before")
    return [{"source": number, "kind": source.kind, "already_stored": already_stored, **report.facts}]


def _spool(campaign: Campaign, number: int, path: Path, progress: ProgressFile) -> Mapping[str, Split]:
    """Put the frames of a source down in a file; the split of each of their groups."""
    source = campaign.config.initial_data[number]
    with path.open("w", encoding="utf-8") as handle:

        def written() -> Iterator[Frame]:
            made = labelled_source_frames(source, source_context(campaign))
            for count, (frame, label) in enumerate(made, start=1):
                write_frame(handle, frame, label)
                progress.update(number, f"{source.kind}: {count:,} frames")
                yield frame

        config = campaign.config
        return split_frames(written(), share=config.dataset.held_out_share, seed=config.seed)


def _enter(campaign: Campaign, spool: Path, splits: Mapping[str, Split]) -> list[str]:
    """Enter the frames into the label store, with the labels that they bring along; their identities."""
    identities: list[str] = []
    believed = Belief(campaign)
    frames = (believed(frame, label) for frame, label in read_frames(spool))
    while chunk := list(islice(frames, CHUNK)):
        for split in dict.fromkeys(splits.values()):
            members = [each for each in chunk if splits[each[0].provenance.group] == split]
            if members:
                identities += _request(campaign, members, split)
    believed.warn()
    return identities


def _request(campaign: Campaign, members: Sequence[_Labelled], split: Split) -> list[str]:
    identities = campaign.store.request(
        [frame for frame, _ in members], physics=campaign.physics, split=split
    )
    campaign.store.add_labels(
        [
            (identity, label, frame)
            for identity, (frame, label) in zip(identities, members, strict=True)
            if label is not None
        ]
    )
    return identities
