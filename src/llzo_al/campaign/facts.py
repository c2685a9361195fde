"""The facts of a campaign's report, gathered from its manifests, its logs and its label store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from os import getpid
from pathlib import Path
from typing import Any, Literal

from llzo_al.campaign import closing, final
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.dataset_stage import is_md
from llzo_al.campaign.directory import driven, running_process
from llzo_al.campaign.failures import failures_in_words, read_failures
from llzo_al.campaign.history import HistoryError, coverage_history
from llzo_al.campaign.label_checks import check_campaign_labels
from llzo_al.campaign.run_log import last_end
from llzo_al.campaign.settings_facts import settings_facts, versions_of_runs
from llzo_al.campaign.stage_times import final_times, initial_times, iteration_times
from llzo_al.campaign.telling import losses_in_words
from llzo_al.config.labelling import ClassicalReference
from llzo_al.evaluation.errors import ErrorSummary, pool
from llzo_al.files import MANIFEST, read_json_lines, read_manifest
from llzo_al.reporting import facts as f
from llzo_al.reporting.labels import LabelCheckFacts
from llzo_al.training.lcurve import read_learning_curve

_FIT, _EDGES = "Fit: ", "Edges: "
"""How the statements of a coverage report begin that the page tells apart."""
Status = Literal["running", "stopped", "converged", "not converged", "failed"]


def write_campaign_report(campaign: Campaign) -> tuple[f.CampaignFacts, Path]:
    """Gather the facts and write ``report/report.json`` and ``report/index.html``.

    Returns
    -------
    tuple
        The facts, and the page.
    """
    from llzo_al.reporting.page import write_report  # Matplotlib takes its time to import

    facts = campaign_facts(campaign)
    return facts, write_report(facts, campaign.directory.report)


def campaign_facts(campaign: Campaign) -> f.CampaignFacts:
    """All that is known of a campaign, finished or not."""
    n_closed = closing.first_open_iteration(campaign)
    iterations = tuple(_iteration(campaign, number) for number in range(n_closed))
    runs = read_json_lines(campaign.directory.runs)
    finished = final.finished_final(campaign)
    failures = tuple(failures_in_words(read_failures(campaign)))
    shortfalls = tuple(final.shortfalls(campaign, finished.outputs)) if finished else ()
    status, reasons = _status(campaign, n_closed, finished is not None, failures)
    history, left_out = _history(campaign, n_closed)
    before, after = initial_times(campaign), final_times(campaign)
    stop = campaign.config.stopping
    return f.CampaignFacts(
        campaign=campaign.config.name,
        method=campaign.labeller.name,
        classical_reference=isinstance(campaign.config.labelling, ClassicalReference),
        started=_time(runs[0]["started"]) if runs else None,
        finished=_time(runs[-1]["started"] + runs[-1]["wall_s"]) if runs and finished else None,
        status=status,
        reasons=(*shortfalls, *reasons),
        failures=failures,
        left_out=(*left_out, *([finished.dimers_failed] if finished and finished.dimers_failed else [])),
        thresholds=f.Thresholds(
            coverage_ratio=stop.coverage_ratio,
            energy_rmse_meV_per_atom=stop.energy_rmse_meV_per_atom,
            force_rmse_meV_per_A=stop.force_rmse_meV_per_A,
            stable_runs_share=stop.stable_runs_share,
        ),
        iterations=iterations,
        coverage_history=history,
        final=_final(finished, shortfalls) if finished else None,
        initial_times=before,
        final_times=after,
        totals=_totals(campaign, n_closed, runs, [before, *(each.times for each in iterations), after]),
        label_checks=LabelCheckFacts.model_validate(check_campaign_labels(campaign).as_dict()),
        learning_curves=_learning_curves(campaign, n_closed),
        settings=settings_facts(campaign),
        versions=versions_of_runs(runs),
    )


def _status(
    campaign: Campaign, n_closed: int, finished: bool, failures: tuple[str, ...]
) -> tuple[Status, tuple[str, ...]]:
    """Where the campaign stands, and why; tasks that a finished one was done without are no reason."""
    if n_closed == 0:
        reasons: tuple[str, ...] = ("no iteration is closed yet",)
        converged = False
    else:
        made = closing.decision(campaign, n_closed - 1)
        reasons, converged = made.reasons, made.converged
    if finished:
        return ("converged" if converged else "not converged"), reasons
    if _driven_by_another(campaign):
        return "running", (*failures, *reasons)
    cut_short = last_end(campaign.directory) in ("interrupted", "killed")
    return ("failed" if failures and not cut_short else "stopped"), (*failures, *reasons)


def _driven_by_another(campaign: Campaign) -> bool:
    """Whether a run goes on; one that ends writes its report while it still holds the campaign's lock."""
    return driven(campaign.directory) and running_process(campaign.directory) != getpid()


