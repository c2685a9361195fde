"""Dimers of every pair of elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import (
    Finding,
    Positive,
    Rule,
    Section,
    smaller,
)


def _images_apart(box_length_A: float, distance_max_A: float) -> Iterable[Finding]:
    if box_length_A <= 2 * distance_max_A:
        yield (
            ("box_length_A",),
            f"is {box_length_A:g}; must be more than twice distance_max_A ({distance_max_A:g})",
        )


class Dimers(Section):
    """Two atoms at a range of distances, for every pair of elements."""

    rules: ClassVar[tuple[Rule, ...]] = (
        smaller("distance_min_A", "distance_max_A"),
        Rule(("box_length_A", "distance_max_A"), _images_apart),
    )

    kind: Literal["dimers"]
    """Two isolated atoms in a periodic box."""
    pairs: Annotated[list[str], Field(min_length=1)] | None = None
    """Pairs such as `Li-O`; by default every pair of the campaign's elements, like pairs included."""
    distance_min_A: Positive = 1.0
    """Shortest distance (angstrom). The default range is that of You et al. (2024)."""
    distance_max_A: Positive = 4.0
    """Longest distance (angstrom)."""
    points: Annotated[int, Field(ge=2)] = 13
    """Distances per pair, evenly spaced, both ends included."""
    box_length_A: Positive = 20.0
    """Edge of the cubic box (angstrom); at least the longest distance plus twice the labeller's cutoff keeps
    the images apart."""
