"""Local workers: what each of them takes, and which GPU it shows to its engines."""

import logging
import os
import subprocess

import pytest

from campaigns import make_tiny
from llzo_al.errors import StageError
from llzo_al.workflow import growth, local_workers, tasks, worker
from llzo_al.workflow.local_workers import MAX_RESTARTS, LocalWorkers
from llzo_al.workflow.owner import owner_of

GPU = "CUDA_VISIBLE_DEVICES"


class Started:
    """A process that was only written down."""

    code = None

    def __init__(self, command, **_):
        self.options = dict(zip(command[4::2], command[5::2], strict=True))

    def poll(self):
        """It runs, until somebody says otherwise."""
        return self.code

    def kill(self):
        """Nothing runs."""

    def wait(self):
        """Nothing runs."""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Options of the workers of a campaign that may use four cores, on a machine with the GPUs given."""

    def start(*gpus, here=growth.CATEGORIES):
        monkeypatch.setattr(local_workers, "visible_gpus", lambda: gpus)
        monkeypatch.setattr(subprocess, "Popen", Started)
        campaign = make_tiny(
            tmp_path, **{"labelling:\n": "resources:\n  cores: 4\n  max_trainings: 3\nlabelling:\n"}
        )
        with LocalWorkers(campaign, None, here=here) as workers:
            return [one.process.options for one in workers._workers]

    return start


def test_gpus_are_dealt_out_to_the_workers(started):
    assert [options["--gpu"] for options in started("2", "GPU-5e1")] == ["2", "GPU-5e1", "2", "GPU-5e1"]
    assert not any("--gpu" in options for options in started())


def test_limits_say_who_takes_what(started):
    taken = [options["--categories"].split(",") for options in started()]
    assert sum("train" in categories for categories in taken) == 3
    assert len(taken) == 4
    assert started(here=()) == []


def test_a_worker_shows_its_gpu_to_engines_and_its_warnings_to_people(tmp_path, monkeypatch):
    campaign = make_tiny(tmp_path)
    seen = {}

    def note(name):
        return lambda *_, **__: seen.setdefault(name, os.environ.get(GPU))

    monkeypatch.setattr(tasks.iteration, "train", note("train"))
    monkeypatch.setattr(tasks.iteration, "explore", note("explore"))
    monkeypatch.setattr(tasks.final, "train_final", note("final"))
    monkeypatch.setattr(tasks.labels, "label_frames", lambda *_: {"seen": note("label")()})

    def work(_, fworker, **__):
        logging.getLogger("llzo_al.labelling.classical").warning(
            "%s gave 2 of 5 snapshots:\nunstable", "run 1"
        )
        spec, where = {"_fw_env": fworker.env}, {"campaign_dir": str(campaign.directory.root)}
        tasks.TrainTask(**where, iteration=0, model=1).run_task(spec)
        tasks.ExploreTask(**where, iteration=0, run=3).run_task(spec)
        tasks.FinalTrainTask(**where, model=0).run_task(spec)
        tasks.LabelTask(**where, identities=[]).run_task(spec)

    command = ["worker", str(campaign.directory.root), "--name", "w", "--categories", "train"]
    monkeypatch.setattr("sys.argv", [*command, "--parent", "1", "--gpu", "5"])
    monkeypatch.setattr(worker, "die_with_parent", lambda _: None)
    monkeypatch.setattr(worker, "work", work)
    monkeypatch.setenv(GPU, "4,5")
    monkeypatch.setattr(logging.getLogger("llzo_al"), "handlers", [])
    worker.main()
    assert seen == {"train": "5", "explore": "5", "final": "5", "label": "4,5"}
    assert os.environ[GPU] == "4,5"
    (told, detail) = campaign.directory.log.read_text().splitlines()
    assert told.endswith("  warning: run 1 gave 2 of 5 snapshots:")
    assert detail == "    unstable"


def test_a_task_stopped_in_time_waits_for_the_end_of_its_job(tmp_path, monkeypatch):
    """Begun again at once, here or by another worker, it would only be stopped again."""
    given_back = []
    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(local_workers, "rerun_of_worker", lambda _, name, __: given_back.append(name) or [1])
    campaign = make_tiny(tmp_path, **{"labelling:\n": "resources: {cores: 1}\nlabelling:\n"})
    owner = owner_of(campaign.directory)

    def end_and_look(code):
        (one,) = workers._workers
        one.process.code = code
        workers.revive(None, owner)
        return one

    with LocalWorkers(campaign, None) as workers:
        for count in range(MAX_RESTARTS + 2):
            one = end_and_look(worker.TIME_IS_UP)
            end_and_look(worker.TIME_IS_UP)
            assert len(given_back) == count
            one.rests_until = 0.0
            end_and_look(worker.TIME_IS_UP)
            assert len(given_back) == count + 1
            assert one.process.code is None
        for _ in range(MAX_RESTARTS):
            end_and_look(-9)
        with pytest.raises(StageError, match="died 4 times, the last time with exit code -9"):
            end_and_look(-9)
    told = campaign.directory.log.read_text()
    assert told.count("if that does not come, its task goes on here in 600 s") == 5
    assert told.count("waited for the end of its job, which did not come; it is replaced") == 5
