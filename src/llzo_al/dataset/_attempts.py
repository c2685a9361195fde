"""Failed attempts at labels, in the label store."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence

from llzo_al.dataset.frames import LabelFailure
from llzo_al.dataset.records import Attempt


def append(database: sqlite3.Connection, identity: str, failure: LabelFailure) -> int:
    """Write down a failed attempt; returns its number."""
    query = "SELECT coalesce(max(number), 0) + 1 FROM attempts WHERE identity = ?"
    number = int(database.execute(query, (identity,)).fetchone()[0])
    database.execute(
        "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, 1)",
        (identity, number, failure.cause, failure.reason, time.time()),
    )
    return number


def forgive(database: sqlite3.Connection, identities_json: str) -> None:
    """Let the attempts so far count no longer."""
    database.execute(
        "UPDATE attempts SET counted = 0 WHERE identity IN (SELECT value FROM json_each(?))",
        (identities_json,),
    )


def read(database: sqlite3.Connection, identities: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
    """Failed attempts at each of `identities` that has any, in order."""
    found: dict[str, list[Attempt]] = {}
    for identity, number, cause, reason, ended, counted in database.execute(
        "SELECT identity, number, cause, reason, ended, counted FROM attempts "
        "WHERE identity IN (SELECT value FROM json_each(?)) ORDER BY identity, number",
        (json.dumps(list(identities)),),
    ):
        found.setdefault(identity, []).append(
            Attempt(number=number, cause=cause, reason=reason, ended=ended, counted=bool(counted))
        )
    return {identity: tuple(attempts) for identity, attempts in found.items()}
