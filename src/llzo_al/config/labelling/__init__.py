"""Who computes energies, forces and virials."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llzo_al.config.labelling.ase import ASECalculator
from llzo_al.config.labelling.classical import ClassicalReference
from llzo_al.config.labelling.first_principles import ABINIT, CP2K, GPAW, Espresso, UniversalPotential
from llzo_al.config.labelling.vasp import VASP

Labelling = Annotated[
    ClassicalReference | ASECalculator | GPAW | Espresso | CP2K | ABINIT | UniversalPotential | VASP,
    Field(discriminator="engine"),
]

__all__ = [
    "ABINIT",
    "CP2K",
    "GPAW",
    "VASP",
    "ASECalculator",
    "ClassicalReference",
    "Espresso",
    "Labelling",
    "UniversalPotential",
]
