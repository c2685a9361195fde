"""Real trainings: from systems to a tested model, killed, continued, warm-started, diverged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from training_data import BACKEND, ELEMENTS, SUFFIX, small_inputs, small_settings

from children import killed_when
from llzo_al.errors import EngineError, StageError, UserError
from llzo_al.evaluation.errors import pool
from llzo_al.progress import read_progress
from llzo_al.training import backends
from llzo_al.training.backends import Backend, visible_gpus
from llzo_al.training.checkpoints import find_checkpoints
from llzo_al.training.lcurve import read_learning_curve
from llzo_al.training.train import TrainResult, train_model


def device_of(backend: str) -> str:
    """What a backend computes on here, as it says itself."""
    code = f"from llzo_al.training.engines import make_engine; print(make_engine({backend!r}).device())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A finished training that has a compressed model, and what it reported."""
    base = tmp_path_factory.mktemp("trained")
    settings = small_settings(compress=True, virial_prefactors=[0.1, 0.1], learning_rate_end=1e-4)
    inputs = small_inputs(base, settings=settings, steps=300)
    return base, train_model(inputs, base / "model")


def test_result_is_a_frozen_and_compressed_model(trained: tuple[Path, TrainResult]):
    base, result = trained
    assert (result.model, result.frozen_model) == (f"compressed_model{SUFFIX}", f"frozen_model{SUFFIX}")
    assert result.compressed
    assert (result.backend, result.steps, result.notes) == (BACKEND, 300, ())
    assert result.device == device_of(BACKEND)
    assert result.device == "CPU" or visible_gpus()
    assert not result.warm_start
    assert result.resumed_from_step is None
    for name in (result.model, result.frozen_model):
        assert (base / "model" / name).stat().st_size > 1000
    curve = read_learning_curve(base / "model" / result.learning_curve)
    assert [point.step for point in curve] in (list(range(0, 301, 6)), [1, *range(6, 301, 6)])
    assert set(result.timings) == {"startup_s", "train_s", "freeze_s", "compress_s", "test_s"}
    assert all(seconds > 0 for seconds in result.timings.values())


def test_neighbors_are_counted_from_the_data(trained: tuple[Path, TrainResult]):
    base, _ = trained
    model = json.loads((base / "model" / "out.json").read_text())["model"]
    assert model["descriptor"]["sel"] == [4, 4]
    assert model["type_map"] == list(ELEMENTS)


def test_result_survives_json(trained: tuple[Path, TrainResult]):
    _, result = trained
    assert TrainResult.from_dict(json.loads(json.dumps(result.as_dict(), allow_nan=False))) == result


def test_only_the_last_checkpoint_is_kept(trained: tuple[Path, TrainResult]):
    base, _ = trained
    assert [item.step for item in find_checkpoints(base / "model", BACKEND)] == [300]


def test_errors_are_those_of_dp_test(trained: tuple[Path, TrainResult]):
    base, result = trained
    model = base / "model"
    systems = [base / "data" / name for name in ("test-Li2O2", "test-turned")]
    first, second, frozen = dp_test(
        (model / result.model, systems[0]),
        (model / result.model, systems[1]),
        (model / result.frozen_model, systems[0]),
    )
    pooled = result.tests["crystals"]
    force = 12 * first["Force  RMSE"] ** 2 / 18 + 6 * second["Force  RMSE"] ** 2 / 18
    energy = 3 * first["Energy RMSE/Natoms"] ** 2 / 5 + 2 * second["Energy RMSE/Natoms"] ** 2 / 5
    assert (pooled.n_frames, pooled.n_atoms, pooled.n_virial_frames) == (5, 18, 3)
    assert pooled.force_rmse_meV_per_A == pytest.approx(1000 * np.sqrt(force), rel=1e-5)
    assert pooled.energy_rmse_meV_per_atom == pytest.approx(1000 * np.sqrt(energy), rel=1e-5)
    assert pooled.virial_rmse_meV_per_atom == pytest.approx(1000 * first["Virial RMSE/Natoms"], rel=1e-5)
    assert set(result.tests) == {"crystals", "dimers"}
    assert pool(result.tests.values()).n_frames == 7
    assert first["Force  RMSE"] == pytest.approx(frozen["Force  RMSE"], rel=1e-4)


def test_warm_start_takes_over_the_weights(trained: tuple[Path, TrainResult], tmp_path: Path):
    base, before = trained
    directory = tmp_path / "warm"
    shutil.copytree(base / "model", directory, symlinks=True)  # of another training: to be swept away
    settings = small_settings(
        virial_prefactors=[0.1, 0.1], warm_start_learning_rate=1e-5, learning_rate_end=1e-6
    )
    inputs = small_inputs(base, settings=settings, init_model=base / "model", seed=99, steps=4)
    result = train_model(inputs, directory)
    assert result.warm_start
    assert result.resumed_from_step is None
    assert not (directory / before.model).exists()
    assert result.notes == ()
    after = read_learning_curve(directory / "lcurve.out")
    assert after[0].step <= 1
    assert after[0].learning_rate == pytest.approx(1e-5)
    for kind, errors in before.tests.items():
        assert result.tests[kind].force_rmse_meV_per_A == pytest.approx(errors.force_rmse_meV_per_A, rel=0.02)
        assert result.tests[kind].energy_rmse_meV_per_atom == pytest.approx(
            errors.energy_rmse_meV_per_atom, rel=0.02
        )


