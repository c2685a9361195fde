"""The campaign file as a whole."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from llzo_al.config.assessment import Selection, Stopping
from llzo_al.config.base import Count, Rule, Section
from llzo_al.config.coverage import Coverage
from llzo_al.config.crosschecks import CAMPAIGN_RULES
from llzo_al.config.dataset import Dataset
from llzo_al.config.exploration import Exploration
from llzo_al.config.failures import FAILURE_RULES, Failures
from llzo_al.config.initial_data import Source
from llzo_al.config.labelling import Labelling
from llzo_al.config.training import Training


class Resources(Section):
    """What of this machine the local workers may use."""

    cores: Count | None = None
    """Cores to fill; by default all that this process may use."""
    max_trainings: Count | None = None
    """Trainings at once; by default as many as there are cores."""
    max_md_runs: Count | None = None
    """MD runs at once; by default as many as there are cores."""
    max_label_jobs: Count | None = None
    """Labelling jobs at once; by default, and at most, `cores` divided by the threads of one job."""


class CampaignConfig(Section):
    """A campaign of active learning."""

    rules: ClassVar[tuple[Rule, ...]] = (*CAMPAIGN_RULES, *FAILURE_RULES)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the campaign, and of its directory unless `directory` is given: letters, digits, dots, hyphens
    and underscores."""
    directory: Annotated[str, Field(min_length=1)] | None = None
    """Campaign directory, relative to the campaign file; by default `name` beside the campaign file."""
    elements: Annotated[list[str], Field(min_length=1)] = ["Li", "La", "Zr", "O"]
    """Elements in the order of the model's type map."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of everything that is random."""
    initial_data: Annotated[list[Source], Field(min_length=1)]
    """Sources of the first training set."""
    labelling: Labelling
    """Who computes energies, forces and virials."""
    dataset: Dataset = Dataset()
    """How labels enter the data set."""
    failures: Failures = Failures()
    """When a frame is refused, how often a label is tried, and when too many have failed to go on."""
    training: Training = Training()
    """Training of the committee."""
    exploration: Exploration
    """Molecular dynamics with the committee."""
    coverage: Coverage = Coverage()
    """How the coverage of what MD visits is measured."""
    selection: Selection = Selection()
    """Which visited frames are labelled next."""
    stopping: Stopping = Stopping()
    """When the campaign is converged."""
    resources: Resources = Resources()
    """What of this machine the local workers may use."""
