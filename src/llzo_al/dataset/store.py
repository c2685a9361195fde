"""The label store: every frame that was ever to be labelled, its label or failure, and its split.

One SQLite file on one host, shared by any number of worker processes, also on a network file system with
POSIX locks (rollback journal, never WAL). Every change is one transaction that is on disk before the call
returns.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llzo_al.dataset import _attempts, _rows, _sqlite, _writing
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.dataset.identity import canonical, label_identities, physics_hash
from llzo_al.dataset.records import (
    SPLITS,
    Attempt,
    Counts,
    Record,
    Split,
    SplitCounts,
    dataset_hash,
    usable,
)
from llzo_al.errors import StageError, UserError

__all__ = ["SPLITS", "Counts", "LabelStore", "Record", "Split", "SplitCounts", "dataset_hash", "usable"]

_CHUNK = 256
_STATUS = {
    "pending": "l.identity IS NULL AND x.identity IS NULL",
    "labelled": "l.identity IS NOT NULL",
    "unlabelled": "l.identity IS NULL",
}


class LabelStore:
    """The labels of a campaign.

    Parameters
    ----------
    path
        The SQLite file, ``dataset/labels.sqlite``.
    create
        Whether it is created, with its directory, if it is not there.

    Raises
    ------
    UserError
        If the file is of another format version, is no label store, or cannot be opened or created.
    StageError
        If it is damaged, or missing and not to be created. Every method raises this for a damaged file, a
        full disk or a lock that is never released, naming the file and the identity.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        _sqlite.prepare(path, create=create)

    def request(self, frames: Sequence[Frame], *, physics: Mapping[str, Any], split: Split) -> list[str]:
        """Enter frames that are to be labelled; those that are known already stay as they are.

        Parameters
        ----------
        frames
            The frames; a frame may occur twice.
        physics
            What determines a label besides the structure.
        split
            "training", "held-out" or "candidate": fixed now, before any label exists. An identity that is
            known keeps its split and its label, and the new provenance is added to its list.

        Returns
        -------
        list of str
            The identity of each frame, in order.
        """
        if split not in ("training", "held-out", "candidate"):
            raise StageError(
                f"{self.path}: frames cannot be requested for the split {split!r}; use 'training', "
                "'held-out' or 'candidate' (a candidate becomes 'audit' by decide)"
            )
        identities = label_identities(frames, physics)
        settings = physics_hash(physics)
        text = json.dumps(canonical(physics), sort_keys=True)
        with _sqlite.transaction(self.path, "entering frames") as database:
            database.execute("INSERT OR IGNORE INTO physics VALUES (?, ?)", (settings, text))
            for identity, frame in zip(identities, frames, strict=True):
                _writing.enter(database, identity, frame, settings, split)
        return identities

    def pending(
        self, identities: Sequence[str] | None = None, *, physics: Mapping[str, Any] | None = None
    ) -> list[tuple[str, Frame]]:
        """Frames that are neither labelled nor failed, ordered by identity.

        Parameters
        ----------
        identities
            Only these; all by default.
        physics
            Only those of this physics; needed where the store holds frames of several.
        """
        keys = self._select(status="pending", split=None, identities=identities, physics=physics)
        return [(record.identity, record.frame) for record in self._read(keys)]

    def add_label(self, identity: str, label: Label, *, frame: Frame | None = None) -> bool:
        """Store a label; it is on disk when this returns.

        Parameters
        ----------
        identity
            From `request`.
        label
            The label, in the order of atoms of the frame that `pending` handed out.
        frame
            The frame that was labelled, if it is not the one that `pending` handed out: it may hold the
            same atoms in another order.

        Returns
        -------
        bool
            False if the identity has a label already, which is kept.

        Raises
        ------
        StageError
            If the identity is unknown, or the label does not fit it or holds a number that is not finite.
        """
        return self.add_labels([(identity, label, frame)]) == 1

    def add_labels(self, labels: Sequence[tuple[str, Label, Frame | None]]) -> int:
        """Store several labels in one transaction, each as `add_label` would.

        Parameters
        ----------
        labels
            Identity, label, and the frame that was labelled or None.

        Returns
        -------
        int
            How many of them were not there already.
        """
        with _sqlite.transaction(self.path, "storing a label") as database:
            return sum(
                _writing.put_label(self.path, database, identity, label, frame)
                for identity, label, frame in labels
            )

    def add_failure(self, identity: str, failure: LabelFailure, *, final: bool = True) -> bool:
        """Store why a frame got no label; it is on disk when this returns.

        Parameters
        ----------
        identity
            From `request`.
        failure
            Why.
        final
            Whether that is the end of it. Otherwise the attempt is written down and the frame still waits.

        Returns
        -------
        bool
            False if the identity has a label, which is kept, or a failure, which is kept.
        """
        with _sqlite.transaction(self.path, "storing a failed label") as database:
            _writing.n_atoms(self.path, database, identity)
            if _writing.has(database, "labels", identity):
                return False
            if _writing.has(database, "failures", identity):
                return False
            _attempts.append(database, identity, failure)
            if final:
                database.execute(
                    "INSERT INTO failures VALUES (?, ?, ?)", (identity, failure.cause, failure.reason)
                )
            return True

    def attempts(self, identities: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """Failed attempts at each of `identities` that has any, also where a later one succeeded."""
        with _sqlite.snapshot(self.path, "reading failed attempts") as database:
            return _attempts.read(database, identities)

    def retry(self, identities: Sequence[str]) -> int:
        """Put failed frames back to pending, their attempts forgiven; returns how many there were."""
        chosen = json.dumps(list(identities))
        with _sqlite.transaction(self.path, "retrying failed labels") as database:
            failed = database.execute(
                "DELETE FROM failures WHERE identity IN (SELECT value FROM json_each(?))", (chosen,)
            ).rowcount
            _attempts.forgive(database, chosen)
        return failed

    def decide(self, identity: str, split: Split) -> None:
        """Turn a labelled candidate into training or audit data, once.

        Raises
        ------
        StageError
            If the identity is unknown or not a labelled candidate, or was decided otherwise before.
        """
        if split not in ("training", "audit"):
            raise StageError(f"{identity}: a candidate becomes 'training' or 'audit', not {split!r}")
        with _sqlite.transaction(self.path, "deciding a candidate") as database:
            _writing.n_atoms(self.path, database, identity)
            query = "SELECT split, decided FROM frames WHERE identity = ?"
            current, decided = database.execute(query, (identity,)).fetchone()
            if decided and current == split:
                return
            if current != "candidate":
                raise StageError(
                    f"{self.path}: {identity} is {'decided as' if decided else 'not a candidate but'} "
                    f"{current!r} already; a split is never changed after that"
                )
            if not _writing.has(database, "labels", identity):
                raise StageError(
                    f"{self.path}: {identity} has no label yet; a candidate is decided by its label"
                )
            database.execute("UPDATE frames SET split = ?, decided = 1 WHERE identity = ?", (split, identity))

    def records(
        self,
        *,
        split: Split | Collection[Split] | None = None,
        labelled: bool | None = True,
        identities: Sequence[str] | None = None,
        physics: Mapping[str, Any] | None = None,
    ) -> Iterator[Record]:
        """Records ordered by identity, whatever the order in which they were entered.

        Parameters
        ----------
        split
            Only of this split, or of these; of all by default.
        labelled
            True: with a label; False: without (pending or failed); None: both.
        identities
            Only these.
        physics
            Only those of this physics.

        Raises
        ------
        UserError
            If the records belong to several physics and `physics` is not given: labels of two methods
            are never mixed.
        StageError
            If a row does not match its checksum, naming it.
        """
        status = {True: "labelled", False: "unlabelled", None: None}[labelled]
        keys = self._select(status=status, split=split, identities=identities, physics=physics)
        return self._read(keys)

    def identities(
        self, *, labelled: bool | None = None, physics: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Identities of frames, ordered: with a label, without (pending or failed), or all."""
        status = {True: "labelled", False: "unlabelled", None: None}[labelled]
        return self._select(status=status, split=None, identities=None, physics=physics)

    def counts(
        self,
        *,
        force_cap_eV_per_A: float | None = None,
        identities: Sequence[str] | None = None,
        physics: Mapping[str, Any] | None = None,
    ) -> Counts:
        """Numbers of frames by split and status; `excluded` counts labels above the cap."""
        where, values = _conditions(None, None, identities, physics)
        cap = float("inf") if force_cap_eV_per_A is None else force_cap_eV_per_A
        with _sqlite.snapshot(self.path, "counting frames") as database:
            rows = database.execute(
                "SELECT f.split, count(*), count(l.identity), count(x.identity), "
                f"total(l.max_force > ?) FROM {_rows.JOINED} {where} GROUP BY f.split",
                (cap, *values),
            ).fetchall()
            causes = database.execute(
                f"SELECT x.cause, count(*) FROM {_rows.JOINED} {where} GROUP BY x.cause ORDER BY x.cause",
                values,
            ).fetchall()
        known = {
            split: SplitCounts(
                pending=total - labelled - failed, labelled=labelled, failed=failed, excluded=int(excluded)
            )
            for split, total, labelled, failed, excluded in rows
        }
        return Counts(
            splits={split: known.get(split, SplitCounts()) for split in SPLITS},
            failure_causes={cause: number for cause, number in causes if cause is not None},
        )

    def programs(self, *, physics: Mapping[str, Any] | None = None) -> dict[str, int]:
        """Numbers of labels by the program that computed them, "" where that is not known."""
        where, values = _conditions("labelled", None, None, physics)
        query = (
            f"SELECT coalesce(p.program, ''), count(*) FROM {_rows.JOINED} {where} "
            "GROUP BY p.program ORDER BY count(*) DESC, p.program"
        )
        with _sqlite.snapshot(self.path, "counting labels") as database:
            return dict(database.execute(query, values).fetchall())

    def physics_in_use(self) -> dict[str, dict[str, Any]]:
        """Every physics that a stored frame belongs to, by its hash."""
        with _sqlite.snapshot(self.path, "reading the physics") as database:
            rows = database.execute(
                "SELECT hash, json FROM physics WHERE hash IN (SELECT physics FROM frames) ORDER BY hash"
            ).fetchall()
        return {key: _rows.parsed(self.path, key, "physics", text) for key, text in rows}

    def _select(
        self,
        *,
        status: str | None,
        split: Split | Collection[Split] | None,
        identities: Sequence[str] | None,
        physics: Mapping[str, Any] | None,
    ) -> list[str]:
        """Identities in order; refuses several physics unless one is named."""
        where, values = _conditions(status, split, identities, physics)
        with _sqlite.snapshot(self.path, "reading frames") as database:
            rows = database.execute(
                f"SELECT f.identity, f.physics FROM {_rows.JOINED} {where} ORDER BY f.identity", values
            ).fetchall()
        found = sorted({settings for _, settings in rows})
        if len(found) > 1:
            raise UserError(
                f"{self.path}: the store holds frames of {len(found)} different labelling settings (physics "
                f"{', '.join(key[:12] for key in found)}), which are never mixed; name the physics to use"
            )
        return [identity for identity, _ in rows]

    def _read(self, identities: Sequence[str]) -> Iterator[Record]:
        for start in range(0, len(identities), _CHUNK):
            chunk = json.dumps(identities[start : start + _CHUNK])
            with _sqlite.snapshot(self.path, "reading frames") as database:
                rows = database.execute(
                    f"{_rows.RECORDS} WHERE f.identity IN (SELECT value FROM json_each(?)) "
                    "ORDER BY f.identity",
                    (chunk,),
                ).fetchall()
                provenances = _rows.provenances(self.path, database, chunk)
            for row in rows:
                yield _rows.record(self.path, row, provenances)


def _conditions(
    status: str | None,
    split: Split | Collection[Split] | None,
    identities: Sequence[str] | None,
    physics: Mapping[str, Any] | None,
) -> tuple[str, list[str]]:
    """WHERE clause and its values."""
    clauses: list[str] = [] if status is None else [_STATUS[status]]
    values: list[str] = []
    if split is not None:
        clauses.append("f.split IN (SELECT value FROM json_each(?))")
        values.append(json.dumps([split] if isinstance(split, str) else sorted(split)))
    if identities is not None:
        clauses.append("f.identity IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(identities)))
    if physics is not None:
        clauses.append("f.physics = ?")
        values.append(physics_hash(physics))
    return ("WHERE " + " AND ".join(clauses) if clauses else ""), values
