"""Distances between atoms of a periodic cell, and the shortest that models allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError

Pair = tuple[str, str]

_OTHER_PAIRS = 0.8
"""Of the sum of covalent radii, for pairs without a number of their own."""


def pair(first: str, second: str) -> Pair:
    """Two elements in alphabetical order."""
    return (first, second) if first <= second else (second, first)


def pair_limits(
    given: Mapping[str, float], defaults: Mapping[Pair, float], elements: Iterable[str], *, where: str
) -> dict[Pair, float]:
    """Shortest distance of every pair of elements (angstrom).

    Parameters
    ----------
    given
        By the pair's text, such as "Li-O"; comes before the defaults.
    defaults
        By the pair in alphabetical order; other pairs get 0.8 of the sum of their covalent radii.
    elements
        Elements whose pairs are wanted.
    where
        Names the source and its key in an error.

    Raises
    ------
    UserError
        If a given pair is not of `elements`.
    """
    known = sorted(set(elements))
    limits = {
        pair(first, second): defaults.get(
            pair(first, second),
            _OTHER_PAIRS
            * float(covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]),
        )
        for first in known
        for second in known
    }
    for text, distance_A in given.items():
        parts = text.split("-")
        if len(parts) != 2 or not set(parts) <= set(known):
            raise UserError(f"{where}: pair {text!r} is not two of {', '.join(known)}")
        limits[pair(parts[0], parts[1])] = distance_A
    return limits


def limit_matrix(limits: Mapping[Pair, float], symbols: list[str]) -> FloatArray:
    """Limits by the elements' places in `symbols`, shape (n_symbols, n_symbols)."""
    return np.array([[limits[pair(first, second)] for second in symbols] for first in symbols])


def shortest_A(atoms: Atoms, *, within_A: float = 4.0) -> float:
    """Shortest distance of two atoms, images included; infinite beyond `within_A`."""
    distances = neighbor_list("d", atoms, within_A)
    return float(distances.min()) if len(distances) else float("inf")


def density_g_per_cm3(atoms: Atoms) -> float:
    """Mass density; 1 u/angstrom^3 is 1.66053907 g/cm3 (CODATA 2018)."""
    return float(atoms.get_masses().sum() / atoms.get_volume() * 1.66053907)
