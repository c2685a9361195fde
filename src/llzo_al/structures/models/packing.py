"""Random packings of atoms in a cubic box that keep the shortest distance of each pair of elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import KDTree
from threadpoolctl import threadpool_limits

from llzo_al.dataset.frames import FloatArray
from llzo_al.structures.models.charges import FORMAL_CHARGES_E, counts_of
from llzo_al.structures.models.distances import Pair, limit_matrix

GRAMS_PER_U_ANGSTROM3 = 1.66053907
"""g/cm3 of one u/angstrom^3 (CODATA 2018)."""

_MARGIN_A = 0.01
"""Aimed at beyond each limit, so that the minimum of the overlaps keeps the limits themselves."""
_ROUNDS = 6
_STEPS_PER_ROUND = 300
_STEPS_TO_AIMS = 60
_SHAKE_A = 0.15
_LIKE_CHARGES = 1.2
"""Limits of like charges are at first this much longer."""
_HOPELESS_A = 0.2
"""A pair that is this far within its limit after the second minimisation does not come out of it."""

Places = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What packing reached.

    Attributes
    ----------
    atoms
        The box.
    shortfall_A
        How far the worst pair is within its limit; 0 when all limits are kept.
    worst_pair
        Its two elements.
    """

    atoms: Atoms
    shortfall_A: float
    worst_pair: Pair


def edge_for_density_A(counts: Mapping[str, int], density_g_per_cm3: float) -> float:
    """Edge of the cubic box in which these atoms have a density."""
    mass_u = sum(number * float(atomic_masses[atomic_numbers[element]]) for element, number in counts.items())
    return float((mass_u * GRAMS_PER_U_ANGSTROM3 / density_g_per_cm3) ** (1 / 3))


def pack(
    symbols: list[str], edge_A: float, limits: Mapping[Pair, float], random: np.random.Generator
) -> Packed:
    """Random positions in a periodic cube, pushed apart until no pair is within its limit.

    The sum over pairs of (1 - r / limit)^2, taken within the limits, is minimised from random positions with
    L-BFGS: first with the limits of like charges raised by a share, as far as there is room for it, which
    brings unlike charges together as in an ionic melt, then with the limits themselves. If overlaps remain,
    the atoms are shaken a little and it is minimised again, a few times.

    Parameters
    ----------
    symbols
        Element of each atom.
    edge_A
        Edge of the cube; more than twice the largest limit.
    limits
        Shortest distance of each pair of elements.
    random
        Generator of the positions.

    Returns
    -------
    Packed
        The box, and by how much it misses the limits.
    """
    # The vectors are short: more threads than one only wait for each other.
    with threadpool_limits(1):
        return _pack(symbols, edge_A, limits, random)


def _pack(
    symbols: list[str], edge_A: float, limits: Mapping[Pair, float], random: np.random.Generator
) -> Packed:
    elements = list(counts_of(symbols))
    kinds = np.array([elements.index(symbol) for symbol in symbols])
    matrix = limit_matrix(limits, elements)
    positions = random.random((len(symbols), 3)) * edge_A
    aims = np.minimum(matrix * _aims(elements), 0.49 * edge_A)
    positions = _pushed_apart(positions, kinds, aims, edge_A, steps=_STEPS_TO_AIMS)
    best: tuple[float, Pair, FloatArray] | None = None
    for turn in range(_ROUNDS):
        if turn:
            positions = positions + random.normal(scale=_SHAKE_A, size=positions.shape)
        positions = _pushed_apart(
            positions % edge_A, kinds, matrix + _MARGIN_A, edge_A, steps=_STEPS_PER_ROUND
        )
        shortfall_A, first, second = _worst(positions, kinds, matrix, edge_A)
        if best is None or shortfall_A < best[0]:
            best = (shortfall_A, (elements[first], elements[second]), positions.copy())
        if shortfall_A <= 0 or (turn and best[0] > _HOPELESS_A):
            break
    shortfall_A, worst_pair, positions = best if best is not None else (0.0, ("", ""), positions)
    return Packed(
        atoms=Atoms(symbols, positions=positions % edge_A, cell=[edge_A] * 3, pbc=True),
        shortfall_A=max(shortfall_A, 0.0),
        worst_pair=worst_pair,
    )


def _aims(elements: list[str]) -> FloatArray:
    """By how much the limits of each pair are raised at first, shape (n_elements, n_elements)."""
    signs = np.array([np.sign(FORMAL_CHARGES_E.get(element, 0)) for element in elements])
    return np.where(np.outer(signs, signs) > 0, _LIKE_CHARGES, 1.0)


def _close_pairs(positions: FloatArray, edge_A: float, cutoff_A: float) -> tuple[Places, Places]:
    wrapped = positions % edge_A
    # A coordinate a rounding error below zero wraps to the edge itself, which the tree refuses.
    wrapped[wrapped >= edge_A] = 0.0
    pairs = KDTree(wrapped, boxsize=edge_A).query_pairs(cutoff_A, output_type="ndarray")
    return pairs[:, 0], pairs[:, 1]


def _pushed_apart(
    positions: FloatArray, kinds: Places, limits: FloatArray, edge_A: float, *, steps: int
) -> FloatArray:
    longest = float(limits.max())

    def overlap(flat: FloatArray) -> tuple[float, FloatArray]:
        points = flat.reshape(-1, 3)
        first, second = _close_pairs(points, edge_A, longest)
        vectors = points[first] - points[second]
        vectors -= edge_A * np.round(vectors / edge_A)
        lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-6)
        allowed = limits[kinds[first], kinds[second]]
        depth = np.clip(1 - lengths / allowed, 0, None)
        pull = (-2 * depth / allowed / lengths)[:, None] * vectors
        gradient = np.zeros_like(points)
        for axis in range(3):
            gradient[:, axis] = np.bincount(first, pull[:, axis], len(points)) - np.bincount(
                second, pull[:, axis], len(points)
            )
        return float((depth**2).sum()), gradient.ravel()

    result = minimize(
        overlap,
        positions.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "ftol": 1e-14, "gtol": 1e-9},
    )
    return np.asarray(result.x).reshape(-1, 3)


def _worst(positions: FloatArray, kinds: Places, limits: FloatArray, edge_A: float) -> tuple[float, int, int]:
    """Largest depth of a pair within its limit (negative: none is), and the kinds of the two."""
    first, second = _close_pairs(positions, edge_A, float(limits.max()) + _MARGIN_A)
    if not len(first):
        return -1.0, 0, 0
    vectors = positions[first] - positions[second]
    vectors -= edge_A * np.round(vectors / edge_A)
    depth = limits[kinds[first], kinds[second]] - np.linalg.norm(vectors, axis=1)
    worst = int(depth.argmax())
    return float(depth[worst]), int(kinds[first[worst]]), int(kinds[second[worst]])
