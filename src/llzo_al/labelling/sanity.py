"""What no labeller is asked, and what none is believed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.dataset.records import max_force

EXEMPT_SOURCE = "dimers"
"""Source of frames whose short distances are meant."""


def refusal(
    frame: Frame, *, min_distance_fraction: float, min_distances_A: Mapping[str, float]
) -> LabelFailure | None:
    """Why a frame is not given to a labeller ("atoms too close"), or None.

    Images through periodic boundaries count as atoms. Dimers are never refused.

    Parameters
    ----------
    frame
        The frame.
    min_distance_fraction
        Shortest allowed distance of two atoms as a fraction of the sum of their covalent radii (Cordero et
        al., Dalton Trans. 2832 (2008), as ASE has them).
    min_distances_A
        Shortest distances of single pairs (``"Li-O": 1.3``), instead.
    """
    if frame.provenance.source == EXEMPT_SOURCE:
        return None
    limits = _limits_A(frame, min_distance_fraction, min_distances_A)
    if not any(limits.values()):
        return None
    from ase.neighborlist import neighbor_list

    first, second, distances_A = neighbor_list("ijd", frame.to_atoms(), limits)
    if len(distances_A) == 0:
        return None
    worst = int(np.argmin(distances_A))
    i, j = sorted((int(first[worst]), int(second[worst])))
    limit = limits[_pair(frame.symbols[i], frame.symbols[j])]
    return LabelFailure(
        cause="atoms too close",
        reason=f"{frame.symbols[i]} (atom {i}) and {frame.symbols[j]} (atom {j}) are "
        f"{distances_A[worst]:.2f} Å apart, less than the {limit:.2f} Å that `failures` of the campaign file "
        "allows; the labeller was not asked",
    )


def disbelief(label: Label, *, max_force_eV_per_A: float) -> LabelFailure | None:
    """Why a label is not believed ("absurd forces"), or None."""
    largest = max_force(label.forces_eV_per_A)
    if largest <= max_force_eV_per_A:
        return None
    atom = int(np.argmax(np.linalg.norm(label.forces_eV_per_A, axis=1)))
    return LabelFailure(
        cause="absurd forces",
        reason=f"the force on atom {atom} is {largest:.4g} eV/Å, beyond failures.max_force_eV_per_A "
        f"({max_force_eV_per_A:g}); energy {label.energy_eV:.6g} eV",
    )


def _limits_A(frame: Frame, fraction: float, given: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """Shortest distance of each pair of the frame's elements, the pair in alphabetical order."""
    by_pair = {_pair(*name.split("-")): limit for name, limit in given.items()}
    elements = sorted(set(frame.symbols))
    return {
        (one, other): by_pair.get((one, other), fraction * _radii_sum_A(one, other))
        for index, one in enumerate(elements)
        for other in elements[index:]
    }


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)


def _radii_sum_A(one: str, other: str) -> float:
    return float(covalent_radii[atomic_numbers[one]] + covalent_radii[atomic_numbers[other]])
