"""``llzo-al worker``: what it is told by its worker file, and how it ends when its job's time is up."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from campaigns import make_tiny
from labelling.vasp_cases import STANDIN, make_potcars
from llzo_al.campaign.directory import CampaignDirectory, CampaignLock
from llzo_al.campaign.failures import read_failures
from llzo_al.errors import TimeIsUp, UserError
from llzo_al.workflow import growth, tasks, worker
from llzo_al.workflow.launchpads import open_launchpad
from llzo_al.workflow.owner import owner_of
from llzo_al.workflow.presence import busy, hands, lost
from llzo_al.workflow.repair import rerun_of_worker


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Starts a worker elsewhere whose work is `work`; no database is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worker, "open_launchpad", lambda *_: None)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(logging.getLogger("llzo_al"), "handlers", [])
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path / "psp")))
    monkeypatch.delenv("LLZO_AL_VASP_CMD", raising=False)
    campaign = make_tiny(tmp_path, **{"engine: classical_reference": "engine: vasp"})

    def start(work, *, env=None):
        file = tmp_path / "my_fworker.yaml"
        file.write_text(json.dumps({"name": "w", "category": "label", "query": "{}", "env": env or {}}))
        monkeypatch.setattr(worker, "work", work)
        given = None if env is None else file
        options = {"launchpad_file": Path("lp.yaml"), "categories": ["label"], "idle_s": 1.0, "say": print}
        worker.work_elsewhere(campaign.directory.root, **options, worker_file=given)

    start.campaign = campaign
    with mock.patch.dict(os.environ):
        yield start


def test_the_command_of_a_worker_file_reaches_preflight_and_tasks(elsewhere, monkeypatch):
    directory, seen = elsewhere.campaign.directory, {}

    def work(_, fworker, *, may_take, **__):
        with CampaignLock(directory):
            seen["fit"] = may_take()
        seen["env"] = fworker.env
        monkeypatch.setattr(
            tasks.labels, "label_frames", lambda *_: {"command": os.environ["LLZO_AL_VASP_CMD"]}
        )
        task = tasks.LabelTask(campaign_dir=str(directory.root), identities=[])
        seen["task"] = task.run_task({"_fw_env": fworker.env}).stored_data["command"]

    elsewhere(work, env={"vasp_cmd": STANDIN, "campaign_dir": "/of/somebody/else", "threads": 400})
    assert seen["fit"]
    assert seen["task"] == STANDIN
    assert seen["env"].items() >= owner_of(directory).env.items()
    assert seen["env"]["threads"] != 400


def test_without_the_file_the_command_is_missed_and_both_ways_are_named(elsewhere):
    def work(*_, may_take, **__):
        with CampaignLock(elsewhere.campaign.directory):
            may_take()

    with pytest.raises(UserError, match=r"LLZO_AL_VASP_CMD.*llzo-al worker --fworker FILE"):
        elsewhere(work)


def test_warnings_are_shown_in_the_jobs_own_output_too(tmp_path):
    """In a process of its own: in this one pytest keeps what is logged."""
    root = make_tiny(tmp_path).directory.root
    code = (
        "import logging, sys\n"
        "from pathlib import Path\n"
        "from llzo_al.workflow import worker\n"
        "worker.open_launchpad = lambda *_: None\n"
        "def work(*_, **__):\n"
        "    logging.getLogger('llzo_al.x').warning('a file breaks off')\n"
        "    fireworks = logging.getLogger('launchpad')\n"
        "    fireworks.setLevel(logging.DEBUG)\n"
        "    fireworks.debug('noise')\n"
        "worker.work = work\n"
        "worker.work_elsewhere(Path(sys.argv[1]), launchpad_file=Path('x'), categories=['md'], idle_s=1.0,\n"
        "    say=print)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "a file breaks off" in done.stderr
    assert "noise" not in done.stderr
    assert "warning: a file breaks off" in (root / "logs" / "campaign.log").read_text()


# --- the time limit of a job ---


def stop_in_time(monkeypatch):
    def run(*_, **__):
        raise TimeIsUp("md/Li2O: stopped before the time limit of its job, after 3 s; it goes on from there")

    monkeypatch.setattr(tasks.reference_runs, "run_reference_md", run)


def test_for_fireworks_own_workers_it_is_a_failure(tmp_path, monkeypatch):
    """They know no other way to give a task back."""
    stop_in_time(monkeypatch)
    campaign = make_tiny(tmp_path)
    with pytest.raises(TimeIsUp):
        tasks.ReferenceMDTask(campaign_dir=str(campaign.directory.root), run=0).run_task({})
    assert len(read_failures(campaign)) == 1


ELSEWHERE = """
import sys
from functools import partial
from pathlib import Path
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.errors import TimeIsUp
from llzo_al.workflow import tasks, worker
from llzo_al.workflow.launchpads import open_launchpad
from llzo_al.workflow.presence import TaskInHand, hands
from llzo_al.workflow.worker_file import LEAVES

def stopped(*_, **__):
    raise TimeIsUp("md/Li2O: stopped before the time limit of its job")

tasks.reference_runs.run_reference_md = stopped
directory = CampaignDirectory(Path(sys.argv[1]))
fworker = worker._worker(directory, "node-7", ["label"], {}, **{LEAVES: 0})
in_hand = partial(TaskInHand, hands(directory), "node-7")
worker.work(open_launchpad(directory.root), fworker, poll_s=0.1, idle_s=30.0, in_hand=in_hand)
"""


def test_a_worker_elsewhere_ends_in_order_and_its_task_is_given_back(tmp_path):
    campaign = make_tiny(tmp_path)
    directory = CampaignDirectory(campaign.directory.root)
    launchpad, owner = open_launchpad(directory.root), owner_of(directory)
    (firework,) = growth.reference_md(campaign, 1)
    launchpad.add_wf(firework)
    ended = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(directory.root)], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert "reference MD 0: md/Li2O: stopped before the time limit" in ended.stdout
    assert launchpad.fireworks.find_one()["state"] == "RUNNING"  # nothing that waits for it begins
    assert busy(hands(directory)) == []
    assert list(lost(hands(directory))) == ["node-7"]
    assert rerun_of_worker(launchpad, "node-7", owner) == [1]
    assert launchpad.fireworks.find_one()["state"] == "READY"
    assert "stopped in time: reference MD 0\n    md/Li2O: stopped before" in directory.log.read_text()
    assert read_failures(campaign) == []
    launchpad.connection.close()
