"""Failed attempts in the label store, and stores of the first releases."""

from __future__ import annotations

import sqlite3

import pytest
from dataset_helpers import PHYSICS, make_frame, make_label

from llzo_al.dataset import _sqlite
from llzo_al.dataset.frames import LabelFailure
from llzo_al.dataset.store import LabelStore, SplitCounts

CRASH = LabelFailure(cause="crash", reason="signal SIGSEGV")
SLOW = LabelFailure(cause="time limit", reason="stopped after 60 s")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.sqlite"


@pytest.fixture
def store(path):
    return LabelStore(path)


def entered(store, n=1):
    return store.request([make_frame(seed) for seed in range(n)], physics=PHYSICS, split="training")


def test_an_attempt_that_is_not_the_last_leaves_the_frame_waiting(store):
    (identity,) = entered(store)
    assert store.add_failure(identity, CRASH, final=False)
    assert [waiting for waiting, _ in store.pending()] == [identity]
    assert store.counts().failure_causes == {}
    assert store.add_failure(identity, SLOW)
    assert store.pending() == []
    assert not store.add_failure(identity, SLOW)
    attempts = store.attempts([identity])[identity]
    assert [(each.number, each.cause, each.counted) for each in attempts] == [
        (1, "crash", True),
        (2, "time limit", True),
    ]
    assert all(each.ended > 1.6e9 for each in attempts)
    assert store.counts().failure_causes == {"time limit": 1}


def test_retrying_forgives_but_does_not_forget(store):
    first, second = entered(store, 2)
    for identity in (first, second):
        store.add_failure(identity, CRASH)
    assert store.retry([first]) == 1
    assert [each.counted for each in store.attempts([first])[first]] == [False]
    store.add_failure(first, SLOW, final=False)
    assert [(each.number, each.counted) for each in store.attempts([first])[first]] == [(1, False), (2, True)]
    store.add_label(first, make_label(make_frame(0)))
    assert len(store.attempts([first, second])[first]) == 2
    assert [each.counted for each in store.attempts([second])[second]] == [True]


def test_identities_by_status(store):
    frames = entered(store, 3)
    store.add_label(frames[0], make_label(make_frame(0)))
    store.add_failure(frames[1], CRASH)
    assert store.identities(labelled=True) == [frames[0]]
    assert store.identities(labelled=False) == sorted(frames[1:])
    assert store.identities() == sorted(frames)


def of_the_first_release(path):
    """Take away what the first releases did not have; a label, a failure and a waiting frame are in it."""
    store = LabelStore(path)
    labelled, failed, waiting = entered(store, 3)
    store.add_label(labelled, make_label(make_frame(0)))
    store.add_failure(failed, CRASH)
    database = sqlite3.connect(path)
    for table in _sqlite._ADDED:
        database.execute(f"DROP TABLE {table}")
    database.commit()
    database.close()
    return labelled, failed, waiting


def test_a_store_of_the_first_release_is_taken_up(path):
    labelled, failed, waiting = of_the_first_release(path)
    store = LabelStore(path)
    assert store.counts().total == SplitCounts(pending=1, labelled=1, failed=1)
    assert [(each.number, each.cause, each.ended) for each in store.attempts([failed])[failed]] == [
        (1, "crash", 0.0)
    ]
    assert store.attempts([labelled, waiting]) == {}
    assert store.programs() == {"": 1}
    assert store.retry([failed]) == 1
    store.add_failure(failed, SLOW)
    assert [each.number for each in LabelStore(path).attempts([failed])[failed]] == [1, 2]


def test_the_first_release_can_go_on_with_a_store_of_this_one(path):
    """Its statements, on a store that this program has opened: running campaigns are not cut off."""
    _, failed, waiting = of_the_first_release(path)
    LabelStore(path)
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (1,)
    database.execute("INSERT OR IGNORE INTO failures VALUES (?, ?, ?)", (waiting, "crash", "again"))
    database.execute("DELETE FROM failures WHERE identity = ?", (failed,))
    database.commit()
    database.close()
    assert [identity for identity, _ in LabelStore(path).pending()] == [failed]
