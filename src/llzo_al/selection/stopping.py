"""The rule that ends the loop, and its reasons in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llzo_al.config.assessment import Stopping
from llzo_al.config.coverage import LOW_CEILING
from llzo_al.errors import StageError

_ENDINGS_TOLD = 3


@dataclass(frozen=True, kw_only=True)
class IterationSummary:
    """What an iteration came to.

    Attributes
    ----------
    iteration
        Its number, from 0.
    coverage_ratio
        Pooled coverage as a share of its ceiling; None where it could not be measured.
    element_ratios
        The same for each element.
    energy_rmse_meV_per_atom, force_rmse_meV_per_A
        Errors on the held-out MD frames; None where there are none.
    n_held_out_md_frames
        Number of those frames.
    runs, stable_runs
        Exploration runs, and those that reached their end.
    endings
        For each run that the guard ended, why. The other unstable runs did not finish: their tasks failed.
    coverage, environment_ratio
        The paper's coverage, and the environment-weighted ratio; None where they could not be measured.
    element_coverages
        The paper's coverage of each element.
    coverage_ceiling, environment_ceiling
        What the two ratios are ratios to; None where unknown.
    worst
        Where least is covered, in words ("Zr in t-LLZO at 900 K: 0.85 of its environments").
    far_share
        Share of visited environments far from training in the full reduced space; None where unknown.
    stuck
        For each run that is stuck, which one and why.
    """

    iteration: int
    coverage_ratio: float | None
    element_ratios: Mapping[str, float | None] = field(default_factory=dict)
    energy_rmse_meV_per_atom: float | None
    force_rmse_meV_per_A: float | None
    n_held_out_md_frames: int
    runs: int
    stable_runs: int
    endings: tuple[str, ...] = ()
    coverage: float | None = None
    environment_ratio: float | None = None
    element_coverages: Mapping[str, float | None] = field(default_factory=dict)
    coverage_ceiling: float | None = None
    environment_ceiling: float | None = None
    worst: str = ""
    far_share: float | None = None
    stuck: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether the loop ends.

    Attributes
    ----------
    converged
        All limits are met.
    stop
        The loop ends: converged, or at the iteration limit.
    reasons
        Where it is not converged, each limit that is missed; where it is, each that is met.
    """

    converged: bool
    stop: bool
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return {"converged": self.converged, "stop": self.stop, "reasons": list(self.reasons)}


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    met: bool
    words: str


def decide(history: Sequence[IterationSummary], settings: Stopping) -> Decision:
    """Decide whether the loop ends after the last iteration of `history`.

    It is converged if the last `consecutive` iterations each meet every limit: the coverage ratio, the energy
    and force error on held-out MD frames, and the share of stable runs; and if there were `min_iterations`.
    It ends unconverged after `max_iterations`. What could not be measured is not met.

    Parameters
    ----------
    history
        All iterations so far, in order.
    settings
        The limits.

    Raises
    ------
    StageError
        If the history is empty or out of order.
    """
    if not history:
        raise StageError("the stopping rule needs at least one finished iteration")
    numbers = [summary.iteration for summary in history]
    if numbers != sorted(set(numbers)):
        raise StageError(f"iterations are out of order: {numbers}, expected each once and ascending")
    verdicts = _verdicts(history[-1], settings)
    met = [verdict.words for verdict in verdicts if verdict.met]
    missed = [verdict.words for verdict in verdicts if not verdict.met]
    in_a_row = _passing_in_a_row(history, settings)
    if not missed and in_a_row < settings.consecutive:
        missed.append(f"all limits met in {in_a_row} of {settings.consecutive} consecutive iterations")
    if len(history) < settings.min_iterations:
        missed.append(f"{len(history)} of at least {settings.min_iterations} iterations done")
    if not missed:
        return Decision(converged=True, stop=True, reasons=tuple(met))
    if len(history) >= settings.max_iterations:
        missed.append(f"iteration limit of {settings.max_iterations} reached without convergence")
        return Decision(converged=False, stop=True, reasons=tuple(missed))
    return Decision(converged=False, stop=False, reasons=tuple(missed))


def _passing_in_a_row(history: Sequence[IterationSummary], settings: Stopping) -> int:
    count = 0
    for summary in reversed(history):
        if not all(verdict.met for verdict in _verdicts(summary, settings)):
            break
        count += 1
    return count


def _verdicts(summary: IterationSummary, settings: Stopping) -> list[_Verdict]:
    return [
        _coverage(summary, settings),
        _error(
            "energy", summary.energy_rmse_meV_per_atom, settings.energy_rmse_meV_per_atom, "meV/atom", summary
        ),
        _error("force", summary.force_rmse_meV_per_A, settings.force_rmse_meV_per_A, "meV/Å", summary),
        _stability(summary, settings.stable_runs_share),
        *_optional(summary, settings),
    ]


