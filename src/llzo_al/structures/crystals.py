"""Crystals, scaled and rattled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data import Crystals
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.structures.library import load_structure
from llzo_al.structures.names import cell_name, kind_of, seeds


def crystal_frames(source: Crystals, *, base: Path, seed: int) -> list[Frame]:
    """Scaled crystals, each with rattled copies.

    A frame depends on the seed and on its own name, scale factor and copy number, not on what else is asked
    for: a longer list leaves the frames of the shorter one as they were.

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
    frames = []
    for name in dict.fromkeys(source.structures):
        atoms = load_structure(name, base=base, primitive=source.primitive, supercell=source.supercell)
        for scale_factor in dict.fromkeys(source.scale_factors):
            for copy in range(source.rattled_copies + 1):
                frames.append(_scaled(atoms, source, name, scale_factor=scale_factor, copy=copy, seed=seed))
    return frames


def _scaled(atoms: Atoms, source: Crystals, name: str, *, scale_factor: float, copy: int, seed: int) -> Frame:
    cell = cell_name(source, name)
    scaled = atoms.copy()
    scaled.set_cell(np.array(atoms.cell) * scale_factor, scale_atoms=True)
    if copy > 0:
        random = np.random.default_rng(seeds(seed, "crystals", cell, scale_factor, copy))
        scaled.positions += random.normal(scale=source.rattle_std_A, size=scaled.positions.shape)
    return Frame.from_atoms(
        scaled,
        Provenance(
            source="crystals",
            kind=kind_of(name),
            group=f"crystals/{cell}/{scale_factor:g}/{copy}",
            details={
                "scale_factor": scale_factor,
                "copy": copy,
                "rattle_std_A": source.rattle_std_A if copy > 0 else 0.0,
            },
        ),
    )
