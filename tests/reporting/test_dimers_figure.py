"""The report's dimers: labels and model, pair by pair."""

from __future__ import annotations

import re

from reporting_helpers import empty_facts, full_data

from llzo_al.reporting.dimers import dimers_figure
from llzo_al.reporting.facts import CampaignFacts, DimerCurve, FinalFacts
from llzo_al.reporting.page import render


def curve(**changes):
    values = {
        "pair": "Li-O",
        "distances_A": [1.2, 1.8, 3.0],
        "energies_eV": [5.0, -3.0, 0.0],
        "forces_eV_per_A": [30.0, 0.5, -1.0],
        "uses": ["excluded", "held-out", "training"],
        "model_distances_A": [1.2, 2.1, 3.0],
        "model_energies_eV": [[4.0, -2.5, 0.1], [3.9, -2.6, None]],
        "energy_rmse_eV": 0.123,
        "force_rmse_eV_per_A": None,
    }
    return DimerCurve(**{**values, **changes})


def facts(*curves):
    return empty_facts(final=FinalFacts(dimers=curves))


def test_a_panel_for_each_pair_with_its_errors():
    svg = dimers_figure(facts(curve(), curve(pair="O-O", multiplicity=3), curve(pair="Li-Li", charge=1)))
    for text in (">Li-O<", ">O-O, 2S+1 = 3<", ">Li-Li (+1)<", ">0.12 eV<", ">energy (eV)<"):
        assert text in svg
    assert len(re.findall(r'id="dimers-axes_\d+"', svg)) == 3


def test_no_dimers_no_figure():
    assert dimers_figure(empty_facts()) is None
    assert dimers_figure(facts()) is None


def test_a_pair_without_any_number_is_drawn():
    nothing = curve(energies_eV=[None] * 3, model_energies_eV=[], energy_rmse_eV=None)
    assert ">Li-O<" in dimers_figure(facts(nothing))
    assert ">Li-O<" in dimers_figure(facts(curve(uses=["excluded"] * 3)))


def test_on_the_page_and_back_from_json():
    data = full_data()
    data["final"]["dimers"] = [curve().model_dump()]
    full = CampaignFacts.model_validate(data)
    page = render(full)
    assert "<h2>Dimers</h2>" in page
    assert "held out" in page
    assert CampaignFacts.model_validate_json(full.model_dump_json()) == full
    assert "<h2>Dimers</h2>" not in render(CampaignFacts.model_validate(full_data()))
