"""Local workers: what each of them takes, and which GPU it shows to its engines."""

import logging
import os
import subprocess

import pytest

from campaigns import make_tiny
from llzo_al.workflow import growth, local_workers, tasks, worker
from llzo_al.workflow.local_workers import LocalWorkers

GPU = "CUDA_VISIBLE_DEVICES"


class Started:
    """A process that was only written down."""

    def __init__(self, command, **_):
        self.options = dict(zip(command[4::2], command[5::2], strict=True))

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
