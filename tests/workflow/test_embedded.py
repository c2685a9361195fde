"""The embedded LaunchPad: durability, isolation, repair of what a killed worker leaves, and errors."""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import bson.errors
import launchpad_worlds as worlds
import mongomock
import mongomock.gridfs
import pytest
from fireworks import Firework, FWorker, LaunchPad
from fireworks.core import launchpad as fireworks_launchpad
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from llzo_al.errors import LlzoAlError, StageError, UserError
from llzo_al.workflow import document_file, embedded, filesystem
from llzo_al.workflow.document_client import EmbeddedClient
from llzo_al.workflow.document_file import WriteNeededError
from llzo_al.workflow.embedded import EmbeddedLaunchPad
from llzo_al.workflow.repair import rerun_of_worker, unexplained

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["launchpad_worlds"])  # its children have FireWorks imported already
MOMENTS = ("while writing", "before commit", "after commit")


@pytest.fixture(scope="module", autouse=True)
def _preloaded() -> None:
    """Start the fork server where it finds its modules: Python 3.11 looks for them on PYTHONPATH only."""
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        multiprocessing.forkserver.ensure_running()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # FireWorks' rapidfire changes directory; this puts it back
    return tmp_path / "launchpad.sqlite"


@pytest.fixture
def launchpad(path: Path) -> Iterator[EmbeddedLaunchPad]:
    launchpad = EmbeddedLaunchPad(path)
    yield launchpad
    launchpad.close()


def count(launchpad: LaunchPad) -> dict[str, int]:
    names = ("fireworks", "workflows", "launches")
    return {name: getattr(launchpad, name).count_documents({}) for name in names}


# --- FireWorks' features ---


def test_a_growing_workflow_runs_to_its_end(launchpad: EmbeddedLaunchPad, tmp_path: Path) -> None:
    log = tmp_path / "log"
    launchpad.add_wf(worlds.growing_workflow(log))

    worlds.work(launchpad, tmp_path / "work")

    expected = dict.fromkeys(worlds.GROWN, "COMPLETED") | {"failing": "FIZZLED"}
    assert worlds.names_and_states(launchpad) == expected
    ran = log.read_text().split()
    assert Counter(ran) == Counter(worlds.GROWN)
    assert ran.index("grow") < ran.index("detour") < ran.index("join") < ran.index("tolerant")
    join = launchpad.fireworks.find_one({"name": "join"})
    assert join["spec"]["seen"] == "grow"
    tolerant = launchpad.fireworks.find_one({"name": "tolerant"})
    assert [parent["name"] for parent in tolerant["spec"]["_fizzled_parents"]] == ["failing"]


def test_another_process_would_see_the_same(launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.growing_workflow(tmp_path / "log"))
    worlds.work_in_process(launchpad)

    reopened = EmbeddedLaunchPad(path)

    for name in ("fireworks", "workflows", "launches", "fw_id_assigner"):
        assert list(getattr(reopened, name).find()) == list(getattr(launchpad, name).find())
    reopened.close()


def test_every_call_of_launchpad_is_classified() -> None:
    names = {name for name, _ in inspect.getmembers(LaunchPad, callable) if not name.startswith("_")}
    assert names >= embedded.READS
    assert names | {"to_db_dict"} >= embedded.NOT_TRANSACTIONS
    assert not embedded.READS & embedded.NOT_TRANSACTIONS
    for name in names - embedded.NOT_TRANSACTIONS - {"auto_load"}:
        assert hasattr(getattr(EmbeddedLaunchPad, name), "__wrapped__"), f"{name} is no transaction"
    for name in embedded.INTERNAL_WRITES:
        assert hasattr(getattr(EmbeddedLaunchPad, name), "__wrapped__")


def test_it_has_the_attributes_of_launchpad(launchpad: EmbeddedLaunchPad) -> None:
    mongomock.gridfs.enable_gridfs_integration()
    with mock.patch.object(fireworks_launchpad, "MongoClient", mongomock.MongoClient):
        assert set(vars(LaunchPad())) <= set(vars(launchpad))


