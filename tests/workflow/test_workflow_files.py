"""The workflow files that are ready for `lpad add`."""

from pathlib import Path

import pytest
from fireworks import FWAction, Workflow

from campaigns import make_tiny
from llzo_al.campaign.failures import Failure, begin_run, read_failures, record_failure
from llzo_al.errors import StageError, UpstreamError, UserError
from llzo_al.files import read_json_lines
from llzo_al.workflow import growth, tasks

FILES = sorted((Path(__file__).parents[2] / "workflows").glob("*.yaml"))


@pytest.fixture
def campaign(tmp_path):
    return make_tiny(tmp_path)


def test_the_files_are_there():
    assert {path.stem for path in FILES} >= {"campaign", "train", "explore", "assess", "close", "final"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_loads_and_its_tasks_are_ours(path):
    workflow = Workflow.from_file(str(path))
    assert workflow.fws
    for firework in workflow.fws:
        assert firework.spec["_category"] in growth.CATEGORIES
        for task in firework.tasks:
            assert isinstance(task, tasks.CampaignTask)
            assert getattr(tasks, type(task).__name__) is type(task)
            assert set(type(task).required_params) <= set(task)
            assert set(task) <= {*type(task).required_params, "threads", "_fw_name"}
            assert task["campaign_dir"] == ">>campaign_dir<<"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_says_how_to_add_it(path):
    assert f"llzo-al lpad DIR --launchpad my_launchpad.yaml add workflows/{path.name}" in path.read_text()


def worker(campaign):
    return {"_fw_env": {"campaign_dir": str(campaign.directory.root)}}


def test_campaign_directory_comes_from_the_worker(campaign):
    (firework,) = Workflow.from_file(str(FILES[0].with_name("initial-data.yaml"))).fws
    action = firework.tasks[0].run_task(worker(campaign))
    assert isinstance(action, FWAction)
    assert len(action.detours) >= 3  # two trajectories and at least a labelling job
    assert campaign.store.counts(physics=campaign.physics).total.pending == 13


@pytest.mark.parametrize("spec", [{}, {"_fw_env": {}}, {"_fw_env": {"elsewhere": "x"}}])
def test_a_worker_without_the_key_is_told(spec):
    with pytest.raises(UserError, match="needs `campaign_dir` under `env`"):
        tasks.InitialDataTask(campaign_dir=">>campaign_dir<<").run_task(spec)


def test_a_failure_is_written_down_with_its_task(campaign, monkeypatch):
    oops = ZeroDivisionError("oops")
    errors = [UpstreamError("no models"), StageError("it diverged\nat step 7"), oops, oops]

    def fail(*_, **__):
        raise errors.pop(0)

    monkeypatch.setattr(tasks.iteration, "train", fail)
    task = tasks.TrainTask(campaign_dir=str(campaign.directory.root), iteration=0, model=0)
    for kind in (UpstreamError, StageError, ZeroDivisionError, ZeroDivisionError):
        with pytest.raises(kind):
            task.run_task({"_llzo_al_name": "train 0"})
    log = [line.split("  ", 1)[1] for line in campaign.directory.log.read_text().splitlines()]
    assert log == [
        "failed: train 0",
        "  it diverged",
        "  at step 7",
        "failed: train 0",
        "  ZeroDivisionError: oops",
        "failed: train 0, for a cause that is told above",
    ]
    assert [(failure.task, failure.message) for failure in read_failures(campaign)] == [
        ("train 0", "it diverged\nat step 7"),
        ("train 0", "ZeroDivisionError: oops"),
        ("train 0", "ZeroDivisionError: oops"),
    ]


def test_failures_of_earlier_runs_are_kept_apart(campaign):
    path = campaign.directory.failures
    record_failure(path, Failure(task="assess", message="of a program that marked no runs"))
    assert [failure.task for failure in read_failures(campaign)] == ["assess"]
    begin_run(path)
    assert read_failures(campaign) == []
    record_failure(path, Failure(task="train 1", message="it diverged"))
    with path.open("a") as handle:
        handle.write('{"task": "cut sho')
    assert [failure.task for failure in read_failures(campaign)] == ["train 1"]
    begin_run(path)
    assert read_failures(campaign) == []
    assert [line["task"] for line in read_json_lines(path) if "task" in line] == ["assess", "train 1"]
