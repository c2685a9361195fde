"""Progress for people: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from llzo_al.progress import Progress, read_progress

LINE_INTERVAL_S = 15.0
LONGEST_LINE_INTERVAL_S = 600.0
_LINES_BY_NOW = 20
"""Without a terminal the time between lines grows with the run, so that a week's log stays readable."""
_BAR = 24


def duration(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class CampaignDisplay:
    """Shows a campaign's log as it grows, and the progress of the tasks under way.

    Parameters
    ----------
    log
        The campaign's log; only lines added from now on are shown.
    progress
        Directory of the progress files.
    console
        Where to print.
    """

    def __init__(self, log: Path, progress: Path, console: Console) -> None:
        self._log = log
        self._progress = progress
        self._console = console
        self._position = log.stat().st_size if log.exists() else 0
        self._live: Live | None = None
        self._started = time.monotonic()
        self._next_line = self._started + LINE_INTERVAL_S

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show progress inside this context."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def update(self) -> None:
        """Show what is new."""
        for line in self._new_lines():
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        if self._live is not None:
            self._live.update(Group(_table(read_progress(self._progress))))
        elif (now := time.monotonic()) >= self._next_line:
            self._next_line = now + line_interval_s(now - self._started)
            for task in read_progress(self._progress):
                self._console.print(f"  {progress_line(task)}", highlight=False, markup=False, soft_wrap=True)

    def _new_lines(self) -> list[str]:
        if not self._log.exists():
            return []
        with self._log.open("rb") as handle:
            handle.seek(self._position)
            data = handle.read()
        complete = data.rfind(b"\n") + 1
        self._position += complete
        return data[:complete].decode("utf-8", errors="replace").splitlines()


def line_interval_s(elapsed_s: float) -> float:
    """Seconds until the next progress lines, after `elapsed_s` of a run without a terminal."""
    return min(max(LINE_INTERVAL_S, elapsed_s / _LINES_BY_NOW), LONGEST_LINE_INTERVAL_S)


def progress_line(task: Progress) -> str:
    """One task's progress in words."""
    share = 100 * task.done // max(task.total, 1)
    counted = f"{task.task}: {task.done}/{task.total} {task.unit} ({share} %)"
    return ", ".join(part for part in (counted, _left(task), task.detail) if part)


def _left(task: Progress) -> str:
    return "" if task.left_s is None else f"{duration(task.left_s)} left"


def _table(tasks: list[Progress]) -> Table:
    table = Table.grid(padding=(0, 2))
    for task in tasks:
        filled = _BAR * task.done // max(task.total, 1)
        table.add_row(
            task.task,
            "━" * filled + " " * (_BAR - filled),
            f"{task.done}/{task.total} {task.unit}",
            _left(task),
            task.detail,
        )
    return table
