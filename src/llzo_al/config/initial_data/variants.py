"""Crystals with lithium removed or inserted, and with substituted elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Finding, NotNegative, Rule, Section, all_different
from llzo_al.config.initial_data.models import ModelCopies, PairDistances, pairs_of_elements


def _oxygen_can_balance(changes: Sequence[int], compensation: str) -> Iterable[Finding]:
    for index, change in enumerate(changes):
        if compensation == "oxygen" and change % 2:
            yield (
                ("lithium_changes", index),
                f"is {change}; cannot be charge-balanced by oxygen, of which one balances two lithium: "
                f"give {change - 1} or {change + 1}, or compensation: none",
            )


def _something_changes(changes: Sequence[int], substitutions: Sequence[Any]) -> Iterable[Finding]:
    if not substitutions:
        for index, change in enumerate(changes):
            if change == 0:
                yield (
                    ("lithium_changes", index),
                    "is 0 and there are no substitutions: that is the crystal itself; use a source of kind "
                    "crystals",
                )


def _other_element(substitutions: Sequence[Mapping[str, Any]]) -> Iterable[Finding]:
    for index, each in enumerate(substitutions):
        if "element" in each and each.get("element") == each.get("replaces"):
            yield ("substitutions", index, "element"), f"is {each['element']}, the element that it replaces"


class Substitution(Section):
    """Atoms of one element that another one replaces."""

    element: str
    """The element that comes in, such as `Al` or `Ta`."""
    replaces: str
    """The element whose atoms it replaces, such as `Li` or `Zr`."""
    count: Count
    """Atoms that are replaced, in the cell as it is (t-LLZO and c-LLZO: 192 atoms, primitive 96)."""
    site: str | None = None
    """Only this crystallographic site: in c-LLZO `24d` or `96h` for lithium, in another crystal multiplicity
    and Wyckoff letter, such as `8a`, `16f` or `32g` in t-LLZO. By default any site of the element."""
    min_distance_A: NotNegative = 0.0
    """Shortest distance between two of the atoms that come in (angstrom)."""


class Variants(ModelCopies):
    """Li-deficient, Li-rich and substituted crystals, each arrangement drawn at random."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("structures"),
        all_different("lithium_changes"),
        Rule(("lithium_changes", "compensation"), _oxygen_can_balance),
        Rule(("lithium_changes", "substitutions"), _something_changes),
        Rule(("substitutions",), _other_element),
        pairs_of_elements("min_distances_A"),
        *ModelCopies.rules,
    )

    kind: Literal["variants"]
    """Lithium removed or inserted, elements substituted."""
    structures: Annotated[list[str], Field(min_length=1)] = ["t-LLZO"]
    """Built-in crystals or structure files, as for `crystals`."""
    primitive: bool = False
    """Use the primitive instead of the conventional cell."""
    lithium_changes: Annotated[list[int], Field(min_length=1)]
    """Lithium atoms to remove (negative) or to insert (positive) in the cell, one variant for each number; 0
    for substitutions alone. Eight in a cell of 192 atoms are one in the formula Li7La3Zr2O12."""
    compensation: Literal["oxygen", "none"] = "oxygen"
    """What balances the charge of `lithium_changes`: one `oxygen` removed or inserted for two lithium, or
    `none`. The charge that remains is recorded; it is an imbalance of formal charges, and the cell is
    labelled as neutral."""
    substitutions: list[Substitution] = []
    """Elements that replace others. By default none, so that there is no Al or Ta."""
    substitution_compensation: Literal["lithium", "none"] = "lithium"
    """What balances the charge of substitutions: `lithium` removed (Al on Li: two for each, Ta on Zr: one) or
    inserted, or `none`."""
    min_distances_A: PairDistances = {}
    """Shortest distances of inserted atoms, such as `Li-O: 1.7` (angstrom), in place of the defaults (Li-O
    1.7, Li-Li 2.0, Li-Zr 2.3, Li-La 2.3, O-O 2.1, La-O 2.2, Zr-O 1.8)."""
    copies: Count = 3
    """Random arrangements of each variant."""
