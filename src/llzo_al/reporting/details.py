"""Small tables below the report's summary on a terminal: times, coverage by element, errors by kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table

from llzo_al.reporting.facts import CampaignFacts, Errors, StageTime
from llzo_al.reporting.summary import MISSING, number, order_kinds, wall_s

_COLUMN_OF = {"structures": "data set", "reference MD": "MD", "explore": "MD", "test": "assess"}
"""Stages that share a column with others of their sort."""
_COLUMNS = ("data set", "train", "MD", "assess", "label", "close")


def detail_tables(facts: CampaignFacts) -> Iterator[RenderableType]:
    """The tables that there is something for, for a rich console of 80 columns or more."""
    for table in (_times(facts), _coverage(facts), _errors(facts)):
        if table.row_count:
            yield table


def _times(facts: CampaignFacts) -> Table:
    parts: list[tuple[str, dict[str, StageTime]]] = [
        ("initial", facts.initial_times),
        *((str(item.iteration), item.times) for item in facts.iterations),
        ("final", facts.final_times),
    ]
    timed = [(name, times) for name, times in parts if any(one.wall_s for one in times.values())]
    longest = max((wall_s(times) or 0.0 for _, times in timed), default=0.0)
    unit, seconds = ("h", 3600.0) if longest > 7200 else ("min", 60.0) if longest > 120 else ("s", 1.0)
    table = _table(
        f"wall time of each stage, summed over tasks ({unit})",
        ["iteration", *_COLUMNS, "sum"],
        "initial: structures under data set, reference MD under MD; final: its test under assess",
    )
    for name, times in timed:
        by_column: dict[str, float] = {}
        for stage, time in times.items():
            column = _COLUMN_OF.get(stage, stage)
            by_column[column] = by_column.get(column, 0.0) + (time.wall_s or 0.0)
        known = [by_column.get(column) for column in _COLUMNS]
        values = [None if value is None else value / seconds for value in (*known, wall_s(times))]
        table.add_row(name, *(number(value, 1) for value in values))
    return table


def _coverage(facts: CampaignFacts) -> Table:
    measured = [(item.iteration, item.coverage) for item in facts.iterations if item.coverage is not None]
    symbols = list(dict.fromkeys(symbol for _, coverage in measured for symbol in coverage.elements))
    table = _table("coverage ratio by element", ["iteration", *symbols, "pooled"])
    for iteration, coverage in measured:
        elements = [coverage.elements.get(symbol) for symbol in symbols]
        ratios = [element.ratio if element else None for element in elements]
        table.add_row(str(iteration), *(number(ratio, 3) for ratio in (*ratios, coverage.pooled.ratio)))
    return table


def _errors(facts: CampaignFacts) -> Table:
    """Of the last iteration and of the final potential."""
    sources = [(f"iteration {item.iteration}", item.errors) for item in facts.iterations[-1:]]
    if facts.final is not None:
        sources.append(("final", facts.final.errors))
    heads = [f"{name}\n{what}" for name, _ in sources for what in ("force\nmeV/Å", "energy\nmeV/atom")]
    table = _table("errors (RMSE) on held-out frames by kind of structure", ["kind", *heads])
    for kind in order_kinds({kind for _, errors in sources for kind in errors.held_out}):
        table.add_row(kind, *(cell for _, errors in sources for cell in _error_cells(errors, kind)))
    return table


def _error_cells(errors: Errors, kind: str) -> tuple[str, str]:
    found = errors.held_out.get(kind)
    if found is None:
        return MISSING, MISSING
    return number(found.force_rmse_meV_per_A), number(found.energy_rmse_meV_per_atom)


def _table(title: str, heads: Sequence[str], caption: str | None = None) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
    )
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", vertical="bottom", no_wrap=bool(place))
    return table
