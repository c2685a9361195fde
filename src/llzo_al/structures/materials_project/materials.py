"""Materials: what the database's documents, or a folder's files, become."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms

from llzo_al.errors import UserError
from llzo_al.structures.materials_project.query import ALWAYS, SOURCE, Answer, Query


@dataclass(frozen=True, kw_only=True)
class Material:
    """One crystal.

    Attributes
    ----------
    material_id
        Id of the database ("mp-1960"), or a file's name.
    formula
        Reduced formula ("Li2O").
    atoms
        The cell that the database, or the file, holds.
    properties
        Other fields of the database's summary, JSON-serialisable.
    """

    material_id: str
    formula: str
    atoms: Atoms
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[float, bool, int, str]:
        """Order among materials: the lowest above the hull, known from experiment, short ids first."""
        energy = self.properties.get("energy_above_hull")
        above_hull = float(energy) if isinstance(energy, (int, float)) else math.inf
        theoretical = bool(self.properties.get("theoretical", False))
        return above_hull, theoretical, len(self.material_id), self.material_id


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A material that was left out, and why."""

    name: str
    reason: str


def materials_of(
    answer: Answer, query: Query, *, elements: Sequence[str], skip_incomplete: bool
) -> tuple[list[Material], list[Skipped]]:
    """Materials in the documents of an answer.

    Parameters
    ----------
    answer, query
        What the database said, and to what.
    elements
        The campaign's elements.
    skip_incomplete
        Leave incomplete documents out instead of refusing them.

    Returns
    -------
    tuple
        The materials in the order of the answer, and what was left out.

    Raises
    ------
    UserError
        If a document is incomplete, its structure cannot be used or holds a foreign element, or if nothing
        is left. The message names the material.
    """
    materials, skipped = [], []
    for number, document in enumerate(answer.documents):
        name = str(document.get("material_id") or f"document {number} of the answer")
        wrong = _wrong_with(document, query, elements)
        if wrong is None:
            materials.append(_material(document, query))
        elif skip_incomplete:
            skipped.append(Skipped(name=name, reason=wrong))
        else:
            raise UserError(
                f"{SOURCE}: {name}: {wrong}; set skip_incomplete: true to go on without such materials"
            )
    if not materials:
        left_out = f" ({len(skipped)} incomplete ones were left out)" if skipped else ""
        raise UserError(
            f"{SOURCE}: the database (version {answer.database_version}) holds no material for "
            f"{query}{left_out}; "
            "widen the filters or name other chemical_systems"
        )
    return materials, skipped


def foreign_elements(atoms: Atoms, elements: Sequence[str]) -> str | None:
    """What is wrong with a structure's elements, or None."""
    foreign = sorted(set(atoms.get_chemical_symbols()) - set(elements))
    if not foreign:
        return None
    return f"holds {', '.join(foreign)}, outside the type map; `elements` lists {', '.join(elements)}"


def reduced_formula(atoms: Atoms) -> str:
    """Reduced formula as pymatgen writes it ("Li2O")."""
    from pymatgen.core import Composition

    return str(Composition(atoms.get_chemical_formula()).reduced_formula)


def _wrong_with(document: Mapping[str, Any], query: Query, elements: Sequence[str]) -> str | None:
    roots = [name.split(".", 1)[0] for name in query.fields]
    absent = [name for name in dict.fromkeys(roots) if name not in document]
    if absent:
        return f"the answer lacks the fields {', '.join(absent)}"
    empty = [name for name in query.needed if document[name] is None]
    if empty:
        return f"the fields {', '.join(empty)} are empty"
    try:
        atoms = _atoms(document["structure"])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"its structure cannot be used ({type(error).__name__}: {error})"
    return foreign_elements(atoms, elements)


def _material(document: Mapping[str, Any], query: Query) -> Material:
    atoms = _atoms(document["structure"])
    roots = dict.fromkeys(name.split(".", 1)[0] for name in query.fields)
    return Material(
        material_id=str(document["material_id"]),
        formula=reduced_formula(atoms),
        atoms=atoms,
        properties={name: document[name] for name in roots if name not in ALWAYS},
    )


def _atoms(structure: Mapping[str, Any]) -> Atoms:
    """Symbols, positions and cell of a pymatgen structure as its JSON has it."""
    from pymatgen.core import Structure

    decoded = Structure.from_dict(dict(structure))
    if not decoded.is_ordered:
        raise ValueError("sites are partially occupied")
    if len(decoded) == 0:
        raise ValueError("it holds no atom")
    return Atoms(
        symbols=[site.specie.symbol for site in decoded],
        scaled_positions=decoded.frac_coords,
        cell=decoded.lattice.matrix,
        pbc=True,
    )
