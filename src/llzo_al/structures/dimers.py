"""Dimers: two atoms in a box, for each pair of elements and distance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from llzo_al.config.initial_data import Dimers
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError


def dimer_frames(source: Dimers, elements: Sequence[str]) -> list[Frame]:
    """Two atoms in the middle of a cubic box, for each pair and distance.

    Parameters
    ----------
    source
        The campaign file's section.
    elements
        Elements of the campaign, for the default pairs.

    Raises
    ------
    UserError
        If a pair is not two of the campaign's elements, or is listed twice.
    """
    frames = []
    distances_A = np.linspace(source.distance_min_A, source.distance_max_A, source.points)
    for first, second in _pairs(source, elements):
        for index, distance_A in enumerate(distances_A):
            frames.append(_dimer(first, second, float(distance_A), source.box_length_A, index))
    return frames


def _pairs(source: Dimers, elements: Sequence[str]) -> list[tuple[str, str]]:
    if source.pairs is None:
        return list(combinations_with_replacement(elements, 2))
    pairs: list[tuple[str, str]] = []
    for text in source.pairs:
        parts = text.split("-")
        if len(parts) != 2 or not set(parts) <= set(elements):
            raise UserError(
                f"initial_data (dimers): pair {text!r} is not two of the campaign's elements "
                f"({', '.join(elements)}) with a hyphen between, such as {elements[0]}-{elements[-1]}"
            )
        first, second = sorted(parts, key=list(elements).index)
        if (first, second) in pairs:
            raise UserError(f"initial_data (dimers): pair {text!r} is listed twice")
        pairs.append((first, second))
    return pairs


def _dimer(first: str, second: str, distance_A: float, box_length_A: float, index: int) -> Frame:
    centre = np.full(3, box_length_A / 2)
    half = np.array([distance_A / 2, 0.0, 0.0])
    return Frame(
        symbols=(first, second),
        positions_A=np.array([centre - half, centre + half]),
        cell_A=np.eye(3) * box_length_A,
        provenance=Provenance(
            source="dimers",
            kind=f"dimer {first}-{second}",
            group=f"dimers/{first}-{second}/{index:02d}",
            details={"distance_A": round(distance_A, 6)},
        ),
    )
