"""Opening LaunchPads, FireWorks' command line on them, and their repair."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import launchpad_worlds as worlds
import mongomock
import mongomock.collection
import mongomock.gridfs
import pytest
from fireworks import FWAction, FWorker, LaunchPad
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.scripts import lpad_run

from llzo_al.errors import UserError
from llzo_al.workflow import launchpads
from llzo_al.workflow.embedded import EmbeddedLaunchPad
from llzo_al.workflow.launchpads import archive_all, lpad_command, open_launchpad, repair, rerun_of_worker
from llzo_al.workflow.repair import CAMPAIGN_DIR

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def gridfs() -> None:
    mongomock.gridfs.enable_gridfs_integration()


@pytest.fixture
def mongo(gridfs: None) -> LaunchPad:
    """FireWorks' own LaunchPad: as on MongoDB, each operation on a document stands alone."""
    with mock.patch.object(fireworks_launchpad, "MongoClient", mongomock.MongoClient):
        launchpad = LaunchPad(strm_lvl="CRITICAL")
    launchpad.reset("", require_password=False)
    return launchpad


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedLaunchPad]:
    launchpad = open_launchpad(tmp_path)
    assert isinstance(launchpad, EmbeddedLaunchPad)
    yield launchpad
    launchpad.close()


@pytest.fixture(params=["embedded", "mongo"])
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
        assert (type(launchpad), launchpad.name) == (LaunchPad, "mine")
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


# --- repair ---


def test_repair_finds_nothing_in_a_sound_launchpad(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.growing_workflow(tmp_path / "log"))
    assert not repair(launchpad).changed
    worlds.work_in_process(launchpad)
    before = worlds.names_and_states(launchpad)
    assert not repair(launchpad).changed
    assert worlds.names_and_states(launchpad) == before
    assert before["failing"] == "FIZZLED"  # a failure is not a lost run


def test_repair_puts_running_and_reserved_fireworks_back(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 4))
    running, _ = launchpad.checkout_fw(FWorker("w"), "/nowhere")
    reserved, _ = launchpad.reserve_fw(FWorker("w"), "/nowhere")

    report = repair(launchpad)

    assert report.rerun == (running.fw_id,)
    assert report.unreserved == (reserved.fw_id,)
    assert (report.unlocked, report.refreshed, report.removed) == ((), (), ())
    assert set(worlds.names_and_states(launchpad).values()) == {"READY"}
    assert not repair(launchpad).changed
    worlds.work_in_process(launchpad)
    assert set(worlds.names_and_states(launchpad).values()) == {"COMPLETED"}


def test_repair_reruns_a_launch_of_a_host_whose_clock_is_ahead(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("one", tmp_path))
    _, launch_id = launchpad.checkout_fw(FWorker("w"), "/nowhere")
    launchpad.launches.update_one(
        {"launch_id": launch_id}, {"$set": {"state_history.0.updated_on": "2030-01-01T00:00:00+00:00"}}
    )
    assert repair(launchpad).rerun == (1,)


def test_repair_unlocks(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
    launchpad.workflows.update_one({"nodes": 1}, {"$set": {"locked": True}})
    assert repair(launchpad).unlocked == (launchpad.workflows.find_one()["nodes"][0],)
    assert "locked" not in launchpad.workflows.find_one()


def test_repair_completes_a_firework_whose_launch_had_completed(mongo: LaunchPad, tmp_path: Path) -> None:
    """Its work is done: it is not done again."""
    mongo.add_wf(worlds.growing_workflow(tmp_path / "log"))
    grow = mongo.fireworks.find_one({"name": "grow"})["fw_id"]
    _, launch_id = mongo.checkout_fw(FWorker("w"), "/nowhere", fw_id=grow)
    assert die_at_write(2, lambda: mongo.complete_launch(launch_id, FWAction(update_spec={"seen": "grow"})))
    assert mongo.launches.find_one()["state"] == "COMPLETED"
    assert mongo.fireworks.find_one({"fw_id": grow})["state"] == "RUNNING"

    assert repair(mongo).refreshed == (grow,)

    assert mongo.fireworks.find_one({"fw_id": grow})["state"] == "COMPLETED"
    join = mongo.fireworks.find_one({"name": "join"})
    assert (join["state"], join["spec"]["seen"]) == ("READY", "grow")


def test_repair_puts_back_a_running_firework_without_a_launch(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("one", tmp_path))
    launchpad.checkout_fw(FWorker("w"), "/nowhere")
    launchpad.launches.delete_many({})
    launchpad.fireworks.update_one({}, {"$set": {"launches": []}})
    assert repair(launchpad).rerun == (1,)
    assert worlds.names_and_states(launchpad) == {"one": "READY"}


def test_repair_wakes_a_firework_that_waits_for_nothing(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("one", tmp_path))
    launchpad.fireworks.update_one({}, {"$set": {"state": "WAITING"}})
    launchpad.workflows.update_one({}, {"$set": {"fw_states.1": "WAITING"}})
    assert repair(launchpad).refreshed == (1,)
    assert worlds.names_and_states(launchpad) == {"one": "READY"}


def test_repair_removes_fireworks_without_a_workflow(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.firework("kept", tmp_path))
    launchpad._upsert_fws([worlds.firework("orphan", tmp_path)], reassign_all=True)
    assert repair(launchpad).removed == (2,)
    assert worlds.names_and_states(launchpad) == {"kept": "READY"}


def test_repair_of_one_campaign_leaves_others_alone(launchpad: LaunchPad, tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 1, name=name))
        launchpad.checkout_fw(FWorker(name), "/nowhere")
    launchpad._upsert_fws([worlds.firework("being added", tmp_path)], reassign_all=True)
    launchpad.workflows.update_many({}, {"$set": {"locked": True}})

    report = repair(launchpad, "mine")

    assert (report.rerun, report.unlocked, report.removed) == ((1,), (1,), ())
    assert launchpad.fireworks.find_one({"fw_id": 2})["state"] == "RUNNING"
    assert launchpad.workflows.find_one({"name": "theirs"})["locked"]


