"""Facts of a whole campaign."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from llzo_al.errors import StageError
from llzo_al.reporting.facts.base import Fact, Measured
from llzo_al.reporting.facts.coverage import HistoryPoint
from llzo_al.reporting.facts.iteration import Errors, IterationFacts, LabelCounts, StageTime
from llzo_al.reporting.labels import LabelCheckFacts

FORMAT_VERSION: Literal[1] = 1


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


class ParityFacts(Fact):
    """Labels and predictions of held-out frames of one kind of structure, a sample where there are many."""

    kind: str
    """Kind of structure."""
    energies_eV_per_atom: tuple[float, ...]
    """Labelled energies."""
    predicted_energies_eV_per_atom: tuple[float, ...]
    """The first model's energies of the same frames."""
    forces_eV_per_A: tuple[float, ...]
    """Labelled force components."""
    predicted_forces_eV_per_A: tuple[float, ...]
    """The first model's."""


class FinalFacts(Fact):
    """The finished potential."""

    errors: Errors = Errors()
    """Errors of the final model."""
    shortfalls: tuple[str, ...] = ()
    """Thresholds that it misses itself, in sentences, whatever the last iteration's model met."""
    dimers: tuple[DimerCurve, ...] = ()
    """The finished potential on the labelled dimers."""
    parity: tuple[ParityFacts, ...] = ()
    """Its predictions beside the labels of held-out frames."""
    model_files: tuple[str, ...] = ()
    """Files, relative to the campaign directory."""


class Thresholds(Fact):
    """Limits that the campaign has to meet; None where there is none."""

    coverage_ratio: Measured = None
    """Smallest pooled coverage ratio."""
    energy_rmse_meV_per_atom: Measured = None
    """Largest energy error on held-out frames."""
    force_rmse_meV_per_A: Measured = None
    """Largest force error on held-out frames."""
    stable_runs_share: Measured = None
    """Smallest share of stable runs."""


class SettingsFacts(Fact):
    """What the campaign was run with."""

    elements: tuple[str, ...]
    """The type map: elements in the potential's order."""
    seed: int
    """Seed of the campaign file, from which all others follow."""
    labels: dict[str, str] = {}
    """All that changes a label, each key with its value as text."""
    labels_hash: str = ""
    """SHA-256 of that; part of every label's identity."""
    campaign_file: dict[str, dict[str, str]] = {}
    """Sections of the campaign file, each key with its value as text, defaults included."""


class Totals(Fact):
    """The campaign as a whole."""

    wall_s: Measured = None
    """Seconds by the clock."""
    engine_s: Measured = None
    """Seconds inside the engines' own loops, summed over tasks of the initial data, of closed iterations and
    of the final training."""
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
    trainings: dict[str, int] = {}
    """Numbers of finished trainings by their backend and the device that they ran on."""
    programs: dict[str, int] = {}
    """Numbers of labels by the program that computed them, with its version; "" where it is not known."""


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
    status: Literal["running", "stopped", "converged", "not converged", "failed"]
    """Where it stands: "converged" and "not converged" are what its iterations came to."""
    reasons: tuple[str, ...] = ()
    """Why, in sentences."""
    failures: tuple[str, ...] = ()
    """Tasks that failed in the current or last run, by cause, in sentences."""
    left_out: tuple[str, ...] = ()
    """Parts of the report that could not be made, and why, in sentences."""
    thresholds: Thresholds = Thresholds()
    """Limits that it has to meet."""
    iterations: tuple[IterationFacts, ...] = ()
    """Iterations in order."""
    coverage_history: tuple[HistoryPoint, ...] = ()
    """Coverage of all iterations in one common frame."""
    final: FinalFacts | None = None
    """The finished potential, if there is one."""
    initial_times: dict[str, StageTime] = {}
    """Time of each stage of the initial data."""
    final_times: dict[str, StageTime] = {}
    """Time of each stage of the final training."""
    totals: Totals = Totals()
    """The campaign as a whole."""
    label_checks: LabelCheckFacts | None = None
    """Whether the labels fit together; None if that was not looked at."""
    learning_curves: dict[str, tuple[CurvePoint, ...]] = {}
    """Learning curves by the name of the training."""
    settings: SettingsFacts | None = None
    """What it was run with."""
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
