"""Campaigns that are killed: running, killing, and counting from outside what was lost or done twice.

Calculations are counted by the calculator itself (`counted_calculator`), labels in the SQLite file, finished
stages by their manifests, processes in ``/proc``.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from campaigns import NETWORK
from counted_calculator import geometry

CAMPAIGN = """\
name: interrupted
elements: [Li, O]
seed: 5
initial_data:
  - kind: crystals
    structures: [Li2O]
    scale_factors: [0.97, 0.98, 0.99, 1.0, 1.01, 1.02]
    rattled_copies: 2
  - kind: reference_md
    structures: [Li2O]
    temperatures_K: [300, 500]
    duration_ps: 0.06
    equilibration_ps: 0.02
    snapshot_interval_fs: 20
labelling:
  engine: ase
  calculator: counted_calculator.CountedMorse
  parameters: {epsilon: 0.3, r0: 2.3, rho0: 4.0}
  run_parameters: {log: LOG, delay_s: 0.05}
  frames_per_job: 8
training:
  committee_size: 2
  steps: 60
  warm_start_steps: 30
  final_steps: 30
  warm_start: true
  checkpoint_steps: 10
NETWORK
exploration:
  structures: [Li2O]
  temperatures_K: [300]
  replicas: 2
  duration_ps: 0.1
  frame_interval_fs: 10
coverage:
  bins: 8
  descriptor: {cutoff_A: 4.0, n_max: 3, l_max: 2}
selection:
  max_frames: 3
  held_out_frames: 2
  deviation_low_eV_per_A: 0
stopping:
  coverage_ratio: 0.0
  energy_rmse_meV_per_atom: 100000
  force_rmse_meV_per_A: 100000
  stable_runs_share: 0.0
  min_iterations: ITERATIONS
  max_iterations: ITERATIONS
