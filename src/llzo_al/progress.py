"""Progress of long work, written by whoever works and read by whoever shows it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one task is.

    Attributes
    ----------
    task
        What is being done, for people ("train iteration 1 model 0").
    done, total
        Count so far and in all, in `unit`.
    unit
        "steps", "labels", "frames".
    detail
        Latest figures worth seeing ("force RMSE 210 meV/Å").
    started, updated
        Seconds since the epoch.
    begun
        Count at `started`: what was done before, by a run that was interrupted or while it was made ready.
    """

    task: str
    done: int
    total: int
    unit: str = "steps"
    detail: str = ""
    started: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    begun: int = 0

    @property
    def left_s(self) -> float | None:
        """Estimated seconds left, from the mean speed since `begun`; None before anything was done."""
        done = self.done - self.begun
        if done <= 0:
            return None
        return (self.updated - self.started) / done * max(self.total - self.done, 0)


class ProgressFile:
    """One task's progress as a small JSON file, rewritten at most every `interval_s` seconds.

    Losing it loses nothing, so it is renamed into place but not forced to disk.
    """

    def __init__(
        self, path: Path | None, *, task: str, total: int, unit: str = "steps", interval_s: float = 0.5
    ) -> None:
        self._path = path
        self._task = task
        self._total = total
        self._unit = unit
        self._interval_s = interval_s
        self._started = time.time()
        self._begun = 0
        self._written = 0.0

    def begin(self, done: int, detail: str = "") -> None:
        """Tell that the work itself begins, or goes on, with `done` done: the time left is counted from here.

        Parameters
        ----------
        done
            What an interrupted run had done before; 0 for a fresh one.
        detail
            As in `update`.
        """
        self._started, self._begun = time.time(), done
        self.update(done, detail, force=True)

    def update(self, done: int, detail: str = "", *, force: bool = False) -> None:
        """Tell that `done` of the total are done."""
        now = time.time()
        if self._path is None or (not force and now - self._written < self._interval_s):
            return
        self._written = now
        record = Progress(
            task=self._task,
            done=done,
            total=self._total,
            unit=self._unit,
            detail=detail,
            started=self._started,
            updated=now,
            begun=self._begun,
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(record)), encoding="utf-8")
        temporary.replace(self._path)

    def close(self) -> None:
        """Remove the file: the task is over."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def read_progress(directory: Path) -> list[Progress]:
    """All tasks under way in `directory`, each named by its file too; half-gone files are passed over."""
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            record = Progress(**json.loads(path.read_text(encoding="utf-8")))
            found.append(replace(record, task=f"{path.stem.replace('-', ' ')}, {record.task}"))
        except (OSError, ValueError, TypeError):
            continue
    return found
