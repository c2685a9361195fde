"""What `run` says before and after the work, with the work itself left out."""

import io
import os
import signal
import threading

import pytest
from rich.console import Console

from campaigns import make_tiny, write_tiny
from llzo_al import running
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import running_process
from llzo_al.campaign.failures import Failure, failures_in_words, read_failures, record_failure
from llzo_al.errors import StageError, UserError


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=300, markup=False)


@pytest.fixture
def nothing_runs(monkeypatch):
    """No workers: the workflow ends at once, after `script(campaign)`."""
    scripts = []

    def run_workflow(campaign, **_):
        for script in scripts:
            script(campaign)
        return []

    monkeypatch.setattr(running.driver, "run_workflow", run_workflow)
    monkeypatch.setattr(running, "missing_to_run", lambda *_, **__: [])
    return scripts


def run(file, console, **options):
    return running.run_campaign(file, directory=None, launchpad_file=None, console=console, **options)


def test_root_causes_come_first_and_once(tmp_path, console, nothing_runs):
    def fail(campaign):
        for index in range(3):
            record_failure(campaign.directory.failures, Failure(task=f"train {index}", message="it diverged"))
        record_failure(
            campaign.directory.failures, Failure(task="assess", message="no models", downstream=True)
        )

    nothing_runs.append(fail)
    with pytest.raises(StageError) as caught:
        run(write_tiny(tmp_path), console)
    message = str(caught.value)
    assert message.startswith("the campaign could not be finished: train 0 and 2 more: it diverged\n")
    assert "no models" not in message
    assert "run the same command again" in message


def test_a_users_mistake_found_late_is_still_the_users(tmp_path, console, nothing_runs):
    nothing_runs.append(
        lambda campaign: record_failure(
            campaign.directory.failures, Failure(task="label", message="wrong key", user_error=True)
        )
    )
    with pytest.raises(UserError, match="label: wrong key"):
        run(write_tiny(tmp_path), console)


def test_failures_survive_a_line_cut_short(tmp_path):
    campaign = make_tiny(tmp_path)
    assert read_failures(campaign) == []
    downstream = Failure(task="assess", message="no models", downstream=True)
    record_failure(campaign.directory.failures, downstream)
    with campaign.directory.failures.open("a") as handle:
        handle.write('{"task": "tra')
    assert read_failures(campaign) == [downstream]
    assert failures_in_words([]) == []


def test_changes_are_told_before_they_take_effect(tmp_path, console, nothing_runs):
    file = write_tiny(tmp_path)
    with pytest.raises(StageError):
        run(file, console)
    assert "changed since" not in console.file.getvalue()
    write_tiny(tmp_path, **{"steps: 120": "steps: 130", "temperatures_K: [400]": "temperatures_K: [500]"})
    with pytest.raises(StageError):
        run(file, console)
    told = console.file.getvalue()
    assert "changed since the last run: training.steps: 120 -> 130" in told
    assert "changed since the last run: exploration.temperatures_K: [400.0] -> [500.0]" in told
    assert Campaign.open(tmp_path / "tiny").config.training.steps == 130
    assert (tmp_path / "tiny" / "logs" / "runs.jsonl").read_text().count("\n") == 2


def test_retrying_says_what_it_does_and_what_it_leaves(tmp_path, console, nothing_runs, monkeypatch):
    file = write_tiny(tmp_path)
    monkeypatch.setattr(running, "put_back", lambda _: (2, 3))
    with pytest.raises(StageError):
        run(file, console, retry_failed=True)
    assert (
        "2 failed label(s) are tried again\n3 of closed iterations are left alone\n"
        in console.file.getvalue()
    )
    monkeypatch.setattr(running, "fixed_in_words", lambda _: "no failed label is tried again: finished")
    monkeypatch.setattr(running, "put_back", lambda _: pytest.fail("nothing is to be touched"))
    with pytest.raises(StageError):
        run(file, console, retry_failed=True)
    assert "no failed label is tried again: finished\n" in console.file.getvalue()


def test_one_run_at_a_time(tmp_path, console, nothing_runs):
    file = write_tiny(tmp_path)
    refused = []

    def again(campaign):
        assert running_process(campaign.directory) == os.getpid()
        with pytest.raises(UserError, match="being run already") as caught:
            run(file, console)
        refused.append(str(caught.value))

    nothing_runs.append(again)
    with pytest.raises(StageError):
        run(file, console)
    assert str(os.getpid()) in refused[0]
    assert running_process(Campaign.open(tmp_path / "tiny").directory) is None


def test_termination_ends_as_an_interrupt_does(tmp_path, console, nothing_runs):
    before = signal.getsignal(signal.SIGTERM)
    nothing_runs.append(lambda _: (os.kill(os.getpid(), signal.SIGTERM), threading.Event().wait(10)))
    with pytest.raises(KeyboardInterrupt):
        run(write_tiny(tmp_path), console)
    assert signal.getsignal(signal.SIGTERM) is before
    assert running_process(Campaign.open(tmp_path / "tiny").directory) is None


def test_a_failed_write_names_the_campaign(tmp_path, console, nothing_runs):
    def full(_):
        raise OSError(28, "No space left on device")

    nothing_runs.append(full)
    with pytest.raises(OSError, match="No space left") as caught:
        run(write_tiny(tmp_path), console)
    assert caught.value.filename == str(tmp_path / "tiny")


def test_nothing_is_made_where_a_part_is_missing(tmp_path, console, monkeypatch):
    monkeypatch.setattr(running, "missing_to_run", lambda *_, **__: ["LAMMPS"])
    with pytest.raises(UserError, match="lacks what the campaign needs"):
        run(write_tiny(tmp_path), console)
    assert [path.name for path in tmp_path.iterdir()] == ["campaign.yaml"]
