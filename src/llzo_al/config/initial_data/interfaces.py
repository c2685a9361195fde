"""Interfaces between two crystals."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, NotNegative, Positive, Rule
from llzo_al.config.initial_data.models import (
    MillerIndex,
    ModelCopies,
    PairDistances,
    not_the_zero_plane,
    pairs_of_elements,
)


class Interfaces(ModelCopies):
    """Coherent interfaces of two crystals, the film strained to fit the substrate."""

    rules: ClassVar[tuple[Rule, ...]] = (
        not_the_zero_plane("substrate_miller"),
        not_the_zero_plane("film_miller"),
        pairs_of_elements("bonds_A"),
        *ModelCopies.rules,
    )

    kind: Literal["interfaces"]
    """Two crystals joined along planes whose lattices match (A. Zur, T. McGill, J. Appl. Phys. 55, 378)."""
    substrate: str = "t-LLZO"
    """Built-in crystal or structure file that keeps its lattice constants."""
    film: str = "Li"
    """Built-in crystal or structure file that is strained to fit."""
    substrate_miller: MillerIndex = [0, 0, 1]
    """Plane of the substrate's conventional cell (of a file: of its cell)."""
    film_miller: MillerIndex = [0, 0, 1]
    """Plane of the film's conventional cell."""
    substrate_thickness_A: Positive = 10.0
    """Least thickness of the substrate (angstrom); whole repeats of the crystal."""
    film_thickness_A: Positive = 8.0
    """Least thickness of the film (angstrom); whole repeats of the crystal."""
    gap_A: Positive = 2.2
    """Distance along the normal between the outermost atoms of the two (angstrom)."""
    vacuum_A: NotNegative | None = None
    """Vacuum over the film (angstrom). By default there is none: film and substrate alternate, with the same
    gap at both interfaces."""
    max_area_A2: Annotated[float, Field(gt=0, le=2000)] = 400.0
    """Largest area of the interface's cell (square angstrom)."""
    max_mismatch: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Largest strain of the film along a lattice vector of the interface, and largest relative change of the
    angle between the two."""
    matches: Count = 1
    """Lattice matches that are built: those of the smallest area, then of the smallest mismatch."""
    terminations: Count = 1
    """Planes at which the substrate is cut: those that cut the fewest of `bonds_A`."""
    bonds_A: PairDistances = {"Zr-O": 2.4}
    """Bonds of the substrate that should stay whole, with their greatest length (angstrom)."""
    max_atoms: Count = 2000
    """Interfaces with more atoms are refused."""
