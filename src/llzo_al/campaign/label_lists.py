"""Labels of a campaign for people: counted, listed, shown one by one, and put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase.units import GPa

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import CampaignLock
from llzo_al.campaign.quarantine import quarantined
from llzo_al.campaign.retrying import can_be_retried, fixed_in_words, put_back
from llzo_al.dataset.records import Record
from llzo_al.errors import UserError
from llzo_al.labelling.causes import CAUSES

SHORT = 15
"""Characters of an identity that lists show; `labels show` takes them."""


@dataclass(frozen=True, kw_only=True)
class FailedLabel:
    """A frame whose label failed for good.

    Attributes
    ----------
    identity, kind, formula, iteration
        Which frame.
    cause, reason
        Why.
    attempts
        Failed attempts in all.
    """

    identity: str
    kind: str
    formula: str
    iteration: int
    cause: str
    reason: str
    attempts: int


@dataclass(frozen=True, kw_only=True)
class LabelList:
    """The labels of a campaign, counted.

    Attributes
    ----------
    by_split, by_source
        Frames by split or source, then by status: "pending", "labelled", "failed"; "excluded" are those of
        the labelled ones whose forces are above the cap, which no training sees.
    causes
        Failed labels by cause.
    recovered
        Labels that took more than one attempt.
    programs
        Labels by the program that computed them; those of which it is not known are left out.
    failed
        Those that failed, by cause and identity.
    """

    by_split: dict[str, dict[str, int]]
    by_source: dict[str, dict[str, int]]
    causes: dict[str, int]
    recovered: int
    programs: dict[str, int]
    failed: tuple[FailedLabel, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return asdict(self)


def label_list(campaign: Campaign, *, causes: Sequence[str] | None = None) -> LabelList:
    """Count the labels of a campaign.

    Parameters
    ----------
    campaign
        The campaign.
    causes
        List only labels that failed of these.

    Raises
    ------
    UserError
        If there is no such cause.
    """
    _check_causes(causes)
    by_split: dict[str, Counter[str]] = {}
    by_source: dict[str, Counter[str]] = {}
    programs: Counter[str] = Counter()
    labelled: list[str] = []
    failed: list[Record] = []
    cap = campaign.config.dataset.force_cap_eV_per_A
    for record in campaign.store.records(labelled=None, physics=campaign.physics):
        told = [_status(record)]
        if (record.max_force_eV_per_A or 0.0) > cap:
            told.append("excluded")
        by_split.setdefault(record.split, Counter()).update(told)
        by_source.setdefault(record.frame.provenance.source, Counter()).update(told)
        if record.label is not None:
            labelled.append(record.identity)
            programs[record.label.program] += 1
        elif record.failure is not None:
            failed.append(record)
    attempts = campaign.store.attempts([record.identity for record in failed])
    rows = [_failed(record, len(attempts.get(record.identity, ()))) for record in failed]
    return LabelList(
        by_split={name: dict(counts) for name, counts in sorted(by_split.items())},
        by_source={name: dict(counts) for name, counts in sorted(by_source.items())},
        causes=dict(Counter(row.cause for row in rows).most_common()),
        recovered=len(campaign.store.attempts(labelled)),
        programs={name: number for name, number in programs.most_common() if name},
        failed=tuple(
            sorted(
                (row for row in rows if causes is None or row.cause in causes),
                key=lambda row: (row.cause, row.identity),
            )
        ),
    )


def find_record(campaign: Campaign, prefix: str) -> Record:
    """The frame whose identity begins with `prefix` (``v1-`` may be left out).

    Raises
    ------
    UserError
        If there is none, or several.
    """
    every = campaign.store.identities(physics=campaign.physics)
    found = [each for each in every if each.startswith((prefix, f"v1-{prefix}"))] if prefix else every
    if len(found) == 1:
        (record,) = campaign.store.records(identities=found, labelled=None, physics=campaign.physics)
        return record
    if not found:
        raise UserError(
            f"{prefix}: no frame of this campaign has an identity that begins like this; `llzo-al labels "
            f"{campaign.directory.root}` lists those that failed"
        )
    shown = ", ".join(each[:SHORT] for each in found[:5])
    raise UserError(
        f"{prefix}: {len(found)} frames begin like this ({shown}, ...); give more of the identity"
    )


def label_facts(campaign: Campaign, record: Record) -> dict[str, Any]:
    """All that is known of one frame, JSON-serialisable."""
    frame, label = record.frame, record.label
    facts: dict[str, Any] = {
        "identity": record.identity,
        "status": _status(record),
        "split": record.split,
        "formula": _formula(record),
        "n_atoms": frame.n_atoms,
        "cell_A": frame.cell_A.tolist(),
        "charge": frame.charge,
        "multiplicity": frame.multiplicity,
        "provenances": [asdict(provenance) for provenance in record.provenances],
        "attempts": [
            asdict(attempt) for attempt in campaign.store.attempts([record.identity]).get(record.identity, ())
        ],
        "files": [str(path) for path in quarantined(campaign, record.identity)],
    }
    if label is not None:
        facts["label"] = {
            "energy_eV": label.energy_eV,
            "energy_eV_per_atom": label.energy_eV / frame.n_atoms,
            "max_force_eV_per_A": record.max_force_eV_per_A,
            "net_force_eV_per_A": float(np.linalg.norm(label.forces_eV_per_A.sum(axis=0))),
            "pressure_GPa": _pressure_GPa(record),
            "wall_s": label.wall_s,
            "program": label.program,
        }
    if record.failure is not None:
        facts["failure"] = {
            **asdict(record.failure),
            "meaning": CAUSES.get(record.failure.cause),
            "can_be_retried": can_be_retried(campaign, record),
        }
    return facts


def retry(
    campaign: Campaign, *, causes: Sequence[str] | None, identities: Sequence[str] | None
) -> tuple[int, int]:
    """Put failed labels back among those that wait, while nothing runs.

    Returns
    -------
    tuple of int
        How many were put back, and how many were left because their iteration is closed.

    Raises
    ------
    UserError
        If the campaign runs, nothing would use the labels any more, a cause does not exist, or an identity
        is not that of one frame.
    """
    _check_causes(causes)
    with CampaignLock(campaign.directory, patience_s=0.5):
        chosen = None if identities is None else {find_record(campaign, name).identity for name in identities}
        if fixed := fixed_in_words(campaign):
            raise UserError(fixed)
        return put_back(campaign, causes=causes, identities=chosen)


def _failed(record: Record, attempts: int) -> FailedLabel:
    failure = record.failure
    return FailedLabel(
        identity=record.identity,
        kind=record.frame.provenance.kind,
        formula=_formula(record),
        iteration=record.frame.provenance.iteration,
        cause=failure.cause if failure is not None else "",
        reason=failure.reason if failure is not None else "",
        attempts=attempts,
    )


def _status(record: Record) -> str:
    return "labelled" if record.label is not None else "failed" if record.failure is not None else "pending"


def _formula(record: Record) -> str:
    return str(record.frame.to_atoms().get_chemical_formula("hill"))


def _pressure_GPa(record: Record) -> float | None:
    volume = abs(float(np.linalg.det(record.frame.cell_A)))
    if record.label is None or record.label.virial_eV is None or volume == 0:
        return None
    return float(np.trace(record.label.virial_eV) / 3 / volume / GPa)


def _check_causes(causes: Sequence[str] | None) -> None:
    for cause in causes or ():
        if cause not in CAUSES:
            raise UserError(f"--cause: {cause!r} given; allowed: {', '.join(CAUSES)}")
