"""Atomic files, fingerprints and stages that run once per set of inputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llzo_al import __version__, files
from llzo_al.errors import StageError
from llzo_al.files import (
    MANIFEST,
    file_hash,
    fingerprint,
    finished,
    read_json,
    run_stage,
    set_aside,
    write_atomic,
    write_json,
)


class Interrupted(BaseException):
    """Stands for the end of the process: no handler of the stage may swallow it."""


class Stage:
    """A stage that counts its runs, leaves a checkpoint, and can be interrupted."""

    def __init__(self, *, interrupted: bool = False) -> None:
        self.runs = 0
        self.found_checkpoint: list[bool] = []
        self.interrupted = interrupted

    def __call__(self, directory: Path) -> dict[str, Any]:
        self.runs += 1
        checkpoint = directory / "checkpoint"
        self.found_checkpoint.append(checkpoint.exists())
        checkpoint.write_text("half")
        if self.interrupted:
            raise Interrupted
        (directory / "result.txt").write_text("whole")
        return {"result": "result.txt", "count": self.runs}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


# --- write_atomic and JSON ---------------------------------------------------------------------------


def test_write_atomic_makes_the_directory_and_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_atomic(path, "Å one\n")
    write_atomic(path, "two\n")
    assert path.read_text() == "two\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_write_atomic_keeps_the_old_file_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "old")

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"rmse": float("nan")})
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)  # each write is forced to disk
@given(data=JSON)
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    write_json(path, data)
    assert read_json(path) == data


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe", b"{]"])
def test_read_json_names_the_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.json"
    path.write_bytes(content)
    with pytest.raises(StageError, match=re.escape(str(path)) + r".*cannot be read as JSON.*run again"):
        read_json(path)


def test_read_json_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"absent\.json: the file is missing"):
        read_json(tmp_path / "absent.json")


# --- fingerprints --------------------------------------------------------------------------------


@given(data=st.dictionaries(st.text(), JSON))
def test_fingerprint_ignores_the_order_of_keys(data: dict[str, Any]) -> None:
    assert fingerprint(data) == fingerprint(dict(reversed(list(data.items()))))


def test_fingerprint_sees_the_order_of_lists_and_the_type_of_numbers() -> None:
    assert len({fingerprint(x) for x in ([1, 2], [2, 1], [1.0, 2], ["1", 2])}) == 4


def test_fingerprint_does_not_change_between_versions() -> None:
    expected = "b3dc33c021686e91bb67706ee2a5086337745fbb4b1b165f1d5cb1406baf309b"
    assert fingerprint({"b": [1, 2.5, None], "a": "Å"}) == expected


def test_file_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- stages --------------------------------------------------------------------------------------


def test_a_stage_runs_once_and_tells_the_same_the_second_time(tmp_path: Path) -> None:
    stage = Stage()
    first = run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=stage)
    second = run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=stage)
    assert first == second == {"result": "result.txt", "count": 1}
    assert stage.runs == 1
    assert (tmp_path / "train" / "result.txt").read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["train"]


def test_the_manifest_tells_stage_inputs_and_version(tmp_path: Path) -> None:
    run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=Stage())
    manifest = json.loads((tmp_path / "train" / MANIFEST).read_text())
    assert manifest["stage"] == "train"
    assert manifest["inputs"] == {"seed": 1}
    assert manifest["inputs_hash"] == fingerprint({"seed": 1})
    assert manifest["versions"] == {"llzo-al": __version__}
    assert manifest["wall_s"] >= 0


def test_an_interrupted_stage_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=Stage(interrupted=True))
    assert not (tmp_path / "train").exists()
    assert finished(tmp_path / "train", {"seed": 1}) is None
    again = Stage()
    run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=again)
    assert again.found_checkpoint == [True]
    assert [p.name for p in tmp_path.iterdir()] == ["train"]


def test_other_inputs_do_not_find_the_checkpoint_of_an_interrupted_run(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=Stage(interrupted=True))
    other = Stage()
    run_stage(tmp_path / "train", stage="train", key={"seed": 2}, compute=other)
    assert other.found_checkpoint == [False]


def test_a_partial_directory_of_unknown_inputs_is_not_used(tmp_path: Path) -> None:
    partial = tmp_path / "train.partial"
    partial.mkdir()
    (partial / "checkpoint").write_text("whose?")
    stage = Stage()
    run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=stage)
    assert stage.found_checkpoint == [False]


def test_other_inputs_keep_the_finished_directory_beside(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        run_stage(tmp_path / "train", stage="train", key={"seed": seed}, compute=Stage())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train", "train.superseded-1", "train.superseded-2"]
    assert read_json(tmp_path / "train" / MANIFEST)["inputs"] == {"seed": 3}
    assert read_json(tmp_path / "train.superseded-1" / MANIFEST)["inputs"] == {"seed": 1}


def test_a_failing_run_with_other_inputs_leaves_the_finished_directory(tmp_path: Path) -> None:
    run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=Stage())
    with pytest.raises(Interrupted):
        run_stage(tmp_path / "train", stage="train", key={"seed": 2}, compute=Stage(interrupted=True))
    assert finished(tmp_path / "train", {"seed": 1}) == {"result": "result.txt", "count": 1}


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "superseding"])
def test_a_stop_before_the_renaming_does_not_repeat_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    if earlier:
        run_stage(tmp_path / "train", stage="train", key={"seed": 0}, compute=Stage())
    stage = Stage()
    rename = Path.rename

    def stop(path: Path, target: Path) -> Path:
        if path.suffix == ".partial":
            raise Interrupted
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        with pytest.raises(Interrupted):
            run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=stage)
    outputs = run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=stage)
    assert outputs == {"result": "result.txt", "count": 1}
    assert stage.runs == 1
    assert not (tmp_path / "train.partial").exists()


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=Stage())
    (tmp_path / "train" / MANIFEST).write_text("{")
    with pytest.raises(StageError, match=r"train/manifest\.json: cannot be read"):
        run_stage(tmp_path / "train", stage="train", key={"seed": 1}, compute=Stage())


def test_set_aside_takes_the_first_free_number(tmp_path: Path) -> None:
    (tmp_path / "a.superseded-1").mkdir()
    (tmp_path / "a").mkdir()
    assert set_aside(tmp_path / "a") == tmp_path / "a.superseded-2"
    assert not (tmp_path / "a").exists()
