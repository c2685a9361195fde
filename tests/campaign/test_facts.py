"""Where a campaign stands, its times and its numbers of frames in a report."""

import fcntl
import json
import os
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from campaigns import make_tiny
from llzo_al.campaign import facts, initial
from llzo_al.campaign.facts import campaign_facts
from llzo_al.campaign.failures import Failure, record_failure
from llzo_al.campaign.history import HistoryError
from llzo_al.campaign.run_log import RunLog
from llzo_al.dataset.frames import Label
from llzo_al.files import read_json_lines, write_json
from llzo_al.selection.stopping import Decision

CRASH = Failure(task="iteration 0: MD run 1", message="LAMMPS lost it")


def test_a_frame_above_the_force_cap_is_counted_once(tmp_path):
    campaign = make_tiny(tmp_path)
    initial.prepare_initial_data(campaign)
    beyond = 2 * campaign.config.dataset.force_cap_eV_per_A
    records = list(campaign.store.records(labelled=False, physics=campaign.physics))
    for number, record in enumerate(records):
        forces = np.zeros((record.frame.n_atoms, 3))
        forces[0, 0] = beyond if number % 2 else 0.1
        label = Label(
            energy_eV=-1.0, forces_eV_per_A=forces, virial_eV=None, program="VASP 6.4.2" if number else ""
        )
        campaign.store.add_label(record.identity, label)
    totals = campaign_facts(campaign).totals
    assert totals.programs == {"VASP 6.4.2": len(records) - 1, "": 1}
    labels = totals.labels
    assert labels.excluded == len(records) // 2
    assert labels.training + labels.held_out + labels.excluded == len(records)
    assert labels.new == len(records)


@contextmanager
def held(campaign, pid):
    """The campaign's lock, as a run of another process holds it."""
    descriptor = os.open(campaign.directory.root / "run.lock", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, json.dumps({"pid": pid}).encode())
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def test_a_campaign_that_runs_has_not_failed(tmp_path):
    campaign = make_tiny(tmp_path)
    assert campaign_facts(campaign).status == "stopped"
    record_failure(campaign.directory.failures, CRASH)
    told = "iteration 0: MD run 1: LAMMPS lost it"
    stopped = campaign_facts(campaign)
    assert (stopped.status, stopped.reasons[0]) == ("failed", told)
    with held(campaign, os.getppid()):
        running = campaign_facts(campaign)
    assert (running.status, running.failures) == ("running", (told,))
    assert running.reasons == (told, "no iteration is closed yet")
    with held(campaign, os.getpid()):  # the run's own report, at its end
        assert campaign_facts(campaign).status == "failed"


def test_a_run_that_was_cut_short_has_not_failed_of_what_it_carried_on_without(tmp_path):
    campaign = make_tiny(tmp_path)
    record_failure(campaign.directory.failures, CRASH)
    for end, status in (("interrupted", "stopped"), ("by itself", "failed")):
        RunLog(campaign.directory).end(100.0, end)
        found = campaign_facts(campaign)
        assert (found.status, found.reasons[0]) == (status, "iteration 0: MD run 1: LAMMPS lost it")
    RunLog(campaign.directory).beat(100.0)  # and no more
    assert campaign_facts(campaign).status == "stopped"
    RunLog(campaign.directory).end(100.0, "by itself")  # begins with entering the killed one
    assert [run["ended"] for run in read_json_lines(campaign.directory.runs)] == [
        "interrupted",
        "by itself",
        "killed",
        "by itself",
    ]


@pytest.mark.parametrize("shortfalls", [[], ["the final potential's force RMSE 160 > 150 meV/Å"]])
def test_a_finished_campaign_tells_what_it_was_done_without(tmp_path, monkeypatch, shortfalls):
    campaign = make_tiny(tmp_path)
    record_failure(campaign.directory.failures, CRASH)
    finished = SimpleNamespace(
        outputs={"tests": {}, "models": ["model-0.pb"]}, dimers=[], dimers_failed="no dimers", parity={}
    )
    made = Decision(converged=True, stop=True, reasons=("all of 4 runs stable",))
    monkeypatch.setattr(facts.closing, "first_open_iteration", lambda _: 1)
    monkeypatch.setattr(facts.closing, "decision", lambda *_: made)
    monkeypatch.setattr(facts, "_iteration", lambda *_: facts.f.IterationFacts(iteration=0))
    monkeypatch.setattr(facts.final, "finished_final", lambda _: finished)
    monkeypatch.setattr(facts.final, "shortfalls", lambda *_: shortfalls)

    def not_measured(*_):
        raise HistoryError("no coverage of all iterations")

    monkeypatch.setattr(facts, "coverage_history", not_measured)
    found = campaign_facts(campaign)
    assert found.status == "converged"
    assert found.reasons == (*shortfalls, "all of 4 runs stable")
    assert found.final.shortfalls == tuple(shortfalls)
    assert found.failures == ("iteration 0: MD run 1: LAMMPS lost it",)
    assert found.left_out == ("no coverage of all iterations", "no dimers")


def test_initial_data_and_final_training_count_in_the_times(tmp_path):
    campaign = make_tiny(tmp_path)
    assert campaign.store.counts().total.labelled == 0
    place = campaign.directory
    jobs = [{"iteration": number, "wall_s": 3.0, "engine_s": 2.0} for number in (-1, -1, 0)]
    place.label_log.write_text("".join(json.dumps(job) + "\n" for job in jobs))
    for stage, wall_s, timings in (
        (place.initial / "structures", 1.0, {}),
        (place.initial / "reference_md" / "a", 20.0, {}),
        (place.initial / "reference_md" / "b", 30.0, {}),
        (place.final / "train" / "model-1", 8.0, {"train_s": 7.0}),
        (place.final / "test", 0.5, {}),
        (place.final / "dimers", 1.5, {}),
    ):
        stage.mkdir(parents=True)
        outputs = {"timings": timings, "backend": "pytorch", "device": "NVIDIA H200", "learning_curve": "-"}
        write_json(stage / "manifest.json", {"wall_s": wall_s, "outputs": outputs})
    found = campaign_facts(campaign)
    assert found.initial_times["structures"].wall_s == 1.0
    assert found.initial_times["reference MD"].engine_s == 50.0
    assert (found.initial_times["label"].wall_s, found.initial_times["label"].engine_s) == (6.0, 4.0)
    assert (found.final_times["train"].wall_s, found.final_times["test"].wall_s) == (8.0, 2.0)
    assert found.totals.engine_s == 50.0 + 4.0 + 7.0
    assert found.totals.trainings == {"pytorch on NVIDIA H200": 1}
