"""The label store's SQLite file: schema, connections, and errors that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from llzo_al.errors import LlzoAlError, StageError, UserError
from llzo_al.files import sync_directory

FORMAT_VERSION = 1
_APPLICATION_ID = 0x4C4C5A4F
_BUSY_TIMEOUT_S = 120.0

_SCHEMA = (
    "CREATE TABLE physics (hash TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE frames (
        identity TEXT PRIMARY KEY,
        physics TEXT NOT NULL REFERENCES physics(hash),
        split TEXT NOT NULL CHECK (split IN ('training', 'held-out', 'candidate', 'audit')),
        decided INTEGER NOT NULL DEFAULT 0,
        n_atoms INTEGER NOT NULL,
        header TEXT NOT NULL,
        positions BLOB NOT NULL,
        cell BLOB NOT NULL,
        checksum TEXT NOT NULL
    )""",
    """CREATE TABLE provenances (
        identity TEXT NOT NULL REFERENCES frames(identity),
        number INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (identity, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE labels (
        identity TEXT PRIMARY KEY REFERENCES frames(identity),
        energy REAL NOT NULL,
        forces BLOB NOT NULL,
        virial BLOB,
        wall_s REAL NOT NULL,
        max_force REAL NOT NULL,
        checksum TEXT NOT NULL
    )""",
    """CREATE TABLE failures (
        identity TEXT PRIMARY KEY REFERENCES frames(identity),
        cause TEXT NOT NULL,
        reason TEXT NOT NULL
    )""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
)

_ADDED = {
    "attempts": """CREATE TABLE attempts (
        identity TEXT NOT NULL REFERENCES frames(identity),
        number INTEGER NOT NULL,
        cause TEXT NOT NULL,
        reason TEXT NOT NULL,
        ended REAL NOT NULL,
        counted INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY (identity, number)
    ) WITHOUT ROWID""",
    "claims": """CREATE TABLE claims (
        identity TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        started REAL NOT NULL,
        expires REAL NOT NULL
    ) WITHOUT ROWID""",
    "programs": """CREATE TABLE programs (
        identity TEXT PRIMARY KEY REFERENCES frames(identity),
        program TEXT NOT NULL
    ) WITHOUT ROWID""",
}
"""Tables that stores made by the first releases lack. They are added when such a store is opened; the program
that made it can still use it then, since it does not look at them."""


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """Turn SQLite's errors into messages that name the file and the way out."""
    try:
        yield
    except LlzoAlError:
        raise
    except sqlite3.Error as error:
        raise _explained(path, doing, error) from error
    except OSError as error:
        raise StageError(f"{path}: {doing} failed: {error}") from error