def test_killed_training_continues_from_its_last_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    inputs = small_inputs(tmp_path, steps=450, settings=small_settings(checkpoint_steps=27))
    directory = tmp_path / "model"
    with (
        killed_when(lambda: len(find_checkpoints(directory, BACKEND)) > 1, "llzo_al.training.child"),
        pytest.raises(EngineError, match="SIGKILL"),
    ):
        train_model(inputs, directory, progress=tmp_path / "progress" / "train.json", task="train")
    assert read_progress(tmp_path / "progress") == []
    newest, older = find_checkpoints(directory, BACKEND)[:2]
    parts = list(directory.glob(f"{newest.path.name}*"))
    damaged = next(path for path in parts if path.suffix in (".meta", ".pt"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    (directory / "model.ckpt-449.index").write_bytes(b"half")

    # Continued on a node where "auto" would choose the other backend.
    monkeypatch.setattr(backends, "available_backends", lambda: get_args(Backend))
    monkeypatch.setattr(backends, "visible_gpus", lambda: ("0",) if BACKEND == "tensorflow" else ())
    inputs = replace(inputs, settings=small_settings(backend="auto", checkpoint_steps=27))
    result = train_model(inputs, directory)
    assert result.backend == BACKEND
    note, *of_checkpoints = result.notes
    assert f"goes on with {BACKEND}" in note
    assert of_checkpoints == [
        f"the checkpoint of step {newest.step} could not be read and was deleted",
        f"it went on from step {older.step}",
    ]
    assert result.resumed_from_step == older.step
    steps = [point.step for point in read_learning_curve(directory / "lcurve.out")]
    assert steps in (list(range(0, 451, 9)), [1, *range(9, 451, 9)])
    assert [item.step for item in find_checkpoints(directory, BACKEND)] == [450]


def test_divergence_is_told_with_its_step(tmp_path: Path):
    settings = small_settings(overrides={"learning_rate": {"start_lr": 1e6, "stop_lr": 1e5}})
    inputs = small_inputs(tmp_path, settings=settings, steps=4000)
    with pytest.raises(StageError, match=r"(?s)lcurve\.out: the training diverged at step (\d+)") as caught:
        train_model(inputs, tmp_path / "model")
    assert not isinstance(caught.value, EngineError)
    assert 0 < int(re.findall(r"at step (\d+)", str(caught.value))[0]) < 2000
    assert (tmp_path / "model" / "lcurve.out").exists()
    assert find_checkpoints(tmp_path / "model", BACKEND) == []


def test_refused_input_starts_nothing(tmp_path: Path):
    settings = small_settings(overrides={"model": {"descriptor": {"neurons": [4]}}})
    with pytest.raises(UserError, match=r"training\.overrides.*neurons"):
        train_model(small_inputs(tmp_path, settings=settings), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_damaged_data_are_named(tmp_path: Path):
    inputs = small_inputs(tmp_path)
    (inputs.training_systems[1] / "set.000" / "force.npy").unlink()
    with pytest.raises(StageError, match=r"data/LiO: .*force\.npy"):
        train_model(inputs, tmp_path / "model")
    with pytest.raises(StageError, match="no system to train on"):
        train_model(small_inputs(tmp_path, training_systems=()), tmp_path / "model")


def test_a_gpu_that_the_backend_does_not_see_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if device_of(BACKEND) != "CPU":
        pytest.skip("the backend sees the GPU")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    result = train_model(small_inputs(tmp_path, steps=2), tmp_path / "model")
    assert result.device == "CPU"
    (note,) = result.notes
    assert note.startswith("it ran on the CPU although this machine has a GPU")


def test_failure_within_deepmd_names_the_log(tmp_path: Path):
    validation = {"training": {"validation_data": {"systems": [str(tmp_path / "nowhere")]}}}
    inputs = small_inputs(tmp_path, settings=small_settings(overrides=validation))
    with pytest.raises(EngineError, match=r"(?s)nowhere.*child\.log"):
        train_model(inputs, tmp_path / "model")


def dp_test(*pairs: tuple[Path, Path]) -> list[dict[str, float]]:
    """What ``dp test`` prints for each model and system, in one process."""
    code = (
        "import sys\n"
        "from deepmd.main import main\n"
        "for number in range(1, len(sys.argv), 2):\n"
        "    print('NEXT', file=sys.stderr, flush=True)\n"
        "    main(['test', '-m', sys.argv[number], '-s', sys.argv[number + 1], '-n', '0'])\n"
    )
    arguments = [str(path) for pair in pairs for path in pair]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return [
        {name: float(value) for name, value in re.findall(r"DEEPMD INFO\s+(\S.*?)\s*:\s+([-\d.e+]+) ", part)}
        for part in done.stderr.split("NEXT\n")[1:]
    ]
