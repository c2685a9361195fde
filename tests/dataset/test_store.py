from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pytest
from dataset_helpers import PHYSICS, make_frame, make_label

from llzo_al.dataset import _sqlite
from llzo_al.dataset.frames import LabelFailure, Provenance
from llzo_al.dataset.identity import label_identity
from llzo_al.dataset.records import dataset_hash, max_force, usable
from llzo_al.dataset.store import LabelStore, SplitCounts
from llzo_al.errors import ExitCode, StageError, UserError

FAILURE = LabelFailure(cause="not converged", reason="60 steps, 1e-3 eV left")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "campaign" / "dataset" / "labels.sqlite"


@pytest.fixture
def store(path):
    return LabelStore(path)


def change(path, statement, *values):
    with sqlite3.connect(path) as database:
        database.execute(statement, values)
    database.close()


def test_a_frame_comes_back_with_its_label(path, store):
    frame = make_frame(
        3,
        charge=-1,
        multiplicity=2,
        periodic=(True, True, False),
        provenance=Provenance(
            source="exploration",
            kind="t-LLZO",
            group="g",
            iteration=2,
            temperature_K=900.0,
            details={"a": [1]},
        ),
    )
    label = make_label(frame, virial=False)
    (identity,) = store.request([frame], physics=PHYSICS, split="held-out")
    assert identity == label_identity(frame, PHYSICS)
    assert store.add_label(identity, label)
    (record,) = LabelStore(path).records()
    assert (record.identity, record.split, record.failure) == (identity, "held-out", None)
    assert record.provenances == (frame.provenance,)
    for name in ("symbols", "periodic", "charge", "multiplicity", "provenance"):
        assert getattr(record.frame, name) == getattr(frame, name)
    np.testing.assert_array_equal(record.frame.positions_A, frame.positions_A)
    np.testing.assert_array_equal(record.frame.cell_A, frame.cell_A)
    for name in ("energy_eV", "wall_s", "program"):
        assert getattr(record.label, name) == getattr(label, name)
    np.testing.assert_array_equal(record.label.forces_eV_per_A, label.forces_eV_per_A)
    assert record.label.virial_eV is None
    assert record.max_force_eV_per_A == max_force(label.forces_eV_per_A)


def test_requesting_again_changes_nothing_but_the_provenances(store):
    frame = make_frame(0)
    (identity,) = store.request([frame], physics=PHYSICS, split="held-out")
    label = make_label(frame)
    store.add_label(identity, label)
    other = replace(
        frame,
        symbols=frame.symbols[::-1],
        positions_A=frame.positions_A[::-1] + frame.cell_A[1],
        provenance=Provenance(source="exploration", kind="test", group="md", iteration=1),
    )
    for _ in range(2):
        assert store.request([other, frame, other], physics=PHYSICS, split="training") == [identity] * 3
    (record,) = store.records()
    assert record.split == "held-out"
    assert record.provenances == (frame.provenance, other.provenance)
    assert record.frame.symbols == frame.symbols
    assert record.label.energy_eV == label.energy_eV
    assert store.pending() == []


def test_a_label_in_another_order_of_atoms_is_put_in_the_stored_one(store):
    frame = make_frame(0, "LiOLiLaO")
    order = [3, 0, 4, 2, 1]
    shuffled = replace(
        frame,
        symbols=tuple(frame.symbols[i] for i in order),
        positions_A=frame.positions_A[order] - frame.cell_A[2],
    )
    label = make_label(frame)
    (identity,) = store.request([frame], physics=PHYSICS, split="training")
    store.add_label(identity, replace(label, forces_eV_per_A=label.forces_eV_per_A[order]), frame=shuffled)
    (record,) = store.records()
    np.testing.assert_array_equal(record.label.forces_eV_per_A, label.forces_eV_per_A)


