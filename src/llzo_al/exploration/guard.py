"""The guard that ends a run at the first frame that has left physics behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError

if TYPE_CHECKING:
    from llzo_al.config.exploration import Guard
    from llzo_al.exploration.trajectory import Snapshot


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
    atoms = Atoms(symbols=list(symbols), positions=snapshot.positions_A, cell=snapshot.cell_A, pbc=True)
    first, second, distances = neighbor_list("ijd", atoms, dict(limits.min_distances_A))
    if len(distances) == 0:
        return None
    allowed = np.array(
        [
            limits.min_distances_A.get((symbols[i], symbols[j]))
            or limits.min_distances_A[symbols[j], symbols[i]]
            for i, j in zip(first, second, strict=True)
        ]
    )
    worst = int(np.argmin(distances / allowed))
    pair = sorted((symbols[first[worst]], symbols[second[worst]]), key=list(_elements(limits)).index)
    return f"{'-'.join(pair)} {distances[worst]:.2f} Å < {allowed[worst]:.2f} Å"


def _elements(limits: GuardLimits) -> list[str]:
    return [first for first, second in limits.min_distances_A if first == second]
