"""Local workers of a run: started with it, replaced when they die, ended with it."""

from __future__ import annotations

import os
import subprocess
import sys
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
from llzo_al.workflow.worker import DISCONNECTED

MAX_RESTARTS = 3


@dataclass
class _Worker:
    name: str
    categories: list[str]
    gpu: str | None
    process: subprocess.Popen[bytes]
    restarts: int = 0


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

        Raises
        ------
        StageError
            If one worker keeps dying.
        """
        for worker in self._workers:
            code = worker.process.poll()
            if code is None:
                continue
            disconnected = code == DISCONNECTED
            if worker.restarts >= MAX_RESTARTS and not disconnected:
                raise StageError(
                    f"worker {worker.name} died {worker.restarts + 1} times, the last time with exit code "
                    f"{code}; last lines of its log:\n{last_lines(self._log(worker.name))}"
                )
            given_back = rerun_of_worker(launchpad, worker.name, owner)
            forget_progress(self.campaign)
            ended = "lost the connection to MongoDB" if disconnected else f"died (exit code {code})"
            self.campaign.say(
                f"worker {worker.name} {ended}; it is replaced and "
                f"{len(given_back)} task(s) start again from their checkpoints"
            )
            worker.process = self._spawn(worker.name, worker.categories, worker.gpu)
            worker.restarts += not disconnected

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
