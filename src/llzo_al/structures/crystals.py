"""Crystals, scaled, displaced and strained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llzo_al.config.initial_data import Crystals
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.structures.deform import deformed
from llzo_al.structures.library import load_structure
from llzo_al.structures.names import cell_name, kind_of


def crystal_frames(source: Crystals, *, base: Path, seed: int) -> Iterator[Frame]:
    """Scaled crystals, each with displaced and strained copies, one at a time.

    A frame depends on the seed and on its own name, factor and copy number, not on what else is asked for: a
    longer list leaves the frames of the shorter one as they were.

    Parameters
    ----------
    source
        The campaign file's section.
    base
        Folder that structure files' paths start from.
    seed
        The campaign's seed.

    Raises
    ------
    UserError
        If a structure is unknown or unreadable.
    """
    for name in dict.fromkeys(source.structures):
        atoms = load_structure(name, base=base, primitive=source.primitive)
        cell = cell_name(source, name)
        for copy, suffix, details in deformed(atoms, source, name=cell, seed=seed):
            provenance = Provenance(
                source="crystals", kind=kind_of(name), group=f"crystals/{cell}/{suffix}", details=details
            )
            yield Frame.from_atoms(copy, provenance)
