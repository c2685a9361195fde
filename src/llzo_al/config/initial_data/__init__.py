"""Sources of the first training set."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llzo_al.config.initial_data.crystals import Crystals
from llzo_al.config.initial_data.dimers import Dimers
from llzo_al.config.initial_data.reference_md import ReferenceMD

Source = Annotated[Dimers | Crystals | ReferenceMD, Field(discriminator="kind")]

__all__ = ["Crystals", "Dimers", "ReferenceMD", "Source"]
