"""Labelled frames as the store hands them out, and what is counted of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from llzo_al.dataset.frames import FloatArray, Frame, Label, LabelFailure, Provenance

Split = Literal["training", "held-out", "candidate", "audit"]
"""Which use a frame is put to.

"training" is trained on; "held-out" never is, and is what stopping and headline errors use; "candidate" was
chosen for labelling and waits for the comparison with its label; "audit" turned out accurate and is reported
apart, because its error is low by construction.
"""

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One frame of the data set with what is known of it.

    Attributes
    ----------
    identity
        `llzo_al.dataset.identity.label_identity` of the frame and the labeller's physics.
    frame
        The frame, in the order of atoms that it was first stored in; its provenance is the first one.
    label
        The label in the frame's order of atoms; None while it waits, or where it failed.
    failure
        Why there is no label; None otherwise.
    split
        What the frame is used for.
    provenances
        Every source that asked for this frame, in the order of asking.
    physics_hash
        Which physics the identity belongs to.
    """

    identity: str
    frame: Frame
    label: Label | None
    failure: LabelFailure | None
    split: Split
    provenances: tuple[Provenance, ...]
    physics_hash: str

    @property
    def max_force_eV_per_A(self) -> float | None:
        """Largest norm of the force on an atom (eV/Å); None without a label."""
        return None if self.label is None else max_force(self.label.forces_eV_per_A)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An attempt at a label that failed.

    Attributes
    ----------
    number
        From 1; also names what was kept of its files.
    cause, reason
        As in `LabelFailure`.
    ended
        When, in seconds since the epoch; 0 where it was not written down.
    counted
        Whether it counts towards the allowed number; one that a person had tried again does not.
    """

    number: int
    cause: str
    reason: str
    ended: float
    counted: bool


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """Numbers of frames in one split.

    Attributes
    ----------
    pending, labelled, failed
        By status.
    excluded
        Labelled frames above the force cap (part of `labelled`).
    """

    pending: int = 0
    labelled: int = 0
    failed: int = 0
    excluded: int = 0

    @property
    def usable(self) -> int:
        """Labelled frames below the force cap."""
        return self.labelled - self.excluded


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of frames in the store.

    Attributes
    ----------
    splits
        Of each split, all four always present.
    failure_causes
        Number of failed frames by `LabelFailure.cause`.
    """

    splits: Mapping[Split, SplitCounts]
    failure_causes: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> SplitCounts:
        """Sum over the splits."""
        parts = self.splits.values()
        return SplitCounts(
            pending=sum(part.pending for part in parts),
            labelled=sum(part.labelled for part in parts),
            failed=sum(part.failed for part in parts),
            excluded=sum(part.excluded for part in parts),
        )


def max_force(forces_eV_per_A: FloatArray) -> float:
    """Largest norm of the force on an atom (eV/Å), shape (n_atoms, 3) in."""
    return float(np.linalg.norm(forces_eV_per_A, axis=1).max(initial=0.0))


def usable(records: Iterable[Record], cap_eV_per_A: float) -> tuple[list[Record], list[Record]]:
    """Records with a label whose forces stay within the cap, and those beyond it.

    Records without a label are in neither list. Excluded ones stay in the store.

    Parameters
    ----------
    records
        Any records.
    cap_eV_per_A
        Largest allowed norm of the force on an atom (eV/Å).
    """
    kept: list[Record] = []
    excluded: list[Record] = []
    for record in records:
        force = record.max_force_eV_per_A
        if force is not None:
            (kept if force <= cap_eV_per_A else excluded).append(record)
    return kept, excluded


def dataset_hash(records: Iterable[Record]) -> str:
    """SHA-256 (hex) of which frames with which labels are in which split, whatever their order."""
    lines = []
    for record in records:
        digest = hashlib.sha256()
        if record.label is not None:
            digest.update(label_bytes(record.label))
        lines.append(f"{record.identity} {record.split} {digest.hexdigest()}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def label_bytes(label: Label) -> bytes:
    """Energy, forces and virial as little-endian float64, for checksums."""
    parts = [np.array([label.energy_eV]), label.forces_eV_per_A]
    if label.virial_eV is not None:
        parts.append(label.virial_eV)
    return b"".join(array_bytes(part) for part in parts)


def array_bytes(array: FloatArray | Sequence[float]) -> bytes:
    """An array's values as little-endian float64."""
    return np.ascontiguousarray(array, dtype="<f8").tobytes()
