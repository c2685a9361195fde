"""Runs a campaign on this machine: a fresh workflow, local workers, and a watch over both."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fireworks import LaunchPad

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.failures import Failure, read_failures
from llzo_al.campaign.label_log import settle_killed_jobs
from llzo_al.errors import StageError
from llzo_al.process import inherited_locks, last_lines
from llzo_al.workflow import growth
from llzo_al.workflow.launchpads import archive_all, open_launchpad, rerun_of_worker

LOGGER = logging.getLogger(__name__)
POLL_S = 0.25
IDLE_POLLS = 4
MAX_RESTARTS = 3


@dataclass
class _Worker:
    name: str
    categories: list[str]
    process: subprocess.Popen[bytes]
    restarts: int = 0


@dataclass
class LocalWorkers:
    """The worker processes of one run.

    Attributes
    ----------
    campaign
        The campaign that they work on.
    launchpad_file
        FireWorks launchpad file, None for the embedded LaunchPad.
    """

    campaign: Campaign
    launchpad_file: Path | None
    _workers: list[_Worker] = field(default_factory=list)

    def __enter__(self) -> LocalWorkers:
        limits = growth.category_limits(self.campaign)
        for number in range(growth.available_cores(self.campaign)):
            categories = [name for name in growth.CATEGORIES if number < limits[name]]
            name = f"{self.campaign.config.name}-local-{number}"
            self._workers.append(
                _Worker(name=name, categories=categories, process=self._spawn(name, categories))
            )
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()

    def revive(self, launchpad: LaunchPad) -> None:
        """Replace workers that died, and give back what they were doing.

        Raises
        ------
        StageError
            If one worker keeps dying.
        """
        for worker in self._workers:
            code = worker.process.poll()
            if code is None:
                continue
            if worker.restarts >= MAX_RESTARTS:
                raise StageError(
                    f"worker {worker.name} died {worker.restarts + 1} times, the last time with exit code "
                    f"{code}; last lines of its log:\n{last_lines(self._log(worker.name))}"
                )
            given_back = rerun_of_worker(launchpad, worker.name)
            self.campaign.say(
                f"worker {worker.name} died (exit code {code}); it is replaced and "
                f"{len(given_back)} task(s) start again from their checkpoints"
            )
            worker.process = self._spawn(worker.name, worker.categories)
            worker.restarts += 1

    def _log(self, name: str) -> Path:
        return self.campaign.directory.logs / f"{name}.log"

    def _spawn(self, name: str, categories: list[str]) -> subprocess.Popen[bytes]:
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


def run_workflow(
    campaign: Campaign,
    *,
    launchpad_file: Path | None = None,
    watch: Callable[[], None] = lambda: None,
) -> list[Failure]:
    """Run the campaign's workflow to its end with local workers.

    The caller holds the campaign's lock, so no worker of an earlier run is alive: what that run left in the
    LaunchPad is archived, and a new workflow is built from the campaign directory.

    Parameters
    ----------
    campaign
        The campaign.
    launchpad_file
        FireWorks launchpad file of a MongoDB; None for the embedded LaunchPad.
    watch
        Called a few times a second, to show progress.

    Returns
    -------
    list of Failure
        Tasks that failed, in order.
    """
    launchpad = open_launchpad(campaign.directory.root, launchpad_file)
    archive_all(launchpad, campaign_dir=str(campaign.directory.root))
    campaign.directory.failures.unlink(missing_ok=True)
    settle_killed_jobs(campaign.directory)
    shutil.rmtree(campaign.directory.label_jobs, ignore_errors=True)
    for stale in campaign.directory.progress.glob("*"):
        stale.unlink(missing_ok=True)
    ids: dict[int, int] = launchpad.add_wf(growth.start(campaign))
    first = next(iter(ids.values()))
    with LocalWorkers(campaign, launchpad_file) as workers:
        idle = 0
        while idle < IDLE_POLLS:
            workers.revive(launchpad)
            watch()
            idle = 0 if _active(launchpad, first) else idle + 1
            time.sleep(POLL_S)
    watch()
    return read_failures(campaign)


def _active(launchpad: LaunchPad, member: int) -> bool:
    """Whether a firework of the workflow of `member` runs or could run.

    Fireworks that wait for a failed one do not count.
    """
    states = launchpad.get_wf_by_fw_id_lzyfw(member).fw_states.values()
    return any(state in ("READY", "RESERVED", "RUNNING") for state in states)
