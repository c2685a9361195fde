"""Watches over a run: over its workers, here and elsewhere, and over the LaunchPad itself."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from fireworks import LaunchPad
from pymongo.errors import ConnectionFailure

from llzo_al.campaign.campaign import Campaign
from llzo_al.workflow import growth
from llzo_al.workflow.launchpads import words
from llzo_al.workflow.local_workers import LocalWorkers, forget_progress
from llzo_al.workflow.mongodb import MongoLaunchPad
from llzo_al.workflow.owner import Owner
from llzo_al.workflow.presence import busy, hands, lost
from llzo_al.workflow.repair import release, rerun_of_worker, unexplained
from llzo_al.workflow.worker import DATABASE_PATIENCE_S

ELSEWHERE_S = 5.0
"""How often to look for what other machines left behind."""

SUSPECT_S = 30.0
"""A living worker explains what it holds much sooner than this."""

UNTAKEN_S = 60.0
"""Tasks that nobody has taken for so long are worth a word."""


@dataclass
class Supervision:
    """Looks after one workflow.

    Attributes
    ----------
    campaign, owner
        The campaign, and what marks its own in the LaunchPad.
    launchpad
        Its LaunchPad.
    workers
        Its local workers.
    first
        Any firework of the workflow.
    """

    campaign: Campaign
    launchpad: LaunchPad
    owner: Owner
    workers: LocalWorkers
    first: int
    _unreachable_since: float | None = None
    _next_look_elsewhere: float = 0.0
    _suspects: dict[int, float] = field(default_factory=dict)
    _untaken_since: float | None = None

    def look(self) -> bool:
        """Put right what can be; whether there is still work."""
        try:
            self.workers.revive(self.launchpad, self.owner)
            if isinstance(self.launchpad, MongoLaunchPad) and time.monotonic() > self._next_look_elsewhere:
                self._next_look_elsewhere = time.monotonic() + ELSEWHERE_S
                self._give_back_lost()
                self._release_suspects()
                self._tell_untaken()
            active = _active(self.launchpad, self.first)
        except ConnectionFailure as error:
            self._wait_for_database(error)
            return True
        if self._unreachable_since is not None:
            self._unreachable_since = None
            self.campaign.say("MongoDB answers again")
        return active

    def _wait_for_database(self, error: ConnectionFailure) -> None:
        """Say so the first time, and give up after a while.

        Raises
        ------
        ConnectionFailure
            If the database has been away for too long.
        """
        if self._unreachable_since is None:
            self._unreachable_since = time.monotonic()
            self.campaign.say(
                f"MongoDB does not answer ({words(error)}): waits for it up to {DATABASE_PATIENCE_S:.0f} s; "
                "tasks under way go on"
            )
        elif time.monotonic() - self._unreachable_since > DATABASE_PATIENCE_S:
            raise error

    def _give_back_lost(self) -> None:
        for name in lost(hands(self.campaign.directory)):
            given_back = rerun_of_worker(self.launchpad, name, self.owner)
            forget_progress(self.campaign)
            self.campaign.say(
                f"worker {name} ended in the middle of a task; {len(given_back)} task(s) start again from "
                "their checkpoints"
            )

    def _release_suspects(self) -> None:
        now = time.monotonic()
        seen = unexplained(self.launchpad, self.owner)
        self._suspects = {fw_id: self._suspects.get(fw_id, now) for fw_id in seen}
        overdue = [fw_id for fw_id, since in self._suspects.items() if now - since > SUSPECT_S]
        if overdue:
            again = release(self.launchpad, self.owner, overdue)
            self._suspects.clear()
            self.campaign.say(
                f"{len(overdue)} task(s) had been left between two states; {len(again)} of them start again"
            )

    def _tell_untaken(self) -> None:
        """Say once what waits for workers elsewhere while there are none."""
        kinds = [kind for kind in growth.CATEGORIES if kind not in self.workers.here]
        query = {**self.owner.fireworks, "state": "READY", "spec._category": {"$in": kinds}}
        waiting = Counter(
            firework["spec"]["_category"]
            for firework in (self.launchpad.fireworks.find(query, {"spec._category": 1}) if kinds else ())
        )
        now = time.monotonic()
        if not waiting or busy(hands(self.campaign.directory)):
            self._untaken_since = None
        elif self._untaken_since is None:
            self._untaken_since = now
        elif now - self._untaken_since > UNTAKEN_S:
            self._untaken_since = float("inf")
            tasks = ", ".join(f"{kind} {number}" for kind, number in waiting.items())
            self.campaign.say(
                f"tasks wait for a worker elsewhere ({tasks}): start qlaunch (again), or llzo-al worker "
                f"{self.campaign.directory.root} --launchpad {self.workers.launchpad_file}"
            )


def _active(launchpad: LaunchPad, member: int) -> bool:
    """Whether a firework of the workflow of `member` runs or could run.

    Fireworks that wait for a failed one do not count.
    """
    states = launchpad.workflows.find_one({"nodes": member}, {"fw_states": 1})["fw_states"].values()
    return any(state in ("READY", "RESERVED", "RUNNING") for state in states)
