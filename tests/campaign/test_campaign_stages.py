"""Stages of a campaign called as functions: initial data, labels, data sets, decisions."""

import json
from dataclasses import replace

import numpy as np
import pytest

from campaigns import make_tiny
from llzo_al.campaign import closing, final, initial, iteration, labels, reference_runs
from llzo_al.campaign.assessed import read_predictions
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.dataset_stage import ExportedDataset, export_dataset, exported_dataset, failed_labels
from llzo_al.campaign.retrying import put_back
from llzo_al.dataset.frames import LabelFailure
from llzo_al.errors import StageError, UpstreamError
from llzo_al.exploration.md import MDResult
from llzo_al.exploration.potential import LammpsPotential
from llzo_al.files import MANIFEST, run_stage, write_json
from llzo_al.training.train import TrainResult


def gather(campaign):
    """The initial data, labelled by the classical reference."""
    data = initial.prepare_initial_data(campaign)
    for index in range(data.n_md_runs):
        reference_runs.run_reference_md(campaign, index, threads=1)
    for job in labels.label_jobs(campaign):
        labels.label_frames(campaign, job)


@pytest.fixture(scope="module")
def labelled_root(tmp_path_factory):
    place = tmp_path_factory.mktemp("labelled")
    gather(make_tiny(place))
    return place


@pytest.fixture
def labelled(labelled_root):
    return Campaign.open(labelled_root / "tiny")


@pytest.fixture
def campaign(tmp_path):
    return make_tiny(tmp_path)


def test_initial_data_is_labelled_from_every_source(labelled):
    counts = labelled.store.counts(physics=labelled.physics)
    assert (counts.total.pending, counts.total.failed) == (0, 0)
    records = list(labelled.store.records(physics=labelled.physics))
    assert {record.frame.provenance.source for record in records} == {"dimers", "crystals", "reference_md"}
    assert all(record.frame.provenance.iteration == -1 for record in records)
    assert all(np.isfinite(record.label.forces_eV_per_A).all() for record in records)


def test_finished_initial_data_is_found_again(labelled):
    before = labelled.directory.label_log.read_text()
    gather(labelled)
    assert labelled.directory.label_log.read_text() == before
    assert not list(labelled.directory.root.rglob("*.superseded-*"))


def test_a_changed_source_reruns_no_other_trajectory(labelled_root, tmp_path):
    import shutil

    shutil.copytree(labelled_root / "tiny", tmp_path / "tiny")
    changed = make_tiny(tmp_path, **{"rattled_copies: 2": "rattled_copies: 3"})
    known = {record.identity for record in changed.store.records(physics=changed.physics)}
    data = initial.prepare_initial_data(changed)
    for index in range(data.n_md_runs):
        reference_runs.run_reference_md(changed, index, threads=1)
    assert not list(changed.directory.initial.glob("reference_md/*superseded*"))
    waiting = {identity for job in labels.label_jobs(changed) for identity in job}
    assert len(waiting) == 3  # one more copy at each of three volumes
    assert not waiting & known


def test_data_set_holds_training_frames_only_in_training(labelled, tmp_path):
    dataset = export_dataset(labelled, tmp_path / "dataset", before_iteration=0)
    held_out = {record.identity for record in labelled.store.records(split="held-out")}
    assert held_out
    assert dataset.training
    assert not held_out & set(dataset.training)
    groups = {record.frame.provenance.group for record in labelled.store.records(split="held-out")}
    for record in labelled.store.records(identities=list(dataset.training)):
        assert record.frame.provenance.group not in groups
    assert dataset.counts == {"training": len(dataset.training), "held_out": len(held_out), "excluded": 0}
    assert {path.name for path in dataset.training_systems} == {"Li1O1", "Li8O4"}
    assert set(dataset.test_systems) == {"dimers", "crystals: Li2O", "reference_md: Li2O"}
    frames = sum(len(np.load(path / "set.000" / "energy.npy")) for path in dataset.training_systems)
    assert frames == len(dataset.training)


