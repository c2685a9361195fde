"""What one source of the initial data will give: counted, before anything is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.initial_data import MaterialsProject, Source
from llzo_al.config.labelling import ClassicalReference
from llzo_al.dataset.frames import Frame

if TYPE_CHECKING:
    from llzo_al.structures.reference_md import MDRun
    from llzo_al.structures.relaxation import RelaxationRun

Tell = Callable[[str], object]
TOLD_EVERY = 200
"""Structures between two lines of progress."""


@dataclass(frozen=True, kw_only=True)
class SourcePlan:
    """What one source of the initial data gives.

    Attributes
    ----------
    kind
        Kind of source.
    structures
        Different pairs, crystals or other kinds of structure.
    frames
        Frames that it makes or that its trajectories give.
    labels, held_out
        Frames that the labeller labels, and how many of all are held out.
    given
        Frames that bring a label along, which costs nothing, or nothing beyond the dynamics that made it.
    atoms_min, atoms_max
        Number of atoms in the smallest and the largest frame.
    md_runs, md_steps
        Trajectories of the reference, and MD steps of all of them.
    held_out_md_runs
        Trajectories that are held out as a whole.
    unknown
        Why nothing of this can be known on this machine; None where it is known.
    """

    kind: str
    structures: int
    frames: int
    labels: int
    held_out: int
    atoms_min: int
    atoms_max: int
    given: int = 0
    md_runs: int = 0
    md_steps: int = 0
    held_out_md_runs: int = 0
    unknown: str | None = None


def plan_source(source: Source, config: CampaignConfig, base: Path, tell: Tell) -> SourcePlan:
    """Count what a source gives; of its frames, one at a time is in memory.

    A database that can neither be asked nor was asked before leaves its source's numbers unknown.

    Parameters
    ----------
    source
        The source.
    config
        The campaign file.
    base
        Folder that relative paths start from.
    tell
        Called with a line of progress now and then.

    Raises
    ------
    UserError
        If a structure cannot be read or made.
    """
    from llzo_al.dataset.splits import assign_held_out, split_frames
    from llzo_al.structures.sources import SourceContext, labelled_source_frames, source_runs

    reason = _no_database(source, config, base)
    if reason is not None:
        return SourcePlan(
            kind=source.kind,
            structures=0,
            frames=0,
            labels=0,
            held_out=0,
            atoms_min=0,
            atoms_max=0,
            unknown=reason,
        )
    share = config.dataset.held_out_share
    context = SourceContext(
        elements=tuple(config.elements),
        base=base,
        seed=config.seed,
        trains_virials=config.training.trains_virials,
    )
    frames, given = 0, 0
    kinds: set[str] = set()
    atoms: set[int] = set()
    of_group: Counter[str] = Counter()

    def counted() -> Iterator[Frame]:
        nonlocal frames, given
        for frame, label in labelled_source_frames(source, context):
            frames += 1
            given += label is not None
            kinds.add(frame.provenance.kind)
            atoms.add(frame.n_atoms)
            of_group[frame.provenance.group] += 1
            if frames % TOLD_EVERY == 0:
                tell(f"{source.kind}: {frames:,} structures")
            yield frame

    splits = split_frames(counted(), share=share, seed=config.seed)
    runs = source_runs(source, context)
    held_out_runs = assign_held_out([run.group for run in runs], share=share, seed=config.seed)
    snapshots = sum(run.n_snapshots for run in runs)
    own = sum(run.n_snapshots for run in runs if _brings_labels(run, config))
    atoms.update(run.frame.n_atoms for run in runs)
    return SourcePlan(
        kind=source.kind,
        structures=len(kinds.union(run.kind for run in runs)),
        frames=frames + snapshots,
        labels=frames - given + snapshots - own,
        held_out=sum(of_group[group] for group, split in splits.items() if split == "held-out")
        + sum(run.n_snapshots for run in runs if run.group in held_out_runs),
        atoms_min=min(atoms, default=0),
        atoms_max=max(atoms, default=0),
        given=given + own,
        md_runs=len(runs),
        md_steps=sum(run.total_steps for run in runs),
        held_out_md_runs=len(held_out_runs),
    )


def _brings_labels(run: MDRun | RelaxationRun, config: CampaignConfig) -> bool:
    """Whether the snapshots of a trajectory carry the labels that its dynamics computed."""
    from llzo_al.structures.reference_md import MDRun

    if not isinstance(run, MDRun) or isinstance(config.labelling, ClassicalReference):
        return False
    return not run.relabel and not run.parameters


def _no_database(source: Source, config: CampaignConfig, base: Path) -> str | None:
    if not isinstance(source, MaterialsProject) or source.folder is not None:
        return None
    from llzo_al.structures.materials_project.library import obstacle

    return obstacle(source, elements=config.elements, base=base)
