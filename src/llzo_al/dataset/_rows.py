"""Rows of the label store to records and back, with their checksums."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.dataset import _sqlite
from llzo_al.dataset.frames import FloatArray, Frame, Label, LabelFailure, Provenance
from llzo_al.dataset.records import Record, array_bytes

JOINED = (
    "frames AS f LEFT JOIN labels AS l ON l.identity = f.identity "
    "LEFT JOIN programs AS p ON p.identity = f.identity LEFT JOIN failures AS x ON x.identity = f.identity"
)

RECORDS = (
    "SELECT f.identity, f.physics, f.split, f.header, f.positions, f.cell, f.checksum, "
    "l.energy, l.forces, l.virial, l.wall_s, l.checksum, p.program, x.cause, x.reason "
    f"FROM {JOINED}"
)


def header(frame: Frame) -> str:
    """What of a frame is no array, as JSON."""
    return json.dumps(
        {
            "symbols": list(frame.symbols),
            "periodic": [bool(flag) for flag in frame.periodic],
            "charge": frame.charge,
            "multiplicity": frame.multiplicity,
        },
        sort_keys=True,
    )


def frame_checksum(header_text: str, positions: bytes, cell: bytes) -> str:
    """SHA-256 (hex) of a frame's row."""
    return _digest(header_text.encode(), positions, cell)


def label_checksum(energy_eV: float, forces: bytes, virial: bytes | None) -> str:
    """SHA-256 (hex) of a label's row."""
    return _digest(array_bytes([energy_eV]), forces, b"" if virial is None else virial)


def provenances(
    path: Path, database: sqlite3.Connection, identities_json: str
) -> dict[str, list[Provenance]]:
    """Provenances of each identity in a JSON list, in the order of asking."""
    found: dict[str, list[Provenance]] = {}
    for identity, text in database.execute(
        "SELECT identity, json FROM provenances WHERE identity IN (SELECT value FROM json_each(?)) "
        "ORDER BY identity, number",
        (identities_json,),
    ):
        data = parsed(path, identity, "provenances", text)
        try:
            found.setdefault(identity, []).append(Provenance(**data))
        except TypeError as error:
            raise _sqlite.damaged_row(path, identity, "provenances", f"the provenance ({error})") from error
    return found


def record(path: Path, row: Sequence[Any], found: Mapping[str, list[Provenance]]) -> Record:
    """The record in a row of `RECORDS`, checked against its checksums.

    Raises
    ------
    StageError
        If the row does not match, naming the file and the identity.
    """
    identity, physics, split, header_text, positions, cell, checksum = row[:7]
    energy, forces, virial, wall_s, label_sum, program, cause, reason = row[7:]
    if frame_checksum(header_text, positions, cell) != checksum:
        raise _sqlite.damaged_row(path, identity, "frames", "the checksum of the frame")
    if identity not in found:
        raise _sqlite.damaged_row(path, identity, "provenances", "the missing provenance")
    label = None
    if energy is not None:
        if label_checksum(energy, forces, virial) != label_sum:
            raise _sqlite.damaged_row(path, identity, "labels", "the checksum of the label")
        label = Label(
            energy_eV=energy,
            forces_eV_per_A=_array(forces),
            virial_eV=None if virial is None else _array(virial),
            wall_s=wall_s,
            program=program or "",
        )
    data = parsed(path, identity, "frames", header_text)
    frame = Frame(
        symbols=tuple(data["symbols"]),
        positions_A=_array(positions),
        cell_A=_array(cell),
        periodic=tuple(data["periodic"]),
        charge=data["charge"],
        multiplicity=data["multiplicity"],
        provenance=found[identity][0],
    )
    return Record(
        identity=identity,
        frame=frame,
        label=label,
        failure=None if cause is None else LabelFailure(cause=cause, reason=reason),
        split=split,
        provenances=tuple(found[identity]),
        physics_hash=physics,
    )


def parsed(path: Path, identity: str, table: str, text: str) -> dict[str, Any]:
    """A JSON object from the store.

    Raises
    ------
    StageError
        If it is none, naming the row.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise _sqlite.damaged_row(path, identity, table, f"the text in {table} ({error})") from error
    if not isinstance(data, dict):
        raise _sqlite.damaged_row(path, identity, table, f"the text in {table}")
    return data


def _array(blob: bytes) -> FloatArray:
    """Rows of three float64 numbers."""
    return np.frombuffer(blob, dtype="<f8").astype(np.float64).reshape(-1, 3)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
