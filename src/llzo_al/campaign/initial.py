"""Initial data and the labelling of whatever waits for a label."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.config.initial_data import Crystals, Dimers, ReferenceMD
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.records import Split
from llzo_al.dataset.splits import assign_held_out, split_frames
from llzo_al.errors import StageError
from llzo_al.files import fingerprint, run_stage
from llzo_al.progress import ProgressFile
from llzo_al.structures.initial import MDRun, crystal_frames, dimer_frames, reference_md_runs


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
        for number, source in enumerate(campaign.config.initial_data):
            if isinstance(source, ReferenceMD):
                continue
            frames = _static_frames(campaign, source)
            if not frames:
                raise StageError(f"initial_data[{number}] ({source.kind}): the source gives no structure")
            splits = split_frames(
                frames, share=campaign.config.dataset.held_out_share, seed=campaign.config.seed
            )
            identities += _request(campaign, frames, [splits[frame.provenance.group] for frame in frames])
        return {"identities": identities, "n_md_runs": len(_md_runs(campaign))}

    outputs = run_stage(
        campaign.directory.initial / "structures",
        stage="structures",
        key=initial_key(campaign),
        compute=compute,
    )
    return InitialData(identities=tuple(outputs["identities"]), n_md_runs=outputs["n_md_runs"])


def run_reference_md(campaign: Campaign, index: int, *, threads: int) -> tuple[str, ...]:
    """Run one reference trajectory and enter its snapshots into the label store.

    Returns
    -------
    tuple of str
        Identities of the snapshots.
    """
    source, run, split = _md_runs(campaign)[index]
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


def label_jobs(campaign: Campaign, identities: Sequence[str] | None = None) -> list[list[str]]:
    """Frames that wait for a label, cut into the jobs that the labeller wants."""
    waiting = [identity for identity, _ in campaign.store.pending(identities, physics=campaign.physics)]
    size = campaign.labeller.frames_per_job
    return [waiting[start : start + size] for start in range(0, len(waiting), size)]


def retry_failed(campaign: Campaign, *, from_iteration: int) -> int:
    """Put the failed labels of the initial data and of open iterations back among those that wait.

    Returns
    -------
    int
        How many there were.
    """
    identities = [
        record.identity
        for record in campaign.store.records(labelled=False, physics=campaign.physics)
        if record.failure is not None and not 0 <= record.frame.provenance.iteration < from_iteration
    ]
    return campaign.store.retry(identities)


def label_frames(campaign: Campaign, identities: Sequence[str]) -> dict[str, int]:
    """Label frames, storing each result as soon as it is there.

    Frames that have a label or have failed already are passed over, so a repeated job costs nothing.

    Returns
    -------
    dict
        Numbers of frames ``labelled`` and ``failed`` by this call.
    """
    pending = campaign.store.pending(identities, physics=campaign.physics)
    if not pending:
        return {"labelled": 0, "failed": 0}
    job = fingerprint([identity for identity, _ in pending])[:12]
    directory = campaign.directory.label_jobs / job
    directory.mkdir(parents=True, exist_ok=True)
    progress = ProgressFile(
        campaign.progress_file(f"job-{job}"),
        task=f"label with {campaign.labeller.name}",
        total=len(pending),
        unit="labels",
    )
    labelled = failed = 0
    engine_s = 0.0
    started = time.time()
    try:
        for index, result in campaign.labeller.label([frame for _, frame in pending], directory):
            identity = pending[index][0]
            if isinstance(result, Label):
                campaign.store.add_label(identity, result)
                labelled += 1
                engine_s += result.wall_s
            else:
                campaign.store.add_failure(identity, result)
                failed += 1
            progress.update(labelled + failed, f"{failed} failed" if failed else "")
    finally:
        progress.close()
    line = {
        "job": job,
        "iteration": max(frame.provenance.iteration for _, frame in pending),
        "labelled": labelled,
        "failed": failed,
        "started": started,
        "wall_s": time.time() - started,
        "engine_s": engine_s,
    }
    with campaign.directory.label_log.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")
    shutil.rmtree(directory, ignore_errors=True)
    return {"labelled": labelled, "failed": failed}


def _static_frames(campaign: Campaign, source: Dimers | Crystals) -> list[Frame]:
    if isinstance(source, Dimers):
        return dimer_frames(source, campaign.config.elements)
    return crystal_frames(source, base=campaign.base, seed=campaign.config.seed)


def _md_runs(campaign: Campaign) -> list[tuple[ReferenceMD, MDRun, Split]]:
    """Reference trajectories with the split of each: whole trajectories are held out."""
    runs: list[tuple[ReferenceMD, MDRun, Split]] = []
    for source in campaign.config.initial_data:
        if not isinstance(source, ReferenceMD):
            continue
        of_source = reference_md_runs(source, base=campaign.base, seed=campaign.config.seed)
        held_out = assign_held_out(
            [run.group for run in of_source],
            share=campaign.config.dataset.held_out_share,
            seed=campaign.config.seed,
        )
        runs += [(source, run, "held-out" if run.group in held_out else "training") for run in of_source]
    return runs


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