def test_sorting_by_dates(launchpad: EmbeddedLaunchPad, tmp_path: Path) -> None:
    for name in ("first", "second"):
        launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 1, name=name))
    launchpad.fireworks.update_one({"fw_id": 2}, {"$set": {"created_on": "2020-01-01T00:00:00+00:00"}})

    assert launchpad.get_fw_ids(sort=[("created_on", ASCENDING)]) == [2, 1]
    assert launchpad.get_wf_ids(sort=[("created_on", DESCENDING)]) == [2, 1]
    assert launchpad.get_wf_ids(sort=[("updated_on", ASCENDING)], limit=1) == [1]
    assert launchpad.get_fw_ids_in_wfs({"name": "second"}, sort=[("created_on", ASCENDING)]) == [2]


def test_checkout_takes_the_highest_priority_then_the_oldest(
    launchpad: EmbeddedLaunchPad, tmp_path: Path
) -> None:
    for label, priority in (("low", 1), ("high", 9), ("high too", 9), ("middle", 5)):
        launchpad.add_wf(worlds.firework(label, tmp_path, _priority=priority))
    with mock.patch.object(fireworks_launchpad, "SORT_FWS", "FIFO"):
        order = [launchpad.checkout_fw(FWorker(), "/nowhere")[0].name for _ in range(4)]
    assert order == ["high", "high too", "middle", "low"]


def test_a_reading_call_that_must_write_does(launchpad: EmbeddedLaunchPad, path: Path) -> None:
    """FireWorks' run_exists fizzles a firework whose task cannot be loaded."""
    launchpad.add_wf(Firework(worlds.RecordTask(), name="unloadable"))
    launchpad.fireworks.update_one({"fw_id": 1}, {"$set": {"spec._tasks": [{"_fw_name": "{{no.Such}}"}]}})
    with launchpad.connection.file.transaction(write=False), pytest.raises(WriteNeededError):
        launchpad.set_priority(1, 3)

    assert not launchpad.run_exists(FWorker())

    reopened = EmbeddedLaunchPad(path)
    assert reopened.fireworks.find_one({"fw_id": 1})["state"] == "FIZZLED"
    reopened.close()


def test_reset_empties_the_file(launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 3))
    launchpad.reset("", require_password=False)
    for either in (launchpad, EmbeddedLaunchPad(path)):
        assert count(either) == {"fireworks": 0, "workflows": 0, "launches": 0}
        assert either.fw_id_assigner.find_one()["next_fw_id"] == 1
        either.close()


def test_documents_come_in_the_order_of_their_insertion(launchpad: EmbeddedLaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 30))
    for fw_id in (20, 3, 11):
        launchpad.pause_fw(fw_id)
        launchpad.resume_fw(fw_id)
    assert [fw["fw_id"] for fw in launchpad.fireworks.find({"state": "READY"})] == list(range(1, 31))


