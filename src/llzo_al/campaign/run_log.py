"""The list of a campaign's runs: when, how long, with which versions; a killed one up to its last sign."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.settings_facts import installed_versions
from llzo_al.errors import StageError
from llzo_al.files import read_json, read_json_lines, write_json

INTERVAL_S = 10.0
"""How often a run writes down that it lives."""

End = Literal["by itself", "interrupted", "killed"]
"""How a run ended; it was interrupted by a signal that let it tidy up."""


def last_end(directory: CampaignDirectory) -> End | None:
    """How the latest run ended; None if there was none, or if an earlier version did not say.

    Of a run that still lives it says "killed": whether there is one is for the campaign's lock to say.
    """
    if _current(directory).exists():
        return "killed"
    runs = read_json_lines(directory.runs)
    return runs[-1].get("ended") if runs else None


def _current(directory: CampaignDirectory) -> Path:
    return directory.logs / "run.json"


class RunLog:
    """Keeps ``logs/runs.jsonl``, one line for each run; the caller holds the campaign's lock.

    Parameters
    ----------
    directory
        The campaign directory. What a killed run left there enters the list.
    """

    def __init__(self, directory: CampaignDirectory) -> None:
        self._runs = directory.runs
        self._current = _current(directory)
        if self._current.exists():
            with suppress(StageError):  # damaged: that run is not counted
                self._add(read_json(self._current))
        self._started = time.time()
        self._versions = installed_versions()
        self._next = 0.0

    def beat(self, peak_memory_MB: float) -> None:
        """Write down that the run lives, if it is time to."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + INTERVAL_S
            with suppress(OSError):  # a full disk is told by what needs it
                write_json(self._current, self._line(peak_memory_MB, "killed"))

    def end(self, peak_memory_MB: float, ended: End) -> None:
        """Enter the run, which ends, into the list."""
        self._add(self._line(peak_memory_MB, ended))

    def _line(self, peak_memory_MB: float, ended: End) -> dict[str, Any]:
        return {
            "ended": ended,
            "started": self._started,
            "wall_s": time.time() - self._started,
            "peak_memory_MB": peak_memory_MB,
            "versions": self._versions,
        }

    def _add(self, line: dict[str, Any]) -> None:
        known = read_json_lines(self._runs)
        if not known or known[-1].get("started") != line["started"]:
            with self._runs.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line) + "\n")
        self._current.unlink(missing_ok=True)