def test_force_cap_keeps_frames_out_of_training_but_stored(labelled, labelled_root, tmp_path):
    largest = sorted(
        float(np.linalg.norm(record.label.forces_eV_per_A, axis=1).max())
        for record in labelled.store.records(split="training")
    )
    cap = (largest[-1] + largest[-2]) / 2
    config = labelled.config.model_copy(
        update={"dataset": labelled.config.dataset.model_copy(update={"force_cap_eV_per_A": cap})}
    )
    capped = Campaign(directory=labelled.directory, config=config, base=labelled.base)
    dataset = export_dataset(capped, tmp_path / "capped", before_iteration=None)
    assert dataset.counts["excluded"] >= 1
    assert len(dataset.training) == len(largest) - 1
    everything = export_dataset(labelled, tmp_path / "all", before_iteration=None)
    assert everything.token != dataset.token


def test_looking_for_a_data_set_writes_nothing(labelled, tmp_path):
    assert exported_dataset(labelled, tmp_path / "dataset", before_iteration=0) is None
    assert not list(tmp_path.iterdir())
    written = export_dataset(labelled, tmp_path / "dataset", before_iteration=0)
    assert exported_dataset(labelled, tmp_path / "dataset", before_iteration=0) == written
    assert exported_dataset(labelled, tmp_path / "dataset", before_iteration=1) is None


def test_failed_labels_are_carried_along_and_can_be_tried_again(campaign, tmp_path):
    data = initial.prepare_initial_data(campaign)
    failed = list(data.identities[:3])
    for identity in failed:
        campaign.store.add_failure(identity, LabelFailure(cause="crash", reason="the wave function ran away"))
    for job in labels.label_jobs(campaign, data.identities):
        assert not set(failed) & set(job)
        labels.label_frames(campaign, job)
    dataset = export_dataset(campaign, tmp_path / "dataset", before_iteration=0)
    assert not set(failed) & set(dataset.training)
    assert failed_labels(campaign) == ["3 failed: the wave function ran away"]
    told = campaign.directory.log.read_text()
    assert "3 of 13 labels of the initial data failed, and the campaign goes on without them: 3 crash" in told
    assert put_back(campaign) == (3, 0)
    assert {identity for job in labels.label_jobs(campaign) for identity in job} == set(failed)


def test_all_labels_failed_tells_why(campaign, tmp_path):
    for identity in initial.prepare_initial_data(campaign).identities:
        campaign.store.add_failure(identity, LabelFailure(cause="crash", reason="no licence"))
    with pytest.raises(StageError, match=r"13 failed: no licence.*--retry-failed"):
        export_dataset(campaign, tmp_path / "dataset", before_iteration=0)
    assert not (tmp_path / "dataset").exists()


def test_stage_is_run_once_per_key(tmp_path):
    calls = []

    def compute(work):
        calls.append(work)
        (work / "out").write_text(str(len(calls)))
        return {"n": len(calls)}

    def run(**key):
        return run_stage(tmp_path / "stage", stage="test", key=key, compute=compute)

    assert run(a=1) == run(a=1) == {"n": 1}
    assert run(a=2) == {"n": 2}
    assert (tmp_path / "stage.superseded-1" / "out").read_text() == "1"
    (tmp_path / "stage" / MANIFEST).write_text("[]")
    with pytest.raises(StageError, match="is no manifest"):
        run(a=2)


def test_derived_seeds_differ_by_name_and_never_change():
    seeds = {iteration.derived_seed(1, "train", number, index) for number in range(5) for index in range(4)}
    assert len(seeds) == 20
    assert all(0 < seed < 2**31 for seed in seeds)
    assert iteration.derived_seed(1, "train", 0, 0) == iteration.derived_seed(1, "train", 0, 0)
    assert iteration.derived_seed(2, "train", 0, 0) not in seeds


