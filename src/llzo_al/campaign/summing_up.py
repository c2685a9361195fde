"""What an iteration came to: predictions against labels, splits decided, runs and errors counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from llzo_al.campaign.assessed import assessment, read_predictions, read_visited
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.dataset_stage import is_md, test_set_name
from llzo_al.campaign.failures import require_labels
from llzo_al.campaign.iteration import FinishedRun, committee, finished_runs, planned_runs
from llzo_al.dataset.records import Record
from llzo_al.evaluation.errors import ErrorSummary, pool, summarise
from llzo_al.exploration.runs import ExplorationRun
from llzo_al.selection.audit import AuditEntry, Prediction, audit
from llzo_al.selection.calibration import Compared, Signs, calibrate
from llzo_al.selection.stopping import IterationSummary


def sum_up(campaign: Campaign, number: int, compared_before: Sequence[Compared]) -> dict[str, Any]:
    """Audit an iteration's labels, decide their splits and gather its figures.

    Parameters
    ----------
    campaign, number
        The campaign and its iteration.
    compared_before
        Predictions that earlier iterations compared with labels.

    Returns
    -------
    dict
        JSON-serialisable outputs of the stage that closes the iteration.

    Raises
    ------
    StageError
        If too few labels succeeded.
    """
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
    held_out = _held_out_errors(campaign, number, records, predictions)
    to_audit = {identity: records[identity] for identity, each in audited.items() if each.split == "audit"}
    runs = finished_runs(campaign, number)
    md = _md(campaign, number, runs)
    compared = _compared(records, predictions, number)
    return {
        "coverage": assessed["coverage"],
        "deviation": assessed["deviation"],
        "errors": {
            "held_out": {name: summary.as_dict() for name, summary in held_out.items()},
            "audit": {name: each.as_dict() for name, each in _errors(to_audit, predictions).items()},
        },
        "audit": [{"identity": identity, **entry.as_dict()} for identity, entry in audited.items()],
        "committee": {
            "models": len(committee(campaign, number)),
            "size": campaign.config.training.committee_size,
        },
        "selection": assessed.get("selection", {}).get("counts", {}),
        "labels": _labels(assessed, audited, records),
        "md": md,
        "stopping": asdict(
            _figures(
                number,
                assessed,
                held_out,
                runs=md["runs"],
                stable_runs=md["stable"],
                endings=tuple(outputs["ended"] for _, _, outputs in runs if not outputs["stable"]),
            )
        ),
        "conditions": assessed.get("conditions", []),
        "compared": [one.as_dict() for one in compared],
        "calibration": _calibration(campaign, number, [*compared, *compared_before]),
    }


def _held_out_errors(
    campaign: Campaign, number: int, records: Mapping[str, Record], predictions: Mapping[str, Prediction]
) -> dict[str, ErrorSummary]:
    """Errors on held-out frames by test set: of the training's own test and of the iteration's new ones."""
    new = {
        identity: record
        for identity, record in records.items()
        if record.split == "held-out" and record.frame.provenance.iteration == number
    }
    return _merge(committee(campaign, number)[0].result.tests, _errors(new, predictions))


def _labels(
    assessed: Mapping[str, Any], audited: Mapping[str, AuditEntry], records: Mapping[str, Record]
) -> dict[str, Any]:
    """How many labels the iteration asked for, and where they went."""
    failures = [record.failure for record in records.values() if record.failure is not None]
    return {
        "selected": len(assessed["chosen"]),
        "new_held_out": sum(
            identity in records and records[identity].label is not None for identity in assessed["held_out"]
        ),
        "to_training": sum(entry.split == "training" for entry in audited.values()),
        "to_audit": sum(entry.split == "audit" for entry in audited.values()),
        "failed": len(failures),
        "never_labelled": sum(record.label is None and record.failure is None for record in records.values()),
        "failed_by_cause": dict(Counter(failure.cause for failure in failures)),
    }


def _md(campaign: Campaign, number: int, runs: Sequence[FinishedRun]) -> dict[str, Any]:
    """How many MD runs there were, how many reached their end, and how each ended, those that failed too."""
    planned = planned_runs(campaign, number)
    came_of = {index: outputs for index, _, outputs in runs}
    return {
        "runs": len(planned),
        "stable": sum(bool(outputs["stable"]) for outputs in came_of.values()),
        "endings": [_ending(campaign, run, came_of.get(index)) for index, run in enumerate(planned)],
    }


def _ending(campaign: Campaign, run: ExplorationRun, outputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """How an MD run ended; it has no outputs where its task failed."""
    about = {"run": run.group, "temperature_K": run.temperature_K, "finished": outputs is not None}
    if outputs is None:
        return {**about, "ended": "its task failed", "time_ps": None}
    time_ps = outputs["steps_done"] * campaign.config.exploration.timestep_fs / 1000
    return {**about, "ended": outputs["ended"], "time_ps": time_ps}


def _figures(
    number: int,
    assessed: Mapping[str, Any],
    held_out: Mapping[str, ErrorSummary],
    *,
    runs: int,
    stable_runs: int,
    endings: tuple[str, ...],
) -> IterationSummary:
    """What the stopping rule looks at, now and whenever its limits change."""
    pooled = assessed["coverage"]["pooled"]
    md_sets = [summary for name, summary in held_out.items() if is_md(name)]
    errors = pool(md_sets) if md_sets else None
    return IterationSummary(
        iteration=number,
        coverage_ratio=pooled["ratio"],
        element_ratios={
            element: values["ratio"] for element, values in assessed["coverage"]["elements"].items()
        },
        energy_rmse_meV_per_atom=errors.energy_rmse_meV_per_atom if errors else None,
        force_rmse_meV_per_A=errors.force_rmse_meV_per_A if errors else None,
        n_held_out_md_frames=errors.n_frames if errors else 0,
        runs=runs,
        stable_runs=stable_runs,
        endings=endings,
        coverage=pooled["coverage"],
        environment_ratio=pooled.get("environment_ratio"),
        element_coverages={
            element: values["coverage"] for element, values in assessed["coverage"]["elements"].items()
        },
        coverage_ceiling=pooled["ceiling"],
        environment_ceiling=pooled.get("environment_ceiling"),
        worst=_worst(assessed.get("conditions", [])),
        far_share=pooled.get("far_share"),
        stuck=tuple(
            f"{group}: {moved['reason']}"
            for group, moved in assessed.get("mobility", {}).items()
            if moved["stuck"]
        ),
    )


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
        if record.label is None or record.frame.provenance.iteration != number:
            continue
        known = {field.name: details.get(field.name) for field in fields(Signs)}
        difference = predictions[identity].forces_eV_per_A - record.label.forces_eV_per_A
        found.append(
            Compared(
                group=record.frame.provenance.group,
                signs=Signs(**{name: math.nan if value is None else value for name, value in known.items()}),
                force_rmse_meV_per_A=1000.0 * float(np.sqrt(np.mean(difference**2))),
            )
        )
    return [one for one in found if one.signs.usable]


def _calibration(campaign: Campaign, number: int, compared: Sequence[Compared]) -> dict[str, Any] | None:
    """The fit of the error on all that was compared so far, and what it expects of the visited frames."""
    fit = calibrate(compared)
    if fit is None:
        return None
    expected = fit.predict_meV_per_A([one for one in read_visited(campaign, number) if one.usable])
    limit = campaign.config.stopping.force_rmse_meV_per_A
    return {
        **fit.as_dict(),
        "expected_visited": {
            "n_frames": len(expected),
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
