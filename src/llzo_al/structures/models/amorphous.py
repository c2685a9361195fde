"""Amorphous boxes: random, neutral, of a given density."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.amorphous import Amorphous
from llzo_al.dataset.frames import Frame
from llzo_al.errors import UserError
from llzo_al.structures.models.charges import formula, neutral_counts, require_elements
from llzo_al.structures.models.copies import model_frames
from llzo_al.structures.models.distances import Pair, pair_limits
from llzo_al.structures.models.packing import Packed, edge_for_density_A, pack
from llzo_al.structures.names import seeds

PACKING_LIMITS_A: dict[Pair, float] = {
    ("Li", "O"): 1.75,
    ("La", "O"): 2.25,
    ("O", "Zr"): 1.9,
    ("O", "O"): 2.5,
    ("Li", "Li"): 2.2,
    ("La", "Li"): 2.7,
    ("Li", "Zr"): 2.6,
    ("La", "La"): 3.3,
    ("La", "Zr"): 3.2,
    ("Zr", "Zr"): 3.1,
}
"""Shortest distances (angstrom): 0.85 to 0.93 of the shortest in t-LLZO, where such pairs meet."""


def amorphous_frames(source: Amorphous, elements: Sequence[str], *, seed: int) -> Iterator[Frame]:
    """Random boxes for each composition, density and copy, one at a time.

    A box depends on the seed, its composition, number of atoms, density and number, not on what else is asked
    for.

    Parameters
    ----------
    source, elements, seed
        As for `llzo_al.structures.models.frames.model_source_frames`.

    Raises
    ------
    UserError
        If a composition cannot be balanced or does not fit, or a density cannot be packed.
    """
    for composition in source.compositions:
        for density in source.densities_g_per_cm3:
            for copy in range(source.copies):
                atoms, details, label = random_box(
                    composition,
                    n_atoms=source.n_atoms,
                    density_g_per_cm3=density,
                    min_distances_A=source.min_distances_A,
                    elements=elements,
                    what=(seed, "amorphous", copy),
                    where="initial_data (amorphous)",
                )
                yield from model_frames(
                    atoms,
                    source,
                    name=f"{label}/{copy}",
                    structure_kind=f"amorphous {details['ratio']}",
                    details=details,
                    seed=seed,
                )


def random_box(
    composition: Mapping[str, float],
    *,
    n_atoms: int,
    density_g_per_cm3: float,
    min_distances_A: Mapping[str, float],
    elements: Sequence[str],
    what: tuple[int, *tuple[object, ...]],
    where: str,
) -> tuple[Atoms, dict[str, Any], str]:
    """One neutral random box.

    Parameters
    ----------
    composition
        Ratio of the cations.
    n_atoms
        Number of atoms at most.
    density_g_per_cm3
        Density.
    min_distances_A
        Shortest distances that replace defaults.
    elements
        Elements of the campaign.
    what
        The campaign's seed, and what else the box is named by.
    where
        Names the source in an error.

    Returns
    -------
    tuple
        The box; what is known of it, for the provenance; and its name.

    Raises
    ------
    UserError
        See `amorphous_frames`.
    """
    counts = neutral_counts(composition, n_atoms, where=f"{where}: composition")
    require_elements(counts, elements, where=f"{where}: composition")
    limits = pair_limits(min_distances_A, PACKING_LIMITS_A, counts, where=f"{where}: min_distances_A")
    edge_A = edge_for_density_A(counts, density_g_per_cm3)
    if edge_A <= 2 * max(limits.values()):
        raise UserError(f"{where}: {_box_too_small(edge_A, limits, counts, density_g_per_cm3)}")
    name = "".join(f"{element}{number:g}" for element, number in sorted(composition.items()) if number)
    label = f"{name}/{sum(counts.values())}/{density_g_per_cm3:g}"
    seed, *rest = what
    random = np.random.default_rng(seeds(seed, *rest, label, sorted(limits.items())))
    symbols = [element for element, number in counts.items() for _ in range(number)]
    packed = pack(symbols, edge_A, limits, random)
    if packed.shortfall_A > 0:
        raise UserError(f"{where}: {_not_packed(packed, limits, counts, density_g_per_cm3)}")
    details = {
        "ratio": ":".join(f"{element}{number:g}" for element, number in composition.items() if number),
        "composition": formula(counts),
        "density_g_per_cm3": density_g_per_cm3,
        "edge_A": round(edge_A, 6),
        "formal_charge_e": 0,
    }
    return packed.atoms, details, label


def _box_too_small(
    edge_A: float, limits: Mapping[Pair, float], counts: Mapping[str, int], density_g_per_cm3: float
) -> str:
    longest = max(limits, key=lambda both: limits[both])
    return (
        f"{formula(counts)} at {density_g_per_cm3:g} g/cm3 is a box of {edge_A:.2f} angstrom, too small for "
        f"the shortest distance of {'-'.join(longest)} ({limits[longest]:g}), which must be less than half "
        "of it; raise n_atoms"
    )


def _not_packed(
    packed: Packed, limits: Mapping[Pair, float], counts: Mapping[str, int], density_g_per_cm3: float
) -> str:
    both = packed.worst_pair
    limit_A = limits[tuple(sorted(both))]  # type: ignore[index]
    reached = limit_A - packed.shortfall_A
    # Distances scale with the edge, so densities with their cube.
    possible = density_g_per_cm3 * (reached / limit_A) ** 3
    return (
        f"{formula(counts)} cannot be packed at {density_g_per_cm3:g} g/cm3: the closest {'-'.join(both)} "
        f"came to {reached:.2f} of {limit_A:g} angstrom; lower the density ({possible:.1f} g/cm3 holds these "
        "distances for certain) or the min_distances_A of this pair"
    )