def test_a_training_is_known_by_what_changes_the_model(labelled):
    def key(**training):
        config = labelled.config.model_copy(
            update={"training": labelled.config.training.model_copy(update=training)}
        )
        changed = Campaign(directory=labelled.directory, config=config, base=labelled.base)
        return iteration.iteration_training(changed, 0, 0).key(changed)

    assert key(checkpoint_steps=7) == key(committee_size=4) == key(final_steps=1) == key()
    assert key(steps=121) != key()
    assert key(learning_rate=0.02) != key()
    assert iteration.iteration_training(labelled, 0, 1).key(labelled) != iteration.iteration_training(
        labelled, 0, 0
    ).key(labelled)


def test_warm_start_only_from_the_same_network(campaign):
    place = campaign.directory.iteration(0) / "train" / "model-1"
    result = iteration.TrainResult(
        model="model.pb",
        frozen_model="model.pb",
        compressed=False,
        backend="tensorflow",
        steps=120,
        tests={},
        timings={},
    )
    settings = campaign.config.training.settings()
    write_json(
        place / MANIFEST,
        {
            "inputs_hash": "abc",
            "inputs": {"settings": settings, "elements": ["Li", "O"]},
            "outputs": result.as_dict(),
        },
    )
    assert iteration.previous_model(campaign, 0, 1) is None
    assert iteration.previous_model(campaign, 1, 1).token == "abc"
    for change in ({"steps": 7}, {"learning_rate": 0.5}):
        config = campaign.config.training.model_copy(update=change)
        assert iteration.previous_model(_with_training(campaign, config), 1, 1) is not None
    for change in ({"fitting_neurons": [8, 8]}, {"rcut_A": 5.0}, {"overrides": {"model": {"x": 1}}}):
        config = campaign.config.training.model_copy(update=change)
        assert iteration.previous_model(_with_training(campaign, config), 1, 1) is None


def _with_training(campaign, training):
    return replace(campaign, config=campaign.config.model_copy(update={"training": training}))


def close_by_hand(campaign, number, *, ratio=0.95, force=50.0, stable=2):
    stopping = {
        "iteration": number,
        "coverage_ratio": ratio,
        "element_ratios": {"Li": ratio, "O": ratio},
        "energy_rmse_meV_per_atom": 1.0,
        "force_rmse_meV_per_A": force,
        "n_held_out_md_frames": 4,
        "runs": 2,
        "stable_runs": stable,
        "endings": ["Li-Li too close"] * (2 - stable),
    }
    run_stage(
        campaign.directory.iteration(number) / "close",
        stage="close",
        key=closing.close_key(campaign, number),
        compute=lambda _: {"stopping": stopping},
    )


def test_decisions_follow_the_rule_of_today(tmp_path):
    strict = {
        "coverage_ratio: 0.0": "coverage_ratio: 0.9",
        "force_rmse_meV_per_A: 100000": "force_rmse_meV_per_A: 100",
        "max_iterations: 2": "max_iterations: 3",
    }
    campaign = make_tiny(tmp_path, **strict)
    assert closing.first_open_iteration(campaign) == 0
    close_by_hand(campaign, 0)
    assert closing.first_open_iteration(campaign) == 1
    first = closing.decision(campaign, 0)
    assert (first.stop, first.converged) == (False, False)
    assert "1 of at least 2 iterations done" in first.reasons
    close_by_hand(campaign, 1, force=200.0, ratio=0.5)
    second = closing.decision(campaign, 1)
    assert not second.stop
    assert any("0.500 < 0.9" in reason for reason in second.reasons)
    assert any("200 > 100" in reason for reason in second.reasons)
    lenient = make_tiny(tmp_path)
    assert closing.first_open_iteration(lenient) == 2
    assert closing.decision(lenient, 1).converged


def test_limit_reached_is_not_converged(tmp_path):
    campaign = make_tiny(tmp_path, **{"coverage_ratio: 0.0": "coverage_ratio: 0.9"})
    close_by_hand(campaign, 0)
    close_by_hand(campaign, 1, ratio=0.5)
    decision = closing.decision(campaign, 1)
    assert decision.stop
    assert not decision.converged
    assert "iteration limit of 2 reached without convergence" in decision.reasons


