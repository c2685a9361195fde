"""Places in a crystal where another atom fits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from ase import Atoms
from scipy.spatial import KDTree

from llzo_al.dataset.frames import FloatArray
from llzo_al.structures.models.distances import Pair, pair

_POINTS_PER_A3 = 4.0
_REFINEMENTS_A = (0.4, 0.2, 0.1, 0.05)
_POINTS_PER_REFINEMENT = 60


class Voids:
    """Room around points of a periodic cell.

    Parameters
    ----------
    atoms
        The crystal.
    element
        Element of the atom that shall fit.
    limits
        Shortest distance of each pair of elements (angstrom).
    """

    def __init__(self, atoms: Atoms, element: str, limits: Mapping[Pair, float]) -> None:
        self._cell = np.array(atoms.cell)
        symbols = np.array(atoms.get_chemical_symbols())
        self._limits = {other: limits[pair(element, other)] for other in dict.fromkeys(symbols.tolist())}
        shifts = np.array(list(product((-1, 0, 1), repeat=3))) @ self._cell
        wrapped = atoms.get_positions(wrap=True)
        self._trees = {
            other: KDTree((wrapped[symbols == other][None] + shifts[:, None]).reshape(-1, 3))
            for other in self._limits
        }

    def margin_A(self, points: FloatArray) -> FloatArray:
        """Room at each point, shape (n_points,): the smallest distance beyond a limit."""
        wrapped = (np.linalg.solve(self._cell.T, points.T).T % 1.0) @ self._cell
        margins = [tree.query(wrapped)[0] - self._limits[other] for other, tree in self._trees.items()]
        return np.asarray(np.min(margins, axis=0))

    def place(self, random: np.random.Generator) -> tuple[FloatArray, float]:
        """A random place with room, or the one with the most room if there is none.

        Random points are drawn, one of those with room is taken, and moved step by step to where there is
        more.

        Returns
        -------
        tuple
            Cartesian position, shape (3,), and its room (negative: it does not fit).
        """
        number = max(200, round(_POINTS_PER_A3 * abs(float(np.linalg.det(self._cell)))))
        points = random.random((number, 3)) @ self._cell
        margins = self.margin_A(points)
        # Refinement adds about a tenth of an angstrom to what a random point has.
        fitting = np.flatnonzero(margins > -0.1)
        best = int(random.choice(fitting)) if len(fitting) else int(margins.argmax())
        point, margin = self._climb(points[best], float(margins[best]), random)
        if margin < 0:
            highest = int(margins.argmax())
            point, margin = self._climb(points[highest], float(margins[highest]), random)
        return point, margin

    def _climb(
        self, point: FloatArray, margin: float, random: np.random.Generator
    ) -> tuple[FloatArray, float]:
        for width_A in _REFINEMENTS_A:
            around = point + random.normal(scale=width_A, size=(_POINTS_PER_REFINEMENT, 3))
            margins = self.margin_A(around)
            if margins.max() > margin:
                point, margin = around[margins.argmax()], float(margins.max())
        return point, margin
