"""What failed labels leave behind: the frame, the reason, and the engine's files up to a limit."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ase.io import write

from llzo_al.campaign.campaign import Campaign
from llzo_al.dataset.frames import Frame, LabelFailure
from llzo_al.files import write_json
from llzo_al.labelling.jobs import frame_directory

REASON = "reason.json"
STRUCTURE = "frame.extxyz"
TAIL_BYTES = 64 * 1024
"""What is kept of the end of a file that is too large, and of a child's log."""


def quarantine_directory(campaign: Campaign, identity: str) -> Path:
    """Where the files of a frame's failed attempts lie."""
    return campaign.directory.root / "quarantine" / identity


def quarantine(
    campaign: Campaign,
    identity: str,
    frame: Frame,
    failure: LabelFailure,
    *,
    number: int,
    job: Path | None = None,
    index: int = 0,
) -> LabelFailure:
    """Keep what a failed attempt left, with its reason.

    Parameters
    ----------
    campaign
        The campaign.
    identity, frame
        The frame.
    failure
        Why it failed.
    number
        Number of the attempt.
    job
        Working directory of the job. The frame's own folder in it (`frame_directory` of the labellers) is
        moved away; where there is none, the end of ``child.log`` is copied. None where there was no job.
    index
        Number of the frame in the job.

    Returns
    -------
    LabelFailure
        The failure as it is to be stored: where its reason names files of the job, which is gone afterwards,
        it names ``quarantine/IDENTITY/attempt-NUMBER`` of the campaign, where they are now.
    """
    target = quarantine_directory(campaign, identity) / f"attempt-{number}"
    shutil.rmtree(target, ignore_errors=True)  # of an attempt that was killed before it was written down
    target.mkdir(parents=True)
    limit = int(campaign.config.failures.quarantine_limit_MB * 1e6)
    kept, cut = ([], []) if job is None else _keep_files(job, index, target, limit)
    if job is not None:
        place = target.relative_to(campaign.directory.root)
        failure = replace(failure, reason=_where_they_are(failure.reason, job, index, str(place)))
    write(target / STRUCTURE, frame.to_atoms(), format="extxyz")
    about: dict[str, Any] = {
        "identity": identity,
        "attempt": number,
        "cause": failure.cause,
        "reason": failure.reason,
        "labeller": campaign.labeller.name,
        "time": time.time(),
        "frame": asdict(frame.provenance),
        "files": kept,
        "cut_or_left_out": cut,
    }
    write_json(target / REASON, about)
    return failure


def release(campaign: Campaign, identity: str) -> None:
    """Drop the files of earlier attempts: the frame has its label."""
    shutil.rmtree(quarantine_directory(campaign, identity), ignore_errors=True)


def quarantined(campaign: Campaign, identity: str) -> list[Path]:
    """Directories of a frame's failed attempts, in order."""
    found = quarantine_directory(campaign, identity).glob("attempt-*")
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _keep_files(job: Path, index: int, target: Path, limit: int) -> tuple[list[str], list[str]]:
    """Names of the files that were kept whole, and of those that were cut or left out."""
    source = frame_directory(job, index)
    return _move(source, target, limit) if source.is_dir() else _tail(job / "child.log", target, limit)


def _where_they_are(reason: str, job: Path, index: int, place: str) -> str:
    """The reason with files of the job by their bare names, and the place where they are kept."""
    named = reason
    for folder in (frame_directory(job, index), job):
        for path in (folder.resolve(), folder):
            named = named.replace(f"{path}/", "").replace(str(path), place)
    return reason if named == reason else f"{named}\nits files: {place} in the campaign directory"


def _move(source: Path, target: Path, limit: int) -> tuple[list[str], list[str]]:
    """Move files, the smallest first, while they fit; of others their end, in a file with `.tail`."""
    files = [path for path in source.rglob("*") if path.is_file() and not path.is_symlink()]
    kept, cut = [], []
    left = limit
    for path in sorted(files, key=lambda path: (path.stat().st_size, path)):
        name = str(path.relative_to(source))
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size
        if size <= left:
            shutil.move(path, place)
            kept.append(name)
            left -= size
        else:
            left -= _copy_end(path, place.with_name(place.name + ".tail"), min(left, TAIL_BYTES))
            cut.append(name)
    shutil.rmtree(source, ignore_errors=True)
    return kept, cut


def _tail(log: Path, target: Path, limit: int) -> tuple[list[str], list[str]]:
    if not log.is_file():
        return [], []
    _copy_end(log, target / log.name, min(limit, TAIL_BYTES))
    return [log.name], []


def _copy_end(source: Path, target: Path, most: int) -> int:
    with source.open("rb") as handle:
        handle.seek(max(source.stat().st_size - most, 0))
        data = handle.read(most)
    if data:
        target.write_bytes(data)
    return len(data)
