"""Local workers of a run: started with it, replaced when they die, ended with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fireworks import LaunchPad

from llzo_al.campaign.campaign import Campaign
from llzo_al.errors import StageError
from llzo_al.process import inherited_locks, last_lines
from llzo_al.training.backends import visible_gpus
from llzo_al.workflow import growth
from llzo_al.workflow.owner import Owner
from llzo_al.workflow.repair import rerun_of_worker
from llzo_al.workflow.worker import DISCONNECTED, TIME_IS_UP

MAX_RESTARTS = 3

PAUSE_S = 600.0
"""How long the end of a job is waited for when a task was stopped before it; VASP is stopped 300 s before."""

_ENDS = {
    DISCONNECTED: "lost the connection to MongoDB",
    TIME_IS_UP: "waited for the end of its job, which did not come",
}
"""Exit codes of workers that did not die."""


@dataclass
class _Worker:
    name: str
    categories: list[str]
    gpu: str | None
    process: subprocess.Popen[bytes]
    restarts: int = 0
    rests_until: float | None = None


@dataclass
class LocalWorkers:
    """The worker processes of one run. GPUs are dealt out to them: a training or an MD run uses one.

    Attributes
    ----------
    campaign
        The campaign that they work on.
    launchpad_file
        FireWorks launchpad file, None for the embedded LaunchPad.
    here
        Kinds of task to take; the others are for workers elsewhere.
    """

    campaign: Campaign
    launchpad_file: Path | None
    here: Sequence[str] = growth.CATEGORIES
    _workers: list[_Worker] = field(default_factory=list)

    def __enter__(self) -> LocalWorkers:
        limits = growth.category_limits(self.campaign)
        gpus = visible_gpus()
        for number in range(growth.available_cores(self.campaign)):
            categories = [name for name in self.here if number < limits[name]]
            if not categories:
                continue
            name = f"{self.campaign.config.name}-local-{number}"
            gpu = gpus[number % len(gpus)] if gpus else None
            process = self._spawn(name, categories, gpu)
            self._workers.append(_Worker(name=name, categories=categories, gpu=gpu, process=process))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()

    def revive(self, launchpad: LaunchPad, owner: Owner) -> None:
        """Replace workers that ended, and give back what they were doing.

        A task that was stopped before the time limit of the job stays with its worker until that limit has
        passed: begun again before, it would only be stopped again.

        Raises
        ------
        StageError
            If one worker keeps dying.
        """
        for worker in self._workers:
            code = worker.process.poll()
            if code is None or (code == TIME_IS_UP and self._rests(worker)):
                continue
            died = code not in _ENDS
            if worker.restarts >= MAX_RESTARTS and died:
                raise StageError(
                    f"worker {worker.name} died {worker.restarts + 1} times, the last time with exit code "
                    f"{code}; last lines of its log:\n{last_lines(self._log(worker.name))}"
                )
            given_back = rerun_of_worker(launchpad, worker.name, owner)
            forget_progress(self.campaign)
            self.campaign.say(
                f"worker {worker.name} {_ENDS.get(code, f'died (exit code {code})')}; it is replaced and "
                f"{len(given_back)} task(s) start again from their checkpoints"
            )
            worker.process = self._spawn(worker.name, worker.categories, worker.gpu)
            worker.restarts += died
            worker.rests_until = None

    def _rests(self, worker: _Worker) -> bool:
        """Whether the end of the job is still waited for."""
        if worker.rests_until is None:
            worker.rests_until = time.monotonic() + PAUSE_S
            self.campaign.say(
                f"worker {worker.name} waits for the end of its job; if that does not come, its task goes on "
                f"here in {PAUSE_S:.0f} s"
            )
        return time.monotonic() < worker.rests_until

    def _log(self, name: str) -> Path:
        return self.campaign.directory.logs / f"{name}.log"

    def _spawn(self, name: str, categories: list[str], gpu: str | None) -> subprocess.Popen[bytes]:
        directory = self.campaign.directory.logs / "launches" / name
        directory.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "llzo_al.workflow.worker",
            str(self.campaign.directory.root),
            "--name",
            name,
            "--categories",
            ",".join(categories),
            "--parent",
            str(os.getpid()),
        ]
        if gpu is not None:
            command += ["--gpu", gpu]
        if self.launchpad_file is not None:
            command += ["--launchpad", str(self.launchpad_file.resolve())]
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=inherited_locks(),
                start_new_session=True,
            )


def forget_progress(campaign: Campaign) -> None:
    """Drop what tasks told of themselves; those that live tell it again, those that died do not."""
    for path in campaign.directory.progress.glob("*.json"):
        path.unlink(missing_ok=True)
