"""Sources of initial data: frames as they are, or trajectories that have to be run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llzo_al.config.initial_data import (
    Crystals,
    Dimers,
    ExistingData,
    MaterialsProject,
    ReferenceMD,
    Source,
    StructureModel,
    Trajectories,
)
from llzo_al.dataset.frames import Frame, Label
from llzo_al.structures.crystals import crystal_frames
from llzo_al.structures.dimers import dimer_frames
from llzo_al.structures.existing.frames import existing_frames
from llzo_al.structures.existing.survey import survey
from llzo_al.structures.materials_project.frames import material_frames, material_relaxations
from llzo_al.structures.materials_project.library import load_library
from llzo_al.structures.models.frames import model_source_frames
from llzo_al.structures.reference_md import MDRun, reference_md_runs
from llzo_al.structures.relaxation import RelaxationRun
from llzo_al.structures.trajectories import trajectory_frames


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What a source may depend on besides its own section.

    Attributes
    ----------
    elements
        Elements of the campaign, in the order of the type map.
    base
        Folder that relative paths start from.
    seed
        The campaign's seed.
    trains_virials
        Whether the trainings use virials.
    """

    elements: tuple[str, ...]
    base: Path
    seed: int
    trains_virials: bool = True


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """What a source found where it looked for structures.

    Attributes
    ----------
    facts
        JSON-serialisable.
    lines
        The same for a person.
    """

    facts: dict[str, Any]
    lines: tuple[str, ...]


def source_frames(source: Source, context: SourceContext) -> Iterator[Frame]:
    """Frames of a source that are made without running the reference, in a fixed order, one at a time.

    Raises
    ------
    UserError
        If the source names something that does not exist or cannot be made.
    """
    if isinstance(source, Dimers):
        yield from dimer_frames(source, context.elements)
    elif isinstance(source, Crystals):
        yield from crystal_frames(source, base=context.base, seed=context.seed)
    elif isinstance(source, MaterialsProject):
        yield from material_frames(source, elements=context.elements, base=context.base, seed=context.seed)
    elif isinstance(source, ExistingData):
        yield from (frame for frame, _ in _existing(source, context))
    elif isinstance(source, Trajectories):
        labelled = trajectory_frames(source, elements=context.elements, base=context.base)
        yield from (frame for frame, _ in labelled)
    elif isinstance(source, StructureModel):
        yield from model_source_frames(source, context.elements, base=context.base, seed=context.seed)


def labelled_source_frames(source: Source, context: SourceContext) -> Iterator[tuple[Frame, Label | None]]:
    """The frames of `source_frames`, each with the label that its source brings along, or None.

    A label that comes with its frame is stored as one of the campaign's labeller, so a source gives one only
    where the campaign file says that the settings are the same.

    Raises
    ------
    UserError
        As `source_frames`.
    """
    if isinstance(source, ExistingData):
        yield from _existing(source, context)
        return
    if isinstance(source, Trajectories):
        yield from trajectory_frames(source, elements=context.elements, base=context.base)
        return
    for frame in source_frames(source, context):
        yield frame, None


def source_report(source: Source, context: SourceContext) -> SourceReport | None:
    """What a source found in a database or in files; None for a source that makes its structures itself.

    Raises
    ------
    UserError
        As `source_frames`.
    """
    if isinstance(source, MaterialsProject):
        library = load_library(source, elements=context.elements, base=context.base)
        return SourceReport(facts=library.as_dict(), lines=tuple(library.lines()))
    if isinstance(source, ExistingData):
        table = survey(
            source, elements=context.elements, base=context.base, trains_virials=context.trains_virials
        ).report
        return SourceReport(facts=table.as_dict(), lines=tuple(table.lines()))
    return None


def source_runs(source: Source, context: SourceContext) -> Sequence[MDRun | RelaxationRun]:
    """Trajectories and relaxations that the reference has to run for a source.

    Raises
    ------
    UserError
        If a structure is unknown or unreadable.
    """
    if isinstance(source, ReferenceMD):
        return reference_md_runs(source, base=context.base, seed=context.seed)
    if isinstance(source, MaterialsProject):
        return material_relaxations(source, elements=context.elements, base=context.base)
    return []


def _existing(source: ExistingData, context: SourceContext) -> Iterator[tuple[Frame, Label | None]]:
    return existing_frames(
        source, elements=context.elements, base=context.base, trains_virials=context.trains_virials
    )
