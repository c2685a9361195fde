"""Documents in one SQLite file: durable transactions that several processes of one host share.

The file holds BSON documents, each with the number of the transaction that wrote it last. A process keeps all
documents in memory and, at the start of each transaction, pulls those that are newer than the last it saw.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import bson
from bson.errors import BSONError
from mongomock.helpers import hashdict

from llzo_al.errors import LlzoAlError, StageError, UserError
from llzo_al.files import sync_directory
from llzo_al.workflow.filesystem import require_local

APPLICATION_ID = 0x4C4C5A4F  # "LLZO"
FORMAT = 1
LOCK_TIMEOUT_S = 300.0
_SCHEMA = """
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    identity BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    body BLOB,
    UNIQUE (collection, identity)
);
CREATE INDEX documents_by_sequence ON documents (sequence);
"""
_NEWER = "SELECT sequence, collection, identity, body FROM documents WHERE sequence > ? ORDER BY number"
_STORE = (
    "INSERT INTO documents (collection, identity, sequence, body) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (collection, identity) DO UPDATE SET sequence = excluded.sequence, body = excluded.body"
)

Document = dict[str, Any]


class Mirror(Protocol):
    """The documents in memory that a `DocumentFile` keeps equal to the file."""

    def get(self, collection: str, identity: Any) -> Document | None:
        """Return the document, or None if there is none."""

    def put(self, collection: str, identity: Any, document: Document | None) -> None:
        """Take over a document from the file; None removes it."""

    def clear(self) -> None:
        """Forget all documents."""


class WriteNeededError(BaseException):
    """A reading transaction was about to write.

    It derives from BaseException so that no handler between the write and the owner of the transaction takes
    it for a failure. Nothing was changed, so the owner may start again in a writing transaction.
    """


class DocumentFile:
    """Transactions over a `Mirror` and the SQLite file behind it.

    Parameters
    ----------
    path
        The SQLite file; created if it does not exist.
    mirror
        Documents in memory. Whoever changes one calls `touch` first, inside a writing `transaction`.

    Raises
    ------
    UserError
        If the file lies on a network filesystem, is not a LaunchPad file, or cannot be written.
    StageError
        If the disk is full or fails.
    """

    def __init__(self, path: Path, mirror: Mirror) -> None:
        self.path = path.resolve()
        self._mirror = mirror
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file_identity: tuple[int, int] | None = None
        self._sequence = 0
        self._depth = 0
        self._writing = False
        self._stale = False
        self._touched: dict[tuple[str, Any], None] = {}
        require_local(self.path)
        self._create()
        _open_files.add(self)

    @property
    def in_transaction(self) -> bool:
        """Whether the current transaction, of any thread, is still open."""
        return self._depth > 0

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[None]:
        """Make what happens inside atomic, durable and isolated; inner transactions join the outer one.

        Parameters
        ----------
        write
            A reading transaction only pulls what other processes wrote; a write inside it raises
            `WriteNeededError`.

        Raises
        ------
        LlzoAlError
            If SQLite fails. Memory and file are then as they were before.
        """
        with self._lock:
            if self._depth:
                if write and not self._writing:
                    raise WriteNeededError
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            self._depth = 1
            self._writing = write
            try:
                with self._explained():
                    self._begin()
                yield
                with self._explained():
                    self._commit()
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._writing = False
                self._depth = 0

    def touch(self, collection: str, identity: Any) -> None:
        """Announce that a document is about to be inserted, changed or removed."""
        self._touched[collection, identity] = None

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _begin(self) -> None:
        connection = self._connected()
        if self._writing:
            connection.execute("BEGIN IMMEDIATE")
        if self._stale:
            self._mirror.clear()
            self._sequence = 0
        for sequence, collection, identity, body in connection.execute(_NEWER, (self._sequence,)).fetchall():
            self._stale = True  # until all rows are in memory
            try:
                key = hashable(bson.decode(identity)["_id"])
                document = None if body is None else bson.decode(body)
            except (BSONError, KeyError, TypeError) as error:
                raise self._damaged(error) from error
            self._mirror.put(collection, key, document)
            self._sequence = max(self._sequence, sequence)
        self._stale = False

    def _commit(self) -> None:
        if not self._writing:
            return
        connection = self._connected()
        if self._touched:
            sequence = self._sequence + 1
            self._write(connection, sequence)
            self._finish(connection)
            self._sequence = sequence
            self._touched.clear()
        else:
            connection.execute("ROLLBACK")

    def _write(self, connection: sqlite3.Connection, sequence: int) -> None:
        for collection, identity in self._touched:
            document = self._mirror.get(collection, identity)
            body = None if document is None else bson.encode(document)
            connection.execute(_STORE, (collection, bson.encode({"_id": identity}), sequence, body))

    def _finish(self, connection: sqlite3.Connection) -> None:
        connection.execute("COMMIT")

    def _roll_back(self) -> None:
        if self._touched:
            self._stale = True
            self._touched.clear()
        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._connection.close()
                self._connection = None

    def _connected(self) -> sqlite3.Connection:
        identity = self._identity_on_disk()
        if self._connection is None:
            if identity is None:
                self._create()
                identity = self._identity_on_disk()
            self._connection = self._connect(self.path)
            if self._file_identity is not None and identity != self._file_identity:
                self._stale = True
            self._check_format(self._connection)
            self._file_identity = identity
        elif identity != self._file_identity:
            raise StageError(
                f"{self.path}: the LaunchPad file was removed or replaced while a campaign used it. "
                "Stop all its workers and run the same command again; finished work is kept"
            )
        return self._connection

    def _identity_on_disk(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _check_format(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if (application, version) != (APPLICATION_ID, FORMAT):
            self.close()
            what = (
                "was written by another version"
                if application == APPLICATION_ID
                else "is not a LaunchPad file"
            )
            raise UserError(f"{self.path}: {what}. {self._remedy()}")

    def _create(self) -> None:
        """Create the file unless it exists; whole, or not at all."""
        with self._explained():
            if self.path.exists():
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            guard = os.open(self._beside("-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(guard, fcntl.LOCK_EX)
                if not self.path.exists():
                    self._create_alone()
            finally:
                os.close(guard)

    def _create_alone(self) -> None:
        temporary = self._beside("-new")
        # SQLite would replay a log that was left behind by a removed file into the new one.
        for suffix in ("-wal", "-shm", "-new", "-new-wal", "-new-shm", "-new-journal"):
            self._beside(suffix).unlink(missing_ok=True)
        connection = self._connect(temporary)
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
        finally:
            connection.close()
        temporary.replace(self.path)
        sync_directory(self.path.parent)

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _remedy(self) -> str:
        names = ", ".join(self.path.name + suffix for suffix in ("", "-wal", "-shm"))
        return (
            "It only schedules; finished work lies in the campaign directory. "
            f"Remove {names} in {self.path.parent} and run the same command again"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._explain(error) from error

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self.path}: the LaunchPad file is damaged ({error}). {self._remedy()}")

    def _explain(self, error: sqlite3.Error | OSError) -> LlzoAlError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such table" in str(error):
            return self._damaged(error)
        number = error.errno if isinstance(error, OSError) else 0
        if code == sqlite3.SQLITE_FULL or number in (errno.ENOSPC, errno.EDQUOT):
            return StageError(
                f"{self.path}: the disk is full ({error}). Free some space and run the same command again; "
                "finished work is kept"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StageError(
                f"{self.path}: another process has kept the LaunchPad locked for {LOCK_TIMEOUT_S:.0f} s. "
                "Look for a stopped or hanging process of this campaign, end it, and run the command again"
            )
        refused = number in (errno.EACCES, errno.EPERM, errno.EROFS)
        if refused or code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            reason = "cannot be written"
        elif isinstance(error, OSError) or code == sqlite3.SQLITE_CANTOPEN:
            reason = "cannot be opened"
        else:
            return StageError(
                f"{self.path}: SQLite failed ({error}). Check the disk and run the same command again"
            )
        return UserError(
            f"{self.path}: {reason} ({error}). "
            "Check the owner and the permissions of the file and of its directory"
        )

    def _after_fork(self) -> None:
        """In a forked child: the parent's connection must be neither used nor closed here."""
        if self._connection is not None:
            _connections_of_parents.append(self._connection)
            self._connection = None
        if self._depth:
            self._stale = True
        self._touched.clear()
        self._lock = threading.RLock()
        self._depth = 0
        self._writing = False


def hashable(identity: Any) -> Any:
    """Return the key under which mongomock keeps the document with this ``_id``."""
    return hashdict(identity) if isinstance(identity, dict) else identity


_open_files: weakref.WeakSet[DocumentFile] = weakref.WeakSet()
_connections_of_parents: list[sqlite3.Connection] = []


def _reset_after_fork() -> None:
    for file in list(_open_files):
        file._after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
