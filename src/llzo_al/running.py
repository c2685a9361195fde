"""What ``llzo-al run`` and ``llzo-al status`` do."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import psutil
from rich.console import Console

from llzo_al.campaign import closing
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.changed import changes_in_words
from llzo_al.campaign.dataset_stage import failed_labels
from llzo_al.campaign.directory import CampaignDirectory, CampaignLock, running_process
from llzo_al.campaign.facts import write_campaign_report
from llzo_al.campaign.failures import Failure, failures_in_words, read_failures
from llzo_al.campaign.retrying import fixed_in_words, put_back
from llzo_al.campaign.run_log import End, RunLog
from llzo_al.campaign.telling import outcome_in_words
from llzo_al.config.load import LoadedCampaign, load_campaign
from llzo_al.dataset.records import Counts
from llzo_al.display import CampaignDisplay, progress_line
from llzo_al.errors import ExitCode, LlzoAlError, StageError, UserError
from llzo_al.files import read_json
from llzo_al.preflight import check_place, check_sources, check_training, missing_to_run
from llzo_al.progress import read_progress
from llzo_al.reporting.table import results, table
from llzo_al.workflow import driver, growth


def run_campaign(
    file: Path,
    *,
    directory: Path | None,
    launchpad_file: Path | None,
    console: Console,
    here: Sequence[str] = growth.CATEGORIES,
    retry_failed: bool = False,
) -> ExitCode:
    """Run or continue the campaign of a campaign file on this machine.

    Parameters
    ----------
    file
        The campaign file.
    directory
        Campaign directory instead of the one that the file names.
    launchpad_file
        FireWorks launchpad file of a MongoDB; None for the embedded LaunchPad.
    console
        Where to print.
    here
        Kinds of task that this machine takes; see `driver.run_workflow`.
    retry_failed
        Label frames again whose label failed before, unless nothing would use the label any more.

    Returns
    -------
    ExitCode
        Whether it converged.

    Raises
    ------
    UserError
        If the campaign file or this machine is not fit for it.
    StageError
        If the campaign could not be finished; the message carries the causes.
    """
    loaded = load_campaign(file)
    check_training(loaded)
    missing = missing_to_run(loaded.config, tasks=here)
    if missing:
        raise UserError(f"{file}: this machine lacks what the campaign needs:\n  " + "\n  ".join(missing))
    place = CampaignDirectory((directory or loaded.campaign_dir).resolve())
    check_place(place, loaded.path)
    check_sources(loaded, place.root)
    try:
        place.create(loaded.path)
        with CampaignLock(place), _termination_as_interrupt():
            campaign = _open(loaded, place, console)
            if retry_failed:
                _retry(campaign, console)
            if growth.final_is_done(campaign):
                console.print("The campaign is finished; nothing to do.", highlight=False)
            else:
                _work(campaign, launchpad_file, here, console)
            return _conclude(campaign, console)
    except OSError as error:
        error.filename = error.filename or str(place.root)  # a failed write does not know its file
        raise


def _retry(campaign: Campaign, console: Console) -> None:
    if fixed := fixed_in_words(campaign):
        console.print(fixed, highlight=False, soft_wrap=True)
        return
    again, left = put_back(campaign)
    console.print(f"{again} failed label(s) are tried again", highlight=False)
    if left:
        console.print(f"{left} of closed iterations are left alone", highlight=False)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does: with a message, and with its children."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open(loaded: LoadedCampaign, place: CampaignDirectory, console: Console) -> Campaign:
    """Campaign of a file; what changed since the last run is said before it takes effect."""
    if place.config.exists():
        for change in changes_in_words(loaded, Campaign.open(place.root)):
            console.print(f"changed since the last run: {change}", highlight=False, soft_wrap=True)
    campaign = Campaign.create(root=place.root, config=loaded.config, campaign_file=loaded.path)
    campaign.store.counts()  # a damaged store is told before anything else is
    campaign.keep_level_of_theory()
    return campaign


def _work(campaign: Campaign, launchpad_file: Path | None, here: Sequence[str], console: Console) -> None:
    place = campaign.directory
    display = CampaignDisplay(place.log, place.progress, console)
    console.print(f"campaign {campaign.config.name} in {place.root}", highlight=False, soft_wrap=True)
    memory = _Memory()

    def watch() -> None:
        display.update()
        memory.sample()
        log.beat(memory.peak_MB)

    log = RunLog(place)
    number = closing.first_open_iteration(campaign)
    stopped = number > 0 and closing.decision(campaign, number - 1).stop
    following = "the final training" if stopped else f"iteration {number}"
    campaign.say("starts" if not place.initial.exists() else f"continues with {following}")
    ended: End = "by itself"
    try:
        with display.showing():
            driver.run_workflow(campaign, launchpad_file=launchpad_file, here=here, watch=watch)
    except KeyboardInterrupt:
        ended = "interrupted"
        raise
    finally:
        log.end(memory.peak_MB, ended)


class _Memory:
    """Peak memory of this process and its descendants, shared pages counted once (Linux: PSS)."""

    INTERVAL_S = 2.0

    def __init__(self) -> None:
        self.peak_MB = 0.0
        self._next = 0.0

    def sample(self) -> None:
        """Look, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.INTERVAL_S
        total = 0
        current = psutil.Process()
        for process in (current, *current.children(recursive=True)):
            try:
                info = process.memory_full_info()
            except psutil.Error:
                continue
            total += getattr(info, "pss", info.rss)
        self.peak_MB = max(self.peak_MB, total / 1e6)


