"""Frames of every kind of structure model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from llzo_al.config.initial_data import Amorphous, Blocks, Orderings, Slabs, StructureModel, Variants
from llzo_al.dataset.frames import Frame
from llzo_al.structures.models.amorphous import amorphous_frames
from llzo_al.structures.models.blocks import block_frames
from llzo_al.structures.models.interfaces import interface_frames
from llzo_al.structures.models.orderings import ordering_frames
from llzo_al.structures.models.slabs import slab_frames
from llzo_al.structures.models.variants import variant_frames


def model_source_frames(
    source: StructureModel, elements: Sequence[str], *, base: Path, seed: int
) -> Iterator[Frame]:
    """Frames of a source of structure models, one at a time.

    Parameters
    ----------
    source
        The campaign file's section.
    elements
        Elements of the campaign, in the order of the type map.
    base
        Folder that structure files' paths start from.
    seed
        The campaign's seed.

    Raises
    ------
    UserError
        If a model cannot be made as it is asked for.
    """
    if isinstance(source, Orderings):
        return ordering_frames(source, base=base, seed=seed)
    if isinstance(source, Variants):
        return variant_frames(source, elements, base=base, seed=seed)
    if isinstance(source, Slabs):
        return slab_frames(source, base=base, seed=seed)
    if isinstance(source, Amorphous):
        return amorphous_frames(source, elements, seed=seed)
    if isinstance(source, Blocks):
        return block_frames(source, elements, base=base, seed=seed)
    return interface_frames(source, elements, base=base, seed=seed)
