"""Crystals, scaled and rattled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import (
    Finding,
    Repeats,
    Rule,
    Section,
    all_different,
)


def _copies_differ(rattled_copies: int, rattle_std_A: float) -> Iterable[Finding]:
    if rattled_copies and not rattle_std_A:
        yield ("rattle_std_A",), "is 0; copies that are not displaced are identical: set rattled_copies to 0"


class Crystals(Section):
    """Crystals from their published symmetry and positions, scaled and rattled."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("structures"),
        all_different("scale_factors"),
        Rule(("rattled_copies", "rattle_std_A"), _copies_differ),
    )

    kind: Literal["crystals"]
    """Built-in crystals or structure files."""
    structures: Annotated[list[str], Field(min_length=1)]
    """Built-in names (`t-LLZO`, `Li2O`, `La2O3`, `ZrO2`) or paths of files that ASE reads, relative to the
    campaign file."""
    primitive: bool = False
    """Use the primitive instead of the conventional cell (t-LLZO: 96 instead of 192 atoms)."""
    supercell: Repeats = [1, 1, 1]
    """Repetitions along the three lattice vectors."""
    scale_factors: Annotated[list[Annotated[float, Field(ge=0.5, le=2)]], Field(min_length=1)] = [
        0.96,
        0.98,
        1.0,
        1.02,
        1.04,
    ]
    """Linear scale factors of the lattice constants."""
    rattled_copies: Annotated[int, Field(ge=0)] = 2
    """Copies with random displacements for each scale factor, besides the undisplaced one."""
    rattle_std_A: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Standard deviation of each Cartesian displacement (angstrom)."""
