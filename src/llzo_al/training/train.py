"""The training stage: one model of the committee, from labelled systems to a tested potential."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llzo_al.errors import EngineError, StageError
from llzo_al.evaluation.errors import ErrorSummary
from llzo_al.files import read_json, write_json
from llzo_al.process import engine_environment, run_child
from llzo_al.progress import ProgressFile
from llzo_al.training.backends import Backend, choose_backend
from llzo_al.training.checkpoints import find_checkpoints, remove_checkpoint, remove_training
from llzo_al.training.engines import INPUT
from llzo_al.training.lcurve import LEARNING_CURVE, find_divergence, read_learning_curve
from llzo_al.training.plan import KEY_FILE, Plan, TrainInputs, make_plan

__all__ = ["TrainInputs", "TrainResult", "train_model"]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A finished training; file names are relative to its directory.

    Attributes
    ----------
    model
        The model to use: the compressed one if there is one.
    frozen_model
        The frozen, uncompressed model.
    compressed
        Whether `model` is compressed.
    backend
        "tensorflow" or "pytorch".
    learning_curve
        DeePMD-kit's learning curve.
    steps
        Training steps done in all.
    device
        Name of the GPU that it ran on, or "CPU"; "" for a training of an earlier version.
    tests
        Errors on the held-out systems of each kind of structure.
    timings
        Seconds: ``startup_s`` (process, framework, data, graph), ``train_s`` (the training loop of this run),
        ``freeze_s``, ``compress_s``, ``test_s``.
    warm_start
        Whether the weights came from `TrainInputs.init_model`.
    resumed_from_step
        Step of the checkpoint that this run continued from; None for a run in one piece.
    notes
        What a person should know: a compression that failed, a warm start that was not possible.
    """

    model: str
    frozen_model: str
    compressed: bool
    backend: str
    learning_curve: str = LEARNING_CURVE
    steps: int
    device: str = ""
    tests: Mapping[str, ErrorSummary]
    timings: Mapping[str, float]
    warm_start: bool = False
    resumed_from_step: int | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            **vars(self),
            "tests": {kind: summary.as_dict() for kind, summary in self.tests.items()},
            "timings": dict(self.timings),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainResult:
        """From what `as_dict` gave."""
        tests = {kind: ErrorSummary.from_dict(summary) for kind, summary in data["tests"].items()}
        return cls(**{**data, "tests": tests, "notes": tuple(data["notes"])})


def train_model(
    inputs: TrainInputs, directory: Path, *, progress: Path | None = None, task: str = "training"
) -> TrainResult:
    """Train, freeze, compress and test one model in one child process.

    Where `directory` holds checkpoints of the same training (same input, same data), it goes on from the
    newest one that can be read. A warm start takes over the previous model's weights, its energy shifts and
    the statistics that normalise its descriptor (DeePMD-kit's ``--init-model``); new data change the weights
    alone.

    Parameters
    ----------
    inputs
        What to train.
    directory
        Where everything is written.
    progress
        File for the progress, see `llzo_al.progress`.
    task
        Name of the training in the progress.

    Raises
    ------
    UserError
        If the backend is missing or DeePMD-kit refuses the input.
    StageError
        If the training diverged, naming the step and the learning curve.
    EngineError
        If the child process failed.
    """
    directory = directory.resolve()
    reporter = ProgressFile(progress, task=task, total=inputs.steps)
    reporter.update(0, "starting DeePMD-kit", force=True)
    try:
        backend, notes = _backend(inputs, directory)
        plan = make_plan(inputs, backend)
        _prepare(directory, plan)
        answer = _run(inputs, directory, backend, plan, progress, task)
    finally:
        reporter.close()
    return TrainResult(
        model=answer["model"],
        frozen_model=answer["frozen_model"],
        compressed=answer["compressed"],
        backend=backend,
        steps=inputs.steps,
        device=answer["device"],
        tests={kind: ErrorSummary.from_dict(data) for kind, data in answer["tests"].items()},
        timings=answer["timings"],
        warm_start=plan.init_model is not None,
        resumed_from_step=answer["resumed_from_step"],
        notes=(*notes, *plan.notes, *answer["notes"]),
    )


def _backend(inputs: TrainInputs, directory: Path) -> tuple[Backend, list[str]]:
    """The backend, and a note where another one would be chosen for a new training here."""
    setting = inputs.settings.backend
    backend = choose_backend(setting, begun=_begun(directory, inputs.init_model))
    new = choose_backend(setting)
    if backend == new:
        return backend, []
    return backend, [
        f"goes on with {backend}, with which it was begun; a new training would use {new} here "
        "(training.backend names one for all)"
    ]


def _begun(*directories: Path | None) -> Backend | None:
    """Backend of the first of these trainings that has a checkpoint: what goes on from one has no choice."""
    for directory in directories:
        if directory is not None and (directory / KEY_FILE).exists():
            backend: Backend = read_json(directory / KEY_FILE)["backend"]
            if find_checkpoints(directory, backend):
                return backend
    return None


def _prepare(directory: Path, plan: Plan) -> None:
    """Write the input; checkpoints of another training are deleted."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / KEY_FILE
    if not path.exists() or read_json(path).get("key") != plan.key:
        remove_training(directory)
    write_json(directory / INPUT, plan.data)


def _run(
    inputs: TrainInputs,
    directory: Path,
    backend: Backend,
    plan: Plan,
    progress: Path | None,
    task: str,
) -> dict[str, Any]:
    write_json(directory / KEY_FILE, {"key": plan.key, "backend": backend})
    spec = {
        "backend": backend,
        "steps": inputs.steps,
        "init_model": str(plan.init_model) if plan.init_model is not None else None,
        "min_distance_A": plan.min_distance_A,
        "label_scale": asdict(plan.scale),
        "compress": inputs.settings.compress,
        "test_systems": {kind: [str(path) for path in paths] for kind, paths in inputs.test_systems.items()},
        "progress": str(progress.resolve()) if progress is not None else None,
        "task": task,
        "started": time.time(),
    }
    curve = directory / LEARNING_CURVE
    try:
        answer = run_child(
            "llzo_al.training.child",
            spec,
            directory=directory,
            environment=engine_environment(threads=inputs.threads),
        )
    except EngineError as error:
        divergence = find_divergence(read_learning_curve(curve), plan.scale)
        if divergence is None:
            raise EngineError(f"{error}; see {directory / 'child.log'}") from error
        answer = {"diverged_at_step": divergence.step, "diverged_reason": divergence.reason}
    if "diverged_at_step" in answer:
        for checkpoint in find_checkpoints(directory, backend):
            remove_checkpoint(checkpoint)
        raise StageError(
            f"{curve}: the training diverged at step {answer['diverged_at_step']}: "
            f"{answer['diverged_reason']}; lower training.learning_rate, or look for absurd labels "
            "(dataset.force_cap_eV_per_A)"
        )
    return answer
