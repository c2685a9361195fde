"""The report's parity plot."""

from __future__ import annotations

from reporting_helpers import empty_facts

from llzo_al.reporting.facts import FinalFacts, ParityFacts
from llzo_al.reporting.page import render
from llzo_al.reporting.parity import parity_figure


def facts(*kinds: str):
    return empty_facts(
        final=FinalFacts(
            parity=tuple(
                ParityFacts(
                    kind=kind,
                    energies_eV_per_atom=(-5.0, -5.1),
                    predicted_energies_eV_per_atom=(-5.002, -5.0),
                    forces_eV_per_A=(0.0, 1.0, -2.0),
                    predicted_forces_eV_per_A=(0.1, 0.9, -2.2),
                )
                for kind in kinds
            )
        )
    )


def test_each_kind_is_named_and_axes_have_units():
    svg = parity_figure(facts("dimers", "exploration: t-LLZO"))
    for text in (
        ">dimers<",
        ">exploration: t-LLZO<",
        ">labelled force component (eV/Å)<",
        "(meV/atom)<",
        ">100<",
    ):
        assert text in svg
    assert svg in render(facts("dimers", "exploration: t-LLZO"))


def test_without_a_test_there_is_no_figure():
    assert parity_figure(empty_facts()) is None
    assert parity_figure(facts()) is None
    assert "parity" not in render(facts())
