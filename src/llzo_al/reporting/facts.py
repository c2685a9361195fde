"""What a report says, as data: the content of ``report/report.json``."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from llzo_al.errors import StageError

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


class ElementCoverage(PooledCoverage):
    """Coverage of one element's environments."""

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
    bins: int
    """Cells along each axis of a plane (N)."""
    fit_set: str
    """What standardisation and PCA were fitted on, in words."""
    edges: str
    """How the cells' edges were set, in words."""
    remarks: tuple[str, ...] = ()
    """What makes single figures worth less than they look, in words."""


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
    times: dict[str, StageTime] = {}
    """Time of each stage, in the order in which they ran."""
    decision: Decision | None = None
    """What it ended in."""


class FinalFacts(Fact):
    """The finished potential."""

    errors: Errors = Errors()
    """Errors of the final model."""
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
    final: FinalFacts | None = None
    """The finished potential, if there is one."""
    totals: Totals = Totals()
    """The campaign as a whole."""
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