def test_a_label_is_never_overwritten_and_failures_can_be_retried(store):
    frames = [make_frame(seed) for seed in range(3)]
    first, second, third = store.request(frames, physics=PHYSICS, split="training")
    assert {identity for identity, _ in store.pending()} == {first, second, third}
    label = make_label(frames[0])
    assert store.add_label(first, label)
    assert not store.add_label(first, make_label(frames[0], seed=9))
    assert not store.add_failure(first, FAILURE)
    assert store.add_failure(second, FAILURE)
    assert not store.add_failure(second, FAILURE)
    assert [identity for identity, _ in store.pending()] == [third]
    assert store.pending([first, second]) == []
    failed = [record for record in store.records(labelled=False) if record.failure]
    assert [(record.identity, record.failure) for record in failed] == [(second, FAILURE)]
    assert next(iter(store.records())).label.energy_eV == label.energy_eV
    assert store.retry([first, second, third]) == 1
    assert {identity for identity, _ in store.pending()} == {second, third}
    store.add_failure(second, FAILURE)
    assert store.add_label(second, make_label(frames[1]))
    assert store.counts().total == SplitCounts(pending=1, labelled=2, failed=0)


def test_counts_by_split_status_and_force_cap(store):
    for split, seeds in {"training": range(4), "held-out": range(4, 6), "candidate": (6,)}.items():
        frames = [make_frame(seed) for seed in seeds]
        identities = store.request(frames, physics=PHYSICS, split=split)
        for seed, frame, identity in zip(seeds, frames, identities, strict=True):
            if seed < 3:
                store.add_label(identity, make_label(frame, scale=1000.0 if seed == 2 else 0.1))
            if seed == 4:
                store.add_failure(identity, FAILURE)
    counts = store.counts(force_cap_eV_per_A=50.0)
    assert counts.splits == {
        "training": SplitCounts(pending=1, labelled=3, excluded=1),
        "held-out": SplitCounts(pending=1, failed=1),
        "candidate": SplitCounts(pending=1),
        "audit": SplitCounts(),
    }
    assert counts.splits["training"].usable == 2
    assert counts.failure_causes == {"not converged": 1}
    assert store.counts().total == SplitCounts(pending=3, labelled=3, failed=1)
    kept, excluded = usable(store.records(labelled=None), 50.0)
    assert (len(kept), len(excluded)) == (2, 1)
    assert store.counts(identities=[excluded[0].identity], force_cap_eV_per_A=1.0).total.excluded == 1


def test_a_candidate_is_decided_once_and_by_its_label(store):
    frames = [make_frame(seed) for seed in range(3)]
    one, two = store.request(frames[:2], physics=PHYSICS, split="candidate")
    (fixed,) = store.request(frames[2:], physics=PHYSICS, split="held-out")
    with pytest.raises(StageError, match="no label yet"):
        store.decide(one, "training")
    for identity, frame in zip((one, two, fixed), frames, strict=True):
        store.add_label(identity, make_label(frame))
    store.decide(one, "training")
    store.decide(two, "audit")
    store.decide(two, "audit")
    assert [record.identity for record in store.records(split="audit")] == [two]
    assert {record.identity for record in store.records(split=("audit", "held-out"))} == {two, fixed}
    with pytest.raises(StageError, match="decided as 'audit' already"):
        store.decide(two, "training")
    with pytest.raises(StageError, match="not a candidate"):
        store.decide(fixed, "training")
    with pytest.raises(StageError, match="'training' or 'audit'"):
        store.decide(one, "held-out")
    with pytest.raises(StageError, match="was ever requested"):
        store.decide("v1-unknown", "audit")
    assert store.request(frames[:1], physics=PHYSICS, split="candidate") == [one]
    assert next(store.records(identities=[one])).split == "training"


def test_frames_are_not_requested_for_the_audit(store):
    with pytest.raises(StageError, match="'audit'"):
        store.request([make_frame(0)], physics=PHYSICS, split="audit")


