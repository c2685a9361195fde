"""What a run says and does when its database or its workers are away."""

import time
from pathlib import Path

import launchpad_worlds as worlds
import mongomock
import mongomock.gridfs
import pytest
from fireworks.core import launchpad as fireworks_launchpad
from pymongo.errors import AutoReconnect, OperationFailure

from campaigns import make_tiny
from llzo_al.errors import StageError
from llzo_al.workflow import driver, supervision
from llzo_al.workflow.mongodb import MongoLaunchPad
from llzo_al.workflow.owner import owner_of
from llzo_al.workflow.presence import TaskInHand, hands
from llzo_al.workflow.supervision import Supervision


class Workers:
    """Local workers that find the database away as often as they are told to."""

    def __init__(self, *, away=0, here=("control",)):
        self.away = away
        self.here = here
        self.launchpad_file = Path("/my_launchpad.yaml")

    def revive(self, launchpad, owner):
        if self.away:
            self.away -= 1
            raise AutoReconnect("db:27017: Connection refused (configured timeouts: many), Timeout: 30s")


@pytest.fixture
def mongo(monkeypatch):
    mongomock.gridfs.enable_gridfs_integration()
    monkeypatch.setattr(fireworks_launchpad, "MongoClient", mongomock.MongoClient)
    launchpad = MongoLaunchPad(strm_lvl="CRITICAL")
    worlds.empty(launchpad)
    return launchpad


@pytest.fixture
def watch(mongo, tmp_path):
    def make(**about):
        campaign = make_tiny(tmp_path)
        owner = owner_of(campaign.directory)
        ids = mongo.add_wf(worlds.independent_workflow("/dev/null", 3, owner=owner))
        mongo.fireworks.update_many({}, {"$set": {"spec._category": "label"}})
        return Supervision(campaign, mongo, owner, Workers(**about), next(iter(ids.values())))

    return make


def told(watching):
    return (watching.campaign.directory.logs / "campaign.log").read_text()


def test_a_database_that_comes_back(watch):
    watching = watch(away=3)
    assert [watching.look() for _ in range(5)] == [True] * 5
    assert told(watching).count("MongoDB does not answer (db:27017: Connection refused): waits for it") == 1
    assert told(watching).count("MongoDB answers again") == 1


def test_a_database_that_stays_away(watch, monkeypatch):
    monkeypatch.setattr(supervision, "DATABASE_PATIENCE_S", 0.01)
    watching = watch(away=9)
    watching.look()
    time.sleep(0.02)
    with pytest.raises(AutoReconnect):
        watching.look()


def test_the_end_of_a_database_is_one_message(mongo, tmp_path, monkeypatch):
    def refuse(*_):
        raise OperationFailure("no", 13, {"errmsg": "not authorized on x to execute command { update: 1 }"})

    monkeypatch.setattr(driver, "open_launchpad", lambda *_: mongo)
    monkeypatch.setattr(mongo.workflows, "find", refuse)
    with pytest.raises(
        StageError, match=r"^/lp\.yaml: MongoDB failed: not authorized on x\. What was finish"
    ):
        driver.run_workflow(make_tiny(tmp_path), launchpad_file=Path("/lp.yaml"))


def test_tasks_that_nobody_takes_are_told_once(watch, monkeypatch):
    monkeypatch.setattr(supervision, "ELSEWHERE_S", 0.0)
    monkeypatch.setattr(supervision, "UNTAKEN_S", 0.01)
    watching = watch()
    for _ in range(4):
        assert watching.look()
        time.sleep(0.02)
    assert told(watching).count("tasks wait for a worker elsewhere (label 3)") == 1


def test_what_a_worker_elsewhere_left_is_given_back(watch, mongo):
    watching = watch()
    directory = watching.campaign.directory
    worker = worlds.FWorker("node-7", query=watching.owner.fireworks, env=watching.owner.env)
    with pytest.raises(KeyboardInterrupt), TaskInHand(hands(directory), "node-7"):  # noqa: PT012
        mongo.checkout_fw(worker, "/nowhere")
        raise KeyboardInterrupt
    assert watching.look()
    assert "worker node-7 ended in the middle of a task; 1 task(s) start again" in told(watching)
    assert set(worlds.names_and_states(mongo).values()) == {"READY"}


def test_a_task_that_nobody_holds_is_released(watch, mongo, monkeypatch):
    monkeypatch.setattr(supervision, "ELSEWHERE_S", 0.0)
    monkeypatch.setattr(supervision, "SUSPECT_S", 0.01)
    watching = watch(here=("label",))
    mongo.fireworks.update_one({"fw_id": 2}, {"$set": {"state": "RESERVED"}})
    for _ in range(3):
        assert watching.look()
        time.sleep(0.02)
    assert "1 task(s) had been left between two states; 1 of them start again" in told(watching)
    assert set(worlds.names_and_states(mongo).values()) == {"READY"}


def test_interrupted_it_leaves_nothing_for_workers_elsewhere(mongo, tmp_path, monkeypatch):
    campaign = make_tiny(tmp_path)

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "open_launchpad", lambda *_: mongo)
    with pytest.raises(KeyboardInterrupt):
        driver.run_workflow(campaign, launchpad_file=Path("/lp.yaml"), here=(), watch=interrupt)
    assert {fw["state"] for fw in mongo.fireworks.find()} == {"ARCHIVED"}
