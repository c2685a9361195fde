"""The report's section on the labels."""

import json

import numpy as np
import pytest

from llzo_al.dataset.consistency import check_labels
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.dataset.records import Record
from llzo_al.reporting.facts import CampaignFacts
from llzo_al.reporting.label_figures import labels_figure
from llzo_al.reporting.labels import LabelCheckFacts
from llzo_al.reporting.page import render


def record(number, *, net=0.0):
    random = np.random.default_rng(number)
    symbols = ("Li", "O", "Li") if number % 2 else ("Zr", "O", "O")
    forces = random.normal(size=(3, 3))
    forces += net - forces.mean(axis=0)
    frame = Frame(
        symbols=symbols,
        positions_A=random.uniform(0, 5, (3, 3)),
        cell_A=np.eye(3) * 5,
        provenance=Provenance(source="crystals", kind="<b>crystal</b>", group=f"g{number}"),
    )
    label = Label(energy_eV=-20.0 + random.normal(), forces_eV_per_A=forces, virial_eV=np.eye(3) * number)
    return Record(
        identity=f"v1-{number:064d}",
        frame=frame,
        label=label,
        failure=None,
        split="training",
        provenances=(frame.provenance,),
        physics_hash="0",
    )


def facts_of(records):
    checks = json.loads(json.dumps({**check_labels(records).as_dict(), "comparisons": []}))
    return LabelCheckFacts.model_validate(checks)


def page(checks):
    return render(CampaignFacts(campaign="c", method="m", status="running", label_checks=checks))


def test_what_stands_out_is_told_and_escaped():
    html = page(facts_of([*(record(number) for number in range(10)), record(10, net=1.0)]))
    assert "Consistency of the labels" in html
    assert "1 × net forces that do not vanish" in html
    assert "<b>crystal" not in html
    assert "&lt;b&gt;crystal" in html
    assert "v1-000000000000" in html
    assert "Li2O" in html


def test_nothing_that_stands_out():
    assert "10 labels were looked at; nothing stands out" in page(
        facts_of([record(number) for number in range(10)])
    )


def test_no_labels():
    assert "Consistency of the labels" not in page(facts_of([]))
    assert "Consistency of the labels" not in page(None)
    assert labels_figure(None) is None


def test_two_methods_are_compared_in_a_table():
    compared = {
        "first": "vasp [12345678]",
        "second": "gpaw [abcdefgh]",
        "n_frames": 7,
        "n_atoms": 21,
        "energy_shift_eV": {"Li": 1.0},
        "energy_rmse_meV_per_atom": 1.25,
        "force_rmse_meV_per_A": 22.5,
        "force_max_meV_per_A": 80.0,
        "force_rms_meV_per_A": 900.0,
        "stress_rmse_GPa": None,
    }
    checks = facts_of([record(0)]).model_copy(update={"comparisons": ()})
    html = page(LabelCheckFacts.model_validate({**checks.model_dump(), "comparisons": [compared]}))
    for text in ("Same frames, two methods", "vasp [12345678]", "1.25", "22.5"):
        assert text in html


@pytest.mark.parametrize("n", [1, 2, 500])
def test_the_figure_is_drawn_from_few_and_from_many(n):
    svg = labels_figure(facts_of([record(number) for number in range(n)]))
    assert svg.startswith("<svg")
    assert "energy − linear fit" in svg
    assert "pressure (GPa)" in svg