def _history(campaign: Campaign, n_closed: int) -> tuple[tuple[f.HistoryPoint, ...], tuple[str, ...]]:
    """Coverage of all iterations in one frame, or why it is left out: nothing else depends on it."""
    try:
        return tuple(f.HistoryPoint(**one) for one in coverage_history(campaign, n_closed)), ()
    except HistoryError as error:
        return (), (str(error),)


def _iteration(campaign: Campaign, number: int) -> f.IterationFacts:
    summary = closing.closed(campaign, number) or {}
    decision = closing.decision(campaign, number)
    counts = read_manifest(campaign.directory.iteration(number) / "dataset")["outputs"]["counts"]
    labels = summary["labels"]
    deviation = summary["deviation"]
    return f.IterationFacts(
        iteration=number,
        coverage=_coverage(summary["coverage"]),
        deviation=f.Deviation(
            mean_eV_per_A=deviation["mean"],
            median_eV_per_A=deviation["median"],
            max_eV_per_A=deviation["max"],
        ),
        errors=f.Errors(
            held_out=_errors(summary["errors"]["held_out"]), audit=_errors(summary["errors"]["audit"])
        ),
        md=f.MDFacts(
            runs=summary["md"]["runs"],
            stable=summary["md"]["stable"],
            endings=tuple(f.MDRun(**ending) for ending in summary["md"]["endings"]),
        ),
        labels=f.LabelCounts(
            training=counts["training"],
            held_out=counts["held_out"],
            excluded=counts["excluded"],
            audit=labels["to_audit"],
            failed=labels["failed"],
            new=labels["to_training"] + labels["to_audit"] + labels["new_held_out"],
        ),
        selected=labels["selected"],
        candidates=_candidates(campaign, number, summary),
        losses=tuple(losses_in_words(summary)),
        conditions=tuple(f.ConditionFacts(**one) for one in summary.get("conditions", ())),
        stuck=tuple(summary["stopping"].get("stuck", ())),
        calibration=_calibration(summary.get("calibration")),
        times=iteration_times(campaign, number),
        decision=f.Decision(converged=decision.converged, reasons=decision.reasons),
    )


def _candidates(campaign: Campaign, number: int, summary: Mapping[str, Any]) -> dict[str, int]:
    """Candidates by rule; an earlier version left them in the assessment alone."""
    assessed = campaign.directory.iteration(number) / "assess"
    if "selection" in summary or not (assessed / MANIFEST).exists():
        return dict(summary.get("selection", {}))
    return dict(read_manifest(assessed)["outputs"].get("selection", {}).get("counts", {}))


def _calibration(fit: Mapping[str, Any] | None) -> f.CalibrationFacts | None:
    if not fit:
        return None
    values = {**fit, **fit.get("expected_visited", {}), "n_frames": fit["n_frames"]}
    return f.CalibrationFacts(**{name: values.get(name) for name in f.CalibrationFacts.model_fields})


def _coverage(report: Mapping[str, Any]) -> f.CoverageFacts:
    def part(kind: type[f.Fact], values: Mapping[str, Any]) -> Any:
        known = {name: values[name] for name in kind.model_fields if name in values}
        if known.get("by_bins"):
            known["by_bins"] = tuple(part(f.CoverageByBins, one) for one in known["by_bins"])
        if known.get("neighbours"):
            known["neighbours"] = part(f.NeighbourFacts, known["neighbours"])
        return kind(**known)

    statements = tuple(report["statements"])
    return f.CoverageFacts(
        pooled=part(f.PooledCoverage, report["pooled"]),
        elements={symbol: part(f.ElementCoverage, values) for symbol, values in report["elements"].items()},
        bins=report["bins"],
        fit_set=_said(statements, _FIT),
        edges=_said(statements, _EDGES),
        definitions=tuple(words for words in statements if not words.startswith((_FIT, _EDGES))),
        remarks=tuple(report["warnings"]),
    )


def _said(statements: Iterable[str], about: str) -> str:
    """What a report's statements say about something."""
    return next((words.removeprefix(about) for words in statements if words.startswith(about)), "")


