"""The guard that ends a run at the first frame that has left physics behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError

if TYPE_CHECKING:
    from llzo_al.config.exploration import Guard
    from llzo_al.exploration.trajectory import Snapshot

DENSE_ATOMS = 600
"""Up to here all pairs of atoms are looked at, beyond it only neighbours."""


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """A guard worked out for the elements and the temperature of one run.

    Attributes
    ----------
    min_distances_A
        Shortest allowed distance of each pair of elements (both in the order of the run's elements).
    max_temperature_K
        Largest instantaneous temperature.
    max_force_deviation_eV_per_A
        Largest deviation of the committee's forces.
    """

    min_distances_A: Mapping[tuple[str, str], float]
    max_temperature_K: float
    max_force_deviation_eV_per_A: float

    @classmethod
    def of(cls, guard: Guard, elements: Sequence[str], temperature_K: float) -> GuardLimits:
        """Limits of a guard in a run of `elements` at `temperature_K`.

        Raises
        ------
        UserError
            If a key of `min_distances_A` is not a pair of elements.
        """
        distances = pair_distances_A(guard, elements)
        return cls(
            min_distances_A=distances,
            max_temperature_K=guard.max_temperature_factor * temperature_K,
            max_force_deviation_eV_per_A=guard.max_force_deviation_eV_per_A,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "min_distances_A": [[*pair, limit] for pair, limit in self.min_distances_A.items()],
            "max_temperature_K": self.max_temperature_K,
            "max_force_deviation_eV_per_A": self.max_force_deviation_eV_per_A,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GuardLimits:
        """Limits from what `as_dict` gave."""
        return cls(
            min_distances_A={(first, second): limit for first, second, limit in data["min_distances_A"]},
            max_temperature_K=data["max_temperature_K"],
            max_force_deviation_eV_per_A=data["max_force_deviation_eV_per_A"],
        )


def pair_distances_A(guard: Guard, elements: Sequence[str]) -> dict[tuple[str, str], float]:
    """Shortest allowed distance of every pair of `elements`, (i, j) with i <= j in their order.

    Raises
    ------
    UserError
        If a key of the guard's `min_distances_A` is not a pair such as `Li-O`. Pairs of other elements than
        the run's are passed over.
    """
    given = {}
    for key, limit in guard.min_distances_A.items():
        pair = key.split("-")
        if len(pair) != 2 or any(atomic_numbers.get(symbol, 0) == 0 for symbol in pair):
            raise UserError(
                f"exploration.guard.min_distances_A: {key!r} is not a pair of elements; "
                "write it like `Li-O: 1.3`"
            )
        given[frozenset(pair)] = limit
    distances = {}
    for index, first in enumerate(elements):
        for second in elements[index:]:
            radii = covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]
            default = guard.min_distance_fraction * float(radii)
            distances[first, second] = given.get(frozenset((first, second)), default)
    return distances


def violation(limits: GuardLimits | None, snapshot: Snapshot, symbols: Sequence[str]) -> str | None:
    """What is wrong with a snapshot ("Li-O 1.02 Å < 1.16 Å"), or None if it is physical.

    Without limits only numbers that are not finite are wrong.
    """
    broken = _not_finite(snapshot)
    if broken is not None or limits is None:
        return broken
    close = _closest_violation(limits, snapshot, symbols)
    if close is not None:
        return close
    if snapshot.temperature_K > limits.max_temperature_K:
        return f"temperature {snapshot.temperature_K:.0f} K > {limits.max_temperature_K:.0f} K"
    deviation = snapshot.force_deviation_max_eV_per_A
    if deviation is not None and deviation > limits.max_force_deviation_eV_per_A:
        return f"force deviation {deviation:.2f} eV/Å > {limits.max_force_deviation_eV_per_A:.2f} eV/Å"
    return None


def _not_finite(snapshot: Snapshot) -> str | None:
    quantities: dict[str, FloatArray | float] = {
        "positions": snapshot.positions_A,
        "cell": snapshot.cell_A,
        "energy": snapshot.energy_eV,
        "forces": snapshot.forces_eV_per_A,
        "virial": snapshot.virial_eV,
        "temperature": snapshot.temperature_K,
        "force deviation": snapshot.force_deviation_max_eV_per_A or 0.0,
    }
    broken = [name for name, value in quantities.items() if not np.isfinite(value).all()]
    return f"not finite: {', '.join(broken)}" if broken else None


def _closest_violation(limits: GuardLimits, snapshot: Snapshot, symbols: Sequence[str]) -> str | None:
    """The pair of atoms that is furthest below its limit, relative to it."""
    first, second, distances_A = _close_pairs(
        snapshot.positions_A, snapshot.cell_A, max(limits.min_distances_A.values())
    )
    if len(distances_A) == 0:
        return None
    elements = [one for one, other in limits.min_distances_A if one == other]
    table = np.empty((len(elements), len(elements)))
    for (one, other), limit in limits.min_distances_A.items():
        i, j = elements.index(one), elements.index(other)
        table[i, j] = table[j, i] = limit
    types = np.array([elements.index(symbol) for symbol in symbols])
    allowed_A = table[types[first], types[second]]
    worst = int(np.argmin(distances_A / allowed_A))
    if distances_A[worst] >= allowed_A[worst]:
        return None
    pair = "-".join(elements[index] for index in sorted((types[first[worst]], types[second[worst]])))
    return f"{pair} {distances_A[worst]:.2f} Å < {allowed_A[worst]:.2f} Å"


def _close_pairs(
    positions_A: FloatArray, cell_A: FloatArray, cutoff_A: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Indices and distance of all pairs closer than `cutoff_A` in a periodic cell, images included.

    A pair within half the cell's smallest height differs by at most 1/2 in each fractional coordinate, so
    that rounding these finds its closest image in a cell of any shape. Small cells and large numbers of atoms
    are left to ASE, whose neighbour list takes half a second to import.
    """
    inverse = np.linalg.inv(cell_A)
    heights_A = 1.0 / np.linalg.norm(inverse, axis=0)
    if len(positions_A) > DENSE_ATOMS or cutoff_A > 0.5 * heights_A.min():
        from ase.neighborlist import neighbor_list

        atoms = Atoms(numbers=np.ones(len(positions_A)), positions=positions_A, cell=cell_A, pbc=True)
        i, j, d = neighbor_list("ijd", atoms, cutoff_A)
        return i, j, d
    first, second = np.triu_indices(len(positions_A), k=1)
    scaled = positions_A @ inverse
    difference = scaled[first] - scaled[second]
    distances_A = np.linalg.norm((difference - np.rint(difference)) @ cell_A, axis=1)
    close = distances_A < cutoff_A
    return first[close], second[close], distances_A[close]
