"""What ``llzo-al run`` and ``llzo-al status`` do."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import psutil
from rich.console import Console

from llzo_al.campaign import closing, final
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import CampaignDirectory, CampaignLock, running_process
from llzo_al.campaign.facts import write_campaign_report
from llzo_al.config.changes import describe_changes
from llzo_al.config.load import LoadedCampaign, load_campaign
from llzo_al.display import CampaignDisplay, progress_line
from llzo_al.errors import ExitCode, StageError, UserError
from llzo_al.files import read_json
from llzo_al.preflight import missing_parts
from llzo_al.progress import read_progress
from llzo_al.reporting.table import table
from llzo_al.workflow import driver, growth


def run_campaign(
    file: Path, *, directory: Path | None, launchpad_file: Path | None, console: Console
) -> ExitCode:
    """Run or continue the campaign of a campaign file on this machine.

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
    missing = missing_parts(loaded.config)
    if missing:
        raise UserError(f"{file}: this machine lacks what the campaign needs:\n  " + "\n  ".join(missing))
    place = CampaignDirectory((directory or loaded.campaign_dir).resolve())
    place.create(file.resolve())
    with CampaignLock(place):
        campaign = _open(loaded, place, console)
        if growth.final_is_done(campaign):
            console.print("The campaign is finished; nothing to do.", highlight=False)
        else:
            _work(campaign, launchpad_file, console)
        return _conclude(campaign, console)


def _open(loaded: LoadedCampaign, place: CampaignDirectory, console: Console) -> Campaign:
    """Campaign of a file; what changed since the last run is said before it takes effect."""
    if place.config.exists():
        before = Campaign.open(place.root).config.settings()
        for change in describe_changes(before, loaded.config.settings()):
            console.print(f"changed since the last run: {change}", highlight=False, soft_wrap=True)
    return Campaign.create(root=place.root, config=loaded.config, campaign_file=loaded.path)


def _work(campaign: Campaign, launchpad_file: Path | None, console: Console) -> None:
    place = campaign.directory
    display = CampaignDisplay(place.logs / "campaign.log", place.progress, console)
    console.print(f"campaign {campaign.config.name} in {place.root}", highlight=False, soft_wrap=True)
    memory = _Memory()

    def watch() -> None:
        display.update()
        memory.sample()

    started = time.time()
    number = closing.first_open_iteration(campaign)
    campaign.say("starts" if not place.initial.exists() else f"continues with iteration {number}")
    try:
        with display.showing():
            driver.run_workflow(campaign, launchpad_file=launchpad_file, watch=watch)
    finally:
        _log_run(campaign, started, memory.peak_MB)


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


def _log_run(campaign: Campaign, started: float, peak_memory_MB: float) -> None:
    line = {
        "started": started,
        "wall_s": time.time() - started,
        "peak_memory_MB": peak_memory_MB,
    }
    with campaign.directory.runs.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")


def _conclude(campaign: Campaign, console: Console) -> ExitCode:
    """Write the report, print the verdict, and turn it into an exit code."""
    failures = driver.read_failures(campaign)
    facts, page = write_campaign_report(campaign)
    console.print(table(facts))
    if failures:
        console.print(f"{len(failures)} task(s) failed in this run:", highlight=False)
    for failure in failures:
        console.print(f"  {failure.task}: {failure.message}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    if not growth.final_is_done(campaign):
        raise StageError(
            f"{campaign.directory.root}: the campaign could not be finished; the causes are above, details "
            f"in {campaign.directory.logs}. Finished labels, trainings and MD runs are kept: mend the cause "
            "and run the same command again"
        )
    decision = closing.decision(campaign, closing.first_open_iteration(campaign) - 1)
    verdict = "converged" if decision.converged else "not converged"
    console.print(f"{verdict}: " + "; ".join(decision.reasons), highlight=False, markup=False, soft_wrap=True)
    models = ", ".join(str(path) for path in final.final_models(campaign))
    console.print(f"potential: {models}", highlight=False, soft_wrap=True)
    return ExitCode.CONVERGED if decision.converged else ExitCode.NOT_CONVERGED


def print_status(root: Path, *, console: Console, as_json: bool) -> None:
    """Print what runs, what is done and what failed.

    Raises
    ------
    UserError
        If `root` is not a campaign directory.
    """
    campaign = Campaign.open(root)
    place = campaign.directory
    counts = campaign.store.counts(physics=campaign.physics)
    process = running_process(place)
    tasks = read_progress(place.progress) if process is not None else []
    failures = driver.read_failures(campaign)
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
    console.print(f"campaign {campaign.config.name}: {state}", highlight=False)
    most = campaign.config.stopping.max_iterations
    console.print(f"iterations closed: {iteration} of at most {most}", highlight=False)
    for split, each in counts.splits.items():
        waiting = f", {each.pending} waiting" if each.pending else ""
        failed = f", {each.failed} failed" if each.failed else ""
        console.print(f"labels, {split}: {each.labelled}{waiting}{failed}", highlight=False)
    for task in tasks:
        console.print(f"  {progress_line(task)}", highlight=False, markup=False)
    for failure in failures:
        console.print(f"failed: {failure.task}: {failure.message}", highlight=False, markup=False)
    if iteration > 0:
        decision = closing.decision(campaign, iteration - 1)
        words = "; ".join(decision.reasons)
        console.print(f"iteration {iteration - 1}: {words}", highlight=False, markup=False)
    if not done and process is None:
        console.print(f"continue with: llzo-al run {_campaign_file(place)}", highlight=False, soft_wrap=True)


def _campaign_file(place: CampaignDirectory) -> str:
    return str(read_json(place.version_file)["campaign_file"])
