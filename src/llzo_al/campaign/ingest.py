"""Finished runs of VASP enter a campaign's label store."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.labels import shared_labels
from llzo_al.config.labelling import VASP
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.identity import physics_hash
from llzo_al.dataset.records import Split
from llzo_al.errors import UserError
from llzo_al.files import read_json_lines
from llzo_al.labelling.vasp.found import FoundRun, find_runs
from llzo_al.labelling.vasp.ingest import Judge, Verdict, wanted_differences
from llzo_al.labelling.vasp.theory import Theory

LOG = "ingest.jsonl"
"""File beside the label store with one line for each run that was looked at."""

CONFLICT_EV_PER_ATOM = 1e-3
"""Two labels of one frame whose energies differ by more contradict each other."""

Tell = Callable[[int, int, int], None]


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What became of one run; a line of the log.

    Attributes
    ----------
    file, checksum
        Its file (or folder), and the hash of its contents.
    outcome
        "entered", "refused", or "known" for one whose contents were entered before.
    cause, reason
        Why it was refused, "" otherwise.
    labels, duplicates, conflicts
        Labels that are new, frames that had one already, and those of them whose energy differs by more than
        `CONFLICT_EV_PER_ATOM`.
    left_out
        Ionic steps that were left out, by cause.
    accepted
        Differences from the campaign's level of theory that were declared good enough.
    version
        VASP's version.
    complete
        Whether the run goes on to its regular end.
    """

    file: str
    checksum: str
    outcome: str
    cause: str = ""
    reason: str = ""
    labels: int = 0
    duplicates: int = 0
    conflicts: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    version: str = ""
    complete: bool = False


