"""Assessment of an iteration: coverage of what MD visited, and which frames are labelled next."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.campaign.assessed import SELECTION, assess_directory, write_predictions, write_visited
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.choosing import choose
from llzo_al.campaign.environments import describe, describe_training, describer
from llzo_al.campaign.iteration import (
    committee,
    derived_seed,
    explore_key,
    finished_runs,
    iteration_dataset,
)
from llzo_al.campaign.visited import (
    Visited,
    conditions,
    held_out_sample,
    nothing_visited,
    trajectory_numbers,
    visited_frames,
    what_moved,
)
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.environments import EnvironmentSet
from llzo_al.coverage.report import CoverageReport
from llzo_al.coverage.visited import VisitedFrames
from llzo_al.dataset.records import Split
from llzo_al.errors import StageError, UpstreamError
from llzo_al.files import run_stage, write_atomic
from llzo_al.progress import ProgressFile
from llzo_al.selection.calibration import Signs
from llzo_al.selection.candidates import SelectionResult

_Selected = tuple[Visited, str, dict[str, Any]]
"""A visited frame, why it is labelled, and what was known of it."""


def assess(campaign: Campaign, number: int) -> tuple[str, ...]:
    """Measure coverage, select frames and enter them into the label store.

    Returns
    -------
    tuple of str
        Identities of the frames to label: the chosen ones and the held-out sample.

    Raises
    ------
    UpstreamError
        If no MD run of the iteration finished.
    """
    runs = finished_runs(campaign, number)
    if not runs:
        raise UpstreamError(f"iteration {number}: no MD run finished, so there is nothing to assess")
    models = committee(campaign, number)
    key = {
        "dataset": iteration_dataset(campaign, number).token,
        "runs": [explore_key(campaign, run, models) for _, run, _ in runs],
        "coverage": campaign.config.coverage.settings(),
        "selection": campaign.config.selection.settings(),
        "held_out_share": campaign.config.dataset.held_out_share,
        "seed": campaign.config.seed,
    }
    outputs = run_stage(
        assess_directory(campaign, number),
        stage="assess",
        key=key,
        compute=lambda work: _compute(campaign, number, work),
    )
    return (*outputs["chosen"], *outputs["held_out"])


class _Shown:
    """Which part of an assessment is under way, and how far it is."""

    def __init__(self, campaign: Campaign, number: int) -> None:
        self._path = campaign.progress_file(f"iteration-{number}-assessment")

    def part(self, task: str, total: int, unit: str) -> ProgressFile:
        """The next part begins."""
        progress = ProgressFile(self._path, task=task, total=total, unit=unit)
        progress.begin(0)
        return progress

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def _compute(campaign: Campaign, number: int, work: Path) -> dict[str, Any]:
    with _Shown(campaign, number) as shown:
        return _assess(campaign, number, work, shown)


def _assess(campaign: Campaign, number: int, work: Path, shown: _Shown) -> dict[str, Any]:
    visited = visited_frames(campaign, number)
    if not visited:
        raise StageError(nothing_visited(campaign, number))
    started = time.perf_counter()
    training, seen = _environments(campaign, number, visited, work, shown)
    described = time.perf_counter()
    settings = campaign.config.coverage
    n_spaces = 1 if settings.elements == "together" else len(seen.elements)
    progress = shown.part("measure coverage", n_spaces, "elements" if n_spaces > 1 else "space")
    report = assess_coverage(
        training,
        seen,
        settings,
        seed=derived_seed(campaign.config.seed, "coverage", number),
        trajectories=trajectory_numbers(visited),
        tell=lambda done, name: progress.update(done, name, force=True),
    )
    shown.part("choose frames", len(visited), "frames")
    measured = time.perf_counter()
    frames = _of_frames(report)
    signs = _signs(visited, frames)
    selection = choose(campaign, number, visited, frames, signs, training=training, seen=seen)
    for name in ("visited", "training"):
        shutil.rmtree(work / name, ignore_errors=True)
    deviations = np.array([one.deviation_eV_per_A for one in visited])
    write_visited(work, signs)
    write_atomic(work / SELECTION, selection.as_table())
    return {
        "coverage": report.as_dict(),
        "selection": selection.as_dict(),
        "deviation": {
            "mean": float(deviations.mean()),
            "median": float(np.median(deviations)),
            "max": float(deviations.max()),
        },
        "conditions": conditions(visited, frames.element_novelty),
        "mobility": what_moved(visited),
        "n_visited_frames": len(visited),
        "timings": {"descriptors_s": described - started, "coverage_s": measured - described},
        **_enter(
            campaign, number, work, _chosen(visited, selection, signs), _held_out(campaign, visited, signs)
        ),
    }


def _environments(
    campaign: Campaign, number: int, visited: Sequence[Visited], work: Path, shown: _Shown
) -> tuple[EnvironmentSet, EnvironmentSet]:
    """Environments of the training set and of the visited frames."""
    described_by = describer(campaign, lambda: committee(campaign, number)[0].file)
    identities = iteration_dataset(campaign, number).training
    progress = shown.part("describe the training set", len(identities), "frames")
    training = describe_training(campaign, identities, described_by, work, progress=progress)
    progress = shown.part("describe what MD visited", len(visited), "frames")
    frames = [one.md.frame for one in visited]
    return training, describe(frames, described_by, work / "visited", progress=progress)


def _of_frames(report: CoverageReport) -> VisitedFrames:
    if report.frames is None:
        raise ValueError("the report holds nothing of single frames")
    return report.frames


def _signs(visited: Sequence[Visited], frames: VisitedFrames) -> list[Signs]:
    return [
        Signs(
            mean_deviation_eV_per_A=one.mean_deviation_eV_per_A,
            novelty=float(frames.novelty[index]),
            distance=float(frames.distance[index]),
        )
        for index, one in enumerate(visited)
    ]


def _chosen(
    visited: Sequence[Visited], selection: SelectionResult, signs: Sequence[Signs]
) -> list[_Selected]:
    return [
        (
            visited[verdict.index],
            verdict.reason,
            {"rule": verdict.rule, **_known(visited[verdict.index], signs[verdict.index])},
        )
        for verdict in selection.chosen
    ]


def _held_out(campaign: Campaign, visited: Sequence[Visited], signs: Sequence[Signs]) -> list[_Selected]:
    return [
        (visited[place], "held-out sample", _known(visited[place], signs[place]))
        for place in held_out_sample(visited, campaign.config.selection.held_out_frames)
    ]


def _known(one: Visited, signs: Signs) -> dict[str, float | None]:
    """What is known of a frame before it is labelled."""
    values = {"force_deviation_eV_per_A": one.deviation_eV_per_A, **asdict(signs)}
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _enter(
    campaign: Campaign, number: int, work: Path, chosen: list[_Selected], held_out: list[_Selected]
) -> dict[str, list[str]]:
    """Enter the frames into the label store and keep the model's predictions; identities of both kinds."""

    def request(selected: list[_Selected], split: Split) -> list[str]:
        frames = [one.frame(number, reason, details) for one, reason, details in selected]
        return campaign.store.request(frames, physics=campaign.physics, split=split)

    chosen_ids = request(chosen, "candidate")
    held_out_ids = request(held_out, "held-out")
    write_predictions(work, [*chosen_ids, *held_out_ids], [one for one, _, _ in (*chosen, *held_out)])
    return {"chosen": chosen_ids, "held_out": held_out_ids}
