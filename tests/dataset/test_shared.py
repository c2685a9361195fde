"""Labels that several campaigns share: found, deposited, and computed by one of them only."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from dataset_helpers import PHYSICS, make_frame, make_label

from llzo_al.dataset.claims import Claims
from llzo_al.dataset.shared import SharedLabels
from llzo_al.dataset.store import LabelStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shared.sqlite"


@pytest.fixture
def shared(path):
    return SharedLabels(path, PHYSICS)


def campaign_store(tmp_path, name, frames, split="training"):
    store = LabelStore(tmp_path / name / "labels.sqlite")
    return store, store.request(frames, physics=PHYSICS, split=split)


def test_a_label_goes_from_one_campaign_to_another_in_the_others_order_of_atoms(tmp_path, shared):
    frame = make_frame(1)
    order = [3, 1, 0, 2]
    shuffled = replace(
        frame,
        symbols=tuple(frame.symbols[index] for index in order),
        positions_A=frame.positions_A[order],
    )
    label = make_label(frame)
    first, (identity,) = campaign_store(tmp_path, "a", [frame])
    first.add_label(identity, label)
    second, (same,) = campaign_store(tmp_path, "b", [shuffled], split="held-out")
    assert same == identity
    assert shared.exchange(first) == 0
    assert shared.exchange(second) == 1
    (record,) = second.records()
    assert record.split == "held-out"  # splits are each campaign's own
    assert record.label.energy_eV == label.energy_eV
    np.testing.assert_array_equal(record.label.forces_eV_per_A, label.forces_eV_per_A[order])
    np.testing.assert_array_equal(record.label.virial_eV, label.virial_eV)
    assert shared.exchange(second) == 0


def test_only_the_frames_that_are_asked_for_get_their_labels(tmp_path, shared):
    frames = [make_frame(seed) for seed in range(3)]
    for frame in frames:
        shared.deposit([(frame, make_label(frame))])
    store, identities = campaign_store(tmp_path, "a", frames)
    assert shared.exchange(store, identities[:1]) == 1
    assert set(shared.find(identities)) == set(identities)
    assert store.identities(labelled=True) == identities[:1]


def test_labels_of_another_method_are_not_found(tmp_path, path, shared):
    frame = make_frame(1)
    SharedLabels(path, {"method": "another"}).deposit([(frame, make_label(frame))])
    store, (identity,) = campaign_store(tmp_path, "a", [frame])
    assert shared.exchange(store) == 0
    assert shared.find([identity]) == {}
    shared.deposit([(frame, make_label(frame))])
    assert shared.exchange(store) == 1


def test_a_frame_is_claimed_by_one_worker_only(shared):
    first, second = shared.claims(), shared.claims()
    assert first.take(["a", "b"]) == {"a", "b"}
    assert first.take(["a"]) == {"a"}
    assert second.take(["a", "b", "c"]) == {"c"}
    first.release()
    assert second.take(["a", "b"]) == {"a", "b"}


def test_a_labelled_frame_is_not_claimed(tmp_path, shared):
    frame = make_frame(1)
    _, (identity,) = campaign_store(tmp_path, "a", [frame])
    shared.deposit([(frame, make_label(frame))])
    assert shared.claims().take([identity, "b"]) == {"b"}


def test_a_claim_ends_with_its_lease_unless_it_is_renewed(shared):
    first, second = shared.claims(lease_s=0.3), shared.claims()
    first.take(["a"])
    time.sleep(0.2)
    first.renew()
    time.sleep(0.2)
    assert second.take(["a"]) == frozenset()
    time.sleep(0.2)
    assert second.take(["a"]) == {"a"}


def claim_and_wait(path, ready):
    Claims(path).take(["a"])
    ready.set()
    time.sleep(60)


def test_the_claim_of_a_killed_process_is_free_at_once(path, shared):
    processes = multiprocessing.get_context("fork")
    ready = processes.Event()
    process = processes.Process(target=claim_and_wait, args=(path, ready))
    process.start()
    assert ready.wait(30)
    mine = shared.claims()
    assert mine.take(["a"]) == frozenset()
    process.kill()
    process.join()
    assert mine.take(["a"]) == {"a"}


def count_claims(path, names, told):
    for name in names:
        if Claims(path).take([name]):
            descriptor = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, f"{name}\n".encode())
            os.close(descriptor)


def test_racing_processes_never_claim_the_same_frame(path, shared, tmp_path):
    names = [f"frame-{number}" for number in range(40)]
    told = tmp_path / "told"
    processes = multiprocessing.get_context("fork")
    barrier = [
        processes.Process(target=lambda: (count_claims(path, names, told), time.sleep(2))) for _ in range(3)
    ]
    for process in barrier:
        process.start()
    for process in barrier:
        process.join()
    assert sorted(told.read_text().split()) == sorted(names)
