"""What a driver sees of workers on other machines."""

import os
import signal
import subprocess
import sys

import pytest

from campaigns import make_tiny
from llzo_al.campaign.directory import CampaignLock, driven
from llzo_al.errors import UserError
from llzo_al.process import LOCK_FD_VARIABLE
from llzo_al.workflow import worker as worker_module
from llzo_al.workflow.owner import owner_of
from llzo_al.workflow.presence import TaskInHand, busy, lost
from llzo_al.workflow.worker import WhenDriven

WORKER = """
import subprocess, sys
from pathlib import Path
from llzo_al.process import inherited_locks
from llzo_al.workflow.presence import TaskInHand
with TaskInHand(Path(sys.argv[1]), "node-7"):
    engine = subprocess.Popen([sys.executable, "-c", "input()"], stdin=0, pass_fds=inherited_locks())
    print(engine.pid, flush=True)
    engine.wait()
"""


@pytest.fixture
def worker(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.engine = int(process.stdout.readline())
    yield process
    process.kill()
    process.communicate()


def test_a_worker_is_busy_until_its_task_ends(worker, tmp_path):
    assert (busy(tmp_path), list(lost(tmp_path))) == (["node-7"], [])
    worker.communicate("\n")
    assert (busy(tmp_path), list(lost(tmp_path)), list(tmp_path.iterdir())) == ([], [], [])


def test_a_killed_worker_is_lost_when_its_engine_has_ended_too(worker, tmp_path):
    worker.kill()
    worker.wait()
    assert (busy(tmp_path), list(lost(tmp_path))) == (["node-7"], [])
    os.kill(worker.engine, signal.SIGKILL)
    while busy(tmp_path):
        continue
    for name in lost(tmp_path):
        assert name == "node-7"
        break  # what had to be done about it failed
    assert list(lost(tmp_path)) == ["node-7"]
    assert (list(lost(tmp_path)), list(tmp_path.iterdir())) == ([], [])


def test_a_task_that_ends_in_an_error_is_lost(tmp_path):
    def work():
        with TaskInHand(tmp_path, "a.node-1"):
            assert LOCK_FD_VARIABLE in os.environ
            raise ConnectionError

    with pytest.raises(ConnectionError):
        work()
    assert LOCK_FD_VARIABLE not in os.environ
    assert list(lost(tmp_path)) == ["a.node-1"]


def test_nobody_was_ever_there(tmp_path):
    assert (busy(tmp_path / "none"), list(lost(tmp_path / "none"))) == ([], [])


def test_a_campaign_is_driven_while_its_lock_is_held(tmp_path):
    directory = make_tiny(tmp_path).directory
    assert not driven(directory)
    with CampaignLock(directory):
        assert driven(directory)
    assert not driven(directory)


def test_a_machine_that_lacks_an_engine_takes_no_tasks_for_it(tmp_path):
    text = "engine: ase\n  calculator: nosuch.module.Calculator"
    campaign = make_tiny(tmp_path, **{"engine: classical_reference": text})
    trains, labels = (WhenDriven(campaign.directory, [kind]) for kind in ("train", "label"))
    assert not labels()
    with CampaignLock(campaign.directory):
        assert trains()
        with pytest.raises(UserError, match=r"(?s)a worker for label needs.*nosuch"):
            labels()
    assert "lacks what a worker for label needs" in campaign.directory.log.read_text()


def test_a_machine_is_looked_at_again_for_the_next_run(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(worker_module, "missing_parts", lambda *_, **__: looks.append(1) or [])
    directory = make_tiny(tmp_path).directory
    may_take = WhenDriven(directory, ["label"])
    with CampaignLock(directory):
        assert may_take()
        assert may_take()
    assert looks == [1]
    text = "engine: ase\n  calculator: nosuch.module.Calculator"
    make_tiny(tmp_path, **{"engine: classical_reference": text})
    monkeypatch.undo()
    with CampaignLock(directory), pytest.raises(UserError, match="nosuch"):
        may_take()
    directory.config.unlink()  # as before the first run has written it
    with CampaignLock(directory):
        assert not may_take()


def test_owners_of_one_path_differ(tmp_path):
    here, there = make_tiny(tmp_path / "here").directory, make_tiny(tmp_path / "there").directory
    assert owner_of(here) == owner_of(here)
    assert owner_of(here).identity != owner_of(there).identity
    assert owner_of(here).directory == str(here.root)
