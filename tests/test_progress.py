"""Progress files: written now and then, read whole, gone at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llzo_al.progress import Progress, ProgressFile, read_progress


def test_what_is_written_is_read_and_named_by_its_file(tmp_path: Path) -> None:
    ProgressFile(tmp_path / "train-0.json", task="train model 0", total=400).update(
        100, "force RMSE 210 meV/Å"
    )
    (progress,) = read_progress(tmp_path)
    assert progress.task == "train 0, train model 0"
    assert (progress.done, progress.total, progress.unit) == (100, 400, "steps")
    assert progress.detail == "force RMSE 210 meV/Å"
    assert progress.started <= progress.updated


def test_updates_within_the_interval_are_left_out_unless_forced(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "md.json", task="MD", total=10, interval_s=3600)
    file.update(1)
    file.update(2)
    assert read_progress(tmp_path)[0].done == 1
    file.update(10, force=True)
    assert read_progress(tmp_path)[0].done == 10


def test_a_closed_file_is_gone_and_closing_twice_is_allowed(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "md.json", task="MD", total=10)
    file.update(1)
    file.close()
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = ProgressFile(None, task="MD", total=10)
    file.update(5, force=True)
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_half_gone_files_and_files_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty.json").touch()
    (tmp_path / "other.json").write_text('{"who": "me"}')
    (tmp_path / "list.json").write_text("[1]")
    ProgressFile(tmp_path / "md.json", task="MD", total=10).update(1)
    assert [p.task for p in read_progress(tmp_path)] == ["md, MD"]


def test_a_missing_directory_has_no_tasks(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("done", "left_s"),
    [(0, None), (25, 30.0), (100, 0.0), (120, 0.0)],
    ids=["none", "quarter", "all", "more"],
)
def test_time_left_follows_the_mean_speed(done: int, left_s: float | None) -> None:
    progress = Progress(task="MD", done=done, total=100, started=1000.0, updated=1010.0)
    assert progress.left_s == left_s


def test_time_left_of_work_that_goes_on_counts_from_where_it_began() -> None:
    progress = Progress(task="MD", done=95, total=100, started=1000.0, updated=1010.0, begun=90)
    assert progress.left_s == 10.0
    assert Progress(task="MD", done=90, total=100, started=1000.0, updated=1010.0, begun=90).left_s is None


def test_what_begins_is_told_at_once_and_starts_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("llzo_al.progress.time.time", lambda: now[0])
    file = ProgressFile(tmp_path / "md.json", task="MD", total=100, interval_s=5)
    file.update(0, "starting", force=True)
    now[0] = 1060.0
    file.begin(90, "600 K")
    (progress,) = read_progress(tmp_path)
    assert (progress.done, progress.detail, progress.left_s) == (90, "600 K", None)
    now[0] = 1070.0
    file.update(92)
    assert read_progress(tmp_path)[0].left_s == 40.0


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    ProgressFile(tmp_path / "md.json", task="MD", total=10).update(5)
    record = json.loads((tmp_path / "md.json").read_text())
    del record["begun"]
    (tmp_path / "md.json").write_text(json.dumps(record))
    assert read_progress(tmp_path)[0].begun == 0