def test_firework_ids_stay_unique(launchpad: EmbeddedLaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
    with pytest.raises(DuplicateKeyError):
        launchpad.fireworks.insert_one({"fw_id": 2})
    with pytest.raises(DuplicateKeyError):
        launchpad.fireworks.update_one({"fw_id": 1}, {"$set": {"fw_id": 2}})
    assert sorted(launchpad.get_fw_ids()) == [1, 2]


def test_to_dict_opens_the_same_launchpad(launchpad: EmbeddedLaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
    other = EmbeddedLaunchPad.from_dict(launchpad.to_dict())
    assert count(other) == count(launchpad)
    other.close()


# --- The query engine against plain mongomock ---

VALUES = st.one_of(
    st.integers(0, 3), st.sampled_from(["a", "b"]), st.none(), st.lists(st.integers(0, 3), max_size=2)
)
DOCUMENTS = st.fixed_dictionaries({}, optional={"state": VALUES, "launches": VALUES, "x": VALUES})
CONDITIONS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"$in": st.lists(st.integers(0, 3), max_size=3)}),
    st.fixed_dictionaries({"$ne": st.integers(0, 3)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$eq": st.one_of(st.integers(0, 3), st.none())}),
)
QUERIES = st.dictionaries(st.sampled_from(["state", "launches", "x"]), CONDITIONS, max_size=2)
CHANGES = st.one_of(
    st.builds(lambda key, value: {"$set": {key: value}}, st.sampled_from(["state", "launches"]), VALUES),
    st.just({"$unset": {"launches": ""}}),
)
OPERATIONS = st.one_of(
    st.tuples(st.just("insert_one"), DOCUMENTS),
    st.tuples(st.just("update_one"), QUERIES, CHANGES),
    st.tuples(st.just("update_many"), QUERIES, CHANGES),
    st.tuples(st.just("replace_one"), QUERIES, DOCUMENTS),
    st.tuples(st.just("delete_one"), QUERIES),
    st.tuples(st.just("find_one_and_update"), QUERIES, CHANGES),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operations=st.lists(OPERATIONS, max_size=12),
    undone=st.lists(OPERATIONS, max_size=4),
    queries=st.lists(QUERIES, min_size=1, max_size=4),
)
def test_operations_and_queries_agree_with_mongomock(
    tmp_path: Path,
    operations: list[tuple[Any, ...]],
    undone: list[tuple[Any, ...]],
    queries: list[dict[str, Any]],
) -> None:
    path = tmp_path / "agree.sqlite"
    for old in tmp_path.glob("agree.sqlite*"):
        old.unlink()
    client = EmbeddedClient(path)
    ours, plain = client.db.fireworks, mongomock.MongoClient().db.fireworks

    def apply(collection: Any, operations: list[tuple[Any, ...]], first_id: int) -> None:
        for number, (name, *arguments) in enumerate(operations, start=first_id):
            if name == "insert_one":
                arguments = [{"_id": f"id-{number}", **arguments[0]}]
            getattr(collection, name)(*[dict(argument) for argument in arguments])

    apply(plain, operations, 1)
    apply(ours, operations, 1)
    with contextlib.suppress(InterruptedError), client.file.transaction():
        apply(ours, undone, 100)
        raise InterruptedError
    reopened = EmbeddedClient(path)
    for query in queries:
        expected = list(plain.find(query))
        for collection in (ours, reopened.db.fireworks):
            assert list(collection.find(query)) == expected
            assert collection.count_documents(query) == len(expected)
            assert collection.find_one(query) == plain.find_one(query)
            assert collection.find_one(query, {"x": 1}, sort=[("state", -1), ("x", 1)]) == plain.find_one(
                query, {"x": 1}, sort=[("state", -1), ("x", 1)]
            )
            assert list(collection.aggregate([{"$match": query}])) == expected
    client.close()
    reopened.close()


# --- Several processes and threads ---


def test_processes_share_a_file_with_one_launch_each(path: Path, tmp_path: Path) -> None:
    log, total = tmp_path / "log", 40
    launchpad = EmbeddedLaunchPad(path)
    launchpad.add_wf(worlds.independent_workflow(log, total // 2))
    for number in range(total // 2):
        launchpad.add_wf(worlds.firework(f"single{number}", log))
    start = FORKSERVER.Barrier(3)
    workers = [
        FORKSERVER.Process(target=worlds.worker_process, args=(path, tmp_path / f"w{n}", f"w{n}", start))
        for n in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]

    assert set(worlds.names_and_states(launchpad).values()) == {"COMPLETED"}
    assert max(Counter(log.read_text().split()).values()) == 1
    assert count(launchpad)["launches"] == total
    assert len(launchpad.launches.distinct("launch_id")) == total
    assert len(launchpad.launches.distinct("fworker.name")) > 1, "one worker did it all"
    assert not unexplained(launchpad, worlds.OWNER)
    launchpad.close()


def test_processes_may_create_the_file_together(path: Path, tmp_path: Path) -> None:
    start = FORKSERVER.Barrier(4)
    workers = [
        FORKSERVER.Process(target=worlds.worker_process, args=(path, tmp_path, "w", start)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    launchpad = EmbeddedLaunchPad(path)
    assert launchpad.fw_id_assigner.count_documents({}) == 1
    launchpad.close()


def test_what_one_writes_the_other_reads(launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path) -> None:
    other = EmbeddedLaunchPad(path)
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
    assert sorted(other.get_fw_ids()) == [1, 2]
    taken, _ = other.checkout_fw(FWorker(), "/nowhere")
    assert launchpad.get_fw_ids({"state": "RUNNING"}) == [taken.fw_id]
    other.delete_wf(1)
    assert count(launchpad) == {"fireworks": 0, "workflows": 0, "launches": 0}
    other.close()


def test_threads_share_one_object(launchpad: EmbeddedLaunchPad) -> None:
    taken: list[int] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(launchpad.get_new_fw_id() for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 81))


def test_a_forked_child_opens_its_own_connection(
    launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path
) -> None:
    launchpad.add_wf(worlds.firework("parent's", tmp_path))
    child = os.fork()
    if not child:
        try:
            launchpad.add_wf(worlds.firework("child's", tmp_path))
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    launchpad.add_wf(worlds.firework("parent's too", tmp_path))
    assert set(worlds.names_and_states(launchpad)) == {"parent's", "child's", "parent's too"}
    assert check_integrity(path) == "ok"


def test_a_child_forked_inside_a_transaction_starts_clean(
    launchpad: EmbeddedLaunchPad, tmp_path: Path
) -> None:
    with launchpad.transaction():
        launchpad.add_wf(worlds.firework("parent's", tmp_path))
        child = os.fork()
        if not child:
            os._exit(0 if launchpad.get_fw_ids() == [] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert launchpad.get_fw_ids() == [1]


# --- Rollback ---


def test_a_failing_call_changes_nothing(launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("before", tmp_path))
    workflow = worlds.independent_workflow(tmp_path / "log", 3)
    workflow.metadata = {"not BSON": object()}

    with pytest.raises(bson.errors.InvalidDocument):
        launchpad.add_wf(workflow)  # after its three fireworks were inserted

    other = EmbeddedLaunchPad(path)
    for either in (launchpad, other):
        assert worlds.names_and_states(either) == {"before": "READY"}
        assert either.fw_id_assigner.find_one()["next_fw_id"] == 2
    launchpad.add_wf(worlds.firework("after", tmp_path))
    assert sorted(other.get_fw_ids()) == [1, 2]
    other.close()


def test_an_interrupted_transaction_changes_nothing(
    launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path
) -> None:
    launchpad.add_wf(worlds.growing_workflow(tmp_path / "log"))
    before = list(launchpad.fireworks.find()), list(launchpad.workflows.find())

    def fail_half_way() -> None:
        with launchpad.transaction():
            launchpad.checkout_fw(FWorker(), "/nowhere")
            launchpad.delete_wf(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()

    assert (list(launchpad.fireworks.find()), list(launchpad.workflows.find())) == before
    assert launchpad.get_fw_ids({"state": "RUNNING"}) == []
    assert count(launchpad)["launches"] == 0
    assert check_integrity(path) == "ok"


def test_a_document_that_cannot_be_written_is_refused(launchpad: EmbeddedLaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("one", tmp_path))
    with pytest.raises(bson.errors.InvalidDocument):
        launchpad.fireworks.update_one({"fw_id": 1}, {"$push": {"spec.list": object()}})
    assert "list" not in launchpad.fireworks.find_one({"fw_id": 1})["spec"]


# --- SIGKILL ---


def check_integrity(path: Path) -> str:
    connection = sqlite3.connect(path)
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return str(answer)


def die_at(path: Path, directory: Path, commit: int, moment: str) -> int | None:
    worker = FORKSERVER.Process(target=worlds.doomed_worker_process, args=(path, directory, commit, moment))
    worker.start()
    worker.join(60)
    return worker.exitcode


def finish_after_a_kill(path: Path, log: Path) -> None:
    launchpad = EmbeddedLaunchPad(path)
    # Each call is whole or absent, so nothing but the dead worker's task is ever left to repair.
    assert not unexplained(launchpad, worlds.OWNER)
    assert len(rerun_of_worker(launchpad, "doomed", worlds.OWNER)) <= 1
    assert rerun_of_worker(launchpad, "doomed", worlds.OWNER) == []
    worlds.work_in_process(launchpad)
    assert worlds.names_and_states(launchpad) == dict.fromkeys(worlds.GROWN, "COMPLETED")
    assert launchpad.workflows.find_one()["state"] == "COMPLETED"
    assert launchpad.workflows.count_documents({"locked": {"$exists": True}}) == 0
    assert set(log.read_text().split()) == set(worlds.GROWN)
    launchpad.close()
    assert check_integrity(path) == "ok"


def kill_at_each_commit(tmp_path: Path, moments: tuple[str, ...]) -> int:
    """Kill a worker at its first commit, one in a fresh campaign at its second, and so on; count them."""
    commit = 0
    while True:
        commit += 1
        for moment in moments if len(moments) == 1 else (moments[commit % len(moments)],):
            home = tmp_path / f"{commit} {moment}"
            home.mkdir()
            path, log = home / "launchpad.sqlite", home / "log"
            launchpad = EmbeddedLaunchPad(path)
            launchpad.add_wf(worlds.growing_workflow(log, failing=False))
            launchpad.close()
            exit_code = die_at(path, home / "work", commit, moment)
            finish_after_a_kill(path, log)
        if exit_code == 0:
            return commit - 1
        assert exit_code == -signal.SIGKILL


@pytest.mark.kill
def test_a_worker_killed_at_any_commit_is_repaired(tmp_path: Path) -> None:
    assert kill_at_each_commit(tmp_path, MOMENTS) >= 20


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_at_any_moment_of_any_commit_is_repaired(tmp_path: Path, moment: str) -> None:
    assert kill_at_each_commit(tmp_path, (moment,)) >= 20


@pytest.mark.kill
def test_a_campaign_whose_workers_keep_dying_ends(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    launchpad = EmbeddedLaunchPad(path)
    launchpad.add_wf(worlds.growing_workflow(log, failing=False))
    lives = 0
    while die_at(path, tmp_path / "work", 6, MOMENTS[lives % 3]) != 0:
        lives += 1
        rerun_of_worker(launchpad, "doomed", worlds.OWNER)
        assert lives < 30, "no progress"
    assert lives >= 3
    launchpad.close()
    finish_after_a_kill(path, log)


def test_a_kill_while_the_file_is_created_leaves_a_new_start(path: Path) -> None:
    path.with_name("launchpad.sqlite-new").write_bytes(b"half a file")
    path.with_name("launchpad.sqlite-new-wal").write_bytes(b"half a log")
    launchpad = EmbeddedLaunchPad(path)
    assert count(launchpad)["fireworks"] == 0
    launchpad.close()


def test_the_log_of_a_removed_file_is_not_replayed(path: Path, tmp_path: Path) -> None:
    old = EmbeddedLaunchPad(path)
    old.add_wf(worlds.independent_workflow(tmp_path / "log", 5))
    path.unlink()
    assert path.with_name("launchpad.sqlite-wal").stat().st_size > 0

    new = EmbeddedLaunchPad(path)

    assert count(new) == {"fireworks": 0, "workflows": 0, "launches": 0}
    assert check_integrity(path) == "ok"
    with pytest.raises(StageError, match="removed or replaced while"):
        old.get_fw_ids()
    new.close()
    old.close()


# --- Errors ---


def mount_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *mounts: tuple[Path | str, str]) -> None:
    lines = ["22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    for number, (point, kind) in enumerate(mounts):
        escaped = str(point).replace(" ", r"\040")
        lines.append(
            f"{30 + number} 22 0:{50 + number} / {escaped} rw master:3 - {kind} server:/home rw,vers=4"
        )
    table = tmp_path / "mountinfo"
    table.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(filesystem, "MOUNT_TABLE", table)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "fuse.sshfs"])
def test_network_filesystems_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    home = tmp_path / "my home"
    mount_table(tmp_path, monkeypatch, (home, kind), (tmp_path / "my", "ext4"))
    with pytest.raises(UserError, match=rf"network filesystem \({kind}\).*local disk.*MongoDB"):
        EmbeddedLaunchPad(home / "campaign" / "launchpad.sqlite")
    assert not home.exists()


def test_local_disks_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, scratch = tmp_path / "home", tmp_path / "home" / "scratch"
    mount_table(tmp_path, monkeypatch, (home, "nfs4"), (scratch, "nfs4"), (scratch, "xfs"))
    assert filesystem.filesystem_type(home / "x") == "nfs4"
    assert filesystem.filesystem_type(scratch / "x") == "xfs"
    EmbeddedLaunchPad(scratch / "launchpad.sqlite").close()


def test_the_real_mount_table_is_understood(tmp_path: Path) -> None:
    if not filesystem.MOUNT_TABLE.exists():
        pytest.skip("no mount table on this system")
    assert filesystem.filesystem_type(Path("/proc/self")) == "proc"
    assert filesystem.filesystem_type(tmp_path)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_text("These are my notes, long enough to be taken for a header of a database file. " * 20)
    with pytest.raises(UserError, match=r"launchpad\.sqlite: .*damaged.*not a database.*Remove"):
        EmbeddedLaunchPad(path)


def test_a_database_of_something_else(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match="is not a LaunchPad file"):
        EmbeddedLaunchPad(path)


def test_a_file_of_another_version(path: Path) -> None:
    EmbeddedLaunchPad(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UserError, match="written by another version"):
        EmbeddedLaunchPad(path)


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_file(path: Path, tmp_path: Path, damage: str) -> None:
    launchpad = EmbeddedLaunchPad(path)
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 50))
    launchpad.close()
    content = path.read_bytes()
    kept = content[:4096]
    path.write_bytes(kept if damage == "truncated" else kept + b"\xff" * (len(content) - 4096))
    with pytest.raises(UserError, match=r"damaged.*Remove launchpad\.sqlite, launchpad\.sqlite-wal"):
        EmbeddedLaunchPad(path)


def test_a_damaged_document(launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("one", tmp_path))
    launchpad.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE documents SET body = x'00ff00ff' WHERE collection = 'fireworks.fireworks'")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match="damaged"):
        EmbeddedLaunchPad(path)


def test_a_full_disk(launchpad: EmbeddedLaunchPad, path: Path, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("one", tmp_path))
    connection = launchpad.connection.file._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StageError, match=r"launchpad\.sqlite: the disk is full"):
        launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 200))
    connection.execute("PRAGMA max_page_count = 1000000")
    assert worlds.names_and_states(launchpad) == {"one": "READY"}
    launchpad.add_wf(worlds.firework("two", tmp_path))
    assert check_integrity(path) == "ok"


def test_a_file_that_may_not_be_written(launchpad: EmbeddedLaunchPad, tmp_path: Path) -> None:
    connection = launchpad.connection.file._connection
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(UserError, match=r"launchpad\.sqlite: cannot be written.*permissions"):
        launchpad.add_wf(worlds.firework("one", tmp_path))
    assert launchpad.get_fw_ids() == []


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    directory = tmp_path / "locked"
    directory.mkdir()
    directory.chmod(0o500)
    if os.access(directory, os.W_OK):  # root may write anywhere but here
        directory = Path("/sys/kernel")
    if not directory.exists():
        pytest.skip("no directory that nobody may write")
    with pytest.raises(UserError, match=r"cannot be (written|opened).*permissions"):
        EmbeddedLaunchPad(directory / "launchpad.sqlite")


def test_a_path_that_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(LlzoAlError, match="cannot be opened"):
        EmbeddedLaunchPad(tmp_path)


def test_a_lock_that_is_never_released(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_file, "LOCK_TIMEOUT_S", 0.3)
    launchpad = EmbeddedLaunchPad(path)
    hanging = sqlite3.connect(path, isolation_level=None)
    hanging.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StageError, match="kept the LaunchPad locked"):
        launchpad.add_wf(worlds.firework("one", tmp_path))
    assert 0.2 < time.monotonic() - started < 5
    assert launchpad.get_fw_ids() == []  # reading needs no lock
    hanging.close()
    launchpad.add_wf(worlds.firework("one", tmp_path))
    launchpad.close()
