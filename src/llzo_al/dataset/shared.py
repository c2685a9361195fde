"""Labels that several campaigns share through one label store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from llzo_al.dataset.claims import LEASE_S, Claims
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.records import Record
from llzo_al.dataset.store import LabelStore

CHUNK = 200
"""Labels that go from one store to another in one transaction."""


class SharedLabels:
    """What one campaign sees of a label store that it shares with others.

    The shared store holds frames and labels; splits, failures and decisions are each campaign's own. Labels
    of any number of methods lie side by side in it; a campaign sees those of its own physics only.

    Parameters
    ----------
    path
        The SQLite file; created if it is not there.
    physics
        What determines a label besides the structure.
    believed
        Whether the campaign takes a label that another one has made; any by default.
    """

    def __init__(
        self, path: Path, physics: Mapping[str, Any], *, believed: Callable[[Label], bool] = lambda _: True
    ) -> None:
        self.store = LabelStore(path)
        self._physics = physics
        self._believed = believed

    def find(self, identities: Sequence[str]) -> dict[str, Record]:
        """Those of `identities` that are labelled."""
        records = self.store.records(identities=identities, physics=self._physics)
        return {record.identity: record for record in records}

    def deposit(self, pairs: Sequence[tuple[Frame, Label]]) -> None:
        """Store frames and their labels for everybody; on disk when this returns."""
        frames = [frame for frame, _ in pairs]
        identities = self.store.request(frames, physics=self._physics, split="candidate")
        self.store.add_labels(
            [(identity, label, frame) for identity, (frame, label) in zip(identities, pairs, strict=True)]
        )

    def exchange(self, own: LabelStore, identities: Sequence[str] | None = None) -> int:
        """Bring a campaign's store and this one up to each other.

        Labels that `own` has and this store lacks are deposited; frames that wait in `own` and are labelled
        here get their labels.

        Parameters
        ----------
        own
            The campaign's store.
        identities
            Only frames of these wait for a label; all by default.

        Returns
        -------
        int
            How many labels `own` got.
        """
        here = set(self.store.identities(labelled=True, physics=self._physics))
        given = set(own.identities(labelled=True, physics=self._physics)) - here
        records = own.records(identities=sorted(given), physics=self._physics)
        while chunk := list(islice(records, CHUNK)):
            self.deposit([(record.frame, record.label) for record in chunk if record.label is not None])
        waiting = [identity for identity, _ in own.pending(identities, physics=self._physics)]
        return self.adopt(own, [identity for identity in waiting if identity in here])

    def adopt(self, own: LabelStore, identities: Sequence[str]) -> int:
        """Copy believed labels of `identities` from here into `own`; returns how many were new there."""
        new = 0
        for start in range(0, len(identities), CHUNK):
            found = self.find(identities[start : start + CHUNK])
            labels = [
                (identity, record.label, record.frame)
                for identity, record in found.items()
                if record.label is not None and self._believed(record.label)
            ]
            new += own.add_labels(labels) if labels else 0
        return new

    def claims(self, *, lease_s: float = LEASE_S) -> Claims:
        """Claims on frames of this store for one worker."""
        return Claims(self.store.path, lease_s=lease_s)
