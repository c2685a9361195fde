"""The end of an iteration: predictions against labels, splits decided, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from llzo_al.campaign.assess import assessment, read_predictions, read_visited
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.dataset_stage import is_md, test_set_name
from llzo_al.campaign.failures import require_labels
from llzo_al.campaign.iteration import committee, finished_runs, planned_runs
from llzo_al.dataset.records import Record
from llzo_al.evaluation.errors import ErrorSummary, pool, summarise
from llzo_al.files import finished, run_stage
from llzo_al.selection.audit import AuditEntry, Prediction, audit
from llzo_al.selection.calibration import Compared, calibrate
from llzo_al.selection.stopping import Decision, IterationSummary, decide


def close_key(campaign: Campaign, number: int) -> dict[str, Any]:
    """What a closed iteration must share with the campaign file to stay closed.

    An iteration that ran to its end is history: other settings of training or exploration apply from the
    next one on. Only another level of theory or another type map takes its place.
    """
    return {"iteration": number, **campaign.level_of_theory}


def close(campaign: Campaign, number: int) -> dict[str, Any]:
    """Audit the iteration's labels, decide their splits and sum the iteration up."""
    outputs = run_stage(
        campaign.directory.iteration(number) / "close",
        stage="close",
        key=close_key(campaign, number),
        compute=lambda _: _sum_up(campaign, number),
    )
    _tell(campaign, number)
    return outputs


def closed(campaign: Campaign, number: int) -> dict[str, Any] | None:
    """Summary of a closed iteration, or None while it is open."""
    return finished(campaign.directory.iteration(number) / "close", close_key(campaign, number))


def first_open_iteration(campaign: Campaign) -> int:
    """Number of the first iteration that is not closed."""
    number = 0
    while closed(campaign, number) is not None:
        number += 1
    return number


def decision(campaign: Campaign, number: int) -> Decision:
    """Whether the loop stops after iteration `number`, by the campaign file's stopping rule as it is now."""
    history = []
    for index in range(number + 1):
        summary = closed(campaign, index)
        if summary is not None:
            figures = summary["stopping"]
            history.append(
                IterationSummary(
                    **{
                        **figures,
                        "endings": tuple(figures["endings"]),
                        "stuck": tuple(figures.get("stuck", ())),
                    }
                )
            )
    return decide(history, campaign.config.stopping)


