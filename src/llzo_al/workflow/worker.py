"""Workers: take a campaign's fireworks of some categories, one at a time."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from pymongo.errors import ConnectionFailure

from llzo_al.campaign import log
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import CampaignDirectory, driven
from llzo_al.campaign.log import WarningsInLog
from llzo_al.errors import LlzoAlError, StageError, UserError
from llzo_al.labelling.vasp.command import worker_environment
from llzo_al.preflight import missing_parts
from llzo_al.process import die_with_parent, usable_cores
from llzo_al.workflow.launchpads import open_launchpad
from llzo_al.workflow.owner import owner_of
from llzo_al.workflow.presence import TaskInHand, hands
from llzo_al.workflow.worker_file import LEAVES, worker_env

POLL_S = 0.2
POLL_ELSEWHERE_S = 2.0
DISCONNECTED = 75
"""Exit code of a local worker that lost its database."""

TIME_IS_UP = 76
"""Exit code of a local worker whose task was stopped before the time limit of the job."""

DATABASE_PATIENCE_S = 600.0
"""How long the database may stay away before a run, or a worker elsewhere, gives up."""


def work(
    launchpad: LaunchPad,
    worker: FWorker,
    *,
    poll_s: float,
    idle_s: float | None = None,
    may_take: Callable[[], bool] = lambda: True,
    in_hand: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Run what is ready, in the current directory.

    Parameters
    ----------
    launchpad
        The campaign's LaunchPad.
    worker
        Who works, and what it takes.
    poll_s
        How often to look for tasks.
    idle_s
        Return after so long without a task; None for never.
    may_take
        Whether tasks may be taken now.
    in_hand
        Makes the context that a task is taken and done in.

    Raises
    ------
    pymongo.errors.ConnectionFailure
        If the connection to MongoDB is lost. What was in hand has to be put back by someone else.
    """
    last = time.monotonic()
    while idle_s is None or time.monotonic() - last < idle_s:
        ran = False
        if may_take() and launchpad.run_exists(worker):
            with in_hand():
                ran = launch_rocket(launchpad, worker, strm_lvl="WARNING")
        if ran:
            last = time.monotonic()
        else:
            time.sleep(poll_s)


def work_elsewhere(
    root: Path,
    *,
    launchpad_file: Path,
    categories: Sequence[str],
    idle_s: float,
    say: Callable[[str], None],
    worker_file: Path | None = None,
) -> None:
    """Work for a campaign that another process drives, maybe on another machine, while that one lives.

    Parameters
    ----------
    root
        The campaign directory.
    launchpad_file
        FireWorks launchpad file of the MongoDB that the campaign runs on.
    categories
        Kinds of task to take.
    idle_s
        End after so long without a task.
    say
        Tells people what happens.
    worker_file
        FireWorks worker file whose ``env`` the tasks get.

    Raises
    ------
    UserError
        If one of the files is of no use, or this machine lacks what such tasks need.
    StageError
        If the database stays away.
    """
    env = {} if worker_file is None else worker_env(worker_file)
    os.environ.update(worker_environment(env))  # for the look at what this machine has
    directory = CampaignDirectory(root.resolve())
    _show_warnings(directory)
    may_take = WhenDriven(directory, categories)
    for number in (signal.SIGINT, signal.SIGTERM):
        # FireWorks would take Python's KeyboardInterrupt for the failure of the task.
        signal.signal(number, signal.SIG_DFL)
    base = f"{socket.gethostname()}-{os.getpid()}"
    launchpad, turn = open_launchpad(directory.root, launchpad_file), 0
    while True:
        name = f"{base}-{turn}" if turn else base  # the driver puts back what an earlier name had in hand
        # A task that is stopped before its job's time limit ends this worker; the driver gives it to another.
        worker = _worker(directory, name, categories, env, threads=usable_cores(), **{LEAVES: 0})
        place = directory.logs / "launches" / name
        place.mkdir(parents=True, exist_ok=True)
        os.chdir(place)
        say(f"worker {name} takes: {', '.join(categories)}")
        try:
            work(
                launchpad,
                worker,
                poll_s=POLL_ELSEWHERE_S,
                idle_s=idle_s,
                may_take=may_take,
                in_hand=partial(TaskInHand, hands(directory), name),
            )
            say(f"worker {name} ends: no task for {idle_s:g} s")
            return
        except ConnectionFailure:
            say(f"worker {name} lost the connection to MongoDB at {launchpad.address} and waits for it")
            launchpad, turn = _reconnected(directory.root, launchpad_file), turn + 1


