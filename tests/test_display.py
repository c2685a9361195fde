import io
import json
import time

from rich.console import Console

from llzo_al.display import CampaignDisplay, duration, line_interval_s, progress_line
from llzo_al.progress import Progress, ProgressFile


def make(tmp_path):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=False, width=100)
    return CampaignDisplay(tmp_path / "campaign.log", tmp_path / "progress", console), stream


def test_only_new_whole_lines_are_shown(tmp_path):
    log = tmp_path / "campaign.log"
    log.write_text("before\n")
    display, stream = make(tmp_path)
    with log.open("a") as handle:
        handle.write("now [bold]\nhal")
    display.update()
    assert stream.getvalue() == "now [bold]\n"
    with log.open("a") as handle:
        handle.write("f\n")
    display.update()
    assert stream.getvalue() == "now [bold]\nhalf\n"


def test_progress_is_a_plain_line_without_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr("llzo_al.display.LINE_INTERVAL_S", 0.0)
    display, stream = make(tmp_path)
    path = tmp_path / "progress" / "a.json"
    ProgressFile(path, task="train model 0", total=200).update(50, "force RMSE 210")
    with display.showing():
        display.update()
    assert "a, train model 0: 50/200 steps (25 %)" in stream.getvalue()
    assert "force RMSE 210" in stream.getvalue()


def test_time_left_follows_the_mean_speed():
    task = Progress(task="md", done=25, total=100, started=0.0, updated=10.0)
    assert task.left_s == 30.0
    assert "0:30 left" in progress_line(task)
    assert progress_line(Progress(task="md", done=0, total=100)) == "md: 0/100 steps (0 %)"
    assert duration(3725) == "1:02:05"


def test_a_long_run_tells_its_progress_less_often():
    assert [line_interval_s(hours * 3600) for hours in (0, 0.05, 1, 24)] == [15, 15, 180, 600]


def test_damaged_progress_files_are_passed_over(tmp_path):
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress" / "a.json").write_text("{")
    (tmp_path / "progress" / "b.json").write_text(json.dumps({"task": "x", "nonsense": time.time()}))
    display, stream = make(tmp_path)
    display.update()
    assert stream.getvalue() == ""
