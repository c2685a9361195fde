"""Runs of molecular dynamics small enough for tests, driven by the classical reference."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.config.exploration import Guard
from llzo_al.config.labelling import ClassicalReference
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.exploration.md import MDInputs
from llzo_al.labelling.classical import lammps_potential
from llzo_al.structures.library import load_structure

ELEMENTS = ("Li", "La", "Zr", "O")
COMMITTEE_ELEMENTS = ("Li", "O")
"""Elements of the committee that conftest.py trains."""
REFERENCE = ClassicalReference(engine="classical_reference")
TOLERANT = Guard(min_distance_fraction=0.2, max_temperature_factor=50.0, max_force_deviation_eV_per_A=1e6)


def start_frame(name: str = "Li2O", *, rattle_A: float = 0.03, seed: int = 5, **arguments: Any) -> Frame:
    atoms = load_structure(name, base=Path(), **arguments)
    atoms.positions += np.random.default_rng(seed).normal(scale=rattle_A, size=atoms.positions.shape)
    group = f"exploration/000/{name}/600K/0"
    return Frame.from_atoms(
        atoms, Provenance(source="exploration", kind=name, group=group, temperature_K=600.0)
    )


def classical_run(frame: Frame | None = None, **changes: Any) -> MDInputs:
    inputs = MDInputs(
        frame=frame or start_frame(),
        elements=ELEMENTS,
        potential=lammps_potential(REFERENCE, ELEMENTS),
        temperature_K=600.0,
        steps=100,
        frame_interval_steps=10,
        restart_interval_steps=50,
        seed=11,
        guard=TOLERANT,
    )
    return replace(inputs, **changes)
