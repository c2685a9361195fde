"""The report's summary for the terminal."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llzo_al.reporting.details import detail_tables
from llzo_al.reporting.facts import CampaignFacts
from llzo_al.reporting.summary import (
    CLASSICAL_REMARK,
    Column,
    columns,
    done_without,
    duration,
    good,
    rows,
    verdict,
)

_LEFT_OUT = ("task time",)
"""Columns that only the page has: a terminal of 80 columns has no room for them."""
_STYLES = {True: "green", False: "yellow", None: ""}
_STYLE_OF = {"converged": "bold yellow", "failed": "bold red", "not converged": "bold yellow"}


def table(facts: CampaignFacts, *, details: bool = True) -> Group:
    """The verdict, one line for each iteration, and the totals, for a rich console.

    Parameters
    ----------
    facts
        What the report says.
    details
        Also what failed in the last run and was done without, times by stage, coverage by element, and
        errors by kind of structure.
    """
    below = [*detail_tables(facts), *_failed(facts)] if details else []
    return Group(*_top(facts), _iterations(facts), *_losses(facts), *below, *_bottom(facts))


def results(facts: CampaignFacts, root: Path) -> list[str]:
    """Where the results of a campaign lie and how to use them, a line for each; none before its end.

    Parameters
    ----------
    facts
        What the report says.
    root
        The campaign directory.
    """
    if facts.final is None or not facts.final.model_files:
        return []
    first, *others = (root / file for file in facts.final.model_files)
    elements = " ".join(facts.settings.elements) if facts.settings else ""
    lines = [
        f"potential: {first}",
        f"  LAMMPS (units metal): pair_style deepmd {first.name}; pair_coeff * * {elements}",
        f'  ASE: from deepmd.calculator import DP; atoms.calc = DP("{first.name}")',
    ]
    if others:
        lines.append(f"  rest of the committee: {', '.join(file.name for file in others)}")
    return [*lines, f"data set (DeePMD-kit, extended XYZ): {root / 'final' / 'dataset'}"]


def _top(facts: CampaignFacts) -> list[RenderableType]:
    lines = [
        Text.assemble((facts.campaign, "bold"), f": labels by {facts.method}"),
        Text(verdict(facts), style="bold green" if good(facts) else _STYLE_OF.get(facts.status, "bold")),
        *(Text(f"  {reason}") for reason in facts.reasons),
    ]
    if facts.classical_reference:
        lines.append(Text(CLASSICAL_REMARK, style="dim"))
    return list(lines)


def _iterations(facts: CampaignFacts) -> RenderableType:
    found = rows(facts)
    if not found:
        return Text("no iteration has been finished yet")
    result = Table(
        box=box.SIMPLE_HEAD,
        padding=0,
        caption="errors on held-out MD frames; ✗ misses its threshold",
        caption_justify="left",
    )
    heads = columns(facts.thresholds)
    shown = [number for number, column in enumerate(heads) if column.title not in _LEFT_OUT]
    for number in shown:
        result.add_column(_heading(heads[number]), justify="right", vertical="bottom", no_wrap=True)
    for row in found:
        result.add_row(*(_cell(row.cells[number], row.met[number]) for number in shown))
    return result


def _heading(column: Column) -> Text:
    title = column.title.replace(" / ", " /").replace(" ", "\n")
    return Text("\n".join(part for part in (title, column.unit, column.threshold) if part))


def _cell(text: str, met: bool | None) -> Text:
    return Text(f"{text} ✗" if met is False else text, style=_STYLES[met])


def _losses(facts: CampaignFacts) -> list[RenderableType]:
    """What iterations went on without, and what is missing in the report."""
    lines = [
        f"iteration {item.iteration}: warning: {loss}" for item in facts.iterations for loss in item.losses
    ]
    lines += [f"not in this report: {words}" for words in facts.left_out]
    return [Text(line, style="yellow") for line in lines]


def _failed(facts: CampaignFacts) -> list[RenderableType]:
    lines = done_without(facts)
    head = [Text("failed in the last run, and done without:")] if lines else []
    return [*head, *(Text(f"  {line}") for line in lines)]


def _bottom(facts: CampaignFacts) -> list[RenderableType]:
    totals, labels = facts.totals, facts.totals.labels
    lines = [
        f"frames: {labels.training} training, {labels.held_out} held-out, {labels.audit} audit; not used: "
        f"{labels.excluded} above the force cap, {labels.failed} failed"
        + "".join(f"; {count} × {cause}" for cause, count in sorted(totals.failures.items())),
        f"time: {duration(totals.wall_s)} by the clock; {duration(totals.engine_s)} of training, MD, "
        "coverage and labels, summed over parallel tasks",
    ]
    if totals.peak_memory_MB is not None:
        lines.append(f"peak memory: {totals.peak_memory_MB:.0f} MB")
    return [Text(line) for line in lines]
