"""Lattice matches of two planes: where a film fits a substrate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError

_ZSL = "pymatgen.analysis.interfaces.zsl"
_PAIRS_MAX = 100_000
"""Pairs of cells that are compared at most, in about half a minute."""
_NEAREST_MISMATCH = 0.3
_NEAREST_PAIRS_MAX = 20_000


@dataclass(frozen=True, kw_only=True)
class Match:
    """A cell of the film and a cell of the substrate that nearly agree.

    Attributes
    ----------
    film_vectors_A, substrate_vectors_A
        The two cells' vectors, shape (2, 3).
    area_A2
        Area of the substrate's cell.
    mismatch
        The largest of the relative changes of the film's two lengths and of its angle.
    """

    film_vectors_A: FloatArray
    substrate_vectors_A: FloatArray
    area_A2: float
    mismatch: float


def lattice_matches(
    film_vectors_A: FloatArray,
    substrate_vectors_A: FloatArray,
    *,
    max_area_A2: float,
    max_mismatch: float,
    where: str,
) -> list[Match]:
    """All matches within an area and a mismatch, the smallest area first.

    The search is that of Zur and McGill, J. Appl. Phys. 55, 378 (1984), as pymatgen has it.

    Parameters
    ----------
    film_vectors_A, substrate_vectors_A
        Two vectors of each plane, shape (2, 3).
    max_area_A2
        Largest area.
    max_mismatch
        Largest relative change of the film's lengths and angle.
    where
        Names the source in an error.

    Raises
    ------
    UserError
        If nothing matches, with the nearest that was found, or if the area allows too many cells to try.
    """
    areas = [float(np.linalg.norm(np.cross(*vectors))) for vectors in (film_vectors_A, substrate_vectors_A)]
    pairs = _pairs_to_try(areas[0], areas[1], max_area_A2, max_mismatch)
    if pairs > _PAIRS_MAX:
        raise UserError(
            f"{where}: max_area_A2 ({max_area_A2:g}) allows {pairs:,} pairs of cells, more than "
            f"{_PAIRS_MAX:,} that are tried; lower it"
        )
    found = _search(film_vectors_A, substrate_vectors_A, max_area_A2, max_mismatch)
    if not found:
        raise UserError(
            f"{where}: no cells of the two planes (areas {areas[0]:.1f} of the film and {areas[1]:.1f} of "
            f"the substrate) match within max_mismatch ({max_mismatch:g}) up to max_area_A2 "
            f"({max_area_A2:g}); {pairs:,} pairs were tried; "
            f"{_nearest(film_vectors_A, substrate_vectors_A, max_area_A2)}"
        )
    return found


def _search(film: FloatArray, substrate: FloatArray, max_area_A2: float, max_mismatch: float) -> list[Match]:
    generator = _zsl().ZSLGenerator(
        # Cells whose areas differ more than two lengths and the angle can make up cannot match.
        max_area_ratio_tol=_area_tolerance(max_mismatch),
        # pymatgen leaves out the number of cells that would reach the area itself.
        max_area=max_area_A2 + min(float(np.linalg.norm(np.cross(*each))) for each in (film, substrate)),
        max_length_tol=max_mismatch,
        max_angle_tol=max_mismatch,
    )
    matches: dict[tuple[float, ...], Match] = {}
    for each in generator(film, substrate):
        match = _match(each)
        if match.area_A2 <= max_area_A2 + 1e-6 and match.mismatch <= max_mismatch:
            # Cells of the same two shapes are the same match.
            key = tuple(np.round(_shape(match.film_vectors_A) + _shape(match.substrate_vectors_A), 4))
            matches.setdefault(key, match)
    return sorted(matches.values(), key=lambda match: (round(match.area_A2, 3), round(match.mismatch, 6)))


@cache
def _zsl() -> ModuleType:
    """Lattice matching of pymatgen, not compiled by numba: that takes longer than any search allowed here."""
    try:
        config: Any = import_module("numba.core.config")
    except ImportError:
        return import_module(_ZSL)
    before = config.DISABLE_JIT
    config.DISABLE_JIT = True
    try:
        return import_module(_ZSL)
    finally:
        config.DISABLE_JIT = before


def _match(found: Any) -> Match:
    film = np.asarray(found.film_sl_vectors, dtype=np.float64)
    substrate = np.asarray(found.substrate_sl_vectors, dtype=np.float64)
    shapes = np.array(_shape(film)), np.array(_shape(substrate))
    return Match(
        film_vectors_A=film,
        substrate_vectors_A=substrate,
        area_A2=float(np.linalg.norm(np.cross(*substrate))),
        mismatch=float(np.abs(shapes[1] / shapes[0] - 1).max()),
    )


def _shape(vectors: FloatArray) -> tuple[float, float, float]:
    """Two lengths, and the angle between (radian)."""
    lengths = np.linalg.norm(vectors, axis=1)
    angle = np.arctan2(np.linalg.norm(np.cross(*vectors)), vectors[0] @ vectors[1])
    return float(lengths[0]), float(lengths[1]), float(angle)


def _area_tolerance(max_mismatch: float) -> float:
    return (1 + max_mismatch) ** 3 - 1


def _pairs_to_try(film_area: float, substrate_area: float, max_area_A2: float, max_mismatch: float) -> int:
    """Pairs of cells with nearly the same area; there are as many cells of n units as n's divisors' sum."""
    film_cells = range(1, int(max_area_A2 / film_area) + 1)
    substrate_cells = range(1, int(max_area_A2 / substrate_area) + 1)
    near = _area_tolerance(max_mismatch)
    return sum(
        _divisors(i) * _divisors(j)
        for i in film_cells
        for j in substrate_cells
        if abs(i * film_area / (j * substrate_area) - 1) <= near
    )


def _divisors(number: int) -> int:
    return sum(divisor for divisor in range(1, number + 1) if number % divisor == 0)


def _nearest(film: FloatArray, substrate: FloatArray, max_area_A2: float) -> str:
    areas: Sequence[float] = [float(np.linalg.norm(np.cross(*vectors))) for vectors in (film, substrate)]
    if max(areas) > max_area_A2:
        return f"one cell alone has {max(areas):.1f}: raise max_area_A2"
    if _pairs_to_try(areas[0], areas[1], max_area_A2, _NEAREST_MISMATCH) > _NEAREST_PAIRS_MAX:
        return "raise max_mismatch or max_area_A2"
    near = _search(film, substrate, max_area_A2, _NEAREST_MISMATCH)
    if not near:
        return f"nor is there one within {_NEAREST_MISMATCH:g}; raise max_area_A2"
    best = min(near, key=lambda match: match.mismatch)
    return (
        f"the nearest has a mismatch of {best.mismatch:.3f} on {best.area_A2:.1f} square angstrom; raise "
        "max_mismatch to it, or max_area_A2"
    )