@dataclass(frozen=True, kw_only=True)
class IngestSummary:
    """What became of all runs.

    Attributes
    ----------
    runs
        Each run's report.
    log
        The file that holds them; None where nothing was to be stored.
    """

    runs: tuple[RunReport, ...]
    log: Path | None

    def count(self, outcome: str) -> int:
        """Number of runs of an outcome."""
        return sum(run.outcome == outcome for run in self.runs)

    def total(self, what: str) -> int:
        """Sum of "labels", "duplicates" or "conflicts"."""
        return sum(int(getattr(run, what)) for run in self.runs)

    def causes(self) -> dict[str, int]:
        """Refused runs by cause."""
        return dict(Counter(run.cause for run in self.runs if run.outcome == "refused").most_common())

    def left_out(self) -> dict[str, int]:
        """Ionic steps that were left out of runs that were entered, by cause."""
        causes: Counter[str] = Counter()
        for run in self._entered:
            causes.update(run.left_out)
        return dict(causes.most_common())

    def accepted(self) -> dict[str, dict[str, int]]:
        """Differences that were accepted: by setting, what differs in how many runs that were entered."""
        found: dict[str, Counter[str]] = {}
        for run in self._entered:
            for setting, difference in run.accepted.items():
                found.setdefault(setting, Counter())[difference] += 1
        return {setting: dict(counts.most_common()) for setting, counts in sorted(found.items())}

    def complete(self) -> int:
        """Number of runs that were entered and go on to their regular end."""
        return sum(run.complete for run in self._entered)

    @property
    def _entered(self) -> list[RunReport]:
        return [run for run in self.runs if run.outcome == "entered"]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form; runs that were entered are only counted."""
        return {
            "entered": self.count("entered"),
            "known": self.count("known"),
            "refused": self.count("refused"),
            "labels": self.total("labels"),
            "duplicates": self.total("duplicates"),
            "conflicts": self.total("conflicts"),
            "left_out": self.left_out(),
            "accepted": self.accepted(),
            "complete": self.complete(),
            "causes": self.causes(),
            "refused_runs": [asdict(run) for run in self.runs if run.outcome == "refused"],
            "log": None if self.log is None else str(self.log),
        }


def ingest(
    campaign: Campaign,
    places: Iterable[Path],
    *,
    accept: Collection[str] = (),
    every: int = 1,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> IngestSummary:
    """Enter the labels of finished runs into the campaign's label store.

    A run whose settings are those of the campaign gives a label for each of its converged ionic steps; any
    other is refused with what differs. All frames of a run share a split, which the campaign's seed and the
    run's contents decide. Doing it again, or going on after an interruption, enters nothing twice.

    Parameters
    ----------
    campaign
        The campaign; its labeller must be VASP.
    places
        Folders, searched with all that is in them, and files.
    accept
        Differences that are good enough, of `llzo_al.labelling.vasp.theory.ACCEPTABLE`; kept with each label.
    every
        Take one ionic step in so many of each run.
    dry_run
        Only judge.
    tell
        Called with the number of runs done and in all, and the labels so far.

    Raises
    ------
    UserError
        If the campaign's labeller is another one, a place is missing, or a difference cannot be accepted.
    """
    config = campaign.config
    if not isinstance(config.labelling, VASP):
        raise UserError(
            f"labelling.engine of {campaign.directory.root} is {config.labelling.engine}; finished runs of "
            "VASP can only enter a campaign that labels with vasp, since labels of two methods never mix"
        )
    judge = Judge(
        theory=Theory.of(config.labelling, config.elements),
        accept=wanted_differences(accept),
        every=every,
        max_force_eV_per_A=config.failures.max_force_eV_per_A,
    )
    found = list(find_runs(places))
    log = campaign.directory.labels.parent / LOG
    entering = _Entering(campaign, judge, log, dry_run=dry_run)
    reports: list[RunReport] = []
    labels = 0
    for number, run in enumerate(found, start=1):
        reports.append(entering.take(run))
        labels += reports[-1].labels
        if tell is not None:
            tell(number, len(found), labels)
    shared = shared_labels(campaign)
    if shared is not None and labels and not dry_run:
        shared.exchange(campaign.store)
    return IngestSummary(runs=tuple(reports), log=None if dry_run else log)


class _Entering:
    """Takes run after run."""

    def __init__(self, campaign: Campaign, judge: Judge, log: Path, *, dry_run: bool) -> None:
        self._campaign = campaign
        self._judge = judge
        self._log = log
        self._dry_run = dry_run
        self._about = {"physics": physics_hash(campaign.physics), "every": judge.every}
        self._known = {
            line["checksum"]
            for line in read_json_lines(log)
            if line.get("outcome") == "entered" and all(line.get(k) == v for k, v in self._about.items())
        }

    def take(self, run: FoundRun) -> RunReport:
        """Judge a run, enter its labels, and write its line."""
        try:
            checksum = run.checksum()
        except OSError as error:
            return self._tell(_refused(run, "", Verdict(), "truncated output", f"cannot be read: {error}"))
        if run.files and checksum in self._known:
            return RunReport(file=run.name, checksum=checksum, outcome="known")
        verdict = self._judge(run, checksum)
        if verdict.failure is not None:
            failure = verdict.failure
            return self._tell(_refused(run, checksum, verdict, failure.cause, failure.reason))
        new, duplicates, conflicts = self._enter(verdict.labels)
        self._known.add(checksum)
        return self._tell(
            RunReport(
                file=run.name,
                checksum=checksum,
                outcome="entered",
                labels=new,
                duplicates=duplicates,
                conflicts=conflicts,
                left_out=verdict.left_out or {},
                accepted=verdict.accepted or {},
                version=verdict.version,
                complete=verdict.complete,
            )
        )

    def _enter(self, pairs: Sequence[tuple[Frame, Label]]) -> tuple[int, int, int]:
        """Store labels one by one, so that no frame is left without its own; new, known, conflicts."""
        if self._dry_run:
            return len(pairs), 0, 0
        store, physics = self._campaign.store, self._campaign.physics
        split = self._split(pairs[0][0].provenance.group)
        known: dict[str, float] = {}
        for frame, label in pairs:
            (identity,) = store.request([frame], physics=physics, split=split)
            if not store.add_label(identity, label, frame=frame):
                known[identity] = label.energy_eV / frame.n_atoms
        conflicts = sum(
            abs(record.label.energy_eV / record.frame.n_atoms - known[record.identity]) > CONFLICT_EV_PER_ATOM
            for record in store.records(identities=list(known), physics=physics)
            if record.label is not None
        )
        return len(pairs) - len(known), len(known), conflicts

    def _split(self, group: str) -> Split:
        """Held out by a hash of seed and contents: the same however many runs are ingested at a time."""
        config = self._campaign.config
        digest = hashlib.sha256(f"{config.seed}:{group}".encode()).digest()
        rank = int.from_bytes(digest[:8], "big") / 2**64
        return "held-out" if rank < config.dataset.held_out_share else "training"

    def _tell(self, report: RunReport) -> RunReport:
        if not self._dry_run:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            line = {**asdict(report), **self._about, "time": time.time()}
            with self._log.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line) + "\n")
        return report


def _refused(run: FoundRun, checksum: str, verdict: Verdict, cause: str, reason: str) -> RunReport:
    return RunReport(
        file=run.name,
        checksum=checksum,
        outcome="refused",
        cause=cause,
        reason=reason,
        left_out=verdict.left_out or {},
        version=verdict.version,
        complete=verdict.complete,
    )
