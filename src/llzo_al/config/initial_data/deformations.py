"""Scaled, displaced and strained copies of a crystal: keys that several sources share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

from pydantic import Field

from llzo_al.config.base import Finding, Repeats, Rule, Section, all_different

LengthFactors = Annotated[list[Annotated[float, Field(ge=0.5, le=2)]], Field(min_length=1)]
VolumeFactors = Annotated[list[Annotated[float, Field(ge=0.125, le=8)]], Field(min_length=1)]


def _one_scaling(scale_factors: list[float] | None, volume_factors: list[float] | None) -> Iterable[Finding]:
    if scale_factors is not None and volume_factors is not None:
        yield (
            ("volume_factors",),
            "given beside scale_factors; either lengths are scaled (scale_factors) or volumes "
            "(volume_factors): keep one of them, or make two sources",
        )


def _copies_differ(copies: str, width: str, verb: str) -> Rule:
    def find(number_of_copies: int, standard_deviation: float) -> Iterable[Finding]:
        if number_of_copies and not standard_deviation:
            yield (width,), f"is 0; copies that are not {verb} are identical: set {copies} to 0"

    return Rule((copies, width), find)


class Deformations(Section):
    """A crystal's cell repeated and scaled, with randomly displaced and strained copies.

    A kind of source that scales crystals derives from it, names its `kind`, and sets
    `default_scale_factors`; `llzo_al.structures.deform.deformed` makes the structures.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("scale_factors"),
        all_different("volume_factors"),
        Rule(("scale_factors", "volume_factors"), _one_scaling),
        _copies_differ("rattled_copies", "rattle_std_A", "displaced"),
        _copies_differ("strained_copies", "strain_std", "strained"),
    )
    default_scale_factors: ClassVar[tuple[float, ...]] = (1.0,)

    kind: str
    """Kind of source."""
    supercell: Repeats = [1, 1, 1]
    """Repetitions along the three lattice vectors."""
    scale_factors: LengthFactors | None = None
    """Linear scale factors: the lattice constants are multiplied by them."""
    volume_factors: VolumeFactors | None = None
    """Volumetric scale factors, in place of `scale_factors`: the volume is multiplied by them, the lattice
    constants by their cube roots."""
    rattled_copies: Annotated[int, Field(ge=0)] = 2
    """Copies with random displacements for each factor, besides the undisplaced one."""
    rattle_std_A: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Standard deviation of each Cartesian displacement (angstrom)."""
    strained_copies: Annotated[int, Field(ge=0)] = 0
    """Copies with a random strain of the cell for each factor. Their atoms follow the cell and are displaced
    by `rattle_std_A` besides."""
    strain_std: Annotated[float, Field(ge=0, le=0.1)] = 0.02
    """Standard deviation of each of the six components of the strain."""

    @property
    def length_factors(self) -> dict[str, float]:
        """Linear factor by the name of the scaling: ``{"0.98": 0.98}`` or ``{"V0.9": 0.965...}``."""
        if self.volume_factors is not None:
            return {f"V{factor:.10g}": factor ** (1 / 3) for factor in self.volume_factors}
        return {f"{factor:.10g}": factor for factor in self.scale_factors or self.default_scale_factors}
