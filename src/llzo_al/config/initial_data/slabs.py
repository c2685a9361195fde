"""Slabs with two free surfaces."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Positive, Rule, all_different
from llzo_al.config.initial_data.models import (
    MillerIndex,
    ModelCopies,
    PairDistances,
    not_the_zero_plane,
    pairs_of_elements,
)


class Slabs(ModelCopies):
    """Slabs of crystals between vacuum, by Miller index."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("structures"),
        all_different("miller_indices"),
        not_the_zero_plane("miller_indices"),
        pairs_of_elements("bonds_A"),
        *ModelCopies.rules,
    )

    kind: Literal["slabs"]
    """Crystals cut along planes, with vacuum between."""
    structures: Annotated[list[str], Field(min_length=1)] = ["t-LLZO"]
    """Built-in crystals or structure files, as for `crystals`."""
    miller_indices: Annotated[list[MillerIndex], Field(min_length=1)] = [[1, 0, 0], [0, 0, 1], [1, 1, 0]]
    """Planes of the conventional cell (of a file: of its cell)."""
    thickness_A: Positive = 12.0
    """Least thickness, from the lowest to the highest atom (angstrom). Slabs end at whole atomic planes, so
    that they are a little thicker."""
    vacuum_A: Positive = 15.0
    """Vacuum between the highest atom and the lowest one of the next image (angstrom)."""
    symmetric: bool = True
    """Only slabs with two equivalent surfaces, which have no dipole; they may not have the composition of
    the crystal. Otherwise slabs of whole layers of the crystal's composition."""
    stoichiometric: bool = False
    """Only slabs with the composition of the crystal."""
    terminations: Count = 2
    """Slabs for each plane: those of the smallest imbalance of formal charges, then those that cut the fewest
    of `bonds_A`."""
    bonds_A: PairDistances = {"Zr-O": 2.4}
    """Bonds that should stay whole, with their greatest length (angstrom)."""
