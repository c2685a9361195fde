"""Partly occupied sites resolved by random arrangement and electrostatic ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from llzo_al.config.initial_data.orderings import Orderings
from llzo_al.dataset.frames import FloatArray, Frame
from llzo_al.errors import UserError
from llzo_al.structures.models.charges import formal_charge_e
from llzo_al.structures.models.copies import model_frames
from llzo_al.structures.models.partial import PartialCrystal, partial_crystal
from llzo_al.structures.names import kind_of, seeds

BUILTIN_SAMPLES = 200
BUILTIN_MIN_DISTANCE_A = 2.0
_BUILTIN_SEED = 0

SITES_MAX = 4096
"""Largest number of sites: the matrix of electrostatic energies grows with its square."""

_TRIES_PER_SITE = 400
_SAME_ENERGY_eV = 1e-4

Occupied = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """One arrangement of the ions.

    Attributes
    ----------
    sample
        Number of the random arrangement.
    energy_eV
        Ewald sum of the formal charges of the whole cell.
    occupied
        Which of the crystal's sites hold an atom, shape (n_sites,).
    """

    sample: int
    energy_eV: float
    occupied: Occupied


def ordering_frames(source: Orderings, *, base: Path, seed: int) -> Iterator[Frame]:
    """Orderings of lowest electrostatic energy of a partly occupied crystal, one at a time.

    Random arrangement number k depends on the seed, the crystal and k only, so that more samples keep the
    arrangements of fewer.

    Parameters
    ----------
    source, base, seed
        As for `llzo_al.structures.models.frames.model_source_frames`.

    Raises
    ------
    UserError
        If the crystal is unknown or fully occupied, cannot be neutral, or has no room for its ions.
    """
    crystal = partial_crystal(source.structure, base=base, primitive=source.primitive)
    arranged = crystal.repeat(source.arranged_supercell)
    cell = _cell_name(source)
    chosen = lowest_orderings(
        arranged,
        min_distance_A=source.min_distance_A,
        samples=source.samples,
        orderings=source.orderings,
        random_of=lambda sample: np.random.default_rng(
            seeds(seed, "orderings", cell, source.min_distance_A, sample)
        ),
    )
    for rank, ordering in enumerate(chosen):
        atoms = ordered_atoms(arranged, ordering.occupied)
        name = f"{cell}/{ordering.sample:05d}"
        details = _details(arranged, ordering, rank, chosen[0].energy_eV, len(atoms))
        yield from model_frames(
            atoms, source, name=name, structure_kind=kind_of(source.structure), details=details, seed=seed
        )


def builtin_ordering(name: str, *, primitive: bool) -> Atoms:
    """The one ordering that a built-in crystal with partly occupied sites stands for."""
    crystal = partial_crystal(name, base=Path(), primitive=primitive)
    (lowest,) = lowest_orderings(
        crystal,
        min_distance_A=BUILTIN_MIN_DISTANCE_A,
        samples=BUILTIN_SAMPLES,
        orderings=1,
        random_of=lambda sample: np.random.default_rng(
            seeds(_BUILTIN_SEED, "built-in", name, primitive, sample)
        ),
    )
    return ordered_atoms(crystal, lowest.occupied)


def ordered_atoms(crystal: PartialCrystal, occupied: Occupied) -> Atoms:
    """The crystal with its occupied sites only."""
    atoms: Atoms = crystal.atoms[np.flatnonzero(occupied)]
    return atoms


def lowest_orderings(
    crystal: PartialCrystal,
    *,
    min_distance_A: float,
    samples: int,
    orderings: int,
    random_of: Callable[[int], np.random.Generator],
) -> list[Ordering]:
    """Random arrangements ranked by their electrostatic energy, the lowest first.

    Parameters
    ----------
    crystal
        Sites, some of them occupied in part.
    min_distance_A
        Shortest distance of two ions on partly occupied sites.
    samples
        Random arrangements that are drawn.
    orderings
        Arrangements that are kept; of those whose energies agree within 0.1 meV, which symmetry makes
        equivalent, only the first.
    random_of
        Generator of a sample's number.

    Raises
    ------
    UserError
        If the ions find no room or the cell has too many sites.
    """
    if len(crystal.atoms) > SITES_MAX:
        raise UserError(
            f"structure {crystal.name!r}: {len(crystal.atoms)} sites in the cell, more than the {SITES_MAX} "
            "whose electrostatic energies fit into memory; use a smaller arranged_supercell"
        )
    wanted = crystal.ions_wanted()
    near = _near(crystal, min_distance_A)
    energy = _electrostatics(crystal)
    drawn = []
    for sample in range(samples):
        ions = _arrange(crystal, near, wanted, random_of(sample), min_distance_A)
        drawn.append(Ordering(sample=sample, energy_eV=energy(ions), occupied=_occupied(crystal, ions)))
    drawn.sort(key=lambda ordering: (round(ordering.energy_eV / _SAME_ENERGY_eV), ordering.sample))
    kept: list[Ordering] = []
    for ordering in drawn:
        if not kept or ordering.energy_eV - kept[-1].energy_eV > _SAME_ENERGY_eV:
            kept.append(ordering)
    return kept[:orderings]


def _near(crystal: PartialCrystal, min_distance_A: float) -> list[NDArray[np.intp]]:
    """For each partly occupied site the others closer than the limit, as places among them."""
    partial = crystal.partial
    if len(neighbor_list("i", crystal.atoms[partial[:1]], min_distance_A)):
        raise UserError(
            f"structure {crystal.name!r}: min_distance_A ({min_distance_A:g}) reaches a site's own periodic "
            "image; the cell is too small for it: lower it, or arrange within a larger cell"
        )
    first, second = neighbor_list("ij", crystal.atoms[partial], min_distance_A)
    return [np.unique(second[first == place]) for place in range(len(partial))]


def _arrange(
    crystal: PartialCrystal,
    near: list[NDArray[np.intp]],
    wanted: int,
    random: np.random.Generator,
    min_distance_A: float,
) -> Occupied:
    """A random arrangement that keeps the limit, shape (n_partial,).

    Sites are proposed in proportion to their occupancy. An ion is put on a site with no ion near, and moved
    there from the one site near it that has one.
    """
    weights = crystal.occupancy[crystal.partial]
    filled = np.zeros(len(near), dtype=bool)
    blocked = np.zeros(len(near), dtype=np.intp)
    best = 0
    for _ in range(_TRIES_PER_SITE):
        for site in random.choice(len(near), size=len(near), p=weights / weights.sum()):
            if filled[site] or blocked[site] > 1:
                continue
            if blocked[site] == 1:
                other = near[site][filled[near[site]]][0]
                filled[other] = False
                blocked[near[other]] -= 1
            filled[site] = True
            blocked[near[site]] += 1
            best = max(best, int(filled.sum()))
            if best == wanted:
                return filled
    raise UserError(
        f"structure {crystal.name!r}: at most {best} of {wanted} {crystal.ion} found a site with no other "
        f"closer than min_distance_A ({min_distance_A:g} angstrom); lower it"
    )


def _occupied(crystal: PartialCrystal, ions: Occupied) -> Occupied:
    occupied = np.ones(len(crystal.atoms), dtype=bool)
    occupied[crystal.partial] = ions
    return occupied


def _electrostatics(crystal: PartialCrystal) -> Callable[[Occupied], float]:
    """Electrostatic energy (eV) of an arrangement, from the Ewald matrix of the fully occupied cell."""
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Species, Structure

    where = f"structure {crystal.name!r}"
    species = {
        symbol: Species(symbol, formal_charge_e(symbol, where=where))
        for symbol in set(crystal.atoms.get_chemical_symbols())
    }
    structure = Structure(
        Lattice(np.array(crystal.atoms.cell)),
        [species[symbol] for symbol in crystal.atoms.get_chemical_symbols()],
        crystal.atoms.get_scaled_positions(),
    )
    matrix: FloatArray = EwaldSummation(structure).total_energy_matrix
    partial = crystal.partial
    full = np.flatnonzero(crystal.occupancy >= 1)
    constant = float(matrix[np.ix_(full, full)].sum())
    # An ion's energy in the field of the fixed ones; the matrix is symmetric.
    field = 2 * matrix[np.ix_(partial, full)].sum(axis=1)
    between = matrix[np.ix_(partial, partial)]

    def energy(ions: Occupied) -> float:
        return constant + float(field[ions].sum() + between[np.ix_(ions, ions)].sum())

    return energy


def _details(
    crystal: PartialCrystal, ordering: Ordering, rank: int, lowest_eV: float, n_atoms: int
) -> dict[str, object]:
    partial = set(crystal.partial.tolist())
    sites = Counter(
        label
        for place, (label, filled) in enumerate(zip(crystal.labels, ordering.occupied, strict=True))
        if filled and place in partial
    )
    return {
        "sample": ordering.sample,
        "ewald_rank": rank,
        "ewald_energy_eV": round(ordering.energy_eV, 4),
        "ewald_above_lowest_meV_per_atom": round(1000 * (ordering.energy_eV - lowest_eV) / n_atoms, 3),
        "occupied_sites": {f"{crystal.ion} {label}": number for label, number in sorted(sites.items())},
        "formal_charge_e": 0,
    }


def _cell_name(source: Orderings) -> str:
    parts = [source.structure]
    if source.primitive:
        parts.append("primitive")
    if max(source.arranged_supercell) > 1:
        parts.append("x".join(str(number) for number in source.arranged_supercell))
    return ".".join(parts)
