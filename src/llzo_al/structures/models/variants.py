"""Crystals with lithium removed or inserted, and with substituted elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.variants import Substitution, Variants
from llzo_al.dataset.frames import Frame
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models.charges import (
    charge_imbalance_e,
    counts_of,
    formal_charge_e,
    formula,
    require_elements,
)
from llzo_al.structures.models.copies import model_frames
from llzo_al.structures.models.distances import Pair, pair_limits
from llzo_al.structures.models.sites import site_labels
from llzo_al.structures.models.voids import Voids
from llzo_al.structures.names import kind_of, seeds

INSERTION_LIMITS_A: dict[Pair, float] = {
    ("Li", "O"): 1.7,
    ("Li", "Li"): 2.0,
    ("Li", "Zr"): 2.3,
    ("La", "Li"): 2.3,
    ("O", "O"): 2.1,
    ("La", "O"): 2.2,
    ("O", "Zr"): 1.8,
}
"""Shortest distances of inserted atoms (angstrom): what the voids of the garnet framework offer."""

_TRIES = 200
_INSERTIONS = 10
"""How often atoms are inserted anew where one of them found no room."""


@dataclass(frozen=True, kw_only=True)
class _Parent:
    """A crystal and the sites of its atoms."""

    name: str
    cell: str
    atoms: Atoms
    labels: list[str]
    limits: dict[Pair, float]


def variant_frames(source: Variants, elements: Sequence[str], *, base: Path, seed: int) -> Iterator[Frame]:
    """Li-deficient, Li-rich and substituted crystals, one at a time.

    An arrangement depends on the seed, the crystal, what changes in it and its number, not on what else is
    asked for.

    Parameters
    ----------
    source, elements, base, seed
        As for `llzo_al.structures.models.frames.model_source_frames`.

    Raises
    ------
    UserError
        If a structure is unknown, an element is outside the type map, a site does not exist, the charge
        cannot be balanced, or an atom finds no room.
    """
    require_elements(
        [each.element for each in source.substitutions],
        elements,
        where="initial_data (variants): substitutions",
    )
    for name in dict.fromkeys(source.structures):
        parent = _parent(name, source, base)
        for change in dict.fromkeys(source.lithium_changes):
            for copy in range(source.copies):
                label = f"{parent.cell}/{_variant_name(source, change)}/{copy}"
                random = np.random.default_rng(seeds(seed, "variants", label))
                atoms, details = _variant(parent, source, change, random)
                yield from model_frames(
                    atoms,
                    source,
                    name=label,
                    structure_kind=f"{kind_of(name)} {_variant_name(source, change)}",
                    details=details,
                    seed=seed,
                )


def _parent(name: str, source: Variants, base: Path) -> _Parent:
    atoms = load_structure(name, base=base, primitive=source.primitive)
    needs_sites = any(each.site for each in source.substitutions)
    symbols = [*atoms.get_chemical_symbols(), *(each.element for each in source.substitutions), "Li", "O"]
    return _Parent(
        name=name,
        cell=f"{name}.primitive" if source.primitive else name,
        atoms=atoms,
        labels=site_labels(atoms, name, primitive=source.primitive) if needs_sites else [""] * len(atoms),
        limits=pair_limits(
            source.min_distances_A,
            INSERTION_LIMITS_A,
            symbols,
            where="initial_data (variants): min_distances_A",
        ),
    )


def _variant_name(source: Variants, change: int) -> str:
    """What changes and what balances it: "Li-4", "Al2@Li:24d Ta4@Zr", "Li-1 unbalanced"."""
    parts = [
        f"{each.element}{each.count}@{each.replaces}{':' + each.site if each.site else ''}"
        for each in source.substitutions
    ]
    if source.substitutions and source.substitution_compensation == "none":
        parts.append("charged")
    if change:
        parts.append(f"Li{change:+d}" + ("" if source.compensation == "oxygen" else " unbalanced"))
    return " ".join(parts)


def _variant(
    parent: _Parent, source: Variants, change: int, random: np.random.Generator
) -> tuple[Atoms, dict[str, Any]]:
    where = f"initial_data (variants): {parent.name}"
    atoms = parent.atoms.copy()
    untouchable: set[int] = set()
    charge_before = charge_imbalance_e(atoms.get_chemical_symbols(), where=where)
    for each in source.substitutions:
        places = _substitute(atoms, each, parent.labels, untouchable, random, where)
        untouchable |= set(places)
    added = charge_imbalance_e(atoms.get_chemical_symbols(), where=where) - charge_before
    lithium = change
    if source.substitution_compensation == "lithium":
        lithium -= added // formal_charge_e("Li", where=where)
    oxygen = change // 2 if source.compensation == "oxygen" else 0
    for element, number in (("Li", lithium), ("O", oxygen)):
        if number < 0:
            atoms = _without(atoms, element, -number, random, where)
    added_atoms = ["Li"] * max(lithium, 0) + ["O"] * max(oxygen, 0)
    atoms, rooms = _inserted(atoms, added_atoms, parent.limits, random, where)
    symbols = atoms.get_chemical_symbols()
    details: dict[str, Any] = {
        "parent": parent.cell,
        "composition": formula(counts_of(sorted(symbols))),
        "lithium_change": int(symbols.count("Li") - parent.atoms.get_chemical_symbols().count("Li")),
        "oxygen_change": int(symbols.count("O") - parent.atoms.get_chemical_symbols().count("O")),
        "formal_charge_e": charge_imbalance_e(symbols, where=where),
    }
    if rooms:
        details["room_beyond_limits_A"] = round(min(rooms), 3)
    return atoms, details


def _substitute(
    atoms: Atoms,
    substitution: Substitution,
    labels: Sequence[str],
    untouchable: set[int],
    random: np.random.Generator,
    where: str,
) -> list[int]:
    """Replace atoms in place; returns which."""
    candidates = [
        place
        for place, (symbol, label) in enumerate(zip(atoms.get_chemical_symbols(), labels, strict=True))
        if symbol == substitution.replaces and substitution.site in (None, label) and place not in untouchable
    ]
    what = f"{substitution.count} {substitution.element} for {substitution.replaces}"
    if len(candidates) < substitution.count:
        sites = sorted(
            {label for symbol, label in zip(atoms.get_chemical_symbols(), labels, strict=True)
             if symbol == substitution.replaces and label}
        )  # fmt: skip
        on = (
            f" on site {substitution.site!r} (it has {', '.join(sites) or 'none'})"
            if substitution.site
            else ""
        )
        raise UserError(
            f"{where}: {what}: the cell has {len(candidates)} {substitution.replaces}{on} to replace; lower "
            "the count, or correct `replaces` or `site`"
        )
    for _ in range(_TRIES):
        chosen = _far_apart(atoms, candidates, substitution, random)
        if chosen is not None:
            for place in chosen:
                atoms.symbols[place] = substitution.element
            return chosen
    raise UserError(
        f"{where}: {what}: no {substitution.count} of the {len(candidates)} sites are "
        f"{substitution.min_distance_A:g} angstrom apart; lower min_distance_A or the count"
    )


def _far_apart(
    atoms: Atoms, candidates: Sequence[int], substitution: Substitution, random: np.random.Generator
) -> list[int] | None:
    chosen: list[int] = []
    for place in random.permutation(candidates).tolist():
        near = chosen and atoms.get_distances(place, chosen, mic=True).min() < substitution.min_distance_A
        if not near:
            chosen.append(place)
        if len(chosen) == substitution.count:
            return chosen
    return None


def _without(atoms: Atoms, element: str, number: int, random: np.random.Generator, where: str) -> Atoms:
    places = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == element)
    if len(places) <= number:
        raise UserError(
            f"{where}: {number} {element} to remove, of {len(places)} in the cell; remove fewer, or "
            "substitute less"
        )
    gone = set(random.choice(places, size=number, replace=False).tolist())
    kept: Atoms = atoms[[place for place in range(len(atoms)) if place not in gone]]
    return kept


def _inserted(
    atoms: Atoms,
    elements: Sequence[str],
    limits: dict[Pair, float],
    random: np.random.Generator,
    where: str,
) -> tuple[Atoms, list[float]]:
    """The atoms with others put into voids, and the room of each; where one has none, all are drawn again."""
    for _ in range(_INSERTIONS):
        filled, rooms = atoms, []
        for element in elements:
            position, room_A = Voids(filled, element, limits).place(random)
            if room_A < 0:
                break
            filled = filled + Atoms(element, positions=[position])
            rooms.append(room_A)
        else:
            return filled, rooms
    raise UserError(
        f"{where}: no room for another {element} after {len(rooms)} of {len(elements)} inserted atoms: the "
        f"best place is {-room_A:.2g} angstrom within the shortest distances of min_distances_A "
        f"({_limits_text(element, limits)}); lower them, or insert fewer"
    )


def _limits_text(element: str, limits: dict[Pair, float]) -> str:
    return ", ".join(f"{'-'.join(both)} {limit:g}" for both, limit in limits.items() if element in both)
