"""Amorphous boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Finding, Positive, Rule, Section, all_different
from llzo_al.config.initial_data.models import ModelCopies, PairDistances, pairs_of_elements

Composition = dict[str, Annotated[float, Field(ge=0)]]
Packing = Annotated[int, Field(ge=2, le=200000)]


def _cations(composition: Mapping[str, float]) -> Iterable[str]:
    if "O" in composition:
        yield "holds O; give the cations only, oxygen follows from their formal charges"
    if not any(composition.values()):
        yield "holds no atom; give the ratio of the cations, such as {Li: 7, La: 3, Zr: 2}"


def _all_cations(compositions: Sequence[Mapping[str, float]]) -> Iterable[Finding]:
    for index, composition in enumerate(compositions):
        for message in _cations(composition):
            yield ("compositions", index), message


def _one_cations(composition: Mapping[str, float]) -> Iterable[Finding]:
    for message in _cations(composition):
        yield ("composition",), message


class Melt(Section):
    """One random box, the start of a melt."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("composition",), _one_cations),
        pairs_of_elements("min_distances_A"),
    )

    composition: Composition = {"Li": 7, "La": 3, "Zr": 2}
    """Ratio of the cations; oxygen follows from their formal charges."""
    n_atoms: Packing = 5184
    """Number of atoms at most; the greatest whole number of neutral formula units that is not larger."""
    density_g_per_cm3: Positive = 4.5
    """Density (g/cm3)."""
    min_distances_A: PairDistances = {}
    """Shortest distances, as for the source `amorphous`."""


class Amorphous(ModelCopies):
    """Random boxes of any ratio of cations, oxygen balanced by charge, packed with distance limits."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("compositions"),
        all_different("densities_g_per_cm3"),
        Rule(("compositions",), _all_cations),
        pairs_of_elements("min_distances_A"),
        *ModelCopies.rules,
    )

    kind: Literal["amorphous"]
    """Atoms at random positions of a cubic box, pushed apart to the shortest distances."""
    compositions: Annotated[list[Composition], Field(min_length=1)] = [{"Li": 7, "La": 3, "Zr": 2}]
    """Ratios of the cations, such as `{Li: 7, La: 3, Zr: 2}`; oxygen follows from their formal charges."""
    n_atoms: Packing = 192
    """Number of atoms at most; a box holds the greatest whole number of neutral formula units that is not
    larger."""
    densities_g_per_cm3: Annotated[list[Positive], Field(min_length=1)] = [4.5]
    """Densities (g/cm3), one box for each composition and density; the edge of the box follows exactly."""
    copies: Count = 3
    """Random boxes for each composition and density."""
    min_distances_A: PairDistances = {}
    """Shortest distances, such as `Li-O: 1.8` (angstrom), in place of the defaults (Li-O 1.75, La-O 2.25,
    Zr-O 1.9, O-O 2.5, Li-Li 2.2, Li-La 2.7, Li-Zr 2.6, La-La 3.3, La-Zr 3.2, Zr-Zr 3.1)."""
