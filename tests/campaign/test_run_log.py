"""The list of runs, killed ones included."""

from __future__ import annotations

import pytest

from llzo_al.campaign import run_log
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.run_log import RunLog
from llzo_al.files import read_json_lines


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "INTERVAL_S", 0.0)
    directory = CampaignDirectory(tmp_path / "campaign")
    directory.create(tmp_path / "campaign.yaml")
    return directory


def test_a_run_that_ends_is_one_line(place):
    log = RunLog(place)
    log.beat(10.0)
    log.end(12.5, "by itself")
    (line,) = read_json_lines(place.runs)
    assert line["peak_memory_MB"] == 12.5
    assert 0 <= line["wall_s"] < 60
    assert line["versions"]["llzo-al"]
    RunLog(place)
    assert len(read_json_lines(place.runs)) == 1


def test_a_killed_run_counts_up_to_its_last_sign(place):
    killed = RunLog(place)
    killed.beat(10.0)
    killed.beat(20.0)
    del killed
    assert read_json_lines(place.runs) == []
    RunLog(place).end(5.0, "by itself")
    assert [line["peak_memory_MB"] for line in read_json_lines(place.runs)] == [20.0, 5.0]


def test_a_run_killed_while_it_enters_the_list_counts_once(place):
    log = RunLog(place)
    log.beat(10.0)
    sign = (place.logs / "run.json").read_bytes()
    log.end(10.0, "by itself")
    (place.logs / "run.json").write_bytes(sign)
    RunLog(place)
    assert len(read_json_lines(place.runs)) == 1


def test_a_damaged_sign_is_no_obstacle(place):
    (place.logs / "run.json").write_text("{")
    RunLog(place).end(1.0, "by itself")
    assert len(read_json_lines(place.runs)) == 1
