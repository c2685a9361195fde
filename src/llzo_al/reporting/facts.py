"""What a report says, as data: the content of ``report/report.json``."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from llzo_al.errors import StageError
from llzo_al.reporting.labels import LabelCheckFacts

FORMAT_VERSION: Literal[1] = 1
ALL = "all"
"""Name of the entry that pools the frames of all kinds of structure."""
ALL_MD = "all MD"
"""Name of the entry that pools the frames from molecular dynamics, which thresholds are compared with."""


def _measured(value: Any) -> Any:
    """A number that is not finite was not measured."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Measured = Annotated[float | None, BeforeValidator(_measured)]
"""A measured number; None (null) where there is none, also for NaN and infinities."""


class Fact(BaseModel):
    """A part of the facts: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PooledCoverage(Fact):
    """Coverage of all elements together, weighted by the number of environments."""

    coverage: Measured = None
    """You et al. (2024), Eq. 6."""
    ceiling: Measured = None
    """The same between halves of the visited set."""
    ratio: Measured = None
    """Coverage by its ceiling."""
    ratio_interval: tuple[float, float] | None = None
    """95 % of the ratios when trajectories are drawn again."""
    environment_coverage: Measured = None
    """Share of the visited environments in cells that training holds."""
    environment_ratio: Measured = None
    """The same by its ceiling."""
    unseen_mass_between_trajectories: Measured = None
    """Share of further MD that would fall into cells not visited yet (Good-Turing, between trajectories)."""
    off_share: Measured = None
    """Share of the visited environments off the space of the kept components."""


class CoverageByBins(Fact):
    """Coverage with another number of bins."""

    bins: int
    """Cells along each axis of a plane."""
    coverage: Measured = None
    """You et al. (2024), Eq. 6."""
    ceiling: Measured = None
    """Between halves of the visited set."""
    ratio: Measured = None
    """Coverage by its ceiling."""


class NeighbourFacts(Fact):
    """Distances to the nearest training environment, in the full reduced space."""

    far_share: float
    """Share of visited environments farther than 95 % of the training environments are from one another."""
    far_share_error: float
    """Its standard error."""
    distance_ratio: Measured = None
    """Median distance of visited environments by that of training environments."""


class ElementCoverage(PooledCoverage):
    """Coverage of one element's environments."""

    bins: int | None = None
    """Cells along each axis of a plane (N)."""
    by_bins: tuple[CoverageByBins, ...] = ()
    """With other numbers of bins."""
    neighbours: NeighbourFacts | None = None
    """The check in the full reduced space."""
    residual_share_training: Measured = None
    """Median share of an environment's own variance outside the components, in training."""
    residual_share_visited: Measured = None
    """The same of the visited environments."""
    n_components: int | None = None
    """Principal components kept."""
    n_training_environments: int | None = None
    """Environments in the training set."""
    n_visited_environments: int | None = None
    """Environments that MD visited."""
    cells_visited: int | None = None
    """Cells that MD visits, over all planes."""
    cells_covered: int | None = None
    """Those of them that the training set visits too."""


class CoverageFacts(Fact):
    """Coverage in one iteration."""

    pooled: PooledCoverage = PooledCoverage()
    """All elements."""
    elements: dict[str, ElementCoverage] = {}
    """Each element."""
    bins: int | Literal["auto"]
    """Cells along each axis of a plane (N), as the campaign file says."""
    fit_set: str
    """What standardisation and PCA were fitted on, in words."""
    edges: str
    """How the cells' edges were set, in words."""
    remarks: tuple[str, ...] = ()
    """What makes single figures worth less than they look, in words."""


class ConditionFacts(Fact):
    """Coverage of what MD visited at one condition."""

    kind: str
    """Structure."""
    temperature_K: float
    """Temperature."""
    n_frames: int
    """Visited frames."""
    environment_coverage: dict[str, float]
    """Share of each element's environments in cells that training holds."""


class HistoryPoint(Fact):
    """Coverage of an iteration in the common frame of the latest one."""

    iteration: int
    """Iteration."""
    frame: str
    """Fingerprint of the frame of reference."""
    ratio: Measured = None
    """Pooled coverage by its ceiling."""
    coverage: Measured = None
    """Pooled coverage."""
    environment_coverage: Measured = None
    """Pooled, weighted by environments."""
    element_ratios: dict[str, float | None] = {}
    """Ratio of each element."""


class CalibrationFacts(Fact):
    """How deviation and novelty predict the true force error."""

    in_words: str
    """The fit and its reliability."""
    n_frames: int
    """Frames that it was fitted on."""
    rank_correlation_deviation: Measured = None
    """Spearman's rank correlation of the deviation with the true error."""
    rank_correlation_novelty: Measured = None
    """Of the novelty with it."""
    explained: Measured = None
    """Share of the variance of log(error) that predictions without the own trajectory explain."""
    interval_factor: Measured = None
    """90 % interval of the true error: the prediction divided and multiplied by this."""
    median_meV_per_A: Measured = None
    """Expected force RMSE of the visited frames, median."""
    p90_meV_per_A: Measured = None
    """The same, 90th percentile."""
    share_above_limit: Measured = None
    """Share of the visited frames with an expected force RMSE above the threshold."""


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
    time_ps: Measured = None
    """Simulated time."""


