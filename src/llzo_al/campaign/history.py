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

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.environments import describe_training, describer
from llzo_al.campaign.iteration import derived_seed
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.descriptors import Describer, environments_of
from llzo_al.coverage.environments import Environments, EnvironmentSet, IntArray, concatenate
from llzo_al.coverage.reference import frame_fingerprint, write_frames
from llzo_al.dataset.frames import Frame
from llzo_al.errors import LlzoAlError, StageError
from llzo_al.exploration.trajectory import read_trajectory
from llzo_al.files import MANIFEST, fingerprint, read_json, read_manifest, write_json

FRAMES_PER_ITERATION = 120
"""Evenly spaced visited frames of each iteration that are measured."""


class HistoryError(LlzoAlError):
    """The coverage of all iterations in one frame could not be measured; the message says why."""


def coverage_history(campaign: Campaign, n_closed: int) -> list[dict[str, Any]]:
    """Coverage of each closed iteration in the frame of reference of the last one.

    Kept in ``report/coverage_history.json``, with the frame itself (standardisation, components and edges) in
    ``report/coverage_frame.npz``, and made anew when an iteration is closed.

    Returns
    -------
    list of dict
        For each iteration ``iteration``, ``frame`` (a fingerprint of the frame of reference), ``ratio``,
        ``coverage``, ``environment_coverage`` and, by element, ``element_ratios``.

    Raises
    ------
    HistoryError
        If it could not be measured.
    """
    if n_closed < 1:
        return []
    key = fingerprint(
        {
            "coverage": campaign.config.coverage.settings(),
            "seed": campaign.config.seed,
            "datasets": [_manifest(campaign, number, "dataset")["inputs_hash"] for number in range(n_closed)],
            "version": 3,
        }
    )
    path = campaign.directory.report / "coverage_history.json"
    if path.exists():
        kept = read_json(path)
        if kept.get("key") == key:
            iterations: list[dict[str, Any]] = kept["iterations"]
            return iterations
    try:
        iterations = _measure(campaign, n_closed)
    except (LlzoAlError, OSError) as error:
        raise HistoryError(
            f"the coverage of all iterations in one frame could not be measured: {error}"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"key": key, "iterations": iterations})
    return iterations


def _measure(campaign: Campaign, n_closed: int) -> list[dict[str, Any]]:
    described_by = describer(campaign, lambda: _model(campaign, n_closed - 1))
    with tempfile.TemporaryDirectory(prefix="llzo-al-history-") as folder:
        training = [
            describe_training(
                campaign,
                _manifest(campaign, number, "dataset")["outputs"]["training"],
                described_by,
                Path(folder) / str(number),
            )
            for number in range(n_closed)
        ]
        return _rows(campaign, training, described_by)


def _rows(
    campaign: Campaign, training: list[EnvironmentSet], described_by: Describer
) -> list[dict[str, Any]]:
    n_closed = len(training)
    visited = [_visited(campaign, number, described_by) for number in range(n_closed)]
    settings = campaign.config.coverage.model_copy(update={"bootstrap_samples": 0})
    seed = derived_seed(campaign.config.seed, "coverage history", 0)
    latest = assess_coverage(
        training[-1], concatenate([one for one, _ in visited]), settings, seed=seed, per_frame=False
    )
    frame = latest.frames_of_reference
    campaign.directory.report.mkdir(parents=True, exist_ok=True)
    write_frames(campaign.directory.report / "coverage_frame.npz", frame)
    rows = []
    for number, (known, (seen, runs)) in enumerate(zip(training, visited, strict=True)):
        report = assess_coverage(
            known,
            seen,
            settings,
            seed=seed,
            trajectories=runs,
            per_frame=False,
            fixed=frame,
        )
        rows.append(
            {
                "iteration": number,
                "frame": frame_fingerprint(frame)[:12],
                "ratio": report.pooled.ratio,
                "coverage": report.pooled.coverage,
                "environment_coverage": report.pooled.environment_coverage,
                "element_ratios": report.element_ratios,
            }
        )
    return rows


def _visited(campaign: Campaign, number: int, described_by: Describer) -> tuple[Environments, IntArray]:
    """Environments of evenly spaced visited frames, and the trajectory of each."""
    frames: list[Frame] = []
    runs: list[int] = []
    explored = campaign.directory.iteration(number) / "explore"
    for run, path in enumerate(sorted(explored.glob("run-*[0-9]"))):
        if not (path / MANIFEST).exists():
            continue
        trajectory = path / read_manifest(path)["outputs"]["trajectory"]
        for one in read_trajectory(trajectory):
            if one.time_ps >= campaign.config.exploration.equilibration_ps:
                frames.append(one.frame)
                runs.append(run)
    if not frames:
        raise StageError(f"iteration {number}: no visited frame is left in {explored}")
    chosen = np.unique(np.linspace(0, len(frames) - 1, FRAMES_PER_ITERATION).round().astype(int))
    environments = environments_of([frames[index] for index in chosen], described_by)
    return environments, np.array(runs, dtype=np.int64)[chosen]


def _manifest(campaign: Campaign, number: int, stage: str) -> dict[str, Any]:
    """Manifest of a stage of a closed iteration: history, whatever the settings are now."""
    return read_manifest(campaign.directory.iteration(number) / stage)


def _model(campaign: Campaign, number: int) -> Path:
    """First model of a closed iteration's committee."""
    stage = "train/model-0"
    model: str = _manifest(campaign, number, stage)["outputs"]["model"]
    return campaign.directory.iteration(number) / stage / model
