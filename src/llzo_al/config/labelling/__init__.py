"""Who computes energies, forces and virials."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llzo_al.config.labelling.ase import ASECalculator
from llzo_al.config.labelling.classical import ClassicalReference

Labelling = Annotated[ClassicalReference | ASECalculator, Field(discriminator="engine")]

__all__ = ["ASECalculator", "ClassicalReference", "Labelling"]
