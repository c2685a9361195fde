"""Sources of initial data: frames as they are, or trajectories that have to be run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llzo_al.config.initial_data import Crystals, Dimers, ReferenceMD, Source
from llzo_al.dataset.frames import Frame
from llzo_al.structures.crystals import crystal_frames
from llzo_al.structures.dimers import dimer_frames
from llzo_al.structures.reference_md import MDRun, reference_md_runs


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
    """

    elements: tuple[str, ...]
    base: Path
    seed: int


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


def source_runs(source: Source, context: SourceContext) -> list[MDRun]:
    """Trajectories that the reference has to run for a source.

    Raises
    ------
    UserError
        If a structure is unknown or unreadable.
    """
    if isinstance(source, ReferenceMD):
        return reference_md_runs(source, base=context.base, seed=context.seed)
    return []
