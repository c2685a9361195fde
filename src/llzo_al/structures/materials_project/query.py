"""What is asked of the Materials Project, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from llzo_al.config.initial_data.materials_project import MaterialsProject
from llzo_al.errors import UserError
from llzo_al.files import fingerprint

SOURCE = "materials_project"
"""Name of this source in messages and provenance."""

ENDPOINT = "https://api.materialsproject.org/"
"""Address of the Materials Project's own API."""

ALWAYS = ("material_id", "formula_pretty", "nsites", "structure")
"""Fields that every material must have."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A search among the summaries of the database's materials.

    Attributes
    ----------
    endpoint
        Address of the API, with a slash at its end.
    chemical_systems
        Systems such as "Li-O", the elements of each in alphabetical order, as the API wants them.
    energy_above_hull_max_eV_per_atom, atoms_max, experimental_only, gnome
        Filters; see the keys of the campaign file.
    fields
        What is asked of each material.
    """

    endpoint: str
    chemical_systems: tuple[str, ...]
    energy_above_hull_max_eV_per_atom: float | None
    atoms_max: int
    experimental_only: bool
    gnome: bool
    fields: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        values = asdict(self)
        return values | {"chemical_systems": list(self.chemical_systems), "fields": list(self.fields)}

    @property
    def name(self) -> str:
        """A short name that no other query has."""
        return fingerprint(self.as_dict())[:16]

    @property
    def needed(self) -> tuple[str, ...]:
        """Fields that may not be empty: those of every material, and those that a filter looks at."""
        filters = () if self.energy_above_hull_max_eV_per_atom is None else ("energy_above_hull",)
        return (*ALWAYS, *filters, *(("theoretical",) if self.experimental_only else ()))

    def __str__(self) -> str:
        parts = [", ".join(self.chemical_systems), f"at most {self.atoms_max} atoms"]
        if self.energy_above_hull_max_eV_per_atom is not None:
            parts.append(f"at most {self.energy_above_hull_max_eV_per_atom:g} eV/atom above the hull")
        if self.experimental_only:
            parts.append("experimental only")
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the database said.

    Attributes
    ----------
    database_version
        Version of the database ("2025.09.25").
    documents
        Summaries of the materials, as the API gives them, sorted by material id.
    """

    database_version: str
    documents: tuple[dict[str, Any], ...]


def make_query(source: MaterialsProject, elements: Sequence[str]) -> Query:
    """The search that a section of the campaign file asks for.

    Raises
    ------
    UserError
        If a chemical system holds an element that is not the campaign's.
    """
    energy_limit = source.energy_above_hull_max_eV_per_atom
    filters = ("energy_above_hull",) if energy_limit is not None else ()
    wanted = (*ALWAYS, *filters, *(("theoretical",) if source.experimental_only else ()), *source.fields)
    endpoint = source.endpoint or ENDPOINT
    return Query(
        endpoint=endpoint if endpoint.endswith("/") else f"{endpoint}/",
        chemical_systems=chemical_systems(source.chemical_systems, elements),
        energy_above_hull_max_eV_per_atom=energy_limit,
        atoms_max=source.atoms_max,
        experimental_only=source.experimental_only,
        gnome=source.gnome,
        fields=tuple(dict.fromkeys(wanted)),
    )


def chemical_systems(given: Sequence[str] | None, elements: Sequence[str]) -> tuple[str, ...]:
    """Chemical systems, the elements of each in alphabetical order, sorted by size and name.

    Parameters
    ----------
    given
        The campaign file's list; None for all that `elements` span.
    elements
        The campaign's elements.

    Raises
    ------
    UserError
        If a system holds an element outside `elements`, or comes twice.
    """
    if given is None:
        sizes = range(1, len(elements) + 1)
        systems = ["-".join(part) for size in sizes for part in combinations(sorted(elements), size)]
    else:
        for name in given:
            foreign = [symbol for symbol in name.split("-") if symbol not in elements]
            if foreign:
                raise UserError(
                    f"{SOURCE}: chemical_systems: {name} holds {', '.join(foreign)}, outside the type map; "
                    f"`elements` lists {', '.join(elements)}"
                )
        systems = ["-".join(sorted(set(name.split("-")))) for name in given]
        twice = sorted({name for name in systems if systems.count(name) > 1})
        if twice:
            raise UserError(f"{SOURCE}: chemical_systems: {twice[0]} is listed twice, in whichever order")
    return tuple(sorted(systems, key=lambda name: (name.count("-"), name)))
