"""Frames and labels into the label store, within a transaction of its own."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.dataset import _rows
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.identity import canonical_order
from llzo_al.dataset.records import Split, array_bytes, max_force
from llzo_al.errors import StageError


def enter(database: sqlite3.Connection, identity: str, frame: Frame, settings: str, split: Split) -> None:
    """Enter a frame to be labelled; of one that is there already only a new provenance is added."""
    header = _rows.header(frame)
    positions, cell = array_bytes(frame.positions_A), array_bytes(frame.cell_A)
    database.execute(
        "INSERT OR IGNORE INTO frames VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?)",
        (
            identity,
            settings,
            split,
            frame.n_atoms,
            header,
            positions,
            cell,
            _rows.frame_checksum(header, positions, cell),
        ),
    )
    provenance = json.dumps(asdict(frame.provenance), sort_keys=True)
    known = [
        text
        for (text,) in database.execute(
            "SELECT json FROM provenances WHERE identity = ? ORDER BY number", (identity,)
        )
    ]
    if provenance not in known:
        database.execute("INSERT INTO provenances VALUES (?, ?, ?)", (identity, len(known), provenance))


def has(database: sqlite3.Connection, table: str, identity: str) -> bool:
    """Whether a table has a row of an identity."""
    query = f"SELECT 1 FROM {table} WHERE identity = ?"
    return database.execute(query, (identity,)).fetchone() is not None


def put_label(
    path: Path, database: sqlite3.Connection, identity: str, label: Label, frame: Frame | None
) -> bool:
    """Enter a label; see `LabelStore.add_label`."""
    count = n_atoms(path, database, identity)
    forces = np.asarray(label.forces_eV_per_A, dtype=np.float64)
    virial = None if label.virial_eV is None else np.asarray(label.virial_eV, dtype=np.float64)
    _check_label(identity, count, label.energy_eV, forces, virial)
    if has(database, "labels", identity):
        return False
    if frame is not None:
        forces = forces[_permutation(path, database, identity, frame)]
    values = (
        float(label.energy_eV),
        array_bytes(forces),
        None if virial is None else array_bytes(virial),
    )
    database.execute(
        "INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)",
        (identity, *values, float(label.wall_s), max_force(forces), _rows.label_checksum(*values)),
    )
    if label.program:
        database.execute("INSERT OR REPLACE INTO programs VALUES (?, ?)", (identity, label.program))
    database.execute("DELETE FROM failures WHERE identity = ?", (identity,))
    return True


def n_atoms(path: Path, database: sqlite3.Connection, identity: str) -> int:
    """Number of atoms of a frame that was requested."""
    row = database.execute("SELECT n_atoms FROM frames WHERE identity = ?", (identity,)).fetchone()
    if row is None:
        raise StageError(f"{path}: no frame {identity} was ever requested; request it before labelling")
    return int(row[0])


def _permutation(path: Path, database: sqlite3.Connection, identity: str, frame: Frame) -> list[int]:
    """Index into `frame` of each atom of the stored frame."""
    row = database.execute(f"{_rows.RECORDS} WHERE f.identity = ?", (identity,)).fetchone()
    provenances = _rows.provenances(path, database, json.dumps([identity]))
    stored = _rows.record(path, row, provenances).frame
    permutation = [0] * stored.n_atoms
    for target, source in zip(canonical_order(stored), canonical_order(frame), strict=True):
        permutation[target] = source
    return permutation


def _check_label(identity: str, n_atoms: int, energy_eV: float, forces: Any, virial: Any) -> None:
    if forces.shape != (n_atoms, 3):
        raise StageError(
            f"label of {identity}: the forces have shape {forces.shape}, expected ({n_atoms}, 3)"
        )
    if virial is not None and virial.shape != (3, 3):
        raise StageError(f"label of {identity}: the virial has shape {virial.shape}, expected (3, 3)")
    if not (
        np.isfinite(energy_eV) and np.isfinite(forces).all() and (virial is None or np.isfinite(virial).all())
    ):
        raise StageError(
            f"label of {identity}: energy, forces or virial hold a number that is not finite; store it as a "
            "failure instead"
        )
