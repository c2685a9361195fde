"""Exploration runs summed up for the page: by iteration and temperature, and those that ended early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llzo_al.reporting.facts import CampaignFacts, MDRun

_COMPLETED = "completed"


@dataclass(frozen=True, kw_only=True)
class Explored:
    """MD runs of one iteration at one temperature.

    Attributes
    ----------
    iteration, temperature_K
        Which; the temperature is None where it is not known.
    runs, completed, guarded, failed
        Their number, and those of them that reached their end, that the guard ended, and whose task failed.
    time_ps
        Simulated time of all together; None where none is known.
    """

    iteration: int
    temperature_K: float | None
    runs: int
    completed: int
    guarded: int
    failed: int
    time_ps: float | None


def explored(facts: CampaignFacts) -> list[Explored]:
    """A row for each iteration and temperature, in the order of the runs."""
    rows = []
    for item in facts.iterations:
        endings = item.md.endings if item.md else ()
        for temperature_K in dict.fromkeys(run.temperature_K for run in endings):
            runs = [run for run in endings if run.temperature_K == temperature_K]
            rows.append(_row(item.iteration, temperature_K, runs))
    return rows


def ended_early(facts: CampaignFacts) -> list[tuple[int, MDRun]]:
    """Iteration and run of all that did not reach their end."""
    return [
        (item.iteration, run)
        for item in facts.iterations
        if item.md
        for run in item.md.endings
        if run.ended != _COMPLETED
    ]


def unlisted(facts: CampaignFacts) -> list[tuple[int, int]]:
    """Iteration and number of runs whose task failed and of which an earlier version kept nothing more."""
    counts = [(item.iteration, item.md.runs - len(item.md.endings)) for item in facts.iterations if item.md]
    return [(iteration, count) for iteration, count in counts if count > 0]


def _row(iteration: int, temperature_K: float | None, runs: Sequence[MDRun]) -> Explored:
    times = [run.time_ps for run in runs if run.time_ps is not None]
    return Explored(
        iteration=iteration,
        temperature_K=temperature_K,
        runs=len(runs),
        completed=sum(run.ended == _COMPLETED for run in runs),
        guarded=sum(run.finished and run.ended != _COMPLETED for run in runs),
        failed=sum(not run.finished for run in runs),
        time_ps=sum(times) if times else None,
    )
