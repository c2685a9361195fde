"""Crystals with partly occupied sites, resolved into ordered ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Finding, Positive, Repeats, Rule
from llzo_al.config.initial_data.models import ModelCopies


def _enough_samples(orderings: int, samples: int) -> Iterable[Finding]:
    if orderings > samples:
        yield (
            ("orderings",),
            f"is {orderings}; must not be more than samples ({samples}), from which they are chosen",
        )


class Orderings(ModelCopies):
    """Orderings of lithium on the partly occupied sites of cubic LLZO (or of another crystal).

    Random arrangements that keep a distance limit are drawn, and those of the lowest electrostatic energy
    (Ewald sum of formal charges) are kept.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("orderings", "samples"), _enough_samples),
        *ModelCopies.rules,
    )

    kind: Literal["orderings"]
    """Arrangements of the ions on partly occupied sites."""
    structure: str = "c-LLZO"
    """`c-LLZO`, or a CIF file with partial occupancies, relative to the campaign file. All partly occupied
    sites hold the same element, whose number in the cell follows from charge neutrality."""
    primitive: bool = False
    """Arrange in the primitive cell (c-LLZO: 96 instead of 192 atoms); built-in crystals only."""
    arranged_supercell: Repeats = [1, 1, 1]
    """Cells along the three lattice vectors within which the ions are arranged (`supercell` instead repeats
    the finished arrangement)."""
    orderings: Count = 10
    """Arrangements that are kept, those of the lowest electrostatic energy. Arrangements of the same energy,
    which symmetry makes equivalent, count once."""
    samples: Annotated[int, Field(ge=1, le=100000)] = 500
    """Random arrangements that are ranked."""
    min_distance_A: Positive = 2.0
    """Shortest distance of two ions on the partly occupied sites (angstrom). In c-LLZO the sites are 0.81,
    1.60, 2.38 and 2.46 angstrom apart."""
