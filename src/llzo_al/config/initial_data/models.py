"""Keys that the sources of structure models share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from llzo_al.config.base import Finding, Positive, Repeats, Rule
from llzo_al.config.initial_data.deformations import Deformations
from llzo_al.config.pairs import pair_elements

PairDistances = dict[str, Positive]

MillerIndex = Annotated[list[int], Field(min_length=3, max_length=3)]


def pairs_of_elements(key: str) -> Rule:
    """Rule that the keys of a mapping are pairs such as ``Li-O``, none of them given twice."""

    def find(distances: dict[str, float] | None) -> Iterable[Finding]:
        seen: dict[tuple[str, ...], str] = {}
        for pair in distances or {}:
            parts = pair_elements(pair)
            if parts is None:
                yield (key, pair), f"{pair!r} given; allowed: two elements joined by a hyphen, such as Li-O"
                continue
            first = seen.setdefault(tuple(sorted(parts)), pair)
            if first != pair:
                yield (key, pair), f"{pair!r} is the same pair as {first!r}; each pair is listed once"

    return Rule((key,), find)


def not_the_zero_plane(key: str) -> Rule:
    """Rule that Miller indices, or each of a list of them, are not 0, 0, 0."""

    def find(given: list[int] | list[list[int]]) -> Iterable[Finding]:
        planes = given if given and isinstance(given[0], list) else [given]
        for index, plane in enumerate(planes):
            if not any(plane):
                path: tuple[str | int, ...] = (key, index) if planes is given else (key,)
                yield path, "is [0, 0, 0]; Miller indices name a plane, such as [1, 0, 0]"

    return Rule((key,), find)


class ModelCopies(Deformations):
    """A finished structure model, repeated and scaled, with randomly displaced and strained copies."""

    supercell: Repeats = [1, 1, 1]
    """Repetitions of the finished model along its three lattice vectors."""
    rattled_copies: Annotated[int, Field(ge=0)] = 0
    """Copies of each model with random displacements, besides the undisplaced one."""
