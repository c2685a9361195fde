"""FireWorks' LaunchPad on a MongoDB server, for workers that outlive an interrupted connection."""

from __future__ import annotations

import sys
from typing import Any

from fireworks.core.launchpad import LaunchPad, LockedWorkflowError, WFLock
from pymongo.errors import ConnectionFailure


class MongoLaunchPad(LaunchPad):
    """FireWorks' LaunchPad, where a lost connection is not taken for the failure of a task.

    FireWorks' own calls a task failed, and drops what it returned, when the database could not be reached at
    its end but can be reached again a moment later. Here the error comes out of `launch_rocket`, and the task
    is put back by `repair.rerun_of_worker`; what it has finished, it finds in the campaign directory.
    """

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> MongoLaunchPad:
        """Connect as a launchpad file says."""
        keys = ("port", "name", "username", "password", "logdir", "strm_lvl", "authsource")
        given = {key: d.get(key) for key in (*keys, "user_indices", "wf_user_indices")}
        return cls(
            d["host"],
            **given,
            uri_mode=d.get("uri_mode", False),
            mongoclient_kwargs=dict(d.get("mongoclient_kwargs") or {}),
        )

    @property
    def address(self) -> str:
        """Where the server is, without credentials."""
        return "the server of its URI" if self.uri_mode else f"{self.host}:{self.port}"

    def restore_backup_data(self, launch_id: int, fw_id: int) -> None:
        """What FireWorks does first after an error that is not the task's."""
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionFailure):
            raise error
        super().restore_backup_data(launch_id, fw_id)

    def _refresh_wf(self, fw_id: int) -> None:
        try:
            with WFLock(self, fw_id):
                refresh_locked(self, fw_id)
        except LockedWorkflowError:
            self.m_logger.info(f"{fw_id=} locked. Can't refresh!")


def refresh_locked(launchpad: LaunchPad, fw_id: int) -> None:
    """Bring a firework's state and its children's up to date; the caller holds the workflow's lock."""
    workflow = launchpad.get_wf_by_fw_id_lzyfw(fw_id)
    launchpad._update_wf(workflow, workflow.refresh(fw_id))