def test_records_do_not_depend_on_the_order_of_entering(tmp_path):
    frames = [make_frame(seed) for seed in range(8)]
    hashes, orders = set(), set()
    for number, order in enumerate((frames, frames[::-1])):
        store = LabelStore(tmp_path / f"{number}.sqlite")
        for frame in order:
            (identity,) = store.request([frame], physics=PHYSICS, split="training")
            store.add_label(identity, make_label(frame, seed=frame.provenance.frame))
        records = list(store.records())
        hashes.add(dataset_hash(records))
        orders.add(tuple(record.identity for record in records))
    assert len(hashes) == len(orders) == 1


def test_the_data_set_hash_sees_splits_and_labels(store):
    frame = make_frame(0)
    (identity,) = store.request([frame], physics=PHYSICS, split="candidate")
    store.add_label(identity, make_label(frame))
    before = list(store.records())
    store.decide(identity, "training")
    after = list(store.records())
    relabelled = replace(after[0], label=make_label(frame, seed=1))
    assert len({dataset_hash(before), dataset_hash(after), dataset_hash([relabelled])}) == 3
    assert dataset_hash(after) == dataset_hash(list(store.records()))


def test_labels_are_counted_by_what_computed_them(store):
    frames = [make_frame(seed) for seed in range(5)]
    identities = store.request(frames, physics=PHYSICS, split="training")
    programs = ("VASP 6.3.0", "VASP 6.4.2", "", "VASP 6.4.2")
    for identity, frame, program in zip(identities, frames, programs, strict=False):
        store.add_label(identity, replace(make_label(frame), program=program))
    assert store.programs(physics=PHYSICS) == {"VASP 6.4.2": 2, "": 1, "VASP 6.3.0": 1}
    assert store.programs(physics={"method": "another"}) == {}


def test_labels_of_two_methods_never_mix(store):
    frame = make_frame(0)
    other = PHYSICS | {"cutoff_A": 7.0}
    (one,) = store.request([frame], physics=PHYSICS, split="training")
    (two,) = store.request([frame], physics=other, split="training")
    assert one != two
    assert sorted(map(str, store.physics_in_use().values())) == sorted(
        map(
            str,
            (
                {"cutoff_A": 6, "method": "classical reference"},
                {"cutoff_A": 7, "method": "classical reference"},
            ),
        )
    )
    for call in (store.pending, lambda: store.records(labelled=None)):
        with pytest.raises(UserError, match="2 different labelling settings"):
            call()
    assert [identity for identity, _ in store.pending(physics=other)] == [two]
    assert [identity for identity, _ in store.pending([one])] == [one]
    assert store.counts(physics=PHYSICS).total.pending == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forces_eV_per_A": np.zeros((3, 3))}, r"shape \(3, 3\), expected \(4, 3\)"),
        ({"virial_eV": np.zeros(6)}, r"shape \(6,\), expected \(3, 3\)"),
        ({"energy_eV": float("nan")}, "not finite"),
        ({"forces_eV_per_A": np.full((4, 3), np.inf)}, "not finite"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(store, changes, message):
    frame = make_frame(0)
    (identity,) = store.request([frame], physics=PHYSICS, split="training")
    with pytest.raises(StageError, match=message):
        store.add_label(identity, replace(make_label(frame), **changes))
    assert store.counts().total == SplitCounts(pending=1)


def test_many_frames_and_threads(store):
    frames = [make_frame(seed, "LiO") for seed in range(300)]
    identities = store.request(frames, physics=PHYSICS, split="training")
    stored = []

    def work(part):
        for identity, frame in part:
            if store.add_label(identity, make_label(frame)):
                stored.append(identity)

    pairs = list(zip(identities, frames, strict=True))[:40]
    threads = [threading.Thread(target=work, args=(pairs,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored) == sorted(identity for identity, _ in pairs)
    assert [record.identity for record in store.records(labelled=None)] == sorted(identities)
    assert len(store.pending()) == 260


# -- trouble ----------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(path, store):
    frame = make_frame(0)
    (identity,) = store.request([frame], physics=PHYSICS, split="training")
    store.add_label(identity, make_label(frame))
    return identity


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE labels SET energy = energy + 1e-9", "checksum of the label"),
        ("UPDATE labels SET forces = zeroblob(length(forces))", "checksum of the label"),
        ("UPDATE labels SET virial = NULL", "checksum of the label"),
        ("UPDATE frames SET positions = zeroblob(length(positions))", "checksum of the frame"),
        ("UPDATE frames SET header = replace(header, 'La', 'Zr')", "checksum of the frame"),
        ("DELETE FROM provenances", "missing provenance"),
        ("UPDATE provenances SET json = '{'", "text in provenances"),
        ("UPDATE provenances SET json = '{\"a\": 1}'", "provenance"),
    ],
)
def test_a_damaged_row_is_named_with_the_way_out(path, labelled, statement, what):
    change(path, statement)
    with pytest.raises(StageError, match=what) as caught:
        list(LabelStore(path).records())
    for word in (str(path), labelled, "DELETE FROM"):
        assert word in str(caught.value)


def test_the_advised_remedy_works(path, labelled):
    change(path, "UPDATE labels SET energy = 0")
    with pytest.raises(StageError) as caught:
        list(LabelStore(path).records())
    database = sqlite3.connect(path)
    database.executescript(str(caught.value).split('"')[1])
    database.close()
    assert [identity for identity, _ in LabelStore(path).pending()] == [labelled]


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be one " * 50, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StageError, match=r"labels\.sqlite: the label store is damaged"):
        LabelStore(path)
    assert path.read_bytes() == content


def test_a_truncated_database(path, labelled):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StageError, match="damaged"):
        list(LabelStore(path).records())