"""
SETTLE_S = 10.0
"""What is still alive this long after a kill is an orphan; a busy machine needs seconds to end processes."""

LABELLER = "llzo_al.labelling.ase_child"
REFERENCE_MD = "llzo_al.labelling.ase_md_child"
ENGINES = {
    "llzo_al.training.child": "training",
    "llzo_al.exploration.md_child": "MD",
    LABELLER: "labels",
    REFERENCE_MD: "reference MD",
}
"""What runs, by the module of its process."""


@dataclass(frozen=True)
class Seen:
    """What was stored and finished at one moment."""

    labels: dict[str, tuple]
    manifests: dict[Path, tuple]
    n_calculations: int


@dataclass
class Findings:
    """Counts over a campaign; everything but `calculated_again` has to stay empty."""

    lost_labels: set[str] = field(default_factory=set)
    repeated_labels: set[str] = field(default_factory=set)
    repeated_stages: set[Path] = field(default_factory=set)
    orphans: list[str] = field(default_factory=list)
    uncounted: set[str] = field(default_factory=set)
    calculated_again: int = 0

    def violations(self) -> list[str]:
        """Sentences, none if all is well."""
        named = {
            "lost label": self.lost_labels,
            "label computed although it was stored": self.repeated_labels,
            "finished stage done again": self.repeated_stages,
            "orphan": self.orphans,
            "label without a counted calculation": self.uncounted,
        }
        return [f"{name}: {each}" for name, members in named.items() for each in sorted(map(str, members))]


class InterruptedCampaign:
    """One small campaign in `place`, run by the command line and killed now and then."""

    def __init__(self, place: Path, *, iterations: int = 2) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.file = place / "campaign.yaml"
        self.root = place / "interrupted"
        self.output = place / "output.txt"
        self.calculations = place / "calculations.jsonl"
        text = CAMPAIGN.replace("NETWORK\n", NETWORK).replace("ITERATIONS", str(iterations))
        text = text.replace("LOG", str(self.calculations))
        self.file.write_text(text, encoding="utf-8")
        self.findings = Findings()
        self.seen: list[Seen] = []
        self.options: list[str] = []
        self._process: subprocess.Popen | None = None
        self._dying: tuple[float, list[psutil.Process]] = (0.0, [])

    @property
    def process(self) -> subprocess.Popen:
        """The last start of the command."""
        if self._process is None:
            raise RuntimeError("start the campaign first")
        return self._process

    def start(self) -> None:
        """Run the command in the background, as the leader of a process group of its own."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "llzo_al", "run", str(self.file), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )

    def running(self) -> list[psutil.Process]:
        """Every process that works on this campaign, by its command line."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and any(
                    str(self.root) in word or word == str(self.file) for word in process.cmdline()
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        """The running command's workers."""
        return [each for each in self.running() if "llzo_al.workflow.worker" in each.cmdline()]

    def engines(self) -> set[str]:
        """Kinds of engine that run now."""
        kinds = set()
        for process in self.running():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            kinds |= {kind for module, kind in ENGINES.items() if module in words}
        return kinds

    def wait_until(self, reached: Callable[[], object], *, timeout_s: float = 300.0) -> bool:
        """Wait for a moment of the running command; False if it ended before."""
        deadline = time.monotonic() + timeout_s
        while not reached():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError(f"the moment did not come in {timeout_s} s; see {self.output}")
            time.sleep(0.1)
        return True

    def kill(self, how: str, *, settle: bool = True) -> bool:
        """Kill the running command and write down what was stored then; False if it had ended by itself.

        `how` is "parent" (SIGKILL of the parent alone), "group" (SIGKILL of its process group and of those
        of all its descendants), "worker" (SIGKILL of one worker: the command goes on), "SIGTERM" or "SIGINT"
        (of the parent). Without `settle` the caller may start the command again at once and look for orphans
        later, with `settle`.
        """
        if self.process.poll() is not None:
            return False
        parent = psutil.Process(self.process.pid)
        if how == "parent":
            parent.kill()
        elif how == "group":
            kill_groups(parent)
        elif how == "worker":
            if not self.wait_until(self.workers):
                return False
            self.workers()[-1].kill()
            self.seen.append(self.look())
            return True
        else:
            parent.send_signal(signal.Signals[how])
        code = self.process.wait(timeout=30)
        if code in (0, 3):
            return False
        killed = time.monotonic()
        before = self.running()
        self.seen.append(self.look())
        if settle:
            while self.running() and time.monotonic() < killed + SETTLE_S:
                time.sleep(0.1)
            self.count_orphans(self.running())
        else:
            self._dying = (killed + SETTLE_S, before)
        return True

    def settle(self) -> None:
        """Look for orphans of the last kill that was not waited for."""
        deadline, before = self._dying
        self._dying = (0.0, [])
        while any(map(alive, before)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.count_orphans(before)

    def count_orphans(self, processes: list[psutil.Process]) -> None:
        """Note those of the processes that are alive."""
        for process in processes:
            with suppress(psutil.Error):
                if alive(process):
                    self.findings.orphans.append(f"{process.pid} {' '.join(process.cmdline()[:5])}")

    def look(self) -> Seen:
        """What is stored and finished now."""
        labels = stored_labels(self.root / "dataset" / "labels.sqlite")
        manifests = {}
        for path in self.root.rglob("manifest.json"):
            if not any(part.endswith(".partial") for part in path.parts):
                status = path.stat()
                manifests[path] = (status.st_ino, status.st_mtime_ns, path.read_bytes())
        return Seen(labels=labels, manifests=manifests, n_calculations=len(self.calculated()))

    def calculated(self) -> list[tuple[str, str]]:
        """Geometry and process of every calculation, in order."""
        if not self.calculations.exists():
            return []
        lines = map(json.loads, self.calculations.read_text(encoding="utf-8").splitlines())
        return [(line["geometry"], line["by"]) for line in lines]

    def finish(self, *, timeout_s: float = 400.0) -> int:
        """Wait for the command's end and compare with all earlier moments; returns its exit code."""
        code = self.process.wait(timeout=timeout_s)
        self.compare()
        return code

    def compare(self) -> None:
        """Compare the end with all earlier moments."""
        end = self.look()
        geometries = geometries_of(self.root / "dataset" / "labels.sqlite")
        snapshots = snapshot_geometries(self.root)
        calculated = self.calculated()
        for seen in self.seen:
            for identity, row in seen.labels.items():
                if end.labels.get(identity) != row:
                    self.findings.lost_labels.add(identity)
            stored = {geometries[identity] for identity in seen.labels if identity in geometries}
            for shape, by in calculated[seen.n_calculations :]:
                if shape in stored and (by == LABELLER or shape in snapshots):
                    self.findings.repeated_labels.add(shape)
            for path, manifest in seen.manifests.items():
                if end.manifests.get(path) != manifest:
                    self.findings.repeated_stages.add(path)
        counted = {shape for shape, _ in calculated}
        self.findings.uncounted |= {each for each in end.labels if geometries[each] not in counted}
        by_labeller = Counter(shape for shape, by in calculated if by == LABELLER)
        self.findings.calculated_again += sum(by_labeller.values()) - len(by_labeller)
        self.findings.calculated_again -= len(self.findings.repeated_labels)


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def environment() -> dict[str, str]:
    """Environment in which the command finds the counting calculator."""
    here = str(Path(__file__).parent)
    path = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "COLUMNS": "200", "PYTHONPATH": f"{path}:{here}" if path else here}


def kill_groups(parent: psutil.Process) -> None:
    """SIGKILL the process groups of a process and of all its descendants, the workers' sessions included."""
    groups = set()
    for process in (parent, *parent.children(recursive=True)):
        try:
            groups.add(os.getpgid(process.pid))
        except ProcessLookupError:
            continue
    groups.discard(os.getpgid(0))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _rows(path: Path, query: str) -> list[tuple]:
    if not path.exists() or path.stat().st_size == 0:
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=60)) as database:
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            return []
        return database.execute(query).fetchall()


def stored_labels(path: Path) -> dict[str, tuple]:
    """Every label of a store, by identity, bit for bit."""
    return {row[0]: row for row in _rows(path, "SELECT * FROM labels")}


def geometries_of(path: Path) -> dict[str, str]:
    """Hash of the numbers that the labeller gets for each stored frame."""
    found = {}
    for identity, header, positions, cell in _rows(
        path, "SELECT identity, header, positions, cell FROM frames"
    ):
        symbols = json.loads(header)["symbols"]
        found[identity] = geometry(symbols, np.frombuffer(positions), np.frombuffer(cell))
    return found


def snapshot_geometries(root: Path) -> set[str]:
    """Geometries of the reference's snapshots: the labels that its dynamics computes."""
    path = root / "dataset" / "labels.sqlite"
    identities = {
        identity
        for identity, text in _rows(path, "SELECT identity, json FROM provenances")
        if json.loads(text)["source"] == "reference_md"
    }
    return {shape for identity, shape in geometries_of(path).items() if identity in identities}
