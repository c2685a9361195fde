"""Time that the stages of a campaign took, from their manifests and the log of labelling jobs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llzo_al.campaign.campaign import Campaign
from llzo_al.files import MANIFEST, read_json_lines, read_manifest
from llzo_al.reporting.facts import StageTime

_INITIAL = -1
"""Iteration of the initial data's labelling jobs."""


def initial_times(campaign: Campaign) -> dict[str, StageTime]:
    """Of the initial data; a reference trajectory is the engine's loop from its beginning to its end."""
    directory = campaign.directory.initial
    trajectories = _stage_time(sorted(directory.glob("reference_md/*")))
    return {
        "structures": _stage_time([directory / "structures"]),
        "reference MD": StageTime(wall_s=trajectories.wall_s, engine_s=trajectories.wall_s),
        "label": _label_time(campaign, _INITIAL),
    }


def iteration_times(campaign: Campaign, number: int) -> dict[str, StageTime]:
    """Of an iteration."""
    directory = campaign.directory.iteration(number)
    return {
        "data set": _stage_time([directory / "dataset"]),
        "train": _stage_time(sorted(directory.glob("train/model-*")), "train_s"),
        "explore": _stage_time(sorted(directory.glob("explore/run-*")), "engine_s"),
        "assess": _stage_time([directory / "assess"], "descriptors_s", "coverage_s"),
        "label": _label_time(campaign, number),
        "close": _stage_time([directory / "close"]),
    }


def final_times(campaign: Campaign) -> dict[str, StageTime]:
    """Of the final training and its test, finished or not; nothing before them."""
    directory = campaign.directory.final
    if not directory.exists():
        return {}
    return {
        "data set": _stage_time([directory / "dataset"]),
        "train": _stage_time(sorted(directory.glob("train/model-*")), "train_s"),
        "test": _stage_time([directory / "test", directory / "dimers"]),
    }


def _label_time(campaign: Campaign, iteration: int) -> StageTime:
    jobs = [job for job in read_json_lines(campaign.directory.label_log) if job["iteration"] == iteration]
    return StageTime(wall_s=sum(job["wall_s"] for job in jobs), engine_s=sum(job["engine_s"] for job in jobs))


def _stage_time(directories: Iterable[Path], *engine_parts: str) -> StageTime:
    wall = engine = 0.0
    for directory in directories:
        if not (directory / MANIFEST).exists():
            continue
        manifest = read_manifest(directory)
        wall += manifest["wall_s"]
        timings = manifest["outputs"].get("timings", {})
        engine += sum(timings.get(part, 0.0) for part in engine_parts)
    return StageTime(wall_s=wall, engine_s=engine if engine_parts else None)