def _sum_up(campaign: Campaign, number: int) -> dict[str, Any]:
    assessed = assessment(campaign, number)
    predictions = read_predictions(campaign, number)
    records = {
        record.identity: record
        for record in campaign.store.records(
            identities=list(predictions), labelled=None, physics=campaign.physics
        )
    }
    require_labels(campaign, records.values(), f"iteration {number}")
    audited = _audit(campaign, number, records, predictions)
    for identity, entry in audited.items():
        campaign.store.decide(identity, entry.split)
    new_held_out = _errors(
        {
            identity: record
            for identity, record in records.items()
            if record.split == "held-out" and record.frame.provenance.iteration == number
        },
        predictions,
    )
    tests = committee(campaign, number)[0].result.tests
    held_out = _merge(tests, new_held_out)
    audit_errors = _errors(
        {identity: records[identity] for identity, entry in audited.items() if entry.split == "audit"},
        predictions,
    )
    md_sets = [summary for name, summary in held_out.items() if is_md(name)]
    md_errors = pool(md_sets) if md_sets else None
    runs = finished_runs(campaign, number)
    n_planned = len(planned_runs(campaign, number))
    coverage = assessed["coverage"]
    failed = [record for record in records.values() if record.failure is not None]
    compared = _compared(records, predictions, number)
    return {
        "coverage": coverage,
        "deviation": assessed["deviation"],
        "errors": {
            "held_out": {name: summary.as_dict() for name, summary in held_out.items()},
            "audit": {name: summary.as_dict() for name, summary in audit_errors.items()},
        },
        "audit": [{"identity": identity, **entry.as_dict()} for identity, entry in audited.items()],
        "labels": {
            "selected": len(assessed["chosen"]),
            "new_held_out": len(assessed["held_out"]),
            "to_training": sum(entry.split == "training" for entry in audited.values()),
            "to_audit": sum(entry.split == "audit" for entry in audited.values()),
            "failed": len(failed),
            "failed_by_cause": _count(record.failure.cause for record in failed if record.failure),
        },
        "md": {
            "runs": n_planned,
            "stable": sum(bool(outputs["stable"]) for _, _, outputs in runs),
            "endings": [
                {
                    "run": run.group,
                    "temperature_K": run.temperature_K,
                    "ended": outputs["ended"],
                    "time_ps": outputs["steps_done"] * campaign.config.exploration.timestep_fs / 1000,
                }
                for _, run, outputs in runs
            ],
        },
        "stopping": {
            "iteration": number,
            "coverage_ratio": coverage["pooled"]["ratio"],
            "element_ratios": {element: values["ratio"] for element, values in coverage["elements"].items()},
            "energy_rmse_meV_per_atom": md_errors.energy_rmse_meV_per_atom if md_errors else None,
            "force_rmse_meV_per_A": md_errors.force_rmse_meV_per_A if md_errors else None,
            "n_held_out_md_frames": md_errors.n_frames if md_errors else 0,
            "runs": n_planned,
            "stable_runs": sum(bool(outputs["stable"]) for _, _, outputs in runs),
            "endings": [outputs["ended"] for _, _, outputs in runs if not outputs["stable"]],
            "coverage": coverage["pooled"]["coverage"],
            "environment_ratio": coverage["pooled"].get("environment_ratio"),
            "worst": _worst(assessed.get("conditions", [])),
            "far_share": coverage["pooled"].get("far_share"),
            "stuck": [
                f"{group}: {moved['reason']}"
                for group, moved in assessed.get("mobility", {}).items()
                if moved["stuck"]
            ],
        },
        "conditions": assessed.get("conditions", []),
        "compared": [asdict(one) for one in compared],
        "calibration": _calibration(campaign, number, compared),
    }


def _worst(conditions: Sequence[Mapping[str, Any]]) -> str:
    """Where least is covered, in words."""
    places = [
        (share, f"{symbol} in {row['kind']} at {row['temperature_K']:g} K: {share:.2f} of its environments")
        for row in conditions
        for symbol, share in row["environment_coverage"].items()
    ]
    return min(places)[1] if places else ""


def _compared(
    records: Mapping[str, Record], predictions: Mapping[str, Prediction], number: int
) -> list[Compared]:
    """True errors of the frames whose label came after the prediction: chosen and held-out ones."""
    found = []
    for identity, record in sorted(records.items()):
        details = record.frame.provenance.details
        deviation, novelty = details.get("force_deviation_eV_per_A"), details.get("novelty")
        if record.label is None or deviation is None or novelty is None:
            continue
        if record.frame.provenance.iteration != number:
            continue
        difference = predictions[identity].forces_eV_per_A - record.label.forces_eV_per_A
        found.append(
            Compared(
                group=record.frame.provenance.group,
                force_deviation_eV_per_A=float(deviation),
                novelty=float(novelty),
                force_rmse_meV_per_A=1000.0 * float(np.sqrt(np.mean(difference**2))),
            )
        )
    return found


def _calibration(campaign: Campaign, number: int, compared: Sequence[Compared]) -> dict[str, Any] | None:
    """The fit of error by deviation and novelty on what was compared up to this iteration."""
    frames = list(compared)
    for earlier in range(number):
        kept = (closed(campaign, earlier) or {}).get("compared", [])
        frames += [Compared(**{**one, "group": f"{earlier}/{one['group']}"}) for one in kept]
    fit = calibrate(frames)
    if fit is None:
        return None
    deviation, novelty = read_visited(campaign, number)
    usable = np.isfinite(deviation)
    expected = fit.predict_meV_per_A(deviation[usable], novelty[usable])
    limit = campaign.config.stopping.force_rmse_meV_per_A
    return {
        **fit.as_dict(),
        "expected_visited": {
            "n_frames": int(usable.sum()),
            "median_meV_per_A": float(np.median(expected)) if len(expected) else None,
            "p90_meV_per_A": float(np.quantile(expected, 0.9)) if len(expected) else None,
            "share_above_limit": float(np.mean(expected > limit)) if len(expected) else None,
        },
    }


