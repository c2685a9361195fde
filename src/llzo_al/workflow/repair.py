"""Putting a LaunchPad in order after workers died, and out of the way before a fresh workflow is added.

The embedded LaunchPad makes each call atomic, so only launches that ran when a worker died need repair. On
MongoDB a call can also be cut in two. Each of FireWorks' updates writes the workflow's document last; so a
firework whose own state differs from its state in the workflow belongs to an update that never ended, and is
done again.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from fireworks.core.launchpad import LaunchPad, WFLock

from llzo_al.workflow.embedded import EmbeddedLaunchPad

LOCK_PATIENCE_S = 60.0
"""A living process holds the lock of a workflow for much less than this."""

CAMPAIGN_DIR = "campaign_dir"
"""Key of a workflow's metadata that holds the campaign directory."""

YOUNG_S = 600.0
"""On a database that campaigns share, a firework younger than this may be about to get its workflow."""


@dataclass(frozen=True, kw_only=True)
class RepairReport:
    """What `repair` found and put right, as firework ids.

    Attributes
    ----------
    rerun
        Fireworks that a dead worker had left RUNNING, or RESERVED without a launch.
    unreserved
        Fireworks that were RESERVED for a worker or a queued job.
    unlocked
        One firework of each workflow that a dead process had left locked.
    refreshed
        Fireworks whose state, or whose children's, an interrupted update had left behind.
    removed
        Fireworks that belonged to no workflow.
    """

    rerun: tuple[int, ...] = ()
    unreserved: tuple[int, ...] = ()
    unlocked: tuple[int, ...] = ()
    refreshed: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything needed repair."""
        return any((self.rerun, self.unreserved, self.unlocked, self.refreshed, self.removed))


def repair(launchpad: LaunchPad, name: str | None = None) -> RepairReport:
    """Make every unfinished firework runnable again. Call it only when no worker is alive.

    Parameters
    ----------
    launchpad
        An embedded LaunchPad or one on MongoDB.
    name
        Repair only workflows of this name: needed on a database that other campaigns use as well, whose
        workers may be alive. By default all workflows are repaired.

    Returns
    -------
    RepairReport
        What was put right. A second call finds nothing.

    Notes
    -----
    If MongoDB lost the end of an update, that update is applied a second time. States and additions come out
    right; a list that FWAction's ``mod_spec`` pushes to may hold its new entry twice.
    """
    with _transaction(launchpad):
        workflows = {} if name is None else {"name": name}
        unlocked = _unlock(launchpad, workflows)
        removed = _remove_orphans(launchpad, young_s=0.0 if name is None else YOUNG_S)
        nodes = _nodes(launchpad, workflows)
        refreshed = _redo_interrupted_updates(launchpad, nodes)
        of_these = {} if name is None else {"fw_id": {"$in": nodes}}
        rerun, unreserved = _put_back(launchpad, of_these)
        refreshed += _refresh_ended(launchpad, of_these)
        rerun += _put_back_without_launch(launchpad, nodes)
        refreshed += _refresh_waiting(launchpad, workflows)
        return RepairReport(
            rerun=tuple(sorted(rerun)),
            unreserved=tuple(sorted(unreserved)),
            unlocked=tuple(sorted(unlocked)),
            refreshed=tuple(sorted(set(refreshed))),
            removed=tuple(sorted(removed)),
        )


def archive_all(
    launchpad: LaunchPad, name: str | None = None, *, campaign_dir: str | None = None
) -> list[int]:
    """Archive every workflow of a campaign, finished or not, so that a fresh one can be added.

    Unlike FireWorks' ``archive_wf`` it keeps each firework's launches, takes one update per workflow rather
    than one per firework, and archives fireworks in any state; call it only when no worker of the campaign is
    alive.

    Parameters
    ----------
    launchpad
        An embedded LaunchPad or one on MongoDB.
    name
        Only workflows of this name.
    campaign_dir
        Only workflows that were made for this campaign directory, whatever their name: a campaign may be
        renamed, and two that share a database may have the same name.

    Returns
    -------
    list of int
        The first firework id of each workflow that was archived now.
    """
    archived = []
    with _transaction(launchpad):
        query: dict[str, Any] = {"state": {"$ne": "ARCHIVED"}}
        if name is not None:
            query["name"] = name
        if campaign_dir is not None:
            query[f"metadata.{CAMPAIGN_DIR}"] = campaign_dir
        for workflow in list(launchpad.workflows.find(query, {"nodes": 1})):
            nodes = workflow["nodes"]
            unfinished = {"fw_id": {"$in": nodes}, "state": {"$in": ["RUNNING", "RESERVED"]}}
            launchpad.launches.update_many(unfinished, {"$set": {"state": "FIZZLED"}})
            # The workflow last: interrupted before, the next call archives all of it again.
            change = {"state": "ARCHIVED", "updated_on": datetime.datetime.now(datetime.UTC)}
            launchpad.fireworks.update_many({"fw_id": {"$in": nodes}}, {"$set": change})
            states = {str(fw_id): "ARCHIVED" for fw_id in nodes}
            launchpad.workflows.update_one(
                {"_id": workflow["_id"]}, {"$set": {**change, "fw_states": states}, "$unset": {"locked": ""}}
            )
            archived.append(int(nodes[0]))
    return archived


def rerun_of_worker(launchpad: LaunchPad, worker_name: str) -> list[int]:
    """Make runnable again what one dead worker had left RUNNING, while others go on.

    Parameters
    ----------
    launchpad
        An embedded LaunchPad or one on MongoDB.
    worker_name
        The name of the dead FWorker, which no living one may share.

    Returns
    -------
    list of int
        The fireworks that were put back.
    """
    with _transaction(launchpad):
        launches = {"fworker.name": worker_name}
        rerun, unreserved = _put_back(launchpad, launches)
        _refresh_ended(launchpad, launches)
        return sorted(rerun + unreserved)


def _transaction(launchpad: LaunchPad) -> AbstractContextManager[None]:
    if isinstance(launchpad, EmbeddedLaunchPad):
        return launchpad.transaction()
    return nullcontext()


def _unlock(launchpad: LaunchPad, workflows: dict[str, Any]) -> list[int]:
    query = {**workflows, "locked": {"$exists": True}}
    unlocked = [workflow["nodes"][0] for workflow in launchpad.workflows.find(query, {"nodes": 1})]
    if unlocked:
        launchpad.workflows.update_many(query, {"$unset": {"locked": ""}})
    return unlocked


def _nodes(launchpad: LaunchPad, workflows: dict[str, Any]) -> list[int]:
    return [
        node for workflow in launchpad.workflows.find(workflows, {"nodes": 1}) for node in workflow["nodes"]
    ]


def _remove_orphans(launchpad: LaunchPad, *, young_s: float) -> list[int]:
    """Remove fireworks whose workflow was never written: what adds them will add them again."""
    known = set(_nodes(launchpad, {}))
    oldest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=young_s)
    orphans = [
        firework["fw_id"]
        for firework in launchpad.fireworks.find({}, {"fw_id": 1, "created_on": 1})
        if firework["fw_id"] not in known and (young_s == 0.0 or _date(firework["created_on"]) < oldest)
    ]
    if orphans:
        launchpad.launches.delete_many({"fw_id": {"$in": orphans}})
        launchpad.fireworks.delete_many({"fw_id": {"$in": orphans}})
    return orphans


def _date(value: str | datetime.datetime) -> datetime.datetime:
    date = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return date if date.tzinfo else date.replace(tzinfo=datetime.UTC)


def _redo_interrupted_updates(launchpad: LaunchPad, nodes: list[int]) -> list[int]:
    """Repeat updates that changed a firework but not its workflow."""
    recorded: dict[int, str] = {}
    for workflow in launchpad.workflows.find({"nodes": {"$in": nodes}}, {"fw_states": 1}):
        recorded.update({int(fw_id): state for fw_id, state in workflow.get("fw_states", {}).items()})
    redone = []
    for firework in list(launchpad.fireworks.find({"fw_id": {"$in": nodes}}, {"fw_id": 1, "state": 1})):
        fw_id, state = firework["fw_id"], firework["state"]
        if recorded.get(fw_id, state) == state:
            continue
        if state in ("COMPLETED", "FIZZLED"):
            # FireWorks applies a launch's action only where it sees the firework's state change.
            launchpad.fireworks.update_one({"fw_id": fw_id}, {"$set": {"state": recorded[fw_id]}})
        launchpad._refresh_wf(fw_id)
        redone.append(fw_id)
    return redone


def _put_back(launchpad: LaunchPad, launches: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Rerun the fireworks of unfinished launches; return those that were RUNNING and those RESERVED.

    FireWorks' ``detect_lostruns`` fails the launch first and reruns the firework second; interrupted between
    the two, it leaves a failed firework. In this order it leaves an unfinished launch, for the next call.
    """
    found: dict[str, list[int]] = {"RUNNING": [], "RESERVED": []}
    unfinished = {"$in": list(found)}
    for launch in list(launchpad.launches.find({**launches, "state": unfinished}, {"launch_id": 1})):
        launch_id = launch["launch_id"]
        query = {"launches": launch_id, "state": unfinished}
        for firework in list(launchpad.fireworks.find(query, {"fw_id": 1, "state": 1})):
            _break_lock(launchpad, firework["fw_id"])
            launchpad.rerun_fw(firework["fw_id"])
            found[firework["state"]].append(firework["fw_id"])
        launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state": "FIZZLED"}})
        launchpad.forget_offline(launch_id)
    return found["RUNNING"], found["RESERVED"]