def _coverage(summary: IterationSummary, settings: Stopping) -> _Verdict:
    name, ratio, ceiling, limit, by_element = {
        "ratio": (
            "coverage ratio",
            summary.coverage_ratio,
            summary.coverage_ceiling,
            settings.coverage_ratio,
            summary.element_ratios,
        ),
        "environment_ratio": (
            "environment-weighted coverage ratio",
            summary.environment_ratio,
            summary.environment_ceiling,
            settings.coverage_ratio,
            {},
        ),
        "paper": ("coverage", summary.coverage, None, settings.paper_coverage, summary.element_coverages),
    }[settings.coverage_measure]
    if ratio is None or not math.isfinite(ratio):
        return _Verdict(met=False, words=f"{name} not measured: the visited set cannot be split in halves")
    if ceiling is not None and ceiling < LOW_CEILING and ratio >= limit > 0:
        return _Verdict(
            met=False,
            words=f"{name} {ratio:.3f} means little: the ceiling is only {ceiling:.2f}, too few environments "
            "were visited for so many cells (longer or more runs, or fewer coverage.bins)",
        )
    known = {symbol: value for symbol, value in by_element.items() if value is not None}
    lowest = min(known, key=lambda symbol: known[symbol]) if known else None
    told = [f"{lowest} lowest: {known[lowest]:.3f}"] if lowest is not None else []
    met = ratio >= limit
    if summary.worst and not met:
        told.append(f"least covered: {summary.worst}")
    aside = f" ({'; '.join(told)})" if told else ""
    return _Verdict(met=met, words=f"{name} {ratio:.3f} {'>=' if met else '<'} {limit:g}{aside}")


def _error(name: str, value: float | None, limit: float, unit: str, summary: IterationSummary) -> _Verdict:
    frames = summary.n_held_out_md_frames
    if value is None or frames < 1:
        return _Verdict(met=False, words=f"{name} RMSE not measured: no labelled held-out MD frame")
    if not math.isfinite(value):
        return _Verdict(met=False, words=f"{name} RMSE is not a finite number")
    met = value <= limit
    where = f"on {frames} held-out MD frame{'s' if frames != 1 else ''}"
    return _Verdict(met=met, words=f"{name} RMSE {value:.4g} {'<=' if met else '>'} {limit:g} {unit} {where}")


def _stability(summary: IterationSummary, limit: float) -> _Verdict:
    if summary.runs < 1:
        return _Verdict(met=False, words="no MD run explored")
    met = summary.stable_runs / summary.runs >= limit - 1e-12
    if summary.stable_runs == summary.runs:
        return _Verdict(met=met, words=f"all of {summary.runs} runs stable")
    ended = len(summary.endings)
    unfinished = summary.runs - summary.stable_runs - ended
    counts = [f"{ended} of {summary.runs} runs ended by the guard"] if ended else []
    if unfinished > 0:
        counts.append(f"{unfinished} of {summary.runs} runs did not finish (their tasks failed)")
    told = "; ".join(summary.endings[:_ENDINGS_TOLD])
    more = ended - _ENDINGS_TOLD
    causes = f": {told}" if told else ""
    causes += f"; and {more} more" if more > 0 else ""
    share = "" if met else f" (stable share {summary.stable_runs / summary.runs:.2f} < {limit:g})"
    return _Verdict(met=met, words=f"{', '.join(counts)}{share}{causes}")


def _optional(summary: IterationSummary, settings: Stopping) -> list[_Verdict]:
    """Limits that are only there where the campaign file sets them."""
    verdicts = []
    if settings.far_share < 1:
        far, limit = summary.far_share, settings.far_share
        if far is None:
            words = "share of far environments not measured: training has a single frame"
        else:
            sign = "<=" if far <= limit else ">"
            words = f"{far:.3f} {sign} {limit:g} of the environments far from training"
        verdicts.append(_Verdict(met=far is not None and far <= limit, words=words))
    if settings.stuck_runs_share < 1:
        share = len(summary.stuck) / max(summary.runs, 1)
        met = share <= settings.stuck_runs_share + 1e-12
        words = f"{len(summary.stuck)} of {summary.runs} runs stuck"
        if not met:
            words += f" (share {share:.2f} > {settings.stuck_runs_share:g}): {summary.stuck[0]}"
        verdicts.append(_Verdict(met=met, words=words))
    return verdicts
