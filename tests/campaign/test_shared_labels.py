"""Campaigns that share a label store never compute the same label twice, also at the same time."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter

import numpy as np
import pytest

from campaigns import CRYSTALS, REFERENCE_MD, make_tiny
from llzo_al.campaign import initial, labels
from llzo_al.dataset.store import LabelStore
from llzo_al.errors import UserError


def make(directory, *, points, log, delay_s=0.0, store="../labels.sqlite", rho0=6.0, limits=()):
    cap, failures = "", ""
    if limits:
        cap = f", force_cap_eV_per_A: {limits[0]}"
        failures = f"\nfailures: {{max_force_eV_per_A: {limits[1]}}}"
    labelling = f"""\
engine: ase
  calculator: counted_calculator.CountedMorse
  parameters: {{rho0: {rho0}}}
  run_parameters: {{log: {log}, delay_s: {delay_s}}}
  frames_per_job: 3
dataset: {{label_store: {store}{cap}}}{failures}"""
    only_dimers = {CRYSTALS: "", REFERENCE_MD: "", "points: 4": f"points: {points}"}
    return make_tiny(directory, **only_dimers, **{"engine: classical_reference": labelling})


def label_all(campaign):
    identities = initial.prepare_initial_data(campaign).identities
    counts: Counter = Counter()
    for job in labels.label_jobs(campaign, identities):
        counts.update(labels.label_frames(campaign, job))
    return dict(counts)


def computed(log):
    return Counter(json.loads(line)["geometry"] for line in log.read_text().splitlines())


@pytest.fixture(autouse=True)
def tests_importable(monkeypatch):
    from pathlib import Path

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")


def test_what_one_campaign_has_labelled_no_other_labels_again(tmp_path):
    log = tmp_path / "log"
    first = make(tmp_path / "a", points=5, log=log)
    assert label_all(first)["labelled"] == 5
    second = make(tmp_path / "b", points=5, log=log)
    assert label_all(second) == {}
    assert set(computed(log).values()) == {1}
    one, other = (
        {record.identity: record for record in campaign.store.records()} for campaign in (first, second)
    )
    assert one.keys() == other.keys()
    for identity, record in one.items():
        assert other[identity].label.energy_eV == record.label.energy_eV
        np.testing.assert_array_equal(other[identity].label.forces_eV_per_A, record.label.forces_eV_per_A)
    third = make(tmp_path / "c", points=5, log=log, rho0=5.0)
    assert label_all(third)["labelled"] == 5  # other physics
    assert len(LabelStore(tmp_path / "labels.sqlite").physics_in_use()) == 2


def test_labels_from_before_the_store_was_named_are_shared_too(tmp_path):
    log = tmp_path / "log"
    label_all(make(tmp_path / "a", points=4, log=log, store="../elsewhere.sqlite"))
    label_all(make(tmp_path / "a", points=4, log=log))
    assert label_all(make(tmp_path / "b", points=4, log=log)) == {}
    assert sum(computed(log).values()) == 4


def test_a_label_beyond_the_limit_of_the_campaign_is_neither_taken_over_nor_computed_again(tmp_path):
    log = tmp_path / "log"
    first = make(tmp_path / "a", points=5, log=log)
    label_all(first)
    forces = sorted(record.max_force_eV_per_A for record in first.store.records())
    limit = (forces[2] + forces[3]) / 2
    strict = make(tmp_path / "b", points=5, log=log, limits=(limit, limit))
    assert label_all(strict) == {"labelled": 0, "failed": 2, "shared": 0}
    assert sum(computed(log).values()) == 5
    assert strict.store.counts().total.labelled == 3
    assert strict.store.counts(physics=strict.physics).failure_causes == {"absurd forces": 2}


def run_campaign(directory, points, log, told):
    campaign = make(directory, points=points, log=log, delay_s=0.15)
    told.put((directory.name, label_all(campaign), campaign.store.counts().total.labelled))


def test_two_campaigns_at_the_same_time_share_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "WAIT_S", 0.05)
    log = tmp_path / "log"
    processes = multiprocessing.get_context("fork")
    told = processes.Queue()
    both = [
        processes.Process(target=run_campaign, args=(tmp_path / name, 9, log, told)) for name in ("a", "b")
    ]
    for process in both:
        process.start()
    results = [told.get(timeout=120) for _ in both]
    for process in both:
        process.join(30)
    assert set(computed(log).values()) == {1}
    assert len(computed(log)) == 9
    assert [stored for _, _, stored in results] == [9, 9]
    assert sum(counts.get("labelled", 0) for _, counts, _ in results) == 9


def claim_and_die(directory, points, log):
    campaign = make(directory, points=points, log=log)
    campaign.labeller.label = lambda *_, **__: die()
    label_all(campaign)


def die():
    import os

    os._exit(9)


def test_a_campaign_that_dies_leaves_its_frames_to_the_others(tmp_path):
    log = tmp_path / "log"
    process = multiprocessing.get_context("fork").Process(target=claim_and_die, args=(tmp_path / "a", 4, log))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert label_all(make(tmp_path / "b", points=4, log=log))["labelled"] == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (".", "is a directory; name a file in it"),
        ("$HOME/labels.sqlite", "environment variables are not expanded"),
        ("../a/tiny/dataset/labels.sqlite", "is a campaign's own store"),
    ],
)
def test_what_cannot_be_a_shared_store(tmp_path, given, message):
    make(tmp_path / "a", points=4, log=tmp_path / "log")
    with pytest.raises(UserError, match=r"dataset\.label_store") as caught:
        make(tmp_path / "b", points=4, log=tmp_path / "log", store=given)
    assert message in str(caught.value)


def test_a_file_that_is_no_store_is_named(tmp_path):
    (tmp_path / "labels.sqlite").write_text("no database " * 100)
    campaign = make(tmp_path / "a", points=4, log=tmp_path / "log")
    with pytest.raises(Exception, match=r"labels\.sqlite: the label store is damaged"):
        label_all(campaign)
