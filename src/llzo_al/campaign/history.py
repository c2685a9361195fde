"""The coverage of all iterations in one common frame: the same space, the same cells.

Each iteration measures its coverage in the space of its own training set, which grows. Only in one frame do
the figures of two iterations compare: here that of the latest training set, with edges that hold everything
visited.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.campaign.assess import describer, training_environments, trajectory_numbers, visited_frames
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.iteration import derived_seed, iteration_dataset
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.descriptors import Describer, environments_of
from llzo_al.coverage.environments import Environments, EnvironmentSet, IntArray, concatenate
from llzo_al.files import fingerprint, read_json, write_json

FRAMES_PER_ITERATION = 120
"""Evenly spaced visited frames of each iteration that are measured."""


def coverage_history(campaign: Campaign, n_closed: int) -> list[dict[str, Any]]:
    """Coverage of each closed iteration in the frame of reference of the last one.

    Kept in ``report/coverage_history.json`` and made anew when an iteration is closed.

    Returns
    -------
    list of dict
        For each iteration ``iteration``, ``frame`` (a fingerprint of the frame of reference), ``ratio``,
        ``coverage``, ``environment_coverage`` and, by element, ``element_ratios``.
    """
    if n_closed < 1:
        return []
    key = fingerprint(
        {
            "coverage": campaign.config.coverage.settings(),
            "seed": campaign.config.seed,
            "datasets": [iteration_dataset(campaign, number).token for number in range(n_closed)],
            "version": 1,
        }
    )
    path = campaign.directory.report / "coverage_history.json"
    if path.exists():
        kept = read_json(path)
        if kept.get("key") == key:
            iterations: list[dict[str, Any]] = kept["iterations"]
            return iterations
    iterations = _measure(campaign, n_closed, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"key": key, "iterations": iterations})
    return iterations


def _measure(campaign: Campaign, n_closed: int, key: str) -> list[dict[str, Any]]:
    described_by = describer(campaign, n_closed - 1)
    with tempfile.TemporaryDirectory(prefix="llzo-al-history-") as folder:
        training = [
            training_environments(campaign, number, described_by, Path(folder) / str(number))
            for number in range(n_closed)
        ]
        return _rows(campaign, training, described_by, key)


def _rows(
    campaign: Campaign, training: list[EnvironmentSet], described_by: Describer, key: str
) -> list[dict[str, Any]]:
    n_closed = len(training)
    visited = [_visited(campaign, number, described_by) for number in range(n_closed)]
    settings = campaign.config.coverage.model_copy(update={"bootstrap_samples": 0})
    seed = derived_seed(campaign.config.seed, "coverage history", 0)
    latest = assess_coverage(
        training[-1], concatenate([one for one, _ in visited]), settings, seed=seed, per_frame=False
    )
    rows = []
    for number, (known, (seen, runs)) in enumerate(zip(training, visited, strict=True)):
        report = assess_coverage(
            known,
            seen,
            settings,
            seed=seed,
            trajectories=runs,
            per_frame=False,
            fixed=dict(latest.frames_of_reference),
        )
        rows.append(
            {
                "iteration": number,
                "frame": key[:12],
                "ratio": report.pooled.ratio,
                "coverage": report.pooled.coverage,
                "environment_coverage": report.pooled.environment_coverage,
                "element_ratios": report.element_ratios,
            }
        )
    return rows


def _visited(campaign: Campaign, number: int, described_by: Describer) -> tuple[Environments, IntArray]:
    """Environments of evenly spaced visited frames, and the trajectory of each."""
    frames = visited_frames(campaign, number)
    chosen = np.unique(np.linspace(0, len(frames) - 1, FRAMES_PER_ITERATION).round().astype(int))
    sample = [frames[index] for index in chosen]
    environments = environments_of([one.md.frame for one in sample], described_by)
    return environments, trajectory_numbers(sample)
