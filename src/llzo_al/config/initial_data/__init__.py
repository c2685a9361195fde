"""Sources of the first training set."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llzo_al.config.initial_data.amorphous import Amorphous
from llzo_al.config.initial_data.blocks import Blocks
from llzo_al.config.initial_data.crystals import Crystals
from llzo_al.config.initial_data.dimers import Dimers
from llzo_al.config.initial_data.existing_data import ExistingData
from llzo_al.config.initial_data.interfaces import Interfaces
from llzo_al.config.initial_data.materials_project import MaterialsProject
from llzo_al.config.initial_data.orderings import Orderings
from llzo_al.config.initial_data.reference_md import ReferenceMD
from llzo_al.config.initial_data.slabs import Slabs
from llzo_al.config.initial_data.trajectories import Trajectories
from llzo_al.config.initial_data.variants import Variants

StructureModel = Orderings | Variants | Slabs | Amorphous | Blocks | Interfaces

Source = Annotated[
    Dimers | Crystals | ReferenceMD | MaterialsProject | Trajectories | ExistingData | StructureModel,
    Field(discriminator="kind"),
]

__all__ = [
    "Amorphous",
    "Blocks",
    "Crystals",
    "Dimers",
    "ExistingData",
    "Interfaces",
    "MaterialsProject",
    "Orderings",
    "ReferenceMD",
    "Slabs",
    "Source",
    "StructureModel",
    "Trajectories",
    "Variants",
]
