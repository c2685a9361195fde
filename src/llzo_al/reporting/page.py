"""The report as files: ``report.json`` and one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from llzo_al.files import write_atomic
from llzo_al.reporting import dimers, exploration, figures, parity, summary
from llzo_al.reporting.facts import CampaignFacts, IterationFacts, KindErrors
from llzo_al.reporting.label_figures import labels_figure
from llzo_al.selection.candidates import choice_in_words

PAGE = "index.html"
JSON = "report.json"


def write_report(facts: CampaignFacts, directory: Path) -> Path:
    """Write ``report.json`` and ``index.html`` into `directory`, each atomically.

    The page needs nothing besides itself: styles and figures (SVG) are in it.

    Parameters
    ----------
    facts
        What the report says.
    directory
        The report's directory, ``report/`` of a campaign; made if it is not there.

    Returns
    -------
    Path
        The page.
    """
    directory.mkdir(parents=True, exist_ok=True)
    html = render(facts)
    write_atomic(directory / JSON, facts.model_dump_json(indent=2) + "\n")
    write_atomic(directory / PAGE, html)
    return directory / PAGE


def render(facts: CampaignFacts) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("llzo_al.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = summary.number
    environment.filters["duration"] = summary.duration
    environment.filters["choice"] = choice_in_words
    return environment.get_template("report.html.j2").render(
        facts=facts,
        verdict=summary.verdict(facts),
        columns=summary.columns(facts.thresholds),
        rows=summary.rows(facts),
        figures=_figures(facts),
        assessed=_last_assessed(facts),
        errors=_latest_errors(facts),
        order_kinds=summary.order_kinds,
        explored=exploration.explored(facts),
        ended_early=exploration.ended_early(facts),
        unlisted=exploration.unlisted(facts),
        done_without=summary.done_without(facts),
        verdict_class=_verdict_class(facts),
        stage_times=_stage_times(facts),
        audit_remark=summary.AUDIT_REMARK,
        classical_remark=summary.CLASSICAL_REMARK,
        missing=summary.MISSING,
    )


def _figures(facts: CampaignFacts) -> Mapping[str, Markup | None]:
    drawn = {
        "coverage": figures.coverage_figure(facts),
        "errors": figures.errors_figure(facts),
        "frames": figures.frames_figure(facts),
        "times": figures.times_figure(facts),
        "learning": figures.learning_figure(facts),
        "labels": labels_figure(facts.label_checks),
        "dimers": dimers.dimers_figure(facts),
        "parity": parity.parity_figure(facts),
    }
    # Matplotlib escapes the text that it puts into SVG.
    return {name: None if svg is None else Markup(svg) for name, svg in drawn.items()}


def _last_assessed(facts: CampaignFacts) -> IterationFacts | None:
    """The last iteration with a coverage."""
    return next((item for item in reversed(facts.iterations) if item.coverage is not None), None)


def _latest_errors(facts: CampaignFacts) -> dict[str, tuple[str, Mapping[str, KindErrors]] | None]:
    """Latest held-out and audit errors by kind, each with whose they are."""
    sources = [(f"iteration {item.iteration}", item.errors) for item in facts.iterations]
    if facts.final is not None:
        sources.append(("the final model", facts.final.errors))
    found: dict[str, tuple[str, Mapping[str, KindErrors]] | None] = {"held_out": None, "audit": None}
    for name, errors in sources:
        if errors.held_out:
            found["held_out"] = (name, errors.held_out)
        if errors.audit:
            found["audit"] = (name, errors.audit)
    return found


def _verdict_class(facts: CampaignFacts) -> str:
    """The status as a class of the page's style."""
    missed = facts.status == "converged" and not summary.good(facts)
    return "not-converged" if missed else facts.status.replace(" ", "-")


def _stage_times(facts: CampaignFacts) -> list[tuple[str, str, float | None, float | None]]:
    """Part of the campaign, stage, and its wall and engine seconds; the last row is the sum of all."""
    parts = {
        "initial data": [facts.initial_times],
        "iterations": [item.times for item in facts.iterations],
        "final": [facts.final_times],
    }
    table = []
    for part, times in parts.items():
        for name in dict.fromkeys(name for one in times for name in one):
            found = [one[name] for one in times if name in one]
            wall_s, engine_s = _sum(time.wall_s for time in found), _sum(time.engine_s for time in found)
            table.append((part, name, wall_s, engine_s))
    if table:
        table.append(("sum", "", _sum(row[2] for row in table), _sum(row[3] for row in table)))
    return table


def _sum(values: Iterable[float | None]) -> float | None:
    """Sum of the known values; None if none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
