"""Watching a training from within its process: progress for people, and an end at the first divergence."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from llzo_al.files import write_json
from llzo_al.progress import ProgressFile
from llzo_al.training.lcurve import (
    Divergence,
    LabelScale,
    LearningPoint,
    find_divergence,
    read_learning_curve,
)

INTERVAL_S = 0.25
_STARTED = ("start training", "Start to train")
_LOGGERS = ("deepmd.tf.train.trainer", "deepmd.pt.train.training", "deepmd.pt_expt.train.training")


class CurveWatch:
    """A thread that follows the learning curve while its ``with`` block runs.

    Parameters
    ----------
    path
        The learning curve.
    from_step
        Step that the training starts or continues at.
    scale
        The largest labels of the training data.
    progress
        Told the steps done since `from_step`; its time is counted from the curve's first new point, because
        the start and the first steps take long.
    on_divergence
        Called once in the watching thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        from_step: int,
        scale: LabelScale,
        progress: ProgressFile,
        on_divergence: Callable[[Divergence], None],
    ) -> None:
        self._path = path
        self._from_step = from_step
        self._scale = scale
        self._progress = progress
        self._on_divergence = on_divergence
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="learning curve", daemon=True)

    def __enter__(self) -> CurveWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        seen: tuple[int, int] | None = None
        tell: Callable[[int, str], None] = self._progress.begin
        while not self._stop.wait(INTERVAL_S):
            try:
                status = self._path.stat()
            except FileNotFoundError:
                continue
            if (now := (status.st_size, status.st_mtime_ns)) == seen:
                continue
            seen = now
            points = [point for point in read_learning_curve(self._path) if point.step >= self._from_step]
            divergence = find_divergence(points, self._scale)
            if divergence is not None:
                self._on_divergence(divergence)
                return
            if points:
                tell(points[-1].step - self._from_step, describe(points[-1]))
                tell = partial(self._progress.update, force=True)


def describe(point: LearningPoint) -> str:
    """Latest errors of a training, for people."""
    parts = []
    if point.force_rmse_eV_per_A is not None:
        parts.append(f"force RMSE {1000 * point.force_rmse_eV_per_A:.0f} meV/Å")
    if point.energy_rmse_eV_per_atom is not None:
        parts.append(f"energy RMSE {1000 * point.energy_rmse_eV_per_atom:.1f} meV/atom")
    return ", ".join(parts)


def end_diverged(directory: Path) -> Callable[[Divergence], None]:
    """What ends this process at once with the divergence as its result."""

    def end(divergence: Divergence) -> None:
        write_json(
            directory / "result.json",
            {"diverged_at_step": divergence.step, "diverged_reason": divergence.reason},
        )
        os._exit(1)

    return end


class StartMark(logging.Handler):
    """Notes when DeePMD-kit says that its training loop begins."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.time_s: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Note the time of the message that announces the loop."""
        if self.time_s is None and str(record.msg).startswith(_STARTED):
            self.time_s = record.created

    def __enter__(self) -> StartMark:
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *_: Any) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)

    def seconds_since(self, otherwise: float) -> float:
        """Seconds since the loop began, or since `otherwise` where that was not announced."""
        return time.time() - (self.time_s if self.time_s is not None else otherwise)
