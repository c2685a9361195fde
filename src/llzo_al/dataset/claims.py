"""Who is labelling what: claims on the frames of a label store that several campaigns share.

A claim is a lease. Its owner renews it while it works; one whose process is gone (on the same host), or that
was not renewed in time (from another host), is free for the next.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import psutil

from llzo_al.dataset import _sqlite

LEASE_S = 600.0
"""How long a claim holds without being renewed."""


class Claims:
    """The claims of one worker on frames of a label store.

    Parameters
    ----------
    path
        The store's SQLite file.
    lease_s
        How long a claim holds without being renewed (seconds).
    """

    def __init__(self, path: Path, *, lease_s: float = LEASE_S) -> None:
        self._path = path
        self.lease_s = lease_s
        self._owner = uuid.uuid4().hex
        self._host = socket.gethostname()
        self._pid = os.getpid()
        self._started = psutil.Process(self._pid).create_time()

    def take(self, identities: Sequence[str]) -> frozenset[str]:
        """Claim those of `identities` that have no label and that nobody else works on.

        Returns
        -------
        frozenset of str
            The identities that are ours now.
        """
        now = time.time()
        with _sqlite.transaction(self._path, "claiming frames") as database:
            labelled = {
                identity
                for (identity,) in database.execute(
                    "SELECT identity FROM labels WHERE identity IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(identities)),),
                )
            }
            held = self._held_by_others(database, identities, now)
            free = [identity for identity in identities if identity not in labelled | held]
            database.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (identity, self._owner, self._host, self._pid, self._started, now + self.lease_s)
                    for identity in free
                ],
            )
        return frozenset(free)

    def renew(self) -> None:
        """Extend the lease of all that is claimed."""
        with _sqlite.transaction(self._path, "renewing claims") as database:
            database.execute(
                "UPDATE claims SET expires = ? WHERE owner = ?", (time.time() + self.lease_s, self._owner)
            )

    def release(self) -> None:
        """Give everything back."""
        with _sqlite.transaction(self._path, "releasing claims") as database:
            database.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))

    def _held_by_others(
        self, database: sqlite3.Connection, identities: Sequence[str], now: float
    ) -> set[str]:
        rows = database.execute(
            "SELECT identity, owner, host, pid, started, expires FROM claims "
            "WHERE identity IN (SELECT value FROM json_each(?))",
            (json.dumps(list(identities)),),
        ).fetchall()
        return {
            identity
            for identity, owner, host, pid, started, expires in rows
            if owner != self._owner and expires > now and not (host == self._host and _gone(pid, started))
        }


def _gone(pid: int, started: float) -> bool:
    """Whether the process that had this id is not there any more."""
    try:
        process = psutil.Process(pid)
        another = abs(process.create_time() - started) > 1.0
        return bool(another or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
