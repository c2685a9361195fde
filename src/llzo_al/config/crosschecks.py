"""Conditions between the sections of a campaign file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from llzo_al.config.base import Finding, Rule
from llzo_al.config.initial_data.dimers import dimer_findings
from llzo_al.config.pairs import check_pair

CLASSICAL_ELEMENTS = ("Li", "La", "Zr", "O")
"""Elements that the classical reference has parameters for."""

SourceValues = Sequence[Mapping[str, Any]]


def _chemical_symbols(elements: Sequence[str]) -> Iterable[Finding]:
    from ase.data import atomic_numbers

    known = [symbol for symbol, number in atomic_numbers.items() if number > 0]
    for index, symbol in enumerate(elements):
        if symbol not in known:
            close = get_close_matches(symbol.capitalize(), known, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield ("elements", index), f"{symbol!r} given; allowed: chemical symbols{hint}"
        elif symbol in elements[:index]:
            yield ("elements", index), f"{symbol} is listed twice; each element is listed once"


def _guard_pairs(elements: Sequence[str], distances: Mapping[str, float]) -> Iterable[Finding]:
    for pair in distances:
        yield from check_pair(pair, elements, ("exploration", "guard", "min_distances_A", pair))


def _classical_elements(elements: Sequence[str], engine: str) -> Iterable[Finding]:
    if engine != "classical_reference":
        return
    for index, symbol in enumerate(elements):
        if symbol not in CLASSICAL_ELEMENTS:
            yield (
                ("elements", index),
                f"{symbol} given; labelling.engine classical_reference only knows "
                f"{', '.join(CLASSICAL_ELEMENTS)}",
            )


def _dimer_images(sources: SourceValues, engine: str, cutoff_A: float) -> Iterable[Finding]:
    if engine != "classical_reference":
        return
    for number, source in enumerate(sources):
        box, distance = source.get("box_length_A"), source.get("distance_max_A")
        if box is not None and distance is not None and box - distance <= cutoff_A:
            yield (
                ("initial_data", number, "box_length_A"),
                f"is {box:g}; must be more than distance_max_A plus labelling.cutoff_A "
                f"({distance:g} + {cutoff_A:g}), or the dimer sees its own images",
            )


def _dimer_images_in_model(sources: SourceValues, engine: str, rcut_A: float) -> Iterable[Finding]:
    if engine == "classical_reference":
        return
    for number, source in enumerate(sources):
        box, distance = source.get("box_length_A"), source.get("distance_max_A")
        if box is not None and distance is not None and box - distance <= rcut_A:
            yield (
                ("initial_data", number, "box_length_A"),
                f"is {box:g}; must be more than distance_max_A plus training.rcut_A ({distance:g} + "
                f"{rcut_A:g}), or the dimer sees its own images",
            )


def _one_neighbor_count_each(neighbors: list[int] | str, elements: Sequence[str]) -> Iterable[Finding]:
    if not isinstance(neighbors, str) and len(neighbors) != len(elements):
        yield (
            ("training", "neighbors"),
            f"{len(neighbors)} numbers given for {len(elements)} elements; allowed: one number for each of "
            f"{', '.join(elements)}, or auto",
        )


def _npt_needs_virials(ensemble: str, virial_prefactors: Sequence[float]) -> Iterable[Finding]:
    if ensemble == "npt" and not any(virial_prefactors):
        yield (
            ("exploration", "ensemble"),
            "npt needs trained virials: set training.virial_prefactors, or explore with nvt",
        )


def _virials_need_labels(virial_prefactors: Sequence[float], virials: bool) -> Iterable[Finding]:
    if any(virial_prefactors) and not virials:
        yield (
            ("training", "virial_prefactors"),
            "virials need labelling.virials: true; set that, or the prefactors to 0",
        )


def _classical_dynamics(sources: SourceValues, engine: str) -> Iterable[Finding]:
    if engine != "classical_reference":
        return
    for number, source in enumerate(sources):
        if source.get("kind") == "reference_md" and source.get("parameters"):
            yield (
                ("initial_data", number, "parameters"),
                "the classical reference has no parameters for its dynamics alone; remove the key",
            )


def _no_type_map_override(overrides: Mapping[str, Any]) -> Iterable[Finding]:
    model = overrides.get("model")
    if isinstance(model, Mapping) and "type_map" in model:
        yield (
            ("training", "overrides", "model", "type_map"),
            "the type map is the campaign's `elements`; change it there",
        )


def _rule(find: Callable[..., Iterable[Finding]], *needs: str) -> Rule:
    return Rule(needs, find)


CAMPAIGN_RULES: tuple[Rule, ...] = (
    _rule(_chemical_symbols, "elements"),
    _rule(dimer_findings, "elements", "initial_data"),
    _rule(_guard_pairs, "elements", "exploration.guard.min_distances_A"),
    _rule(_classical_elements, "elements", "labelling.engine"),
    _rule(_dimer_images, "initial_data", "labelling.engine", "labelling.cutoff_A"),
    _rule(_dimer_images_in_model, "initial_data", "labelling.engine", "training.rcut_A"),
    _rule(_classical_dynamics, "initial_data", "labelling.engine"),
    _rule(_one_neighbor_count_each, "training.neighbors", "elements"),
    _rule(_npt_needs_virials, "exploration.ensemble", "training.virial_prefactors"),
    _rule(_virials_need_labels, "training.virial_prefactors", "labelling.virials"),
    _rule(_no_type_map_override, "training.overrides"),
)