def _audit(
    campaign: Campaign,
    number: int,
    records: Mapping[str, Record],
    predictions: Mapping[str, Prediction],
) -> dict[str, AuditEntry]:
    """Compare predictions with labels for the frames that this iteration chose."""
    chosen = {
        identity: (predictions[identity], record.label)
        for identity, record in sorted(records.items())
        if record.label is not None
        and record.frame.provenance.iteration == number
        and record.split != "held-out"
    }
    entries = audit(
        [prediction for prediction, _ in chosen.values()],
        [label for _, label in chosen.values()],
        campaign.config.selection,
    )
    return {
        identity: _as_decided(entry, records[identity])
        for identity, entry in zip(chosen, entries, strict=True)
    }


def _as_decided(entry: AuditEntry, record: Record) -> AuditEntry:
    """The entry with the split that an interrupted close gave the frame, whatever the limits are now."""
    return replace(entry, split=record.split) if record.split in ("training", "audit") else entry


def _errors(records: Mapping[str, Record], predictions: Mapping[str, Prediction]) -> dict[str, ErrorSummary]:
    """Errors of the predictions for labelled frames, by test set."""
    sets: dict[str, list[ErrorSummary]] = {}
    for identity, record in records.items():
        if record.label is None:
            continue
        predicted = predictions[identity]
        sets.setdefault(test_set_name(record), []).append(
            summarise(
                energies_eV=[predicted.energy_eV],
                reference_energies_eV=[record.label.energy_eV],
                forces_eV_per_A=predicted.forces_eV_per_A[None],
                reference_forces_eV_per_A=record.label.forces_eV_per_A[None],
            )
        )
    return {name: pool(summaries) for name, summaries in sorted(sets.items())}


def _merge(first: Mapping[str, ErrorSummary], second: Mapping[str, ErrorSummary]) -> dict[str, ErrorSummary]:
    names = sorted({*first, *second})
    return {name: pool([each[name] for each in (first, second) if name in each]) for name in names}


def _count(causes: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cause in causes:
        counts[cause] = counts.get(cause, 0) + 1
    return counts


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _tell(campaign: Campaign, number: int) -> None:
    summary = closed(campaign, number)
    if summary is None:
        return
    pooled = summary["coverage"]["pooled"]
    stopping = summary["stopping"]
    labels = summary["labels"]
    errors = "no held-out MD frames"
    if stopping["force_rmse_meV_per_A"] is not None:
        errors = (
            f"held-out MD errors {stopping['energy_rmse_meV_per_atom']:.1f} meV/atom and "
            f"{stopping['force_rmse_meV_per_A']:.0f} meV/Å"
        )
    covered = ", ".join(f"{name} {_figure(pooled[name])}" for name in ("coverage", "ceiling", "ratio"))
    campaign.say(
        f"iteration {number}: {covered}; {errors}; {stopping['stable_runs']} of {stopping['runs']} MD runs "
        f"stable; {labels['to_training']} new training frames, {labels['to_audit']} to the audit"
    )
    stuck = stopping.get("stuck", [])
    if stuck:
        more = f"; and {len(stuck) - 2} more" if len(stuck) > 2 else ""
        campaign.say(
            f"iteration {number}: {len(stuck)} of {stopping['runs']} MD runs stuck, which makes coverage "
            f"look better than it is: {'; '.join(stuck[:2])}{more}"
        )
    fit = summary.get("calibration")
    if fit:
        campaign.say(f"iteration {number}: {fit['in_words']}")
    made = decision(campaign, number)
    outcome = "converged" if made.converged else "stops unconverged" if made.stop else "goes on"
    campaign.say(f"iteration {number}: {outcome}: " + "; ".join(made.reasons))
