"""Facts of one iteration: errors, MD runs, labels, times, and the decision."""

from __future__ import annotations

from llzo_al.reporting.facts.base import Fact, Measured
from llzo_al.reporting.facts.coverage import CalibrationFacts, ConditionFacts, CoverageFacts


class Deviation(Fact):
    """Deviation of the committee's forces: the largest over the atoms of a frame, then over the frames."""

    mean_eV_per_A: Measured = None
    """Mean over the frames (eV/Å)."""
    median_eV_per_A: Measured = None
    """Median over the frames (eV/Å)."""
    max_eV_per_A: Measured = None
    """Largest (eV/Å)."""


class KindErrors(Fact):
    """Root-mean-square errors on the labelled frames of one kind."""

    n_frames: int
    """Frames compared."""
    energy_rmse_meV_per_atom: Measured = None
    """Of the energy of a frame by its number of atoms."""
    force_rmse_meV_per_A: Measured = None
    """Of the components of the forces."""
    virial_rmse_meV_per_atom: Measured = None
    """Of the components of the virial by the number of atoms; None without virials."""


class Errors(Fact):
    """Errors by kind of structure, with the pools `ALL` and `ALL_MD` among the kinds where they are known."""

    held_out: dict[str, KindErrors] = {}
    """Frames that were never trained on."""
    audit: dict[str, KindErrors] = {}
    """Frames labelled because they looked difficult that turned out accurate: low by construction."""


class MDRun(Fact):
    """How one exploration run ended."""

    run: str
    """Name of the run."""
    temperature_K: Measured = None
    """Target temperature."""
    ended: str
    """"completed", or what ended it."""
    finished: bool = True
    """Whether its task did: it reached its end, or the guard ended it."""
    time_ps: Measured = None
    """Simulated time; None where the task failed."""


class MDFacts(Fact):
    """Exploration runs of one iteration."""

    runs: int
    """Runs."""
    stable: int
    """Runs that reached their end."""
    endings: tuple[MDRun, ...] = ()
    """Each run; an earlier version left those out whose task failed."""


class LabelCounts(Fact):
    """Numbers of frames."""

    training: int = 0
    """Labelled, in the training set."""
    held_out: int = 0
    """Labelled, never trained on."""
    audit: int = 0
    """Labelled, found accurate, kept apart."""
    failed: int = 0
    """Without a label, quarantined with the reason."""
    excluded: int = 0
    """Labelled, but above the force cap."""
    new: int = 0
    """Labels that were added in this iteration."""


class StageTime(Fact):
    """Time that a stage took."""

    wall_s: Measured = None
    """Seconds by the clock, summed over tasks."""
    engine_s: Measured = None
    """Seconds inside the engines' own loops."""


class Decision(Fact):
    """What an iteration ended in."""

    converged: bool
    """Whether all thresholds are met."""
    reasons: tuple[str, ...] = ()
    """Why, in sentences."""


class IterationFacts(Fact):
    """One iteration; parts that are not there yet are None or empty."""

    iteration: int
    """Number, from 0."""
    coverage: CoverageFacts | None = None
    """Coverage of what MD visited by the training set."""
    deviation: Deviation | None = None
    """The committee's deviation on the visited frames."""
    errors: Errors = Errors()
    """Errors of this iteration's model."""
    md: MDFacts | None = None
    """Exploration."""
    labels: LabelCounts | None = None
    """Frames in the data set that this iteration was trained on, and those that it added."""
    selected: int | None = None
    """Frames selected for labelling."""
    candidates: dict[str, int] = {}
    """Frames that could have been selected, by the rule that chose them (uncovered, deviation) or turned them
    away (limit, duplicate, covered, unphysical)."""
    losses: tuple[str, ...] = ()
    """What it went on without (models, MD runs, labels whose tasks failed), in sentences."""
    conditions: tuple[ConditionFacts, ...] = ()
    """Coverage by structure and temperature."""
    stuck: tuple[str, ...] = ()
    """MD runs that went nowhere, and why."""
    calibration: CalibrationFacts | None = None
    """How deviation, novelty and distance predict the true error."""
    times: dict[str, StageTime] = {}
    """Time of each stage, in the order in which they ran."""
    decision: Decision | None = None
    """What it ended in."""