def test_another_version_and_another_program(path, store):
    change(path, "PRAGMA user_version = 7")
    with pytest.raises(UserError, match="format version 7, but this program reads version 1") as caught:
        LabelStore(path)
    assert caught.value.exit_code == ExitCode.USER_ERROR
    change(path, "PRAGMA application_id = 1")
    with pytest.raises(UserError, match="no label store"):
        LabelStore(path)


def test_write_ahead_logging_is_refused(path, store):
    change(path, "PRAGMA journal_mode = WAL")
    with pytest.raises(UserError, match="journal mode"):
        LabelStore(path)


def test_an_empty_file_left_by_a_crash_becomes_a_store(path):
    path.parent.mkdir(parents=True)
    path.touch()
    assert LabelStore(path).counts().total == SplitCounts()


def limited(monkeypatch, pragma):
    original = _sqlite.connection

    from contextlib import contextmanager

    @contextmanager
    def connection(path):
        with original(path) as database:
            database.execute(pragma)
            yield database

    monkeypatch.setattr(_sqlite, "connection", connection)


def test_a_full_disk(path, labelled, monkeypatch):
    limited(monkeypatch, "PRAGMA max_page_count = 1")
    store = LabelStore(path)
    with pytest.raises(StageError, match=r"labels\.sqlite: entering frames failed because the disk is full"):
        store.request(
            [make_frame(seed, "LiO" * 200) for seed in range(1, 5)], physics=PHYSICS, split="training"
        )
    monkeypatch.undo()
    assert [record.identity for record in LabelStore(path).records(labelled=None)] == [labelled]


def test_a_store_that_cannot_be_written(path, labelled, monkeypatch):
    limited(monkeypatch, "PRAGMA query_only = ON")
    store = LabelStore(path)
    with pytest.raises(UserError, match="write permission"):
        store.request([make_frame(1)], physics=PHYSICS, split="training")
    assert len(list(store.records())) == 1


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be created"):
        LabelStore(tmp_path / "file" / "labels.sqlite")


def test_an_odd_path(tmp_path):
    store = LabelStore(tmp_path / "a b?mode=ro#x%20" / "labels.sqlite")
    store.request([make_frame(1)], physics=PHYSICS, split="training")
    assert store.path.exists()


def test_a_lock_that_is_never_released(path, labelled, monkeypatch):
    monkeypatch.setattr(_sqlite, "_BUSY_TIMEOUT_S", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StageError, match="another process"):
        LabelStore(path)
    holder.close()
