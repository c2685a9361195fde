"""The log of labelling jobs: what each labelled and how long it took, also of those that were killed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.files import read_json_lines

NOTES = "job.jsonl"
"""What a job under way notes in its directory; its time of change says when the job was last alive."""

ALIVE_S = 1.0
"""How often a job under way says that it is alive."""


class LabelJobLog:
    """Notes what a labelling job does; its line enters the campaign's log when it ends, however it ends.

    Parameters
    ----------
    directory
        The campaign directory.
    work
        Working directory of the job.
    about
        What the line says of the job besides counts and times.
    beat
        Called about every second while the job runs.
    """

    def __init__(
        self,
        directory: CampaignDirectory,
        work: Path,
        about: dict[str, Any],
        *,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = directory.label_log
        self._notes = work / NOTES
        self._about = about
        self._beat = beat
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="label job", daemon=True)

    def __enter__(self) -> LabelJobLog:
        self._settle_earlier()
        me = psutil.Process()
        self._note({**self._about, "started": time.time(), "pid": me.pid, "born": me.create_time()})
        self._thread.start()
        return self

    def labelled(self, engine_s: float) -> None:
        """Note a label and the seconds that the engine took for it."""
        self._note({"labelled": 1, "engine_s": engine_s})

    def failed(self, cause: str) -> None:
        """Note a failed attempt."""
        self._note({"failed": 1, "cause": cause})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        os.utime(self._notes)
        _settle(self._notes, self._log, ended="done" if kind is None else kind.__name__)

    def _settle_earlier(self) -> None:
        """A killed job of the same frames worked in the same directory."""
        if self._notes.exists():
            _settle(self._notes, self._log, ended="killed")

    def _note(self, line: dict[str, Any]) -> None:
        with self._notes.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    def _keep_alive(self) -> None:
        while not self._ended.wait(ALIVE_S):
            self._beat()
            try:
                os.utime(self._notes)
            except OSError:
                continue


def settle_killed_jobs(directory: CampaignDirectory) -> int:
    """Write the lines of jobs that were killed, so that their time is counted; returns how many there were.

    Jobs of a living process of this machine are left alone.
    """
    settled = 0
    for notes in sorted(directory.label_jobs.glob(f"*/{NOTES}")):
        lines = read_json_lines(notes)
        if lines and _alive(lines[0]):
            continue
        _settle(notes, directory.label_log, ended="killed")
        settled += 1
    return settled


def _settle(notes: Path, log: Path, *, ended: str) -> None:
    """Turn the notes of a job into its line of the log."""
    lines = read_json_lines(notes)
    last_alive = notes.stat().st_mtime
    if lines and "started" in lines[0]:
        about, results = lines[0], lines[1:]
        causes: dict[str, int] = {}
        for line in results:
            if "cause" in line:
                causes[line["cause"]] = causes.get(line["cause"], 0) + 1
        line = {
            **{key: value for key, value in about.items() if key not in ("pid", "born")},
            "labelled": sum(int(line.get("labelled", 0)) for line in results),
            "failed": sum(int(line.get("failed", 0)) for line in results),
            "causes": causes,
            "wall_s": max(last_alive - about["started"], 0.0),
            "engine_s": sum(float(line.get("engine_s", 0.0)) for line in results),
            "ended": ended,
        }
        with log.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")
    notes.unlink()


def _alive(about: dict[str, Any]) -> bool:
    try:
        return bool(abs(psutil.Process(int(about["pid"])).create_time() - float(about["born"])) < 1.0)
    except (psutil.Error, KeyError, ValueError, TypeError):
        return False
