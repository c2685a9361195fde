"""Which checkpoints a killed training left whole."""

from __future__ import annotations

from pathlib import Path

from llzo_al.training.checkpoints import find_checkpoints, remove_checkpoint, remove_training

PARTS = (".index", ".meta", ".data-00000-of-00001")


def write(directory: Path, step: int, parts=PARTS) -> None:
    for part in parts:
        (directory / f"model.ckpt-{step}{part}").write_text("x")


def test_newest_whole_checkpoint_comes_first(tmp_path: Path):
    for step in (20, 100, 40):
        write(tmp_path, step)
    write(tmp_path, 120, PARTS[:1])
    write(tmp_path, 140, PARTS[1:])
    (tmp_path / "model.ckpt.index").symlink_to("model.ckpt-140.index")
    (tmp_path / "model.ckpt-final.index").write_text("x")
    found = find_checkpoints(tmp_path, "tensorflow")
    assert [item.step for item in found] == [100, 40, 20]
    assert found[0].path == tmp_path / "model.ckpt-100"
    assert find_checkpoints(tmp_path, "pytorch") == []


def test_pytorch_checkpoints_are_single_files(tmp_path: Path):
    for step in (5, 10):
        (tmp_path / f"model.ckpt-{step}.pt").write_text("x")
    found = find_checkpoints(tmp_path, "pytorch")
    assert [(item.step, item.path.name) for item in found] == [
        (10, "model.ckpt-10.pt"),
        (5, "model.ckpt-5.pt"),
    ]
    remove_checkpoint(found[0])
    assert [item.step for item in find_checkpoints(tmp_path, "pytorch")] == [5]


def test_removing_one_leaves_the_others(tmp_path: Path):
    for step in (1, 10, 100):
        write(tmp_path, step)
    remove_checkpoint(find_checkpoints(tmp_path, "tensorflow")[1])
    assert [item.step for item in find_checkpoints(tmp_path, "tensorflow")] == [100, 1]


def test_removing_a_training_leaves_foreign_files(tmp_path: Path):
    write(tmp_path, 3)
    for name in ("checkpoint", "lcurve.out", "frozen_model.pb", "out.json", "inputs.json", "child.log"):
        (tmp_path / name).write_text("x")
    (tmp_path / "model.ckpt.meta").symlink_to("model.ckpt-3.meta")
    (tmp_path / "model-compression").mkdir()
    remove_training(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"inputs.json", "child.log"}
