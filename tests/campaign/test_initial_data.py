"""Initial data: streamed into the label store, whatever the sources give."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from campaigns import make_tiny, write_tiny
from llzo_al.campaign import initial, labels
from llzo_al.campaign.dataset_stage import export_dataset
from llzo_al.config.load import load_campaign
from llzo_al.config.plan import make_plan
from llzo_al.dataset.frames import Frame, Label
from llzo_al.errors import UserError
from llzo_al.structures import sources


def frames_in_memory():
    """How many there are, those of other tests included."""
    return sum(type(item) is Frame for item in gc.get_objects())


def test_few_frames_are_in_memory_at_a_time(tmp_path, monkeypatch):
    campaign = make_tiny(tmp_path, **{"rattled_copies: 2": "rattled_copies: 40"})
    monkeypatch.setattr(initial, "CHUNK", 20)
    request, most, before = type(campaign.store).request, [], frames_in_memory()

    def counted(store, frames, **keys):
        most.append(frames_in_memory() - before)
        return request(store, frames, **keys)

    monkeypatch.setattr(type(campaign.store), "request", counted)
    data = initial.prepare_initial_data(campaign)
    assert len(data.identities) == 4 + 3 * 41
    assert len(most) >= 3 * 41 / 20
    assert max(most) < 60
    assert not list(campaign.directory.initial.rglob("*.pickle"))


def test_chunks_make_no_difference(tmp_path, monkeypatch):
    whole = make_tiny(tmp_path / "whole")
    first = initial.prepare_initial_data(whole)
    monkeypatch.setattr(initial, "CHUNK", 2)
    parts = make_tiny(tmp_path / "parts")
    second = initial.prepare_initial_data(parts)
    assert set(first.identities) == set(second.identities)
    found = [
        {record.identity: record.split for record in campaign.store.records(labelled=None)}
        for campaign in (whole, parts)
    ]
    assert found[0] == found[1]
    assert set(found[0].values()) == {"training", "held-out"}


def test_an_interrupted_source_is_taken_up(tmp_path, monkeypatch):
    campaign = make_tiny(tmp_path)
    enter = initial._request
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return enter(*arguments)

    monkeypatch.setattr(initial, "_request", interrupted)
    with pytest.raises(KeyboardInterrupt):
        initial.prepare_initial_data(campaign)
    monkeypatch.setattr(initial, "_request", enter)
    data = initial.prepare_initial_data(campaign)
    assert len(set(data.identities)) == 4 + 3 * 3
    records = list(campaign.store.records(labelled=None))
    assert {record.identity for record in records} == set(data.identities)
    assert all(len(record.provenances) == 1 for record in records)


def both(source, context):
    """A source that gives a frame with a label, one without, and a trajectory."""
    if source.kind != "reference_md":
        return
    run = sources.source_runs(source, context)[0]
    for number in range(4):
        provenance = replace(run.frame.provenance, group=f"both/{number}", source="both")
        positions = run.frame.positions_A + 0.01 * number
        frame = replace(run.frame, positions_A=positions, provenance=provenance)
        forces = np.zeros((frame.n_atoms, 3))
        label = Label(energy_eV=-1.0, forces_eV_per_A=forces, virial_eV=None)
        yield frame, label if number < 3 else None


def test_a_source_may_give_frames_with_labels_and_trajectories(tmp_path, monkeypatch):
    monkeypatch.setattr(initial, "labelled_source_frames", both)
    monkeypatch.setattr(sources, "labelled_source_frames", both)
    only = "  - kind: reference_md\n"
    start = (tmp_path / "x").with_suffix("")
    text = write_tiny(start).read_text()
    begin, end = text.index("  - kind: dimers"), text.index(only)
    campaign = make_tiny(tmp_path, **{text[begin:end]: ""})
    data = initial.prepare_initial_data(campaign)
    assert (len(data.identities), data.n_md_runs) == (4, 2)
    counts = campaign.store.counts(physics=campaign.physics)
    assert (counts.total.labelled, counts.total.pending) == (3, 1)
    (planned,) = make_plan(load_campaign(tmp_path / "campaign.yaml")).sources
    assert (planned.frames, planned.given, planned.labels) == (4 + 2 * 4, 3, 1 + 2 * 4)
    assert (planned.md_runs, planned.held_out, planned.held_out_md_runs) == (2, 1 + 4, 1)


def test_a_source_that_gives_nothing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(initial, "labelled_source_frames", lambda *_: iter(()))
    with pytest.raises(UserError, match=r"initial_data\[0\] \(dimers\): the source gives no structure"):
        initial.prepare_initial_data(make_tiny(tmp_path))


def test_the_guards_distances_do_not_apply_to_dimers(tmp_path):
    """Dimers closer than any guard allows are asked for, labelled and trained on."""
    guard = "exploration:\n  guard: {min_distances_A: {Li-O: 2.9}}\n"
    campaign = make_tiny(
        tmp_path,
        **{"exploration:\n": guard, "distance_min_A: 1.4": "distance_min_A: 1.2", "points: 4": "points: 8"},
    )
    data = initial.prepare_initial_data(campaign)
    for job in labels.label_jobs(campaign, data.identities):
        labels.label_frames(campaign, job)
    dataset = export_dataset(campaign, tmp_path / "dataset", before_iteration=0)
    dimers = [record for record in campaign.store.records() if record.frame.provenance.source == "dimers"]
    too_close = [each for each in dimers if each.frame.provenance.details["distance_A"] < 2.9]
    assert (len(dimers), len(too_close)) == (8, 7)
    trained = [each for each in too_close if each.identity in dataset.training]
    assert len(trained) == sum(each.split == "training" for each in too_close) >= 6
