"""Opening LaunchPads, FireWorks' command line on them, and their repair."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import launchpad_worlds as worlds
import mongomock
import mongomock.collection
import mongomock.gridfs
import pymongo
import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.scripts import lpad_run

from llzo_al.errors import UserError
from llzo_al.workflow import filesystem, launchpads
from llzo_al.workflow.embedded import EmbeddedLaunchPad
from llzo_al.workflow.launchpads import embedded_file, lpad_command, open_launchpad
from llzo_al.workflow.mongodb import MongoLaunchPad
from llzo_al.workflow.owner import Owner
from llzo_al.workflow.repair import archive_all, release, rerun_of_worker, settle, unexplained

OWNER = worlds.OWNER
OTHERS = (Owner(directory="/there", identity="one"), Owner(directory="/here", identity="two"))
"""A copy of the campaign's directory, and one at the same place of another machine."""


@pytest.fixture(scope="session")
def gridfs() -> None:
    mongomock.gridfs.enable_gridfs_integration()


@pytest.fixture
def mongomock_launchpad(gridfs: None) -> MongoLaunchPad:
    with mock.patch.object(fireworks_launchpad, "MongoClient", mongomock.MongoClient):
        launchpad = MongoLaunchPad(strm_lvl="CRITICAL")
    worlds.empty(launchpad)
    return launchpad


@pytest.fixture
def server_launchpad() -> Iterator[MongoLaunchPad]:
    with worlds.mongodb_database() as settings:
        launchpad = MongoLaunchPad.from_dict({**settings, "strm_lvl": "CRITICAL"})
        worlds.empty(launchpad)
        yield launchpad
        launchpad.connection.close()


SERVER = pytest.param("server_launchpad", marks=pytest.mark.mongodb)


@pytest.fixture(params=["mongomock_launchpad", SERVER])
def mongo(request: pytest.FixtureRequest) -> MongoLaunchPad:
    """Each operation on a document stands alone."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedLaunchPad]:
    launchpad = open_launchpad(tmp_path)
    assert isinstance(launchpad, EmbeddedLaunchPad)
    yield launchpad
    launchpad.close()


@pytest.fixture(params=["embedded", "mongomock_launchpad", SERVER])
def launchpad(request: pytest.FixtureRequest) -> LaunchPad:
    return request.getfixturevalue(request.param)


# --- open_launchpad ---


def test_the_embedded_launchpad_is_in_the_campaign_directory(tmp_path: Path) -> None:
    campaign_dir = tmp_path / "new" / "campaign"
    open_launchpad(campaign_dir).add_wf(worlds.firework("one", tmp_path))
    assert (campaign_dir / "launchpad.sqlite").exists()
    assert worlds.names_and_states(open_launchpad(campaign_dir)) == {"one": "READY"}


def test_a_removed_launchpad_starts_afresh(tmp_path: Path) -> None:
    launchpad = open_launchpad(tmp_path)
    launchpad.add_wf(worlds.firework("one", tmp_path))
    launchpad.close()
    (tmp_path / "launchpad.sqlite").unlink()
    assert open_launchpad(tmp_path).add_wf(worlds.firework("two", tmp_path))


@pytest.fixture
def on_nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A campaign directory that the mount table calls a network's, and a local TMPDIR."""
    table = tmp_path / "mountinfo"
    table.write_text(
        f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:50 / {tmp_path}/home rw - nfs4 server:/home rw\n"
    )
    monkeypatch.setattr(filesystem, "MOUNT_TABLE", table)
    (tmp_path / "local").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "local"))
    return tmp_path / "home" / "campaign"


def test_on_a_network_filesystem_the_embedded_launchpad_is_kept_on_a_local_disk(
    tmp_path: Path, on_nfs: Path
) -> None:
    with pytest.raises(UserError, match=r"temporary folder of the machine that runs it.*llzo-al status"):
        lpad_command(on_nfs, None, ["get_fws"])
    open_launchpad(on_nfs).add_wf(worlds.firework("one", tmp_path))
    place = embedded_file(on_nfs)
    assert place.is_relative_to(tmp_path / "local")
    assert place.exists()
    assert not on_nfs.exists()
    assert place.parent.parent.stat().st_mode & 0o077 == 0
    assert worlds.names_and_states(open_launchpad(on_nfs)) == {"one": "READY"}
    assert embedded_file(on_nfs.with_name("another")) != place