def _explained(path: Path, doing: str, error: sqlite3.Error) -> LlzoAlError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return StageError(
            f"{path}: {doing} failed because the disk is full; what was stored before is intact. "
            "Free some space and run again"
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return UserError(
            f"{path}: {doing} failed because the label store cannot be written; give yourself write "
            "permission for the file and its directory"
        )
    if primary == sqlite3.SQLITE_CANTOPEN:
        return UserError(
            f"{path}: {doing} failed because the label store cannot be opened; check that its directory "
            "exists and that you may write there"
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StageError(
            f"{path}: {doing} waited {_BUSY_TIMEOUT_S:.0f} s for another process that holds the label store; "
            "run again when it is done"
        )
    if primary == sqlite3.SQLITE_IOERR:
        return StageError(
            f"{path}: {doing} failed in reading or writing the disk ({error}); what was stored before is "
            "intact. Check the disk's space, quota and health, and run again"
        )
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
        return damaged(path, f"{doing} failed: {error}")
    return StageError(f"{path}: {doing} failed: {error}")


def damaged(path: Path, what: str) -> StageError:
    """The error of a label store whose content cannot be trusted."""
    return StageError(
        f"{path}: the label store is damaged ({what}). Restore the file from a copy. A store that campaigns "
        "share may also be moved away: they fill a new one. A campaign that has lost its own begins in a new "
        "directory, where a source of the kind existing_data takes the labels from the data sets that this "
        "one exported (*.extxyz in iterations/*/dataset and final/dataset)"
    )


def damaged_row(path: Path, identity: str, table: str, what: str) -> StageError:
    """The error of one row whose content cannot be trusted."""
    every = ["labels", "failures", "attempts", "provenances", "frames"]
    tables = ["labels"] if table == "labels" else every
    effect = "is done without"
    if table == "labels":
        effect = f"is labelled again in the initial data and in the open iteration, and else {effect}"
    statements = " ".join(f"DELETE FROM {name} WHERE identity = '{identity}';" for name in tables)
    return StageError(
        f"{path}: the label store is damaged: {what} of {identity}. Restore the file from a copy, or delete "
        f'what is stored of this frame, which then {effect}: sqlite3 {path.name} "{statements}"'
    )


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one call, so that no lock, thread or fork outlives it."""
    with closing(
        sqlite3.connect(
            f"file:{_quoted(path)}?mode=rw", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
        )
    ) as database:
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("PRAGMA foreign_keys = ON")
        yield database


@contextmanager
def transaction(path: Path, doing: str) -> Iterator[sqlite3.Connection]:
    """One durable transaction: on disk when the block is left, undone if it raises."""
    with translated(path, doing), connection(path) as database:
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


@contextmanager
def snapshot(path: Path, doing: str) -> Iterator[sqlite3.Connection]:
    """One consistent view for several reads."""
    with translated(path, doing), connection(path) as database:
        database.execute("BEGIN")
        try:
            yield database
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")


def prepare(path: Path, *, create: bool) -> None:
    """Check that the label store can be used; where there is none, create it if `create` says so.

    Raises
    ------
    UserError
        If the file is of another format version, is no label store, or cannot be opened.
    StageError
        If it is damaged, or missing and not to be created.
    """
    if not create and not (path.exists() and path.stat().st_size):
        raise damaged(path, "it is missing or empty, though frames were entered into it")
    if not path.exists():
        _create(path)
    state = _state(path)
    if state[-1] == 0:
        _create(path)
        state = _state(path)
    application, version, mode, _ = state
    if application != _APPLICATION_ID:
        raise UserError(
            f"{path}: this SQLite file is no label store; move it away or choose another directory"
        )
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: the label store has format version {version}, but this program reads version "
            f"{FORMAT_VERSION}; use the version of llzo-al that wrote it, or start a new campaign directory"
        )
    if mode != "delete":
        raise UserError(
            f"{path}: the label store is in journal mode {mode!r}, but must be in 'delete' to be safe on "
            f'network file systems; set it back with: sqlite3 {path.name} "PRAGMA journal_mode=DELETE"'
        )
    _complete(path)


def _complete(path: Path) -> None:
    """Add the tables that a store of an earlier release lacks; its failures become first attempts."""
    with snapshot(path, "opening the label store") as database:
        missing = _missing(database)
    if not missing:
        return
    with transaction(path, "adding tables to the label store") as database:
        for name in _missing(database):
            database.execute(_ADDED[name])
            if name == "attempts":
                database.execute(
                    "INSERT INTO attempts SELECT identity, 1, cause, reason, 0.0, 1 FROM failures"
                )


def _missing(database: sqlite3.Connection) -> list[str]:
    present = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [name for name in _ADDED if name not in present]


def _state(path: Path) -> tuple[int, int, str, int]:
    """Application, format version, journal mode and number of tables of an SQLite file."""
    with snapshot(path, "opening the label store") as database:
        pragmas = [
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode")
        ]
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return int(pragmas[0]), int(pragmas[1]), str(pragmas[2]), int(tables)


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UserError(
            f"{path}: the label store cannot be created ({error.strerror}); choose a directory that you may "
            "write to"
        ) from error
    with transaction(path, "creating the label store") as database:
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in (*_ADDED.values(), *_SCHEMA):
                database.execute(statement)
    with translated(path, "creating the label store"):
        sync_directory(path.parent)


def _quoted(path: Path) -> str:
    return quote(str(path.resolve()))
