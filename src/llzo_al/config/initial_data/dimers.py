"""Dimers of every pair of elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Finding, KeyPath, Positive, Rule, Section, number, smaller
from llzo_al.config.pairs import Pair, check_pairs, of_pair, pair_elements, pairs_of, same_pair

BY_PAIR = ("starts_A", "charges", "multiplicities")
"""Keys that hold a value for each pair."""


def start_A(
    pair: Pair, *, distance_min_A: float, start_fraction: float, starts_A: Mapping[str, float]
) -> float:
    """Shortest distance of a pair: its own, or by its covalent radii, but not below `distance_min_A`."""
    given = of_pair(starts_A, pair)
    if given is not None:
        return float(given)
    from ase.data import atomic_numbers, covalent_radii

    radii_A = sum(float(covalent_radii[atomic_numbers[symbol]]) for symbol in pair)
    return max(distance_min_A, start_fraction * radii_A)


def _images_apart(box_length_A: float, distance_max_A: float) -> Iterable[Finding]:
    if box_length_A <= 2 * distance_max_A:
        yield (
            ("box_length_A",),
            f"is {box_length_A:g}; must be more than twice distance_max_A ({distance_max_A:g})",
        )


def _start_before_end(starts_A: Mapping[str, float], distance_max_A: float) -> Iterable[Finding]:
    for pair, distance_A in starts_A.items():
        if distance_A >= distance_max_A:
            yield (
                ("starts_A", pair),
                f"is {number(distance_A)}; must be smaller than distance_max_A ({number(distance_max_A)})",
            )


def _spins_fit_electrons(charges: Mapping[str, int], multiplicities: Mapping[str, int]) -> Iterable[Finding]:
    from ase.data import atomic_numbers

    for key, multiplicity in multiplicities.items():
        pair = pair_elements(key)
        if pair is None or not set(pair) <= set(atomic_numbers):
            continue
        charge = of_pair(charges, pair) or 0
        electrons = sum(atomic_numbers[symbol] for symbol in pair) - charge
        if (electrons - multiplicity) % 2 == 0 or multiplicity > electrons + 1:
            wanted = "odd" if electrons % 2 == 0 else "even"
            yield (
                ("multiplicities", key),
                f"is {multiplicity}; {key} with charge {charge} has {electrons} electrons, so its "
                f"multiplicity (2S + 1) is {wanted} and at most {electrons + 1}",
            )


class Dimers(Section):
    """Two atoms at a range of distances, for every pair of elements."""

    rules: ClassVar[tuple[Rule, ...]] = (
        smaller("distance_min_A", "distance_max_A"),
        Rule(("box_length_A", "distance_max_A"), _images_apart),
        Rule(("starts_A", "distance_max_A"), _start_before_end),
        Rule(("charges", "multiplicities"), _spins_fit_electrons),
    )

    kind: Literal["dimers"]
    """Two isolated atoms in a periodic box."""
    pairs: Annotated[list[str], Field(min_length=1)] | None = None
    """Pairs such as `Li-O`; by default every pair of the campaign's elements, like pairs included."""
    distance_min_A: Positive = 1.0
    """Shortest distance of any pair (angstrom). The default range is that of You et al. (2024)."""
    distance_max_A: Positive = 4.0
    """Longest distance (angstrom)."""
    start_fraction: Annotated[float, Field(ge=0, le=1)] = 0.55
    """Each pair starts at this fraction of the sum of its covalent radii (`ase.data.covalent_radii`) where
    that is more than `distance_min_A`, so that no label is spent on absurd forces. With 0.55, La-La starts at
    2.28 and Li-O at 1.07 angstrom, and the screened nuclear repulsion (Ziegler, Biersack and Littmark, 1985)
    of no pair of Li, La, Zr and O exceeds 100 eV/angstrom. 0 starts every pair at `distance_min_A`."""
    starts_A: dict[str, Positive] = {}
    """Starts of single pairs in place of that rule, such as `{O-O: 0.9, La-La: 2.3}` (angstrom)."""
    points: Annotated[int, Field(ge=2)] = 13
    """Distances per pair, both ends included."""
    spacing_growth: Annotated[float, Field(ge=1, le=100)] = 4.0
    """The last spacing of distances divided by the first. From the shortest distance on, each spacing is
    longer than the one before by the same factor: dense where the curve is steep. 1 gives an even grid."""
    box_length_A: Positive = 20.0
    """Edge of the cubic box (angstrom); at least the longest distance plus twice the labeller's cutoff keeps
    the images apart."""
    charges: dict[str, int] = {}
    """Total charges of pairs that are not neutral, such as `{Li-O: -1}` (elementary charges). The potential
    knows no charge: give one where the pair takes the place of ions, and never two for the same pair."""
    multiplicities: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Spin multiplicities (2S + 1) of pairs, such as `{O-O: 3}`; by default the labeller decides."""


def dimer_findings(elements: Sequence[str], sources: Sequence[Mapping[str, Any]]) -> Iterable[Finding]:
    """What of the `initial_data` does not fit the campaign's elements; keys that are wrong are absent."""
    for place, source in enumerate(sources):
        if source.get("kind") == "dimers":
            for path, message in pair_findings(source, elements):
                yield ("initial_data", place, *path), message


def pair_findings(source: Mapping[str, Any], elements: Sequence[str]) -> list[Finding]:
    """The same for one section of dimers, with paths inside it."""
    listed: dict[KeyPath, str] = {
        ("pairs", index): pair for index, pair in enumerate(source.get("pairs") or ())
    }
    findings = list(check_pairs(listed, elements))
    for key in BY_PAIR:
        findings += check_pairs({(key, pair): pair for pair in source.get(key, {})}, elements)
    return findings or [*_unused(source, elements), *_late_starts(source, elements)]


def _unused(source: Mapping[str, Any], elements: Sequence[str]) -> Iterable[Finding]:
    pairs = pairs_of(elements, source.get("pairs"))
    for key in BY_PAIR:
        for name in source.get(key, {}):
            if not any(same_pair(name, pair) for pair in pairs):
                yield (key, name), f"{name!r} is not among `pairs`, which lists {', '.join(source['pairs'])}"


def _late_starts(source: Mapping[str, Any], elements: Sequence[str]) -> Iterable[Finding]:
    from ase.data import atomic_numbers

    needed = ("distance_min_A", "distance_max_A", "start_fraction", "starts_A")
    if not (all(key in source for key in needed) and set(elements) <= set(atomic_numbers)):
        return
    rule = {key: source[key] for key in needed if key != "distance_max_A"}
    for pair in pairs_of(elements, source.get("pairs")):
        if of_pair(source["starts_A"], pair) is not None:
            continue
        start = start_A(pair, **rule)
        if source["distance_min_A"] < source["distance_max_A"] <= start:
            yield (
                ("distance_max_A",),
                f"is {source['distance_max_A']:g}; {'-'.join(pair)} starts at {start:.2f} by start_fraction "
                f"({source['start_fraction']:g}): lower start_fraction, or give the pair's start in starts_A",
            )