def test_a_folder_of_another_user_is_not_used(on_nfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    with pytest.raises(UserError, match="belongs to another user; set TMPDIR"):
        open_launchpad(on_nfs)


def launchpad_file(tmp_path: Path, **settings: Any) -> Path:
    path = tmp_path / "my_launchpad.yaml"
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchpads, "CONNECTION_TIMEOUT_S", 0.5)
    port = free_port()
    path = launchpad_file(tmp_path, host="127.0.0.1", port=port, name="fireworks")
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"my_launchpad\.yaml: no MongoDB answered at 127\.0\.0\.1:{port}"):
        open_launchpad(tmp_path, path)
    assert time.monotonic() - started < 10
    assert not (tmp_path / "launchpad.sqlite").exists()


def test_a_launchpad_file_opens_fireworks_own(tmp_path: Path, gridfs: None) -> None:
    path = launchpad_file(tmp_path, host="localhost", name="mine", port=27017, strm_lvl="CRITICAL")
    server = mongomock.store.ServerStore()
    connections: list[dict[str, Any]] = []

    def connect(*args: Any, **kwargs: Any) -> Any:
        connections.append(kwargs)
        return mongomock.MongoClient(*args, _store=server, **kwargs)

    with mock.patch.object(fireworks_launchpad, "MongoClient", connect):
        launchpad = open_launchpad(tmp_path, path)
        assert (type(launchpad), launchpad.name) == (MongoLaunchPad, "mine")
        assert connections[0]["serverSelectionTimeoutMS"] == 5000
        assert "serverSelectionTimeoutMS" not in connections[1]  # patience is for work, haste for the check
        launchpad.add_wf(worlds.firework("one", tmp_path))  # the empty database was set up
        assert worlds.names_and_states(open_launchpad(tmp_path, path)) == {"one": "READY"}
    assert not (tmp_path / "launchpad.sqlite").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("port: 27017\n", "expected at least 'host'"),
        ("- a\n- list\n", "expected at least 'host'"),
        ("host: [unclosed\n", "cannot be read as YAML"),
        ("host: localhost\nport: none\n", "cannot be used for MongoDB"),
        ("host: mongodb://user@/nowhere\nuri_mode: true\n", "cannot be used for MongoDB"),
        ("host: mongodb://me:hunter2@db/x\n", "`host` is a URI; add `uri_mode: true`"),
        ("host: localhost\nmongoclient_kwargs: tls\n", "`mongoclient_kwargs` is not a mapping"),
    ],
)
def test_a_wrong_launchpad_file(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "my_launchpad.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=rf"my_launchpad\.yaml: .*{message}"):
        open_launchpad(tmp_path, path)


# --- lpad ---


def lpad_json(capsys: pytest.CaptureFixture[str], campaign_dir: Path, *arguments: str) -> Any:
    capsys.readouterr()
    assert lpad_command(campaign_dir, None, arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_lpad_shows_the_campaigns_fireworks(
    embedded: EmbeddedLaunchPad, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embedded.add_wf(worlds.growing_workflow(tmp_path / "log", name="my campaign"))
    worlds.work_in_process(embedded)
    original = lpad_run.get_lp

    workflow = lpad_json(capsys, tmp_path, "get_wflows", "-d", "more")
    assert (workflow["name"].partition("--")[0], workflow["state"]) == ("my campaign", "COMPLETED")
    assert {name.partition("--")[0] for name in workflow["states"]} == set(worlds.GROWN)
    completed = lpad_json(capsys, tmp_path, "get_fws", "-s", "COMPLETED", "-d", "ids")
    assert len(completed) == len(worlds.GROWN) - 1
    fizzled = lpad_json(capsys, tmp_path, "get_fws", "-s", "FIZZLED", "-d", "less", "--rsort", "updated_on")
    assert fizzled["name"] == "failing"
    assert lpad_json(capsys, tmp_path, "get_wflows", "-d", "count", "--sort", "created_on") == 1
    assert lpad_run.get_lp is original


def test_lpad_changes_the_campaigns_launchpad(embedded: EmbeddedLaunchPad, tmp_path: Path) -> None:
    embedded.add_wf(worlds.firework("one", tmp_path))
    assert lpad_command(tmp_path, None, ["pause_fws", "-i", "1"]) == 0
    assert worlds.names_and_states(embedded) == {"one": "PAUSED"}
    assert lpad_command(tmp_path, None, ["resume_fws", "-i", "1"]) == 0
    assert lpad_command(tmp_path, None, ["admin", "unlock", "-i", "1"]) == 0
    assert worlds.names_and_states(embedded) == {"one": "READY"}


@pytest.mark.parametrize(
    "arguments", [["-l", "x.yaml", "get_wflows"], ["--launchpad_file=x", "report"], ["init"]]
)
def test_lpad_uses_no_other_launchpad(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(UserError, match="lpad"):
        lpad_command(tmp_path, None, arguments)


def test_lpad_reports_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lpad_command(tmp_path, None, ["no_such_command"]) == 2
    assert "invalid choice" in capsys.readouterr().err
    assert lpad_command(tmp_path, None, ["--help"]) == 0
    assert "get_wflows" in capsys.readouterr().out
    with pytest.raises(UserError, match="Invalid password"):
        lpad_command(tmp_path, None, ["reset", "--password", "2001-01-01"])
    with pytest.raises(UserError, match="get_fws"):
        lpad_command(tmp_path, None, ["get_fws", "-q", "{not python"])


def test_the_web_page_shows_the_campaign(embedded: EmbeddedLaunchPad, tmp_path: Path) -> None:
    pytest.importorskip("flask_paginate")
    embedded.add_wf(worlds.growing_workflow(tmp_path / "log", name="my campaign"))
    port = free_port()
    program = (
        "import sys, webbrowser; from pathlib import Path;"
        "from llzo_al.workflow.launchpads import lpad_command;"
        "webbrowser.open = lambda url: True;"
        "lpad_command(Path(sys.argv[1]), None, ['webgui', '--host', '127.0.0.1', '--port', sys.argv[2]])"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        pages = {}
        for page in ("", "fw/1", "wf/1", "fw", "wf"):
            pages[page] = get(f"http://127.0.0.1:{port}/{page}", server)
        embedded.add_wf(worlds.firework("a later one", tmp_path))
        pages["later"] = get(f"http://127.0.0.1:{port}/", server)
    finally:
        server.kill()
        server.wait()
    assert "my campaign" in pages[""]
    assert "tolerant" in pages["fw"] or "tolerant" in pages["fw/1"]
    assert "my campaign" in pages["wf"]
    assert "a later one" not in pages[""]
    assert "a later one" in pages["later"]


def get(url: str, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except ConnectionError:
            pass
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
        assert server.poll() is None, "the web server ended"
        assert time.monotonic() < deadline, "the web server did not start"
        time.sleep(0.1)


# --- what dead workers leave ---


def test_what_is_in_order_is_left_alone(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.growing_workflow(tmp_path / "log"))
    settle(launchpad, OWNER)
    worlds.work_in_process(launchpad)
    before = worlds.names_and_states(launchpad)
    settle(launchpad, OWNER)
    assert rerun_of_worker(launchpad, "worker", OWNER) == []
    assert unexplained(launchpad, OWNER) == set()
    assert worlds.names_and_states(launchpad) == before
    assert before["failing"] == "FIZZLED"  # a failure is not a lost run


def test_what_a_dead_worker_ran_goes_back(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 5))
    dead = worlds.worker("dead")
    lost, _ = launchpad.checkout_fw(dead, "/nowhere")
    reserved, _ = launchpad.reserve_fw(dead, "/nowhere")
    finished, launch_id = launchpad.checkout_fw(dead, "/nowhere")
    launchpad.complete_launch(launch_id, FWAction())
    alive, _ = launchpad.checkout_fw(worlds.worker("alive"), "/nowhere")

    assert rerun_of_worker(launchpad, "dead", OWNER) == sorted([lost.fw_id, reserved.fw_id])

    states = {fw["fw_id"]: fw["state"] for fw in launchpad.fireworks.find()}
    assert states[alive.fw_id] == "RUNNING"
    assert states[finished.fw_id] == "COMPLETED"
    assert Counter(states.values()) == {"READY": 3, "RUNNING": 1, "COMPLETED": 1}
    assert rerun_of_worker(launchpad, "dead", OWNER) == []
    assert rerun_of_worker(launchpad, "never seen", OWNER) == []


@pytest.mark.parametrize("other", OTHERS)
def test_workers_of_one_name_in_two_campaigns(launchpad: LaunchPad, tmp_path: Path, other: Owner) -> None:
    """The campaigns have one name; what the one's dead worker ran is put back, the other's goes on."""
    for owner in (OWNER, other):
        launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 1, name="campaign", owner=owner))
        query = FWorker("campaign-local-0", query=owner.fireworks, env=owner.env)
        launchpad.checkout_fw(query, "/nowhere")
    launchpad.workflows.update_one(other.workflows, {"$set": {"locked": True}})

    assert rerun_of_worker(launchpad, "campaign-local-0", OWNER) == [1]

    assert launchpad.fireworks.find_one(OWNER.fireworks)["state"] == "READY"
    assert launchpad.fireworks.find_one(other.fireworks)["state"] == "RUNNING"
    assert launchpad.workflows.find_one(other.workflows)["locked"]


def test_a_launch_that_is_not_entered_in_its_firework_yet(mongo: LaunchPad, tmp_path: Path) -> None:
    mongo.add_wf(worlds.alone("one", tmp_path))
    mongo.checkout_fw(worlds.worker("dead"), "/nowhere")
    mongo.fireworks.update_one({}, {"$set": {"launches": [], "state": "RESERVED"}})
    assert rerun_of_worker(mongo, "dead", OWNER) == [1]
    assert worlds.names_and_states(mongo) == {"one": "READY"}


def test_a_dead_workers_lock_is_broken(
    mongo: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mongo.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
    lost, _ = mongo.checkout_fw(worlds.worker("dead"), "/nowhere")
    mongo.workflows.update_one({}, {"$set": {"locked": True}})
    monkeypatch.setattr("llzo_al.workflow.repair.LOCK_PATIENCE_S", 0.2)
    assert rerun_of_worker(mongo, "dead", OWNER) == [lost.fw_id]
    assert set(worlds.names_and_states(mongo).values()) == {"READY"}
    assert "locked" not in mongo.workflows.find_one()


def test_a_firework_whose_launch_had_completed_is_completed(mongo: LaunchPad, tmp_path: Path) -> None:
    """Its work is done: it is not done again."""
    mongo.add_wf(worlds.growing_workflow(tmp_path / "log"))
    grow = mongo.fireworks.find_one({"name": "grow"})["fw_id"]
    _, launch_id = mongo.checkout_fw(worlds.worker("w"), "/nowhere", fw_id=grow)
    assert die_at_write(
        mongo, 2, lambda: mongo.complete_launch(launch_id, FWAction(update_spec={"seen": "grow"}))
    )
    assert mongo.launches.find_one()["state"] == "COMPLETED"
    assert mongo.fireworks.find_one({"fw_id": grow})["state"] == "RUNNING"
    assert unexplained(mongo, OWNER) == {grow}

    assert release(mongo, OWNER, {grow}) == []

    assert mongo.fireworks.find_one({"fw_id": grow})["state"] == "COMPLETED"
    join = mongo.fireworks.find_one({"name": "join"})
    assert (join["state"], join["spec"]["seen"]) == ("READY", "grow")


def test_what_nobody_holds_is_released(mongo: LaunchPad, tmp_path: Path) -> None:
    mongo.add_wf(worlds.independent_workflow(tmp_path / "log", 3))
    mongo.checkout_fw(worlds.worker("alive"), "/nowhere")
    mongo.fireworks.update_one({"fw_id": 2}, {"$set": {"state": "RESERVED"}})
    held = {fw["fw_id"] for fw in mongo.fireworks.find({"state": {"$in": ["RESERVED", "RUNNING"]}})}
    assert unexplained(mongo, OWNER) == {2}
    assert release(mongo, OWNER, held) == [2]
    assert Counter(worlds.names_and_states(mongo).values()) == {"READY": 2, "RUNNING": 1}


def test_a_firework_that_waits_for_nothing_is_woken(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.alone("one", tmp_path))
    launchpad.fireworks.update_one({}, {"$set": {"state": "WAITING"}})
    launchpad.workflows.update_one({}, {"$set": {"fw_states.1": "WAITING"}})
    settle(launchpad, OWNER)
    assert worlds.names_and_states(launchpad) == {"one": "READY"}


def test_fireworks_without_a_workflow_are_removed_if_they_are_ours(mongo: LaunchPad, tmp_path: Path) -> None:
    mongo.add_wf(worlds.alone("kept", tmp_path))
    orphans = [
        worlds.firework("orphan", tmp_path),
        worlds.firework("theirs", tmp_path, **OTHERS[0].spec),
        Firework(worlds.RecordTask(), name="a stranger's"),
    ]
    mongo._upsert_fws(orphans, reassign_all=True)
    settle(mongo, OWNER)
    assert set(worlds.names_and_states(mongo)) == {"kept", "theirs", "a stranger's"}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing is written from here on, also not by clean-up code."""


WRITES = (
    "delete_many", "find_one_and_replace", "find_one_and_update", "insert_many", "insert_one", "update_many",
    "update_one",
)  # fmt: skip


def die_at_write(launchpad: LaunchPad, number: int, work: Callable[[], object]) -> bool:
    """Do `work`, but let no write from the `number`-th on reach the database; tell whether it was reached.

    Many documents that are inserted by one call get there in part.
    """
    counter = itertools.count(1)
    kind = type(launchpad.fireworks)
    inside = False

    def dying(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def write(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside:  # mongomock's methods call each other
                return method(self, *args, **kwargs)
            reached = next(counter)
            if name == "insert_many" and reached == number:
                args = (list(args[0])[:1],)
            elif reached >= number:
                raise KilledError
            inside = True
            try:
                return method(self, *args, **kwargs)
            finally:
                inside = False

        return write

    methods = {name: dying(name, getattr(kind, name)) for name in WRITES}
    with mock.patch.multiple(kind, **methods):
        try:
            work()
        except KilledError:
            return True
    return False


def campaign_killed_at(mongo: LaunchPad, log: Path, number: int) -> bool:
    worlds.empty(mongo)
    mongo.add_wf(worlds.growing_workflow(log, failing=False))
    return die_at_write(mongo, number, lambda: worlds.work_in_process(mongo))


def put_right(mongo: LaunchPad) -> None:
    """What the driver does when its only worker has died, and half a minute later."""
    rerun_of_worker(mongo, "worker", OWNER)
    release(mongo, OWNER, unexplained(mongo, OWNER))


def finish(mongo: LaunchPad) -> None:
    assert unexplained(mongo, OWNER) == set()
    worlds.work_in_process(mongo)
    assert worlds.names_and_states(mongo) == dict.fromkeys(worlds.GROWN, "COMPLETED")
    workflow = mongo.workflows.find_one()
    assert (workflow["state"], len(workflow["nodes"])) == ("COMPLETED", len(worlds.GROWN))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llzo_al.workflow.repair.LOCK_PATIENCE_S", 0.01)
    monkeypatch.setattr(fireworks_launchpad, "time", SimpleNamespace(sleep=lambda _: None))


@pytest.mark.kill
@pytest.mark.usefixtures("impatient")
def test_a_worker_killed_at_any_mongodb_operation_is_put_right(mongo: LaunchPad, tmp_path: Path) -> None:
    real = isinstance(mongo.connection, pymongo.MongoClient)
    for number in itertools.count(2, 13) if real else itertools.count(1):
        killed = campaign_killed_at(mongo, tmp_path / "log", number)
        put_right(mongo)
        finish(mongo)
        if not killed:
            break
    assert number > 60


@pytest.mark.kill
@pytest.mark.usefixtures("impatient")
def test_putting_right_that_is_killed_itself_is_done_again(
    mongomock_launchpad: LaunchPad, tmp_path: Path
) -> None:
    mongo, killed_repairs = mongomock_launchpad, 0
    for number in itertools.count(2, 12):
        for repair_number in itertools.count(1):
            killed = campaign_killed_at(mongo, tmp_path / "log", number)
            killed_repair = die_at_write(mongo, repair_number, lambda: put_right(mongo))
            put_right(mongo)
            finish(mongo)
            if not killed_repair:
                break
            killed_repairs += 1
        if not killed:
            break
    assert killed_repairs > 20


@pytest.mark.kill
@pytest.mark.usefixtures("impatient")
def test_what_a_worker_left_half_done_is_put_back_while_others_live(mongo: LaunchPad, tmp_path: Path) -> None:
    """A worker dies within complete_launch, at any operation."""
    for number in itertools.count(1):
        worlds.empty(mongo)
        mongo.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
        alive, _ = mongo.checkout_fw(worlds.worker("alive"), "/nowhere")
        lost, launch_id = mongo.checkout_fw(worlds.worker("dead"), "/nowhere")
        killed = die_at_write(mongo, number, partial(mongo.complete_launch, launch_id, FWAction()))
        rerun_of_worker(mongo, "dead", OWNER)
        states = {fw["fw_id"]: fw["state"] for fw in mongo.fireworks.find()}
        assert states[alive.fw_id] == "RUNNING"
        assert states[lost.fw_id] in ("READY", "COMPLETED")
        if not killed:
            break
    assert number > 3


# --- archive_all ---


@pytest.mark.kill
def test_what_a_kill_left_of_a_workflow_that_was_added_is_archived(mongo: LaunchPad, tmp_path: Path) -> None:
    for number in itertools.count(1):
        worlds.empty(mongo)
        killed = die_at_write(mongo, number, lambda: mongo.add_wf(worlds.growing_workflow(tmp_path / "log")))
        archive_all(mongo, OWNER)
        assert not mongo.run_exists(worlds.worker("any"))
        if not killed:
            break
    assert number > 3


def test_archived_workflows_make_way_for_a_fresh_one(launchpad: LaunchPad, tmp_path: Path) -> None:
    log = tmp_path / "log"
    launchpad.add_wf(worlds.growing_workflow(log))
    worlds.work_in_process(launchpad)
    launchpad.add_wf(worlds.independent_workflow(log, 3))
    launchpad.checkout_fw(worlds.worker("dead"), "/nowhere")
    launchpad.add_wf(worlds.independent_workflow(log, 1, owner=OTHERS[0]))
    launches = launchpad.launches.count_documents({})
    log.unlink()

    archived = archive_all(launchpad, OWNER)

    assert len(archived) == 2
    assert archive_all(launchpad, OWNER) == []
    states = Counter(fw["state"] for fw in launchpad.fireworks.find())
    assert states == {"ARCHIVED": len(worlds.GROWN) + 3, "READY": 1}
    assert {wf["state"] for wf in launchpad.workflows.find(OWNER.workflows)} == {"ARCHIVED"}
    assert launchpad.launches.count_documents({"state": {"$in": ["RUNNING", "RESERVED"]}}) == 0
    assert launchpad.launches.count_documents({}) == launches
    assert unexplained(launchpad, OWNER) == set()
    launchpad.add_wf(worlds.firework("fresh", log))
    worlds.work_in_process(launchpad)
    assert sorted(log.read_text().split()) == ["f0", "fresh"]


def test_archiving_goes_by_the_campaign_and_not_by_its_name(launchpad: LaunchPad, tmp_path: Path) -> None:
    """A renamed campaign leaves nothing behind, and its namesakes elsewhere are left alone."""
    for name, owner in (("before", OWNER), ("after", OWNER), *(("after", other) for other in OTHERS)):
        launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 2, name=name, owner=owner))
    assert len(archive_all(launchpad, OWNER)) == 2
    for other in OTHERS:
        assert launchpad.workflows.find_one(other.workflows)["state"] == "READY"
    assert launchpad.fireworks.count_documents({"state": "READY"}) == 2 * len(OTHERS)


def test_a_worker_that_outlived_the_archiving_changes_nothing(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.growing_workflow(tmp_path / "log"))
    _, launch_id = launchpad.checkout_fw(worlds.worker("late"), "/nowhere")
    archive_all(launchpad, OWNER)
    launchpad.complete_launch(launch_id, FWAction())
    assert set(worlds.names_and_states(launchpad).values()) == {"ARCHIVED"}
    assert launchpad.workflows.find_one()["state"] == "ARCHIVED"
