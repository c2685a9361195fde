"""Tasks that failed in a run: written down as they fail, told by their causes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llzo_al.campaign.campaign import Campaign
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


def record_failure(path: Path, failure: Failure) -> None:
    """Add a failure to the list that `read_failures` reads."""
    line = json.dumps({**asdict(failure), "time": time.time()}) + "\n"
    with path.open("a", encoding="utf-8") as handle:
        handle.write(line)


def read_failures(campaign: Campaign) -> list[Failure]:
    """Tasks that failed in the current or last run; those downstream only if there are no others."""
    found = [
        Failure(
            task=str(line.get("task", "a task")),
            message=str(line.get("message", "no cause is known")),
            user_error=bool(line.get("user_error", False)),
            downstream=bool(line.get("downstream", False)),
        )
        for line in read_json_lines(campaign.directory.failures)
    ]
    return [failure for failure in found if not failure.downstream] or found


def failures_in_words(failures: Sequence[Failure]) -> list[str]:
    """One line for each cause, with the tasks that failed of it."""
    tasks: dict[str, list[str]] = {}
    for failure in failures:
        tasks.setdefault(failure.message, []).append(failure.task)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {message}"
        for message, names in tasks.items()
    ]
