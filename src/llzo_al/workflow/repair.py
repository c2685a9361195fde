"""Putting a campaign's workflow in order after workers died, and out of the way before a fresh one is added.

The embedded LaunchPad makes each call atomic, so only launches that ran when a worker died need repair. On
MongoDB a call can also be cut in two. Each of FireWorks' updates holds the workflow's lock and writes the
workflow's document last; so a firework that had ended by its own document and not by the workflow's belongs
to an update that never ended, and is done again.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from fireworks.core.launchpad import LaunchPad, WFLock

from llzo_al.workflow.embedded import EmbeddedLaunchPad
from llzo_al.workflow.mongodb import refresh_locked
from llzo_al.workflow.owner import Owner

LOCK_PATIENCE_S = 60.0
"""A living process holds the lock of a workflow for much less than this."""

_ENDED = ("COMPLETED", "FIZZLED")
_HELD = ("RUNNING", "RESERVED")
_LIVE = {"$ne": "ARCHIVED"}


def archive_all(launchpad: LaunchPad, owner: Owner) -> list[int]:
    """Archive every workflow of a campaign, finished or not, so that a fresh one can be added.

    Unlike FireWorks' ``archive_wf`` it keeps each firework's launches, takes one update per workflow rather
    than one per firework, archives fireworks in any state, and those whose workflow was never written.

    Parameters
    ----------
    launchpad
        An embedded LaunchPad or one on MongoDB.
    owner
        The campaign. Workflows of others are left alone, also of namesakes.

    Returns
    -------
    list of int
        The first firework id of each workflow that was archived now.
    """
    archived = []
    change = {"state": "ARCHIVED", "updated_on": datetime.datetime.now(datetime.UTC)}
    with _transaction(launchpad):
        for workflow in list(launchpad.workflows.find({**owner.workflows, "state": _LIVE}, {"nodes": 1})):
            nodes = workflow["nodes"]
            unfinished = {"fw_id": {"$in": nodes}, "state": {"$in": _HELD}}
            launchpad.launches.update_many(unfinished, {"$set": {"state": "FIZZLED"}})
            # The workflow last: interrupted before, the next call archives all of it again.
            launchpad.fireworks.update_many({"fw_id": {"$in": nodes}}, {"$set": change})
            states = {str(fw_id): "ARCHIVED" for fw_id in nodes}
            launchpad.workflows.update_one(
                {"_id": workflow["_id"]}, {"$set": {**change, "fw_states": states}, "$unset": {"locked": ""}}
            )
            archived.append(int(nodes[0]))
        launchpad.fireworks.update_many({**owner.fireworks, "state": _LIVE}, {"$set": change})
    return archived


def rerun_of_worker(launchpad: LaunchPad, worker_name: str, owner: Owner) -> list[int]:
    """Make runnable again what one dead worker had left RUNNING, while others go on.

    Parameters
    ----------
    launchpad
        An embedded LaunchPad or one on MongoDB.
    worker_name
        The name of the dead FWorker, which no living one of the campaign may share.
    owner
        The campaign.

    Returns
    -------
    list of int
        The fireworks that were put back.
    """
    with _transaction(launchpad):
        settle(launchpad, owner)
        rerun = []
        query = {"fworker.name": worker_name, **owner.launches, "state": {"$in": _HELD}}
        for launch in list(launchpad.launches.find(query, {"launch_id": 1, "fw_id": 1})):
            rerun += _put_back(launchpad, launch["launch_id"], launch["fw_id"])
        return sorted(rerun)


def settle(launchpad: LaunchPad, owner: Owner) -> None:
    """Finish what dead processes had begun to change in a campaign's workflow, while others go on.

    Each workflow is locked meanwhile; a lock that is not given back in time is taken away from the process
    that died with it. An update that is done again makes the same states and additions; a list that
    FWAction's ``mod_spec`` pushes to may hold its new entry twice.

    Parameters
    ----------
    launchpad
        An embedded LaunchPad or one on MongoDB.
    owner
        The campaign.
    """
    with _transaction(launchpad):
        for found in list(launchpad.workflows.find({**owner.workflows, "state": _LIVE}, {"nodes": 1})):
            node = found["nodes"][0]
            with WFLock(launchpad, node, expire_secs=LOCK_PATIENCE_S, kill=True):
                workflow = launchpad.workflows.find_one({"nodes": node})
                _remove_orphans(launchpad, owner)
                _redo(launchpad, workflow)


def unexplained(launchpad: LaunchPad, owner: Owner) -> set[int]:
    """Fireworks of a campaign that seem to be held by nobody, or to have ended unnoticed.

    The embedded LaunchPad has none. On MongoDB a living worker leaves one for moments; one that stays is put
    right by `release`.

    Parameters
    ----------
    launchpad
        A LaunchPad on MongoDB.
    owner
        The campaign.
    """
    query = {**owner.fireworks, "state": {"$in": _HELD}}
    held = {
        firework["fw_id"]: set(firework["launches"])
        for firework in launchpad.fireworks.find(query, {"fw_id": 1, "launches": 1})
    }
    query = {"launch_id": {"$in": list(set().union(*held.values()))}, "state": {"$in": _HELD}}
    living = {launch["launch_id"] for launch in launchpad.launches.find(query, {"launch_id": 1})}
    found = {fw_id for fw_id, launches in held.items() if not launches & living}
    for workflow in launchpad.workflows.find({**owner.workflows, "state": _LIVE}, {"fw_states": 1}):
        active = [int(fw_id) for fw_id, state in workflow["fw_states"].items() if state in (*_HELD, "READY")]
        query = {"fw_id": {"$in": active}, "state": {"$in": _ENDED}}
        found |= {firework["fw_id"] for firework in launchpad.fireworks.find(query, {"fw_id": 1})}
    return found


def release(launchpad: LaunchPad, owner: Owner, fw_ids: Iterable[int]) -> list[int]:
    """Put right what has been `unexplained` for too long; returns what runs again."""
    settle(launchpad, owner)
    again = sorted(unexplained(launchpad, owner) & set(fw_ids))
    for fw_id in again:
        launchpad.rerun_fw(fw_id)
    return again


def _transaction(launchpad: LaunchPad) -> AbstractContextManager[None]:
    if isinstance(launchpad, EmbeddedLaunchPad):
        return launchpad.transaction()
    return nullcontext()


def _remove_orphans(launchpad: LaunchPad, owner: Owner) -> None:
    """Remove fireworks whose workflow does not know them: what adds them will add them again."""
    known: set[int] = set()
    for workflow in launchpad.workflows.find(owner.workflows, {"nodes": 1}):
        known.update(workflow["nodes"])
    query = {**owner.fireworks, "state": _LIVE}
    living = [firework["fw_id"] for firework in launchpad.fireworks.find(query, {"fw_id": 1})]
    orphans = sorted(set(living) - known)
    if orphans:
        launchpad.launches.delete_many({"fw_id": {"$in": orphans}})
        launchpad.fireworks.delete_many({"fw_id": {"$in": orphans}})


def _redo(launchpad: LaunchPad, workflow: dict[str, Any]) -> None:
    """Repeat updates that were not finished."""
    recorded = {int(fw_id): state for fw_id, state in workflow["fw_states"].items()}
    overdue = []
    query = {"fw_id": {"$in": workflow["nodes"]}, "state": {"$in": _ENDED}}
    for firework in list(launchpad.fireworks.find(query, {"fw_id": 1, "state": 1})):
        fw_id = firework["fw_id"]
        if recorded[fw_id] != firework["state"]:
            # FireWorks applies a launch's action only where it sees the firework's state change.
            launchpad.fireworks.update_one({"fw_id": fw_id}, {"$set": {"state": recorded[fw_id]}})
            overdue.append(fw_id)
    overdue += _ended_unnoticed(launchpad, workflow["nodes"])
    overdue += _waiting_for_nothing(workflow)
    for fw_id in overdue:
        refresh_locked(launchpad, fw_id)


def _ended_unnoticed(launchpad: LaunchPad, nodes: list[int]) -> list[int]:
    """Fireworks that run although their launch has ended."""
    query = {"fw_id": {"$in": nodes}, "state": "RUNNING"}
    running = {
        firework["fw_id"]: set(firework["launches"])
        for firework in launchpad.fireworks.find(query, {"fw_id": 1, "launches": 1})
    }
    query = {"launch_id": {"$in": list(set().union(*running.values()))}, "state": {"$in": _ENDED}}
    ended = {launch["launch_id"] for launch in launchpad.launches.find(query, {"launch_id": 1})}
    return [fw_id for fw_id, launches in running.items() if launches and launches <= ended]


def _waiting_for_nothing(workflow: dict[str, Any]) -> Iterator[int]:
    """Fireworks that wait although their parents have ended."""
    states = workflow["fw_states"]
    parents: dict[str, list[int]] = workflow.get("parent_links", {})
    for fw_id, state in states.items():
        if state == "WAITING" and all(states[str(parent)] in _ENDED for parent in parents.get(fw_id, ())):
            yield int(fw_id)


def _put_back(launchpad: LaunchPad, launch_id: int, fw_id: int) -> list[int]:
    """Rerun the fireworks of an unfinished launch, also the one that it was not entered in yet.

    FireWorks' ``detect_lostruns`` fails the launch first and reruns the firework second; interrupted between
    the two, it leaves a failed firework. In this order it leaves an unfinished launch, for the next call.
    """
    of_launch = [{"launches": launch_id}, {"fw_id": fw_id, "launches": []}]
    query = {"$or": of_launch, "state": {"$in": _HELD}}
    held = [firework["fw_id"] for firework in launchpad.fireworks.find(query, {"fw_id": 1})]
    for each in held:
        launchpad.rerun_fw(each)
    launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state": "FIZZLED"}})
    launchpad.forget_offline(launch_id)
    return held