def _put_back_without_launch(launchpad: LaunchPad, nodes: list[int]) -> list[int]:
    """Rerun fireworks that no unfinished launch explains."""
    query = {"fw_id": {"$in": nodes}, "state": {"$in": ["RESERVED", "RUNNING"]}}
    left = [firework["fw_id"] for firework in launchpad.fireworks.find(query, {"fw_id": 1})]
    for fw_id in left:
        launchpad.rerun_fw(fw_id)
    return left


def _refresh_ended(launchpad: LaunchPad, launches: dict[str, Any]) -> list[int]:
    """Complete fireworks whose launch had ended when the update of their workflow was cut off."""
    query = {**launches, "state": {"$in": ["COMPLETED", "FIZZLED"]}}
    ended = [launch["launch_id"] for launch in launchpad.launches.find(query, {"launch_id": 1})]
    query = {"launches": {"$in": ended}, "state": "RUNNING"}
    fireworks = [firework["fw_id"] for firework in launchpad.fireworks.find(query, {"fw_id": 1})]
    for fw_id in fireworks:
        _break_lock(launchpad, fw_id)
        launchpad._refresh_wf(fw_id)
    return fireworks


def _break_lock(launchpad: LaunchPad, fw_id: int) -> None:
    """Wait for a workflow's lock, and take it away from a process that died with it."""
    with WFLock(launchpad, fw_id, expire_secs=LOCK_PATIENCE_S, kill=True):
        pass


def _refresh_waiting(launchpad: LaunchPad, workflows: dict[str, Any]) -> list[int]:
    """Wake fireworks that wait although their parents have ended."""
    refreshed = []
    for workflow in list(
        launchpad.workflows.find(workflows, {"fw_states": 1, "parent_links": 1, "nodes": 1})
    ):
        for fw_id in _waiting_for_nothing(workflow):
            launchpad._refresh_wf(fw_id)
            if launchpad.fireworks.find_one({"fw_id": fw_id}, {"state": 1})["state"] != "WAITING":
                refreshed.append(fw_id)
    return refreshed


def _waiting_for_nothing(workflow: dict[str, Any]) -> Iterator[int]:
    states = workflow.get("fw_states", {})
    parents: dict[str, Iterable[int]] = workflow.get("parent_links", {})
    for fw_id, state in states.items():
        ended = all(states[str(parent)] in ("COMPLETED", "FIZZLED") for parent in parents.get(fw_id, ()))
        if state == "WAITING" and ended:
            yield int(fw_id)
