"""Labelling of whatever waits for a label."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence

from llzo_al.campaign.campaign import Campaign
from llzo_al.dataset.frames import Label
from llzo_al.files import fingerprint
from llzo_al.progress import ProgressFile


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