def test_another_level_of_theory_reopens_closed_iterations(tmp_path):
    campaign = make_tiny(tmp_path)
    close_by_hand(campaign, 0)
    text = "engine: ase\n  calculator: ase.calculators.emt.EMT\n  version: '1'"
    other = make_tiny(tmp_path, **{"engine: classical_reference": text})
    assert closing.first_open_iteration(other) == 0
    assert closing.first_open_iteration(make_tiny(tmp_path)) == 1


def test_what_a_training_notes_is_told_once(campaign, monkeypatch):
    dataset = ExportedDataset(token="t", training_systems=(), test_systems={}, training=(), counts={})
    training = iteration.Training(
        index=1,
        directory=campaign.directory.iteration(0) / "train" / "model-1",
        dataset=dataset,
        steps=1,
        seed=1,
        warm=None,
    )
    result = TrainResult(
        model="m.pb",
        frozen_model="f.pb",
        compressed=False,
        backend="tensorflow",
        steps=1,
        tests={},
        timings={},
        notes=("the farthest neighbours are left out",),
    )
    monkeypatch.setattr(iteration, "train_model", lambda *_, **__: result)
    for _ in range(2):
        iteration.run_training(campaign, training, threads=1, name="iteration-0-model-1")
    told = (campaign.directory.logs / "campaign.log").read_text()
    assert told.endswith(
        "  warning: training of iteration 0 model 1\n    the farthest neighbours are left out\n"
    )
    assert told.count("neighbours") == 1


def test_what_an_md_run_notes_is_told_once(campaign, monkeypatch):
    result = MDResult(
        trajectory="trajectory.extxyz",
        n_frames=1,
        ended="completed",
        stable=True,
        steps_done=10,
        resumed_from_step=None,
        timings={},
        max_deviation_eV_per_A=None,
        notes=("the restart file restart-5.bin was of no use: it is cut short", "it began anew"),
    )
    monkeypatch.setattr(iteration, "committee", lambda *_: [])
    monkeypatch.setattr(iteration, "deepmd_potential", lambda *_, **__: LammpsPotential(commands=()))
    monkeypatch.setattr(iteration, "run_md", lambda *_, **__: result)
    for _ in range(2):
        assert iteration.explore(campaign, 0, 0, threads=1)["notes"][-1] == "it began anew"
    told = (campaign.directory.logs / "campaign.log").read_text()
    assert told.endswith(
        "  warning: MD of iteration 0 run 0\n"
        "    the restart file restart-5.bin was of no use: it is cut short\n    it began anew\n"
    )
    assert told.count("MD of iteration") == 1


def test_final_is_not_there_before_its_data_set(labelled):
    assert final.finished_final(labelled) is None
    assert not labelled.directory.final.exists()
    with pytest.raises(UpstreamError, match="0 of 2 trainings finished"):
        iteration.committee(labelled, 0)


def test_resolved_file_is_read_back(campaign):
    again = Campaign.open(campaign.directory.root)
    assert again.config == campaign.config
    assert json.loads(campaign.directory.version_file.read_text())["campaign_file"].endswith("campaign.yaml")


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_label_store_that_is_gone_is_not_replaced_by_an_empty_one(campaign, spoil):
    initial.prepare_initial_data(campaign)
    spoil(campaign.directory.labels)
    before = sorted(campaign.directory.root.rglob("*"))
    with pytest.raises(
        StageError, match=r"labels\.sqlite: the label store is damaged \(it is missing or empty"
    ):
        assert Campaign.open(campaign.directory.root).store
    assert sorted(campaign.directory.root.rglob("*")) == before


def test_a_source_that_fails_is_the_one_cause_that_is_told(campaign, tmp_path):
    with pytest.raises(UpstreamError, match="the initial structures were not made"):
        export_dataset(campaign, tmp_path / "dataset", before_iteration=0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY", b"text"])
def test_damaged_predictions_are_named(campaign, content):
    place = campaign.directory.iteration(0) / "assess"
    place.mkdir(parents=True)
    (place / "predictions.npz").write_bytes(content)
    with pytest.raises(StageError, match=r"predictions\.npz: cannot be read \(.*remove the folder"):
        read_predictions(campaign, 0)