def _show_warnings(directory: CampaignDirectory) -> None:
    """Warnings go to this process's own output, and the program's also to the campaign's log."""
    shown = logging.StreamHandler()
    shown.setLevel(logging.WARNING)  # the handler, since FireWorks' loggers have levels of their own
    logging.basicConfig(handlers=[shown])
    logging.getLogger("llzo_al").addHandler(WarningsInLog(directory))


class WhenDriven:
    """Whether tasks may be taken: while a run drives the campaign, on a machine that is fit for them.

    The machine is looked at once for each run, which may come with another campaign file. One that is not
    fit would fail one task after the other before another machine could take them.
    """

    def __init__(self, directory: CampaignDirectory, categories: Sequence[str]) -> None:
        self._directory = directory
        self._categories = categories
        self._fit_for: int | None = None

    def __call__(self) -> bool:
        """Whether a task may be taken now.

        Raises
        ------
        UserError
            If the campaign is driven and this machine is not fit for it.
        """
        if not driven(self._directory):
            return False
        try:
            settings = self._directory.config.stat().st_mtime_ns  # each run writes them
        except FileNotFoundError:
            return False
        if settings != self._fit_for:
            missing = missing_parts(Campaign.open(self._directory.root).config, tasks=self._categories)
            if missing:
                told = f"{socket.gethostname()} lacks what a worker for {', '.join(self._categories)} needs"
                log.say(self._directory, told, *missing)  # where people look, beside the job's own output
                raise UserError(f"{told} (--tasks says which tasks it takes):\n  " + "\n  ".join(missing))
            self._fit_for = settings
        return True


def _reconnected(root: Path, launchpad_file: Path) -> LaunchPad:
    ends = time.monotonic() + DATABASE_PATIENCE_S
    while True:
        try:
            return open_launchpad(root, launchpad_file)
        except UserError as error:
            if time.monotonic() > ends:
                raise StageError(f"{error}; gave up after {DATABASE_PATIENCE_S:.0f} s") from error
        time.sleep(1.0)


def _worker(
    directory: CampaignDirectory, name: str, categories: Sequence[str], given: Mapping[str, Any], **own: Any
) -> FWorker:
    owner = owner_of(directory)
    env = {**given, **owner.env, **own}
    return FWorker(name=name, category=list(categories), query=owner.fireworks, env=env)


def main() -> None:
    """Entry of ``python -m llzo_al.workflow.worker``: a local worker, which lives as long as its parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign_dir", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--categories", required=True)
    parser.add_argument("--launchpad", type=Path, default=None)
    parser.add_argument("--gpu", default=None)
    parser.add_argument("--parent", required=True, type=int)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    directory = CampaignDirectory(arguments.campaign_dir)
    _show_warnings(directory)
    gpu = {} if arguments.gpu is None else {"gpu": arguments.gpu}
    own = {**gpu, LEAVES: TIME_IS_UP}
    worker = _worker(directory, arguments.name, arguments.categories.split(","), {}, **own)
    try:
        work(open_launchpad(directory.root, arguments.launchpad), worker, poll_s=POLL_S)
    except (LlzoAlError, ConnectionFailure) as error:
        print(f"{arguments.name}: {error}", flush=True)
        # At once, past FireWorks' thread that waits for the database.
        os._exit(DISCONNECTED if _is_disconnection(error) else 1)


def _is_disconnection(error: BaseException) -> bool:
    return isinstance(error, ConnectionFailure) or isinstance(error.__cause__, ConnectionFailure)


if __name__ == "__main__":
    main()
