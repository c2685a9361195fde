"""Crystals repeated, scaled, displaced and strained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.deformations import Deformations
from llzo_al.dataset.frames import FloatArray
from llzo_al.structures.names import seeds


def deformed(
    atoms: Atoms, settings: Deformations, *, name: str, seed: int
) -> Iterator[tuple[Atoms, str, dict[str, Any]]]:
    """The copies of a crystal that the keys of `Deformations` ask for, one at a time.

    A copy depends on the seed, the kind of source, its own name, factor and number, not on what else is asked
    for: a longer list leaves the copies of the shorter one as they were.

    Parameters
    ----------
    atoms
        The crystal's cell, before `supercell` is applied.
    settings
        The campaign file's section.
    name
        Name of the crystal and its cell, different for each crystal of a source (see
        `llzo_al.structures.names.cell_name`).
    seed
        The campaign's seed.

    Yields
    ------
    tuple
        The copy; the end of its group's name ("0.98/1", "V0.9/0", "1/strain2"), different for each copy; and
        what was done to it, for the provenance's `details`.
    """
    repeated = atoms.repeat(settings.supercell)
    for label, length_factor in settings.length_factors.items():
        scaled = repeated.copy()
        scaled.set_cell(np.array(repeated.cell) * length_factor, scale_atoms=True)
        factor = _factor(settings, label, length_factor)
        # A linear factor itself names the seeds, a volumetric one its label.
        named = label if settings.volume_factors is not None else length_factor
        for copy in range(settings.rattled_copies + 1):
            random = np.random.default_rng(seeds(seed, settings.kind, name, named, copy))
            width_A = settings.rattle_std_A if copy > 0 else 0.0
            details = {**factor, "copy": copy, "rattle_std_A": width_A}
            yield _rattled(scaled, width_A, random), f"{label}/{copy}", details
        for copy in range(1, settings.strained_copies + 1):
            random = np.random.default_rng(seeds(seed, settings.kind, name, named, "strain", copy))
            strain = _random_strain(settings.strain_std, random)
            moved = _rattled(_strained(scaled, strain), settings.rattle_std_A, random)
            details = {
                **factor,
                "copy": copy,
                "rattle_std_A": settings.rattle_std_A,
                "strain": strain.round(6).tolist(),
            }
            yield moved, f"{label}/strain{copy}", details


def _factor(settings: Deformations, label: str, length_factor: float) -> dict[str, float]:
    if settings.volume_factors is not None:
        return {"volume_factor": float(label[1:])}
    return {"scale_factor": length_factor}


def _rattled(atoms: Atoms, width_A: float, random: np.random.Generator) -> Atoms:
    moved = atoms.copy()
    if width_A > 0:
        moved.positions += random.normal(scale=width_A, size=moved.positions.shape)
    return moved


def _strained(atoms: Atoms, strain: FloatArray) -> Atoms:
    moved = atoms.copy()
    moved.set_cell(np.array(atoms.cell) @ (np.eye(3) + strain), scale_atoms=True)
    return moved


def _random_strain(width: float, random: np.random.Generator) -> FloatArray:
    """A symmetric strain tensor, shape (3, 3), its six components normally distributed."""
    strain = np.zeros((3, 3))
    strain[np.triu_indices(3)] = random.normal(scale=width, size=6)
    return strain + np.triu(strain, k=1).T
