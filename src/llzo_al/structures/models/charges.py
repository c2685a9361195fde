"""Formal charges, and compositions that they balance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from llzo_al.errors import UserError

FORMAL_CHARGES_E = {
    **dict.fromkeys(("H", "Li", "Na", "K", "Rb"), 1),
    **dict.fromkeys(("Mg", "Ca", "Sr", "Ba", "Zn"), 2),
    **dict.fromkeys(("Al", "Ga", "In", "Sc", "Y", "La", "Nd", "Gd", "B"), 3),
    **dict.fromkeys(("Zr", "Hf", "Ti", "Si", "Ge", "Sn", "Ce"), 4),
    **dict.fromkeys(("Ta", "Nb", "P", "Sb", "Bi"), 5),
    **dict.fromkeys(("W", "Mo", "Te"), 6),
    **dict.fromkeys(("O", "S"), -2),
    **dict.fromkeys(("F", "Cl", "Br", "I"), -1),
    "N": -3,
}
"""Oxidation states (elementary charges) of LLZO's elements and of what is substituted in garnet electrolytes;
Bi and Sb as the pentavalent ions that replace Zr."""


def formal_charge_e(element: str, *, where: str) -> int:
    """Formal charge of an element's ion.

    Raises
    ------
    UserError
        If it is not known; `where` names the source and its key.
    """
    if element not in FORMAL_CHARGES_E:
        raise UserError(
            f"{where}: no formal charge is known for {element!r}; known are {', '.join(FORMAL_CHARGES_E)}"
        )
    return FORMAL_CHARGES_E[element]


def charge_imbalance_e(symbols: Iterable[str], *, where: str) -> int:
    """Sum of the formal charges; 0 for a neutral composition."""
    return sum(number * formal_charge_e(element, where=where) for element, number in Counter(symbols).items())


def ionic_charges_e(symbols: Sequence[str], *, where: str) -> NDArray[np.int64]:
    """Formal charge of each atom, shape (n_atoms,); zero throughout in an element such as lithium metal.

    Raises
    ------
    UserError
        If the charge of an element is not known; `where` names the source and its key.
    """
    if len(set(symbols)) < 2:
        return np.zeros(len(symbols), dtype=np.int64)
    return np.array([formal_charge_e(symbol, where=where) for symbol in symbols], dtype=np.int64)


def neutral_counts(cations: Mapping[str, float], n_atoms: int, *, where: str) -> dict[str, int]:
    """Atoms of each element, oxygen included, of the most neutral formula units that `n_atoms` can hold.

    Parameters
    ----------
    cations
        Ratio of the cations.
    n_atoms
        Number of atoms that the result does not exceed.
    where
        Names the source and its key in an error.

    Returns
    -------
    dict
        Counts in the order of `cations`, then oxygen. The ratio of the cations is exact (given numbers are
        taken as fractions with denominators up to 1000).

    Raises
    ------
    UserError
        If the charges cannot be balanced by oxygen, or the smallest neutral cell has more atoms.
    """
    given = {
        element: Fraction(number).limit_denominator(1000) for element, number in cations.items() if number
    }
    common = math.lcm(*(number.denominator for number in given.values()))
    counts = {element: int(number * common) for element, number in given.items()}
    divisor = math.gcd(*counts.values())
    counts = {element: number // divisor for element, number in counts.items()}
    charge = sum(number * formal_charge_e(element, where=where) for element, number in counts.items())
    text = " ".join(f"{element}{number}" for element, number in counts.items())
    if charge <= 0:
        raise UserError(
            f"{where}: {text} cannot be charge-balanced by oxygen: its formal charge is {charge:+d}; give a "
            "ratio of cations"
        )
    if charge % 2:
        counts = {element: 2 * number for element, number in counts.items()}
        charge *= 2
    unit = {**counts, "O": charge // 2}
    atoms = sum(unit.values())
    if atoms > n_atoms:
        raise UserError(
            f"{where}: the smallest neutral cell of {text} has {atoms} atoms "
            f"({formula(unit)}), more than n_atoms ({n_atoms}); raise n_atoms, or give a rounder ratio"
        )
    return {element: number * (n_atoms // atoms) for element, number in unit.items()}


def formula(counts: Mapping[str, int]) -> str:
    """Write counts as "Li56 La24 Zr16 O96"."""
    return " ".join(f"{element}{number}" for element, number in counts.items() if number)


def counts_of(symbols: Sequence[str]) -> dict[str, int]:
    """Atoms of each element, in the order of first appearance."""
    return dict(Counter(symbols))


def require_elements(symbols: Iterable[str], elements: Sequence[str], *, where: str) -> None:
    """Refuse elements outside the campaign's type map.

    Raises
    ------
    UserError
        If one of `symbols` is not in `elements`.
    """
    foreign = sorted(set(symbols) - set(elements))
    if foreign:
        raise UserError(
            f"{where}: makes atoms of {', '.join(foreign)}, outside the type map; `elements` lists "
            f"{', '.join(elements)}: add what is missing there"
        )