class MDFacts(Fact):
    """Exploration runs of one iteration."""

    runs: int
    """Runs."""
    stable: int
    """Runs that the guard did not end."""
    endings: tuple[MDRun, ...] = ()
    """Each run."""


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
    conditions: tuple[ConditionFacts, ...] = ()
    """Coverage by structure and temperature."""
    stuck: tuple[str, ...] = ()
    """MD runs that went nowhere, and why."""
    calibration: CalibrationFacts | None = None
    """How deviation and novelty predict the true error."""
    times: dict[str, StageTime] = {}
    """Time of each stage, in the order in which they ran."""
    decision: Decision | None = None
    """What it ended in."""


class DimerCurve(Fact):
    """Labelled dimers of one pair beside the finished potential's own curves.

    Energies are relative to the label at the longest distance.
    """

    pair: str
    """The two elements, such as Li-O."""
    charge: int = 0
    """Total charge (elementary charges)."""
    multiplicity: int | None = None
    """Spin multiplicity; None: the labeller's default."""
    distances_A: tuple[float, ...]
    """Labelled distances (angstrom), growing."""
    energies_eV: tuple[Measured, ...]
    """Labelled energy at each of them."""
    forces_eV_per_A: tuple[Measured, ...]
    """Labelled force along the axis; positive where the atoms repel each other."""
    uses: tuple[Literal["training", "held-out", "excluded"], ...]
    """What each label is used for; "excluded": its forces are above the force cap."""
    model_distances_A: tuple[float, ...] = ()
    """Distances of the models' curves."""
    model_energies_eV: tuple[tuple[Measured, ...], ...] = ()
    """Energy at each of them, for each of the final models."""
    energy_rmse_eV: Measured = None
    """Error of the first model's energy at the labelled distances."""
    force_rmse_eV_per_A: Measured = None
    """Error of the first model's force along the axis there."""


class FinalFacts(Fact):
    """The finished potential."""

    errors: Errors = Errors()
    """Errors of the final model."""
    dimers: tuple[DimerCurve, ...] = ()
    """The finished potential on the labelled dimers."""
    model_files: tuple[str, ...] = ()
    """Files, relative to the campaign directory."""


class Thresholds(Fact):
    """Limits that the campaign has to meet; None where there is none."""

    coverage_ratio: Measured = None
    """Smallest ratio of the pooled coverage to its ceiling."""
    energy_rmse_meV_per_atom: Measured = None
    """Largest energy error on held-out frames."""
    force_rmse_meV_per_A: Measured = None
    """Largest force error on held-out frames."""
    stable_runs_share: Measured = None
    """Smallest share of stable runs."""


class Totals(Fact):
    """The campaign as a whole."""

    wall_s: Measured = None
    """Seconds by the clock."""
    engine_s: Measured = None
    """Seconds inside the engines' own loops, summed over tasks."""
    peak_memory_MB: Measured = None
    """Largest memory of all its processes together (10^6 bytes)."""
    labels: LabelCounts = LabelCounts()
    """Frames."""
    failures: dict[str, int] = {}
    """Failed labels by cause."""
    failed_attempts: dict[str, int] = {}
    """Failed attempts at labels by cause, whatever came of the label later."""
    recovered: int = 0
    """Labels that succeeded after a failed attempt."""


class CurvePoint(Fact):
    """One line of a learning curve, measured on a training batch."""

    step: int
    """Training step."""
    force_rmse_meV_per_A: Measured = None
    """Force error on the batch."""
    energy_rmse_meV_per_atom: Measured = None
    """Energy error on the batch."""


class CampaignFacts(Fact):
    """All that a report says."""

    format_version: Literal[1] = FORMAT_VERSION
    """Version of this format."""
    campaign: str
    """Name of the campaign."""
    method: str
    """The labeller, in words."""
    classical_reference: bool = False
    """Whether labels come from the classical reference, which is not DFT."""
    started: datetime | None = None
    """When the campaign was started first."""
    finished: datetime | None = None
    """When it ended; None while it runs."""
    status: Literal["running", "converged", "not converged", "failed"]
    """Where it stands."""
    reasons: tuple[str, ...] = ()
    """Why, in sentences."""
    thresholds: Thresholds = Thresholds()
    """Limits that it has to meet."""
    iterations: tuple[IterationFacts, ...] = ()
    """Iterations in order."""
    coverage_history: tuple[HistoryPoint, ...] = ()
    """Coverage of all iterations in one common frame."""
    final: FinalFacts | None = None
    """The finished potential, if there is one."""
    totals: Totals = Totals()
    """The campaign as a whole."""
    label_checks: LabelCheckFacts | None = None
    """Whether the labels fit together; None if that was not looked at."""
    learning_curves: dict[str, tuple[CurvePoint, ...]] = {}
    """Learning curves by the name of the training."""
    versions: dict[str, str] = {}
    """Versions of the programs that took part."""


def read_facts(path: Path) -> CampaignFacts:
    """Facts in a ``report.json``.

    Raises
    ------
    StageError
        If the file is missing or not such a file, naming what is wrong.
    """
    try:
        return CampaignFacts.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StageError(f"{path}: cannot be read as a report ({error}); write the report again") from error
