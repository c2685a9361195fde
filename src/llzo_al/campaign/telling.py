"""What the log says of a closed iteration and of the finished potential: a short line for each thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llzo_al.selection.candidates import choice_in_words
from llzo_al.selection.stopping import Decision


def outcome_in_words(made: Decision) -> str:
    """What a decision comes to: "converged", "stops unconverged" or "goes on"."""
    return "converged" if made.converged else "stops unconverged" if made.stop else "goes on"


def iteration_in_words(summary: Mapping[str, Any], made: Decision) -> list[str]:
    """Figures of a closed iteration, what it lost, each limit that decided, and what makes coverage doubtful.

    Parameters
    ----------
    summary
        Outputs of `llzo_al.campaign.closing.close`.
    made
        The decision after it.

    Returns
    -------
    list of str
        A line for each.
    """
    stopping, labels = summary["stopping"], summary["labels"]
    lines = [
        f"{_coverage(summary['coverage']['pooled'])}; {_errors(stopping)}; "
        f"{stopping['stable_runs']} of {stopping['runs']} MD runs stable",
        f"new labels: {labels['to_training']} for training, {labels['new_held_out']} held out, "
        f"{labels['to_audit']} for the audit" + (f", {labels['failed']} failed" if labels["failed"] else ""),
        *([choice] if (choice := choice_in_words(summary.get("selection", {}))) else []),
        *(f"warning: {loss}" for loss in losses_in_words(summary)),
    ]
    verdict = "met" if made.converged else "missed"
    lines += [f"{verdict}: {reason}" for reason in made.reasons]
    if stuck := stopping.get("stuck"):
        lines.append(
            f"warning: {len(stuck)} of {stopping['runs']} MD runs stuck about one configuration, which makes "
            "coverage look better than it is"
        )
    return lines


def losses_in_words(summary: Mapping[str, Any]) -> list[str]:
    """What a closed iteration went on without: models, MD runs and labels whose tasks failed.

    Parameters
    ----------
    summary
        Outputs of `llzo_al.campaign.closing.close`, of an earlier version too.

    Returns
    -------
    list of str
        A line for each kind of loss; none where nothing was lost.
    """
    stopping, labels, committee = summary["stopping"], summary["labels"], summary.get("committee")
    told = []
    if committee and committee["models"] < committee["size"]:
        told.append(f"{committee['models']} of {committee['size']} models trained: the others failed")
    lost = stopping["runs"] - stopping["stable_runs"] - len(stopping.get("endings", ()))
    if lost > 0:
        told.append(f"{lost} of {stopping['runs']} MD runs did not finish: their tasks failed")
    if waiting := labels.get("never_labelled", 0):
        told.append(f"frames never labelled: {waiting} (their labelling jobs failed)")
    return told


def errors_in_words(tests: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Held-out errors of the finished potential, a line for each test set."""
    names = [name for name in tests if name != "all"]
    width = max((len(name) for name in names), default=0)
    return [
        f"{name:<{width}}  {tests[name]['energy_rmse_meV_per_atom']:8.1f} meV/atom  "
        f"{tests[name]['force_rmse_meV_per_A']:6.0f} meV/Å"
        for name in names
    ]


def _coverage(pooled: Mapping[str, float | None]) -> str:
    told = []
    for name in ("coverage", "ceiling", "ratio"):
        value = pooled[name]
        told.append(f"{name} unknown" if value is None else f"{name} {value:.3f}")
    return ", ".join(told)


def _errors(stopping: Mapping[str, Any]) -> str:
    if stopping["force_rmse_meV_per_A"] is None:
        return "no held-out MD frames"
    return (
        f"held-out MD errors {stopping['energy_rmse_meV_per_atom']:.1f} meV/atom and "
        f"{stopping['force_rmse_meV_per_A']:.0f} meV/Å"
    )
