"""``llzo-al labels ingest``: labels of finished runs of VASP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llzo_al.commands.arguments import JsonOption, campaign_directory
from llzo_al.console import CONSOLE, ERRORS

if TYPE_CHECKING:
    from llzo_al.campaign.campaign import Campaign
    from llzo_al.campaign.ingest import IngestSummary

_SHOWN = 10


def ingest(
    places: Annotated[
        list[Path],
        typer.Argument(
            help="Folders to search with all that is in them, or OUTCAR and vasprun.xml files, also "
            "compressed.",
            metavar="DIR_OR_FILE",
            show_default=False,
        ),
    ],
    into: Annotated[
        Path,
        typer.Option("--into", help="Campaign directory, or a campaign file.", show_default=False),
    ],
    every: Annotated[
        int, typer.Option("--every", min=1, help="Take one ionic step in so many of each run.")
    ] = 1,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept",
            help="Take runs that differ from the campaign in this numerical setting all the same: EDIFF, "
            "KPOINTS, LREAL, PREC or ADDGRID. What differed is kept with each label.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only judge; store nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Enter the labels of finished runs of VASP into a campaign, thousands at a time.

    Each converged ionic step of a run becomes a frame with its label. A run whose settings (INCAR, k-points,
    POTCARs) are not those of the campaign is refused, and so is one that failed; each with its cause. Doing
    it again enters nothing twice.

    Example: [bold]llzo-al labels ingest ~/old-runs --into campaign.yaml --dry-run[/bold]
    """
    from llzo_al.campaign.ingest import ingest as ingest_runs

    campaign = _campaign(into)
    with _progress() as progress:
        task = progress.add_task("runs", total=None, labels=0)
        summary = ingest_runs(
            campaign,
            places,
            accept=accept or (),
            every=every,
            dry_run=dry_run,
            tell=lambda done, total, labels: progress.update(
                task, completed=done, total=total, labels=labels
            ),
        )
    if as_json:
        CONSOLE.print_json(json.dumps(summary.as_dict()))
    else:
        _show(summary, dry_run=dry_run)
    if not summary.count("entered") and not summary.count("known"):
        raise typer.Exit(1)


def _campaign(into: Path) -> Campaign:
    """The campaign; one that has not been run yet is made from its file."""
    from llzo_al.campaign.campaign import Campaign

    if into.is_file():
        from llzo_al.config.load import load_campaign

        loaded = load_campaign(into)
        if not loaded.campaign_dir.exists():
            return Campaign.create(root=loaded.campaign_dir, config=loaded.config, campaign_file=loaded.path)
    return Campaign.open(campaign_directory(into))


def _progress() -> Progress:
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[labels]} labels"),
        TimeRemainingColumn(),
        console=ERRORS,
        transient=True,
        disable=not ERRORS.is_terminal,
    )


def _show(summary: IngestSummary, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    lines = [
        f"{len(summary.runs):,} runs: {summary.count('entered'):,} {would}entered, "
        f"{summary.count('known'):,} entered before, {summary.count('refused'):,} refused",
        f"{summary.total('labels'):,} labels {would}new, "
        f"{summary.total('duplicates'):,} frames had one already",
    ]
    if conflicts := summary.total("conflicts"):
        lines.append(
            f"{conflicts:,} of these had another energy (more than 1 meV/atom apart): see `conflicts` in "
            "the log"
        )
    lines += _with_reserve(summary, would)
    lines += [f"  {count:,} refused: {cause}" for cause, count in summary.causes().items()]
    refused = [run for run in summary.runs if run.outcome == "refused"]
    lines += [f"    {run.file}: {run.reason}" for run in refused[:_SHOWN]]
    if len(refused) > _SHOWN:
        lines.append(f"    ... and {len(refused) - _SHOWN:,} more")
    if summary.log is not None:
        lines.append(f"every run with its cause: {summary.log}")
    for line in lines:
        CONSOLE.print(line, highlight=False, soft_wrap=True)


def _with_reserve(summary: IngestSummary, would: str) -> list[str]:
    """What a person should know of the runs that were entered."""
    lines = [
        f"  {count:,} ionic steps {would or 'were '}left out: {cause}"
        for cause, count in summary.left_out().items()
    ]
    if cut_off := summary.count("entered") - summary.complete():
        lines.append(
            f"  {cut_off:,} of the runs that {would or 'were '}entered end early; what they finished is taken"
        )
    accepted = [
        f"  {runs:,} accepted all the same: {difference}"
        for counts in summary.accepted().values()
        for difference, runs in counts.items()
    ]
    lines += accepted[:_SHOWN]
    if len(accepted) > _SHOWN:
        lines.append(f"    ... and {len(accepted) - _SHOWN:,} more differences")
    return lines
