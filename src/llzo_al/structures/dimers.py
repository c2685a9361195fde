"""Dimers: two atoms in a box, for each pair of elements and distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llzo_al.config.base import key_path
from llzo_al.config.initial_data.dimers import Dimers, pair_findings, start_A
from llzo_al.config.pairs import Pair, of_pair, pairs_of
from llzo_al.dataset.frames import FloatArray, Frame, Provenance
from llzo_al.errors import UserError


def dimer_frames(source: Dimers, elements: Sequence[str]) -> Iterator[Frame]:
    """Two atoms in the middle of a cubic box, for each pair and distance, one at a time.

    Parameters
    ----------
    source
        The campaign file's section.
    elements
        Elements of the campaign, for the default pairs.

    Raises
    ------
    UserError
        If a pair is not two of the campaign's elements or is listed twice, or starts beyond the end.
    """
    findings = pair_findings(source.model_dump(), elements)
    if findings:
        told = "; ".join(f"{key_path(path)}: {message}" for path, message in findings)
        raise UserError(f"initial_data (dimers): {told}")
    for pair in pairs_of(elements, source.pairs):
        for index, distance_A in enumerate(pair_distances_A(source, pair)):
            yield _dimer(source, pair, float(distance_A), index)


def pair_distances_A(source: Dimers, pair: Pair) -> FloatArray:
    """Distances of one pair, shape (points,), angstrom.

    With n spacings h_0, h_1, ... between them, h_(i+1) / h_i is the same for all i, and h_(n-1) / h_0 is
    `spacing_growth`.
    """
    first_A = start_A(
        pair,
        distance_min_A=source.distance_min_A,
        start_fraction=source.start_fraction,
        starts_A=source.starts_A,
    )
    if source.spacing_growth == 1:
        return np.linspace(first_A, source.distance_max_A, source.points)
    spacings = np.geomspace(1.0, source.spacing_growth, source.points - 1)
    shares = np.concatenate([[0.0], np.cumsum(spacings) / spacings.sum()])
    return first_A + shares * (source.distance_max_A - first_A)


def _dimer(source: Dimers, pair: Pair, distance_A: float, index: int) -> Frame:
    centre = np.full(3, source.box_length_A / 2)
    half = np.array([distance_A / 2, 0.0, 0.0])
    name = "-".join(pair)
    return Frame(
        symbols=pair,
        positions_A=np.array([centre - half, centre + half]),
        cell_A=np.eye(3) * source.box_length_A,
        charge=of_pair(source.charges, pair) or 0,
        multiplicity=of_pair(source.multiplicities, pair),
        provenance=Provenance(
            source="dimers",
            kind=f"dimer {name}",
            group=f"dimers/{name}/{index:02d}",
            details={"distance_A": round(distance_A, 6)},
        ),
    )
