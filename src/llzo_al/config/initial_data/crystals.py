"""Crystals, scaled, displaced and strained."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Rule, all_different
from llzo_al.config.initial_data.deformations import Deformations, LengthFactors


class Crystals(Deformations):
    """Crystals from their published symmetry and positions, scaled, displaced and strained."""

    rules: ClassVar[tuple[Rule, ...]] = (all_different("structures"), *Deformations.rules)
    default_scale_factors: ClassVar[tuple[float, ...]] = (0.96, 0.98, 1.0, 1.02, 1.04)

    kind: Literal["crystals"]
    """Built-in crystals or structure files."""
    structures: Annotated[list[str], Field(min_length=1)]
    """Built-in names (`t-LLZO`, `c-LLZO`, `Li`, `Li2O`, `La2O3`, `ZrO2`) or paths of files that ASE reads,
    relative to the campaign file."""
    primitive: bool = False
    """Use the primitive instead of the conventional cell (t-LLZO: 96 instead of 192 atoms)."""
    scale_factors: LengthFactors | None = None
    """Linear scale factors: the lattice constants are multiplied by them. By default 0.96, 0.98, 1, 1.02 and
    1.04, unless `volume_factors` are given."""
