"""``llzo-al coverage``: what one data set covers of another."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llzo_al.commands.arguments import JsonOption
from llzo_al.config.coverage import LOW_CEILING, Coverage
from llzo_al.console import CONSOLE, ERRORS
from llzo_al.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from llzo_al.coverage.report import CoverageReport, ElementCoverage, PooledCoverage

_PROGRESS_S = 5.0
_LEGEND = (
    "ceiling: one half of the test set by the other; ratio: coverage by its ceiling, pooled at most 1 "
    "(?: the ceiling is too low for it). Shares of the test environments: environments, in covered cells; "
    "far, from training in the full space (0.05: as training itself); off, outside the subspace. "
    "unseen: share of further MD in cells not visited yet"
)

TrainOption = Annotated[
    list[Path],
    typer.Option("--train", help="Training set: a file or folder; can be given again.", show_default=False),
]
TestOption = Annotated[
    list[Path],
    typer.Option("--test", help="What is to be covered: a file or folder.", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for coverage.json and pictures of the planes.", show_default=False),
]
ElementsOption = Annotated[
    str | None,
    typer.Option("--elements", help="Elements; by default all that occur.", metavar="Li,La,Zr,O"),
]
BinsOption = Annotated[
    str, typer.Option("--bins", help="Cells along each axis of a plane, or auto.", metavar="N")
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="Use the descriptor of this DeePMD-kit model instead of SOAP."),
]
FormatOption = Annotated[
    str, typer.Option("--format", help="Format of the files, as in existing_data; auto recognises it.")
]
EveryOption = Annotated[int, typer.Option("--every", help="Take one of so many frames.", min=1)]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of splits and samples.", min=0)]
ProcessesOption = Annotated[
    int, typer.Option("--processes", help="Elements that are measured at once.", min=1)
]
PaperOption = Annotated[
    bool, typer.Option("--paper", help="The measure of You et al. (2024) as it is: no subspace check.")
]
FittedOnOption = Annotated[
    Literal["training", "visited", "both"], typer.Option("--fitted-on", help="Set that the PCA is fitted on.")
]
EdgesOption = Annotated[
    Literal["common", "training", "visited"], typer.Option("--edges", help="Range that the cells divide.")
]
VarianceOption = Annotated[
    float, typer.Option("--variance", help="Share of the variance that the components hold.", metavar="SHARE")
]
TogetherOption = Annotated[bool, typer.Option("--together", help="One space for all elements.")]


def coverage(
    train: TrainOption,
    test: TestOption,
    out: OutOption = None,
    elements: ElementsOption = None,
    bins: BinsOption = "20",
    model: ModelOption = None,
    file_format: FormatOption = "auto",
    every: EveryOption = 1,
    seed: SeedOption = 1,
    processes: ProcessesOption = 1,
    paper: PaperOption = False,
    fitted_on: FittedOnOption = "training",
    edges: EdgesOption = "common",
    variance: VarianceOption = 0.95,
    together: TogetherOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what a training set covers of another data set.

    Both can be anything that ASE or dpdata reads: extended XYZ, ASE .traj, OUTCAR, vasprun.xml, DeePMD-kit
    systems. Prints the coverage of You et al. (2024) for each element, its ceiling (what one half of the
    test set covers of the other), the ratio of both, and what makes a figure worth less than it looks. A
    trajectory is a file or system; intervals come from drawing trajectories again.

    Example: [bold]llzo-al coverage --train dataset/training --test md-1500K.traj --out coverage[/bold]
    """
    from llzo_al.coverage.datasets import compare_datasets
    from llzo_al.coverage.deepmd import DeepmdDescriber

    symbols = [one.strip() for one in elements.split(",")] if elements else None
    if not 0 < variance <= 1:
        raise UserError(f"--variance: {variance:g} given; allowed: above 0 and at most 1")
    settings = Coverage(
        bins=_bins(bins),
        subspace_check=not paper,
        fitted_on=fitted_on,
        edges=edges,
        variance=variance,
        elements="together" if together else "separate",
    )
    describer = None
    if model is not None:
        if not model.is_file():
            raise UserError(f"--model: {model} is not a file; give a frozen model such as graph.pb")
        describer = partial(DeepmdDescriber, model)
    report = compare_datasets(
        train,
        test,
        elements=symbols,
        settings=settings,
        describer=describer,
        file_format=file_format,
        every=every,
        seed=seed,
        processes=processes,
        out=out,
        progress=_Progress(),
    )
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
        return
    CONSOLE.print(_table(report))
    for words in report.warnings:
        CONSOLE.print(f"warning: {words}", style="yellow", highlight=False, soft_wrap=True)
    if out is not None:
        CONSOLE.print(f"figures and pictures: {out}", highlight=False, soft_wrap=True)


def _bins(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal() or not 2 <= int(text) <= 2000:
        raise UserError(f"--bins: {text!r} given; allowed: a whole number from 2 to 2000, or auto")
    return int(text)


class _Progress:
    """A line on standard error every few seconds."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, name: str, done: int, total: int) -> None:
        if time.monotonic() - self._told >= _PROGRESS_S:
            ERRORS.print(f"describe {name}: {done}/{total} frames", highlight=False)
            self._told = time.monotonic()


def _table(report: CoverageReport) -> Table:
    from rich.table import Table

    table = Table(
        title=f"coverage of {report.n_visited_frames} frames by {report.n_training_frames} training frames",
        title_justify="left",
        caption=_LEGEND,
        caption_justify="left",
        show_footer=True,
    )
    pooled = report.pooled
    columns = (
        ("element", "pooled"),
        ("bins", ""),
        ("coverage", _figure(pooled.coverage, pooled.coverage_interval)),
        ("ceiling", _figure(pooled.ceiling)),
        ("ratio", _ratio(pooled)),
        ("environments", _figure(pooled.environment_coverage, pooled.environment_coverage_interval)),
        ("unseen", _figure(pooled.unseen_mass_between_trajectories)),
        ("far", _figure(pooled.far_share)),
        ("off", _figure(pooled.off_share)),
        ("trained", ""),
        ("tested", ""),
    )
    for name, footer in columns:
        table.add_column(name, footer=footer, justify="left" if name == "element" else "right")
    for one in report.elements:
        table.add_row(
            one.symbol,
            str(one.bins),
            _figure(one.coverage, one.coverage_interval),
            _figure(one.ceiling),
            _ratio(one),
            _figure(one.environment_coverage, one.environment_coverage_interval),
            _figure(one.unseen_mass_between_trajectories),
            _figure(one.neighbours.far_share if one.neighbours else None),
            _figure(one.off_share),
            f"{one.n_training_environments:,}",
            f"{one.n_visited_environments:,}",
        )
    return table


def _ratio(one: ElementCoverage | PooledCoverage) -> str:
    """The ratio; with a question mark where its ceiling is so low that it means little."""
    doubtful = one.ratio is not None and one.ceiling is not None and one.ceiling < LOW_CEILING
    return _figure(one.ratio, one.ratio_interval) + ("?" if doubtful else "")


def _figure(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.2f}-{interval[1]:.2f})"
