"""A FireWorks LaunchPad that needs no database server: one SQLite file, shared by the processes of one host.

Each public call of the LaunchPad is one transaction. A call that ends in an exception, or whose process is
killed, leaves the file and the memory of every process as they were before it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from fireworks.core.launchpad import LaunchPad
from fireworks.utilities.fw_utilities import get_fw_logger

from llzo_al.workflow.document_client import EmbeddedClient
from llzo_al.workflow.document_file import WriteNeededError

READS = frozenset(
    {
        "future_run_exists", "get_fw_by_id", "get_fw_dict_by_id", "get_fw_ids",
        "get_fw_ids_from_reservation_id", "get_fw_ids_in_wfs", "get_launch_by_id", "get_launchdir",
        "get_recovery", "get_reservation_id_from_fw_id", "get_tracker_data", "get_wf_by_fw_id",
        "get_wf_by_fw_id_lzyfw", "get_wf_ids", "get_wf_summary_dict", "run_exists",
    }
)  # fmt: skip
"""Calls that normally write nothing; one that turns out to write starts again as a writing transaction."""

NOT_TRANSACTIONS = frozenset(
    {
        "as_dict", "from_dict", "from_file", "from_format", "get_logdir", "log_message", "maintain",
        "to_db_dict", "to_dict", "to_file", "to_format",
    }
)  # fmt: skip
"""Calls that touch no document, and `maintain`, which sleeps between transactions."""

INTERNAL_WRITES = ("_refresh_wf", "_restart_ids", "_update_wf", "_upsert_fws")
"""Internal calls that FireWorks' own tools use from outside."""


class EmbeddedLaunchPad(LaunchPad):
    """A LaunchPad in one SQLite file on a local disk.

    Parameters
    ----------
    path
        The file; created, ready for use, if it does not exist.
    logdir
        Directory for FireWorks' log files; none are written by default.
    log_level
        Least severe level that FireWorks prints, such as ``"INFO"``.

    Raises
    ------
    UserError
        If the file lies on a network filesystem, is damaged, is something else, or cannot be written.
    StageError
        If the disk is full or fails.

    Notes
    -----
    Objects may be used from several threads and survive a fork. The file may be removed between runs,
    together with the files ``-wal`` and ``-shm`` beside it: the campaign directory, not the LaunchPad, holds
    what is finished.
    """

    def __init__(self, path: Path, *, logdir: str | None = None, log_level: str = "CRITICAL") -> None:
        # FireWorks' own initialiser would connect to a server, so its attributes are set here.
        self.path = Path(path).resolve()
        self.host, self.port, self.name = "localhost", 27017, "fireworks"
        self.username = self.password = None
        self.authsource = self.name
        self.mongoclient_kwargs: dict[str, Any] = {}
        self.uri_mode = False
        self.logdir = logdir
        self.strm_lvl = log_level
        self.m_logger = get_fw_logger("launchpad", l_dir=logdir, stream_level=log_level)
        self.user_indices: list[str] = []
        self.wf_user_indices: list[str] = []
        self.connection = EmbeddedClient(self.path)
        self.db = self.connection[self.name]
        self.fireworks = self.db.fireworks
        self.launches = self.db.launches
        self.offline_runs = self.db.offline_runs
        self.fw_id_assigner = self.db.fw_id_assigner
        self.workflows = self.db.workflows
        self.gridfs_fallback = None  # documents have no 16 MB limit here
        self.backup_launch_data: dict[int, dict[str, Any]] = {}
        self.backup_fw_data: dict[int, dict[str, Any]] = {}
        self.fireworks.create_index("fw_id", unique=True)
        self.launches.create_index("launch_id", unique=True)
        if self.fw_id_assigner.find_one() is None:
            with self.transaction():
                if self.fw_id_assigner.find_one() is None:
                    self._restart_ids(1, 1)

    def transaction(self) -> AbstractContextManager[None]:
        """Make several calls one transaction: ``with launchpad.transaction(): ...``."""
        return self.connection.file.transaction()

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self.connection.close()

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` needs to open the same LaunchPad."""
        return {"path": str(self.path), "logdir": self.logdir, "log_level": self.strm_lvl}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> EmbeddedLaunchPad:
        """Open the LaunchPad that `to_dict` described."""
        return cls(Path(d["path"]), logdir=d["logdir"], log_level=d["log_level"])


def _transacted(method: Callable[..., Any], *, write: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: EmbeddedLaunchPad, *args: Any, **kwargs: Any) -> Any:
        file = self.connection.file
        if not write:
            try:
                with file.transaction(write=False):
                    return method(self, *args, **kwargs)
            except WriteNeededError:
                if file.in_transaction:
                    raise
        with file.transaction():
            return method(self, *args, **kwargs)

    return call


def _wrap_calls() -> None:
    for name, method in inspect.getmembers(LaunchPad, inspect.isfunction):
        public = not name.startswith("_") and name not in NOT_TRANSACTIONS
        if public or name in INTERNAL_WRITES:
            setattr(EmbeddedLaunchPad, name, _transacted(method, write=name not in READS))


_wrap_calls()
