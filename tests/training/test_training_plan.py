"""What a training will do, decided before any framework is started."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_data import small_inputs, small_settings, write_system

from llzo_al.errors import StageError
from llzo_al.training.inputs import check_input
from llzo_al.training.plan import KEY_FILE, make_plan
from llzo_al.training.train import TrainInputs


def finished_training(inputs: TrainInputs, directory: Path, *, backend: str = "tensorflow") -> Path:
    """The files of a finished training that a warm start looks at."""
    directory.mkdir()
    data = make_plan(inputs, "tensorflow").data
    (directory / KEY_FILE).write_text(json.dumps({"key": "k", "backend": backend}))
    (directory / "out.json").write_text(json.dumps(check_input(data)))
    for part in (".index", ".meta", ".data-00000-of-00001"):
        (directory / f"model.ckpt-40{part}").write_text("x")
    return directory


def test_plan_of_a_start_from_scratch(tmp_path: Path):
    inputs = small_inputs(tmp_path)
    plan = make_plan(inputs, "tensorflow")
    assert plan.init_model is None
    assert plan.notes == ()
    assert plan.data["model"]["descriptor"]["sel"] == [4, 4]
    forces = [np.load(path / "set.000" / "force.npy") for path in inputs.training_systems]
    assert plan.scale.force_eV_per_A == max(np.abs(array).max() for array in forces)
    assert plan.scale.energy_eV_per_atom == pytest.approx(4.0, abs=0.5)
    assert plan.min_distance_A == pytest.approx(2.2, abs=1.0)
    assert plan.min_distance_A < 2.2


def test_key_follows_content_and_not_paths(tmp_path: Path):
    inputs = small_inputs(tmp_path)
    key = make_plan(inputs, "tensorflow").key
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(tmp_path / "data", moved / "data")
    inputs = small_inputs(moved)
    assert make_plan(inputs, "tensorflow").key == key
    assert make_plan(inputs, "pytorch").key != key
    for change in ({"seed": 12}, {"steps": 41}, {"settings": small_settings(axis_neurons=3)}):
        assert make_plan(replace(inputs, **change), "tensorflow").key != key
    for change in ({"threads": 2}, {"test_systems": {}}):
        assert make_plan(replace(inputs, **change), "tensorflow").key == key
    energies = inputs.training_systems[0] / "set.000" / "energy.npy"
    np.save(energies, np.load(energies) + 1e-9)
    assert make_plan(inputs, "tensorflow").key != key


def test_given_neighbors_that_are_too_few_are_noted(tmp_path: Path):
    few = make_plan(small_inputs(tmp_path, settings=small_settings(neighbors=[1, 8])), "tensorflow")
    assert few.data["model"]["descriptor"]["sel"] == [1, 8]
    assert len(few.notes) == 1
    assert "[1, 8]" in few.notes[0]
    enough = make_plan(small_inputs(tmp_path, settings=small_settings(neighbors=[8, 8])), "tensorflow")
    assert enough.notes == ()


def test_descriptor_that_counts_all_neighbors_together_is_left_to_deepmd(tmp_path: Path):
    descriptor = {"type": "se_atten", "rcut": 4.0, "rcut_smth": 0.5, "sel": 20}
    settings = small_settings(overrides={"model": {"descriptor": descriptor}})
    plan = make_plan(small_inputs(tmp_path, settings=settings), "tensorflow")
    assert plan.min_distance_A is None
    assert plan.data["model"]["descriptor"]["sel"] == 20


def test_warm_start_keeps_the_previous_room_for_neighbors(tmp_path: Path):
    inputs = small_inputs(tmp_path)
    wide = replace(inputs, settings=small_settings(neighbors=[12, 16]))
    before = finished_training(wide, tmp_path / "before")
    plan = make_plan(replace(inputs, init_model=before), "tensorflow")
    assert plan.init_model == before / "model.ckpt-40"
    assert plan.data["model"]["descriptor"]["sel"] == [12, 16]
    assert plan.data["learning_rate"]["start_lr"] == inputs.settings.warm_start_learning_rate
    assert plan.notes == ()


def test_data_that_outgrow_the_previous_room_start_from_scratch(tmp_path: Path):
    inputs = small_inputs(tmp_path)
    before = finished_training(inputs, tmp_path / "before")
    crowded = write_system(tmp_path / "crowded", ["Li"] * 6 + ["O"] * 2, n_frames=2, seed=6)
    inputs = replace(inputs, training_systems=(*inputs.training_systems, crowded), init_model=before)
    plan = make_plan(inputs, "tensorflow")
    assert plan.init_model is None
    assert plan.data["model"]["descriptor"]["sel"] == [8, 4]
    assert plan.data["learning_rate"]["start_lr"] == inputs.settings.learning_rate
    assert "room for neighbours is too small" in plan.notes[0]


@pytest.mark.parametrize(
    ("settings", "backend", "reason"),
    [
        (small_settings(fitting_neurons=[9, 9]), "tensorflow", "its network has other settings"),
        (small_settings(), "pytorch", "trained with pytorch, this one is with tensorflow"),
    ],
)
def test_previous_model_that_does_not_fit_is_not_used(tmp_path: Path, settings, backend, reason):
    inputs = small_inputs(tmp_path)
    before = finished_training(inputs, tmp_path / "before", backend=backend)
    plan = make_plan(replace(inputs, settings=settings, init_model=before), "tensorflow")
    assert plan.init_model is None
    assert reason in plan.notes[0]


def test_damaged_previous_training_is_named(tmp_path: Path):
    inputs = small_inputs(tmp_path)
    with pytest.raises(StageError, match="nowhere: holds no finished training"):
        make_plan(replace(inputs, init_model=tmp_path / "nowhere"), "tensorflow")
    before = finished_training(inputs, tmp_path / "before")
    (before / "model.ckpt-40.meta").unlink()
    with pytest.raises(StageError, match="before: the finished training's checkpoint is missing"):
        make_plan(replace(inputs, init_model=before), "tensorflow")