def _errors(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, f.KindErrors]:
    """Errors by test set, with the pools over all of them and over those from MD."""
    summaries = {name: ErrorSummary.from_dict(values) for name, values in sets.items() if name != f.ALL}
    result = {name: _kind(summary) for name, summary in summaries.items()}
    if summaries:
        result[f.ALL] = _kind(pool(summaries.values()))
    md = [summary for name, summary in summaries.items() if is_md(name)]
    if md:
        result[f.ALL_MD] = _kind(pool(md))
    return result


def _kind(summary: ErrorSummary) -> f.KindErrors:
    return f.KindErrors(
        n_frames=summary.n_frames,
        energy_rmse_meV_per_atom=summary.energy_rmse_meV_per_atom,
        force_rmse_meV_per_A=summary.force_rmse_meV_per_A,
        virial_rmse_meV_per_atom=summary.virial_rmse_meV_per_atom,
    )


def _final(finished: final.FinishedFinal, shortfalls: tuple[str, ...]) -> f.FinalFacts:
    return f.FinalFacts(
        shortfalls=shortfalls,
        errors=f.Errors(held_out=_errors(finished.outputs["tests"])),
        dimers=tuple(f.DimerCurve(**curve) for curve in finished.dimers),
        parity=tuple(
            f.ParityFacts(kind=kind, **{name: tuple(values.tolist()) for name, values in vars(one).items()})
            for kind, one in finished.parity.items()
        ),
        model_files=tuple(f"models/{name}" for name in finished.outputs["models"]),
    )


def _totals(
    campaign: Campaign,
    n_closed: int,
    runs: list[dict[str, Any]],
    times: Iterable[Mapping[str, f.StageTime]],
) -> f.Totals:
    counts = campaign.store.counts(
        force_cap_eV_per_A=campaign.config.dataset.force_cap_eV_per_A, physics=campaign.physics
    )
    attempts = campaign.store.attempts(campaign.store.identities(physics=campaign.physics))
    return f.Totals(
        wall_s=sum(run["wall_s"] for run in runs),
        engine_s=sum(stage.engine_s or 0.0 for part in times for stage in part.values()),
        peak_memory_MB=max((run["peak_memory_MB"] for run in runs), default=None),
        labels=f.LabelCounts(
            training=counts.splits["training"].usable,
            held_out=counts.splits["held-out"].usable,
            audit=counts.splits["audit"].usable,
            failed=counts.total.failed,
            excluded=counts.total.excluded,
            new=counts.total.labelled,
        ),
        failures=dict(counts.failure_causes),
        failed_attempts=dict(
            Counter(attempt.cause for each in attempts.values() for attempt in each).most_common()
        ),
        recovered=len(
            attempts.keys() & set(campaign.store.identities(labelled=True, physics=campaign.physics))
        ),
        trainings=_trainings(campaign, n_closed),
        programs=campaign.store.programs(physics=campaign.physics),
    )


def _trainings(campaign: Campaign, n_closed: int) -> dict[str, int]:
    """Finished trainings by backend and device, those that a change has superseded left out."""
    parts = [campaign.directory.iteration(number) for number in range(n_closed + 1)]
    places = [place for part in (*parts, campaign.directory.final) for place in part.glob("train/model-*")]
    found: Counter[str] = Counter()
    for place in places:
        if place.name.removeprefix("model-").isdigit() and (place / MANIFEST).exists():
            outputs = read_manifest(place)["outputs"]
            found[f"{outputs['backend']} on {outputs.get('device') or 'an unknown device'}"] += 1
    return dict(found.most_common())


def _learning_curves(campaign: Campaign, n_closed: int) -> dict[str, tuple[f.CurvePoint, ...]]:
    places = {
        f"iteration {number}, model 0": campaign.directory.iteration(number) / "train" / "model-0"
        for number in range(n_closed)
    }
    places["final, model 0"] = campaign.directory.final / "train" / "model-0"
    curves = {}
    for name, place in places.items():
        if (place / MANIFEST).exists():
            outputs = read_manifest(place)["outputs"]
            curves[name] = tuple(
                f.CurvePoint(
                    step=point.step,
                    force_rmse_meV_per_A=_milli(point.force_rmse_eV_per_A),
                    energy_rmse_meV_per_atom=_milli(point.energy_rmse_eV_per_atom),
                )
                for point in read_learning_curve(place / outputs["learning_curve"])
            )
    return curves


def _milli(value: float | None) -> float | None:
    return None if value is None else 1000.0 * value


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
