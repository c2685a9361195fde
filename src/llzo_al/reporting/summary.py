"""One line for each iteration, and the words at the top: shared by the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llzo_al.reporting.facts import (
    ALL,
    ALL_MD,
    CampaignFacts,
    Errors,
    IterationFacts,
    KindErrors,
    StageTime,
    Thresholds,
)

MISSING = "–"
AUDIT_REMARK = (
    "Audit frames were labelled because they looked difficult, and kept apart because the model turned out "
    "accurate on them: their errors are low by construction and say nothing about the model's quality."
)
CLASSICAL_REMARK = (
    "Energies and forces come from a classical reference potential, not from DFT. All errors are against "
    "that reference: they tell how well the model learned it, not how well it describes the material."
)
_VERDICTS = {
    "running": "The campaign is under way",
    "converged": "Converged: every threshold is met",
    "not converged": "Not converged",
    "stopped": "Not finished, and not running: the same run command continues it",
    "failed": "Failed: not finished; when the causes are mended, the same run command continues it",
}
_MISSED = {
    "converged": "The loop converged, but the final potential misses {}",
    "not converged": "Not converged, and the final potential misses {}",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the summary, as text.

    Attributes
    ----------
    cells
        One for each of `COLUMNS`.
    met
        Of each cell, whether it meets its threshold; None where there is no threshold or no value.
    """

    cells: tuple[str, ...]
    met: tuple[bool | None, ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the summary.

    Attributes
    ----------
    title, unit
        What and in which unit ("" for none).
    threshold
        The limit, as text; "" for none.
    """

    title: str
    unit: str = ""
    threshold: str = ""


def verdict(facts: CampaignFacts) -> str:
    """The decision in a few words, with what the final potential itself misses."""
    missed = len(facts.final.shortfalls) if facts.final else 0
    if missed and facts.status in _MISSED:
        return _MISSED[facts.status].format("a limit" if missed == 1 else f"{missed} limits")
    return _VERDICTS[facts.status]


def good(facts: CampaignFacts) -> bool:
    """Whether the campaign converged and its final potential meets the limits too."""
    return facts.status == "converged" and not (facts.final and facts.final.shortfalls)


def done_without(facts: CampaignFacts) -> tuple[str, ...]:
    """Failed tasks of the last run that are not among the reasons: the campaign was finished without them."""
    return facts.failures if facts.status in ("converged", "not converged") else ()


def columns(limits: Thresholds) -> tuple[Column, ...]:
    """Columns of the summary."""
    return (
        Column(title="iteration"),
        Column(title="training frames"),
        Column(title="coverage / ceiling", threshold=_limit("≥", limits.coverage_ratio, 3)),
        Column(title="lowest element"),
        Column(title="force RMSE", unit="meV/Å", threshold=_limit("≤", limits.force_rmse_meV_per_A)),
        Column(title="energy RMSE", unit="meV/atom", threshold=_limit("≤", limits.energy_rmse_meV_per_atom)),
        Column(
            title="stable MD runs", threshold=_limit("≥", _percent(limits.stable_runs_share), ending=" %")
        ),
        Column(title="new labels"),
        Column(title="task time"),
        Column(title="outcome"),
    )


def rows(facts: CampaignFacts) -> list[Row]:
    """One row for each iteration, and one for the final model."""
    found = [_row(iteration, facts) for iteration in facts.iterations]
    if facts.final is not None:
        found.append(_final_row(facts.final.errors, facts.thresholds))
    return found


def headline(errors: Errors) -> KindErrors | None:
    """Held-out errors that thresholds are compared with: of MD frames, else of all, else of the only kind."""
    for name in (ALL_MD, ALL):
        if name in errors.held_out:
            return errors.held_out[name]
    return next(iter(errors.held_out.values())) if len(errors.held_out) == 1 else None


def kinds(facts: CampaignFacts) -> list[str]:
    """Kinds of structure with held-out errors in alphabetical order, then the pools of several kinds."""
    every = [iteration.errors for iteration in facts.iterations]
    if facts.final is not None:
        every.append(facts.final.errors)
    names = {name for errors in every for name in errors.held_out}
    return order_kinds(names)


def order_kinds(names: Iterable[str]) -> list[str]:
    """Kinds in alphabetical order, then the pools of several kinds."""
    different = set(names)
    pools = [name for name in (ALL_MD, ALL) if name in different]
    return sorted(different - set(pools)) + pools


def number(value: float | None, digits: int | None = None) -> str:
    """A number as text: with `digits` decimals, or three significant ones."""
    if value is None:
        return MISSING
    if digits is not None:
        return f"{value:.{digits}f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds for reading: "48 s", "9 min 05 s", "3 h 20 min"."""
    if seconds is None:
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def wall_s(times: dict[str, StageTime]) -> float | None:
    """Sum of the stages' wall times, of parallel tasks too; None if none is known."""
    known = [stage.wall_s for stage in times.values() if stage.wall_s is not None]
    return sum(known) if known else None


def _row(iteration: IterationFacts, facts: CampaignFacts) -> Row:
    limits = facts.thresholds
    coverage = iteration.coverage
    ratio = coverage.pooled.ratio if coverage else None
    errors = headline(iteration.errors)
    force = errors.force_rmse_meV_per_A if errors else None
    energy = errors.energy_rmse_meV_per_atom if errors else None
    md = iteration.md
    share = md.stable / md.runs if md and md.runs else None
    labels = iteration.labels
    cells = (
        str(iteration.iteration),
        str(labels.training) if labels else MISSING,
        number(ratio, 3),
        _lowest(iteration),
        number(force),
        number(energy),
        f"{md.stable} of {md.runs}" if md else MISSING,
        str(labels.new) if labels else MISSING,
        duration(wall_s(iteration.times)),
        _outcome(iteration, facts),
    )
    met = (
        None,
        None,
        _at_least(ratio, limits.coverage_ratio),
        None,
        _at_most(force, limits.force_rmse_meV_per_A),
        _at_most(energy, limits.energy_rmse_meV_per_atom),
        _at_least(share, limits.stable_runs_share),
        None,
        None,
        None,
    )
    return Row(cells=cells, met=met)


def _final_row(errors: Errors, limits: Thresholds) -> Row:
    found = headline(errors)
    force = found.force_rmse_meV_per_A if found else None
    energy = found.energy_rmse_meV_per_atom if found else None
    empty = (MISSING,)
    return Row(
        cells=("final", *empty * 3, number(force), number(energy), *empty * 4),
        met=(
            *(None,) * 4,
            _at_most(force, limits.force_rmse_meV_per_A),
            _at_most(energy, limits.energy_rmse_meV_per_atom),
            *(None,) * 4,
        ),
    )


def _lowest(iteration: IterationFacts) -> str:
    elements = iteration.coverage.elements if iteration.coverage else {}
    known = {symbol: element.ratio for symbol, element in elements.items() if element.ratio is not None}
    if not known:
        return MISSING
    symbol = min(known, key=lambda name: (known[name], name))
    return f"{symbol} {known[symbol]:.3f}"


def _outcome(iteration: IterationFacts, facts: CampaignFacts) -> str:
    last = iteration is facts.iterations[-1]
    if iteration.decision is None:
        return "under way" if last and facts.status == "running" else "not finished"
    if iteration.decision.converged:
        return "converged"
    return "stops" if last and facts.status == "not converged" else "goes on"


def _limit(sign: str, value: float | None, digits: int | None = None, ending: str = "") -> str:
    return "" if value is None else f"{sign} {number(value, digits)}{ending}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _at_least(value: float | None, limit: float | None) -> bool | None:
    return None if value is None or limit is None else value >= limit


def _at_most(value: float | None, limit: float | None) -> bool | None:
    return None if value is None or limit is None else value <= limit
