"""Runs a campaign: a fresh workflow, local workers, and a watch over both."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from fireworks import LaunchPad
from pymongo.errors import PyMongoError

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.failures import Failure, begin_run, read_failures
from llzo_al.campaign.label_log import settle_killed_jobs
from llzo_al.errors import StageError
from llzo_al.workflow import growth
from llzo_al.workflow.launchpads import embedded_file, open_launchpad, words
from llzo_al.workflow.local_workers import LocalWorkers
from llzo_al.workflow.owner import Owner, owner_of
from llzo_al.workflow.presence import busy, hands, lost
from llzo_al.workflow.repair import archive_all
from llzo_al.workflow.supervision import Supervision

POLL_S = 0.25
IDLE_POLLS = 4


def run_workflow(
    campaign: Campaign,
    *,
    launchpad_file: Path | None = None,
    here: Sequence[str] = growth.CATEGORIES,
    watch: Callable[[], None] = lambda: None,
) -> list[Failure]:
    """Run the campaign's workflow to its end.

    The caller holds the campaign's lock, so no local worker of an earlier run is alive: what that run left in
    the LaunchPad is archived, what its workers elsewhere have in hand is waited for, and a new workflow is
    built from the campaign directory.

    Parameters
    ----------
    campaign
        The campaign.
    launchpad_file
        FireWorks launchpad file of a MongoDB; None for the embedded LaunchPad.
    here
        Kinds of task (of `growth.CATEGORIES`) that local workers take.
    watch
        Called a few times a second, to show progress.

    Returns
    -------
    list of Failure
        Tasks that failed, in order.

    Raises
    ------
    StageError
        If a worker keeps dying, or MongoDB stays away or refuses a request.
    """
    launchpad = open_launchpad(campaign.directory.root, launchpad_file)
    place = embedded_file(campaign.directory.root)
    if launchpad_file is None and place.parent != campaign.directory.root:
        campaign.say(f"the campaign directory is on a network filesystem: its LaunchPad is in {place.parent}")
    owner = owner_of(campaign.directory)
    try:
        first = _fresh_workflow(campaign, launchpad, owner, watch)
        with LocalWorkers(campaign, launchpad_file, here) as workers:
            supervision = Supervision(campaign, launchpad, owner, workers, first)
            idle = 0
            while idle < IDLE_POLLS:
                idle = 0 if supervision.look() else idle + 1
                watch()
                time.sleep(POLL_S)
    except (KeyboardInterrupt, StageError):
        if launchpad_file is not None:  # so that nobody elsewhere begins anything more
            with suppress(PyMongoError):
                archive_all(launchpad, owner)
        raise
    except PyMongoError as error:
        if launchpad_file is None:
            raise
        raise StageError(
            f"{launchpad_file}: MongoDB failed: {words(error)}. What was finished is kept: see to the server "
            "and run the same command again"
        ) from error
    watch()
    return read_failures(campaign)


def _fresh_workflow(campaign: Campaign, launchpad: LaunchPad, owner: Owner, watch: Callable[[], None]) -> int:
    """Put the last run's workflow away and add a new one; returns one of its fireworks."""
    archive_all(launchpad, owner)
    told: list[str] = []
    while others := busy(hands(campaign.directory)):
        if others != told:
            names = ", ".join(others)
            campaign.say(
                f"waits for workers elsewhere to end what the last run gave them: {names} (if their jobs are "
                f"gone, remove their files in {hands(campaign.directory)})"
            )
            told = others
        watch()
        time.sleep(POLL_S)
    for _ in lost(hands(campaign.directory)):  # what they had is archived
        continue
    archive_all(launchpad, owner)  # also what they took up at that moment
    begin_run(campaign.directory.failures)
    settle_killed_jobs(campaign.directory)
    shutil.rmtree(campaign.directory.label_jobs, ignore_errors=True)
    for stale in campaign.directory.progress.glob("*"):
        stale.unlink(missing_ok=True)
    ids: dict[int, int] = launchpad.add_wf(growth.start(campaign))
    return next(iter(ids.values()))
