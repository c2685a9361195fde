"""Tasks that failed: written down and told as they fail, and told again at the end, by their causes."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llzo_al.campaign import log
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.dataset.records import Record
from llzo_al.errors import StageError
from llzo_al.files import read_json_lines


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A task that failed.

    Attributes
    ----------
    task
        Its name.
    message
        The cause.
    user_error
        Whether the cause is a mistake in what the user gave.
    downstream
        Whether the task failed only because one before it did.
    """

    task: str
    message: str
    user_error: bool = False
    downstream: bool = False


_RUN = "run_started"
"""Key of the line that begins a run."""


def begin_run(path: Path) -> None:
    """Mark where a run starts: what stands before is kept, and is not the current run's any more."""
    _append(path, {_RUN: time.time()})


def record_failure(path: Path, failure: Failure) -> None:
    """Add a failure to the list that `read_failures` reads."""
    _append(path, {**asdict(failure), "time": time.time()})


def _append(path: Path, line: dict[str, Any]) -> None:
    """Add a line, also after one that a crash cut short."""
    with path.open("ab+") as handle:
        end = handle.seek(0, os.SEEK_END)
        whole = end == 0 or os.pread(handle.fileno(), 1, end - 1) == b"\n"
        handle.write((("" if whole else "\n") + json.dumps(line) + "\n").encode())


def tell_failure(directory: CampaignDirectory, failure: Failure) -> None:
    """Write a failure down, and tell it in the campaign's log unless it only follows from another.

    A cause that many tasks share is told once.
    """
    earlier = _of_current_run(directory.failures)
    known = any(each.message == failure.message and not each.downstream for each in earlier)
    record_failure(directory.failures, failure)
    if failure.downstream:
        return
    if known:
        log.say(directory, f"failed: {failure.task}, for a cause that is told above")
    else:
        log.say(directory, f"failed: {failure.task}", *failure.message.splitlines())


def read_failures(campaign: Campaign) -> list[Failure]:
    """Tasks that failed in the current or last run; those downstream only if there are no others."""
    found = _of_current_run(campaign.directory.failures)
    return [failure for failure in found if not failure.downstream] or found


def _of_current_run(path: Path) -> list[Failure]:
    lines = read_json_lines(path)
    begun = max((number for number, line in enumerate(lines) if _RUN in line), default=-1)
    return [
        Failure(
            task=str(line.get("task", "a task")),
            message=str(line.get("message", "no cause is known")),
            user_error=bool(line.get("user_error", False)),
            downstream=bool(line.get("downstream", False)),
        )
        for line in lines[begun + 1 :]
    ]


def failures_in_words(failures: Sequence[Failure]) -> list[str]:
    """One line for each cause, with the tasks that failed of it."""
    tasks: dict[str, list[str]] = {}
    for failure in failures:
        tasks.setdefault(failure.message, []).append(failure.task)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {message}"
        for message, names in tasks.items()
    ]


def require_labels(campaign: Campaign, records: Iterable[Record], what: str) -> None:
    """Stop where too few of the frames that were to be labelled have a label.

    Parameters
    ----------
    campaign
        The campaign.
    records
        The frames.
    what
        What they are ("the initial data", "iteration 3").

    Raises
    ------
    StageError
        If the share of labels is below `failures.min_success_share` of the campaign file; the message names
        the causes and what to do.
    """
    every = list(records)
    labelled = sum(record.label is not None for record in every)
    share = campaign.config.failures.min_success_share
    if not every or labelled >= share * len(every):
        return
    root = campaign.directory.root
    raise StageError(
        f"{labelled} of {len(every)} labels of {what} succeeded, and failures.min_success_share asks for a "
        f"share of {share:g}: {'; '.join(_causes(every))}. `llzo-al labels {root}` lists them, and what "
        f"they left lies in {root / 'quarantine'}. When the cause is mended, `llzo-al labels retry {root}` "
        "and the same run command (or `llzo-al run --retry-failed`) label them again; a smaller "
        "failures.min_success_share goes on without them"
    )


def _causes(records: Sequence[Record]) -> list[str]:
    """A line for each cause with its commonest reason, and one for those that still wait."""
    by_cause: dict[str, Counter[str]] = {}
    for record in records:
        if record.failure is not None:
            by_cause.setdefault(record.failure.cause, Counter())[record.failure.reason] += 1
    lines = []
    for cause, reasons in sorted(by_cause.items(), key=lambda item: -item[1].total()):
        reason, _ = reasons.most_common(1)[0]
        first = reason.strip().splitlines()[0] if reason.strip() else "no reason is known"
        lines.append(f"{reasons.total()} failed: {first} ({cause})")
    waiting = sum(record.label is None and record.failure is None for record in records)
    return [*lines, f"{waiting} were not labelled because their job failed"] if waiting else lines
