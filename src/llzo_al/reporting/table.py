"""The report's summary for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llzo_al.reporting.facts import CampaignFacts
from llzo_al.reporting.summary import CLASSICAL_REMARK, columns, duration, rows, verdict

_STYLES = {True: "green", False: "yellow", None: ""}
_VERDICT_STYLES = {"converged": "bold green", "failed": "bold red", "not converged": "bold yellow"}


def table(facts: CampaignFacts) -> Group:
    """The verdict, one line for each iteration, and the totals, for a rich console."""
    return Group(*_top(facts), _iterations(facts), *_bottom(facts))


def _top(facts: CampaignFacts) -> list[RenderableType]:
    lines = [
        Text.assemble((facts.campaign, "bold"), f": labels by {facts.method}"),
        Text(verdict(facts), style=_VERDICT_STYLES.get(facts.status, "bold")),
        *(Text(f"  {reason}") for reason in facts.reasons),
    ]
    if facts.classical_reference:
        lines.append(Text(CLASSICAL_REMARK, style="dim"))
    return list(lines)


def _iterations(facts: CampaignFacts) -> RenderableType:
    found = rows(facts)
    if not found:
        return Text("no iteration has been finished yet")
    result = Table(box=box.SIMPLE_HEAD, caption="errors on held-out MD frames; ✗ misses its threshold")
    for column in columns(facts.thresholds):
        heading = "\n".join(part for part in (column.title, column.unit, column.threshold) if part)
        result.add_column(Text(heading), justify="right", vertical="bottom")
    for row in found:
        result.add_row(
            *(
                Text(f"{cell} ✗" if met is False else cell, style=_STYLES[met])
                for cell, met in zip(row.cells, row.met, strict=True)
            )
        )
    return result


def _bottom(facts: CampaignFacts) -> list[RenderableType]:
    totals, labels = facts.totals, facts.totals.labels
    lines = [
        f"frames: {labels.training} training, {labels.held_out} held-out, {labels.audit} audit, "
        f"{labels.excluded} above the force cap, {labels.failed} failed"
        + "".join(f"; {count} × {cause}" for cause, count in sorted(totals.failures.items())),
        f"time: {duration(totals.wall_s)} by the clock, {duration(totals.engine_s)} in the engines' loops",
    ]
    if totals.peak_memory_MB is not None:
        lines.append(f"peak memory: {totals.peak_memory_MB:.0f} MB")
    if facts.final is not None and facts.final.model_files:
        lines.append(f"models: {', '.join(facts.final.model_files)}")
    return [Text(line) for line in lines]