class KilledError(BaseException):
    """Stands for SIGKILL: nothing is written from here on, also not by clean-up code."""


def die_at_write(number: int, work: Callable[[], None]) -> bool:
    """Do `work`, but let no write from the `number`-th on reach the database; tell whether it was reached."""
    counter = itertools.count(1)
    methods = {
        name: getattr(mongomock.collection.Collection, name) for name in ("_insert", "_update", "_delete")
    }

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def write(self: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
            single = not (method is methods["_insert"] and isinstance(data, list))
            if single and next(counter) >= number:
                raise KilledError
            return method(self, data, *args, **kwargs)

        return write

    with mock.patch.multiple(
        mongomock.collection.Collection, **{name: dying(method) for name, method in methods.items()}
    ):
        try:
            work()
        except KilledError:
            return True
    return False


def campaign_killed_at(mongo: LaunchPad, log: Path, number: int) -> bool:
    mongo.reset("", require_password=False)
    mongo.add_wf(worlds.growing_workflow(log, failing=False))
    return die_at_write(number, lambda: worlds.work_in_process(mongo))


def finish(mongo: LaunchPad) -> None:
    assert not repair(mongo).changed
    worlds.work_in_process(mongo)
    assert worlds.names_and_states(mongo) == dict.fromkeys(worlds.GROWN, "COMPLETED")
    workflow = mongo.workflows.find_one()
    assert (workflow["state"], len(workflow["nodes"])) == ("COMPLETED", len(worlds.GROWN))


@pytest.mark.kill
def test_repair_after_a_kill_at_any_mongodb_operation(mongo: LaunchPad, tmp_path: Path) -> None:
    for number in itertools.count(1):
        killed = campaign_killed_at(mongo, tmp_path / "log", number)
        repair(mongo)
        finish(mongo)
        if not killed:
            break
    assert number > 60


@pytest.mark.kill
def test_a_repair_that_is_killed_itself_is_repaired(mongo: LaunchPad, tmp_path: Path) -> None:
    killed_repairs = 0
    for number in itertools.count(2, 12):
        for repair_number in itertools.count(1):
            killed = campaign_killed_at(mongo, tmp_path / "log", number)
            killed_repair = die_at_write(repair_number, lambda: repair(mongo))
            repair(mongo)
            finish(mongo)
            if not killed_repair:
                break
            killed_repairs += 1
        if not killed:
            break
    assert killed_repairs > 20


@pytest.mark.kill
def test_what_a_worker_left_half_done_is_put_back_while_others_live(
    mongo: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker dies within complete_launch, at any operation; no repair of the whole is allowed."""
    monkeypatch.setattr("llzo_al.workflow.repair.LOCK_PATIENCE_S", 0.01)
    for number in itertools.count(1):
        mongo.reset("", require_password=False)
        mongo.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
        alive, _ = mongo.checkout_fw(FWorker("alive"), "/nowhere")
        lost, launch_id = mongo.checkout_fw(FWorker("dead"), "/nowhere")
        killed = die_at_write(number, partial(mongo.complete_launch, launch_id, FWAction()))
        rerun_of_worker(mongo, "dead")
        states = {fw["fw_id"]: fw["state"] for fw in mongo.fireworks.find()}
        assert states[alive.fw_id] == "RUNNING"
        assert states[lost.fw_id] in ("READY", "COMPLETED")
        if not killed:
            break
    assert number > 3


@pytest.mark.kill
def test_repair_after_a_kill_while_a_workflow_is_added(mongo: LaunchPad, tmp_path: Path) -> None:
    for number in itertools.count(1):
        mongo.reset("", require_password=False)
        killed = die_at_write(number, lambda: mongo.add_wf(worlds.growing_workflow(tmp_path / "log")))
        repair(mongo)
        whole = 0 if killed else 4
        assert mongo.fireworks.count_documents({}) == whole
        if not killed:
            break
    assert number > 5


# --- archive_all and rerun_of_worker ---


def test_archived_workflows_make_way_for_a_fresh_one(launchpad: LaunchPad, tmp_path: Path) -> None:
    log = tmp_path / "log"
    launchpad.add_wf(worlds.growing_workflow(log))
    worlds.work_in_process(launchpad)
    launchpad.add_wf(worlds.independent_workflow(log, 3))
    launchpad.checkout_fw(FWorker("dead"), "/nowhere")
    launchpad.add_wf(worlds.independent_workflow(log, 1, name="another campaign"))
    launches = launchpad.launches.count_documents({})
    log.unlink()

    archived = archive_all(launchpad, "campaign")

    assert len(archived) == 2
    assert archive_all(launchpad, "campaign") == []
    states = Counter(fw["state"] for fw in launchpad.fireworks.find())
    assert states == {"ARCHIVED": len(worlds.GROWN) + 3, "READY": 1}
    assert {wf["state"] for wf in launchpad.workflows.find({"name": "campaign"})} == {"ARCHIVED"}
    assert launchpad.launches.count_documents({"state": {"$in": ["RUNNING", "RESERVED"]}}) == 0
    assert launchpad.launches.count_documents({}) == launches
    assert not repair(launchpad).changed
    launchpad.add_wf(worlds.firework("fresh", log))
    worlds.work_in_process(launchpad)
    assert sorted(log.read_text().split()) == ["f0", "fresh"]


def test_archiving_goes_by_the_campaign_directory(launchpad: LaunchPad, tmp_path: Path) -> None:
    """A renamed campaign leaves nothing behind, and its namesake elsewhere is left alone."""
    for name, directory in (("before", "/here"), ("after", "/here"), ("after", "/there")):
        workflow = worlds.independent_workflow(tmp_path / "log", 2, name=name)
        workflow.metadata[CAMPAIGN_DIR] = directory
        launchpad.add_wf(workflow)
    assert len(archive_all(launchpad, campaign_dir="/here")) == 2
    states = {(wf["name"], wf["metadata"][CAMPAIGN_DIR]): wf["state"] for wf in launchpad.workflows.find()}
    assert states == {
        ("before", "/here"): "ARCHIVED",
        ("after", "/here"): "ARCHIVED",
        ("after", "/there"): "READY",
    }


def test_a_worker_that_outlived_the_archiving_changes_nothing(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.growing_workflow(tmp_path / "log"))
    _, launch_id = launchpad.checkout_fw(FWorker("late"), "/nowhere")
    archive_all(launchpad, "campaign")
    launchpad.complete_launch(launch_id, FWAction())
    assert set(worlds.names_and_states(launchpad).values()) == {"ARCHIVED"}
    assert launchpad.workflows.find_one()["state"] == "ARCHIVED"


def test_what_a_dead_worker_ran_goes_back(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(worlds.independent_workflow(tmp_path / "log", 5))
    lost, _ = launchpad.checkout_fw(FWorker("dead"), "/nowhere")
    reserved, _ = launchpad.reserve_fw(FWorker("dead"), "/nowhere")
    finished, launch_id = launchpad.checkout_fw(FWorker("dead"), "/nowhere")
    launchpad.complete_launch(launch_id, FWAction())
    alive, _ = launchpad.checkout_fw(FWorker("alive"), "/nowhere")

    assert rerun_of_worker(launchpad, "dead") == sorted([lost.fw_id, reserved.fw_id])

    states = {fw["fw_id"]: fw["state"] for fw in launchpad.fireworks.find()}
    assert states[alive.fw_id] == "RUNNING"
    assert states[finished.fw_id] == "COMPLETED"
    assert Counter(states.values()) == {"READY": 3, "RUNNING": 1, "COMPLETED": 1}
    assert rerun_of_worker(launchpad, "dead") == []
    assert rerun_of_worker(launchpad, "never seen") == []


def test_a_dead_workers_lock_is_broken(
    mongo: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mongo.add_wf(worlds.independent_workflow(tmp_path / "log", 2))
    lost, _ = mongo.checkout_fw(FWorker("dead"), "/nowhere")
    mongo.workflows.update_one({}, {"$set": {"locked": True}})
    monkeypatch.setattr("llzo_al.workflow.repair.LOCK_PATIENCE_S", 0.2)
    assert rerun_of_worker(mongo, "dead") == [lost.fw_id]
    assert set(worlds.names_and_states(mongo).values()) == {"READY"}