def _conclude(campaign: Campaign, console: Console) -> ExitCode:
    """Write the report, print the verdict, and turn it into an exit code."""
    failures = read_failures(campaign)
    if not growth.final_is_done(campaign):
        raise _unfinished(campaign, failures, console)
    facts, page = write_campaign_report(campaign)
    console.print(table(facts, details=False))
    if failures:
        console.print(f"{len(failures)} task(s) failed in this run and were done without:", highlight=False)
    for line in failures_in_words(failures):  # the rest of a cause was told when it failed
        console.print(f"  {line.splitlines()[0]}", highlight=False, soft_wrap=True)
    for line in (*results(facts, campaign.directory.root), f"report: {page}"):
        console.print(line, highlight=False, soft_wrap=True)
    decision = closing.decision(campaign, closing.first_open_iteration(campaign) - 1)
    return ExitCode.CONVERGED if decision.converged else ExitCode.NOT_CONVERGED


def _unfinished(campaign: Campaign, failures: list[Failure], console: Console) -> LlzoAlError:
    """The error of a campaign that could not be finished, its causes first; the report is written."""
    lines = failures_in_words(failures) or ["no task said why; see the workers' logs"]
    if closing.first_open_iteration(campaign) > 0:
        facts, page = write_campaign_report(campaign)
        console.print(table(facts, details=False))
        console.print(f"report: {page}", highlight=False, soft_wrap=True)
    causes = lines[0] if len(lines) == 1 else "\n  " + "\n  ".join(lines)
    kind = UserError if any(failure.user_error for failure in failures) else StageError
    return kind(
        f"the campaign could not be finished: {causes}\nFinished labels, trainings and MD runs are kept: "
        f"mend the cause and run the same command again. Logs: {campaign.directory.logs}"
    )


def print_status(root: Path, *, console: Console, as_json: bool) -> None:
    """Print what runs, what is done and what failed.

    Raises
    ------
    UserError
        If `root` is not a campaign directory.
    """
    campaign = Campaign.open(root)
    place = campaign.directory
    counts = campaign.store.counts(
        force_cap_eV_per_A=campaign.config.dataset.force_cap_eV_per_A, physics=campaign.physics
    )
    process = running_process(place)
    tasks = read_progress(place.progress) if process is not None else []
    failures = read_failures(campaign)
    iteration = closing.first_open_iteration(campaign)
    done = growth.final_is_done(campaign)
    if as_json:
        data = {
            "running": process,
            "finished": done,
            "open_iteration": iteration,
            "labels": {split: asdict(each) for split, each in counts.splits.items()},
            "tasks": [progress_line(task) for task in tasks],
            "failures": [f"{failure.task}: {failure.message}" for failure in failures],
        }
        console.print_json(json.dumps(data))
        return
    state = f"running (process {process})" if process is not None else "finished" if done else "not running"
    most = campaign.config.stopping.max_iterations
    lines = [
        f"campaign {campaign.config.name}: {state}",
        f"iterations closed: {iteration} of at most {most}",
        f"labels: {_labels_in_words(counts)}",
        *(f"labels: {line}" for line in failed_labels(campaign)),
        *(f"  {progress_line(task)}" for task in tasks),
        *(f"failed: {failure.task}: {failure.message}" for failure in failures),
    ]
    if iteration > 0:
        made = closing.decision(campaign, iteration - 1)
        lines.append(f"iteration {iteration - 1}: {outcome_in_words(made)}")
        lines += [f"  {'met' if made.converged else 'missed'}: {reason}" for reason in made.reasons]
    if done:
        lines.append(f"potential: {place.models}; figures and how to use it: llzo-al report {root}")
    elif process is None:
        lines.append(f"continue with: llzo-al run {_campaign_file(place)}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _labels_in_words(counts: Counts) -> str:
    told = [f"{each.usable} {split}" for split, each in counts.splits.items() if split != "candidate"]
    if candidates := counts.splits["candidate"].labelled:
        told.append(f"{candidates} not yet compared with the model")
    total = counts.total
    return ", ".join(told) + (
        f"; {total.excluded} above the force cap, {total.pending} waiting, {total.failed} failed"
    )


def _campaign_file(place: CampaignDirectory) -> str:
    return str(read_json(place.version_file)["campaign_file"])
