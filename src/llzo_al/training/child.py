"""One training from start to end in one process: train, freeze, compress, test. The framework starts once.

Run as ``python -m llzo_al.training.child spec.json`` by `llzo_al.training.train`.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llzo_al.errors import StageError
from llzo_al.evaluation.parity import PARITY, write_parity
from llzo_al.evaluation.potential import evaluate_model
from llzo_al.process import child_main
from llzo_al.progress import ProgressFile
from llzo_al.training.backends import Backend, visible_gpus
from llzo_al.training.checkpoints import Checkpoint, find_checkpoints, remove_checkpoint
from llzo_al.training.engines import CPU, Engine, make_engine
from llzo_al.training.lcurve import (
    LEARNING_CURVE,
    LabelScale,
    find_divergence,
    read_learning_curve,
    truncate_learning_curve,
)
from llzo_al.training.watch import CurveWatch, StartMark, end_diverged

log = logging.getLogger(__name__)


def work(spec: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Train, freeze, compress and test as `llzo_al.training.train` asks."""
    timings: dict[str, float] = {}
    notes: list[str] = []
    engine = make_engine(spec["backend"])
    restart = newest_readable(directory, spec["backend"], engine, notes)
    if notes:
        notes.append("it began anew" if restart is None else f"it went on from step {restart.step}")
    device = engine.device()
    if device == CPU and visible_gpus():
        notes.append(
            "it ran on the CPU although this machine has a GPU, which the installed "
            f"{spec['backend']} does not see; llzo-al doctor says more"
        )
    final = _train(spec, directory, engine, restart, timings, notes)

    tic = time.time()
    frozen = engine.freeze(final, "frozen_model")
    timings["freeze_s"] = time.time() - tic

    tic = time.time()
    model = frozen
    if spec["compress"]:
        try:
            model = engine.compress(frozen, "compressed_model")
        except Exception as error:
            log.exception("compression failed")
            notes.append(f"not compressed: {type(error).__name__}: {error}")
    timings["compress_s"] = time.time() - tic

    tic = time.time()
    tests, points = evaluate_model(directory / model, _paths(spec["test_systems"]))
    write_parity(directory / PARITY, points)
    timings["test_s"] = time.time() - tic
    _tidy(directory, spec["backend"], final)
    return {
        "model": model.name,
        "frozen_model": frozen.name,
        "compressed": model != frozen,
        "device": device,
        "resumed_from_step": restart.step if restart is not None else None,
        "tests": {kind: summary.as_dict() for kind, summary in tests.items()},
        "timings": timings,
        "notes": notes,
    }


def newest_readable(directory: Path, backend: Backend, engine: Engine, notes: list[str]) -> Checkpoint | None:
    """Newest checkpoint that can be read; newer ones that cannot are deleted, which `notes` tells then."""
    for checkpoint in find_checkpoints(directory, backend):
        relative = Checkpoint(step=checkpoint.step, path=checkpoint.path.relative_to(directory))
        if engine.is_readable(relative):
            return relative
        log.warning("checkpoint %s cannot be read and is deleted", checkpoint.path)
        notes.append(f"the checkpoint of step {checkpoint.step} could not be read and was deleted")
        remove_checkpoint(checkpoint)
    return None


def _train(
    spec: Mapping[str, Any],
    directory: Path,
    engine: Engine,
    restart: Checkpoint | None,
    timings: dict[str, float],
    notes: list[str],
) -> Checkpoint:
    """Run or continue the training and return its last checkpoint."""
    steps: int = spec["steps"]
    timings["train_s"] = 0.0
    if restart is not None and restart.step >= steps:
        timings["startup_s"] = time.time() - spec["started"]
        return restart
    begin = 0 if restart is None else restart.step
    if restart is not None:
        before = begin if engine.repeats_line else begin + 1
        truncate_learning_curve(directory / LEARNING_CURVE, before_step=before)
    scale = LabelScale(**spec["label_scale"])
    progress = ProgressFile(
        Path(spec["progress"]) if spec["progress"] else None,
        task=spec["task"] + (f" (continued at step {begin})" if begin else ""),
        total=steps - begin,
    )
    watch = CurveWatch(
        directory / LEARNING_CURVE,
        from_step=begin,
        scale=scale,
        progress=progress,
        on_divergence=end_diverged(directory),
    )
    called = time.time()
    with watch, StartMark() as mark:
        engine.train(restart=restart, init_model=spec["init_model"], min_distance_A=spec["min_distance_A"])
        timings["train_s"] = mark.seconds_since(called)
    timings["startup_s"] = time.time() - spec["started"] - timings["train_s"]
    divergence = find_divergence(read_learning_curve(directory / LEARNING_CURVE), scale)
    if divergence is not None:
        end_diverged(directory)(divergence)
    progress.update(steps - begin, "freezing, compressing, testing", force=True)
    final = newest_readable(directory, spec["backend"], engine, notes)
    if final is None or final.step < steps:
        reached = "no step" if final is None else f"step {final.step}"
        raise StageError(
            f"{directory}: the training ended with a checkpoint of {reached}, expected {steps}; see child.log"
        )
    return final


def _tidy(directory: Path, backend: Backend, final: Checkpoint) -> None:
    """Keep the last checkpoint, which a warm start takes, and nothing else that is not asked for."""
    for checkpoint in find_checkpoints(directory, backend):
        if checkpoint.step != final.step:
            remove_checkpoint(checkpoint)
    shutil.rmtree(directory / "model-compression", ignore_errors=True)
    for name in ("compress.json", "input_v2_compat.json"):
        (directory / name).unlink(missing_ok=True)


def _paths(test_systems: Mapping[str, list[str]]) -> dict[str, tuple[Path, ...]]:
    return {kind: tuple(Path(path) for path in paths) for kind, paths in test_systems.items()}


if __name__ == "__main__":
    child_main(work)
