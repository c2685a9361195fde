"""The child process of `llzo_al.exploration.md.run_md`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llzo_al.errors import EngineError
from llzo_al.exploration.deviation import DeviationReader, cut_deviations
from llzo_al.exploration.engine import RESTART_PATTERN, Engine, EngineSettings, RestartError, UnstableRunError
from llzo_al.exploration.guard import GuardLimits, violation
from llzo_al.exploration.md import COMPLETED, GUARD_FRAME, TRAJECTORY, MDResult
from llzo_al.exploration.trajectory import (
    Snapshot,
    TrajectoryWriter,
    cut_trajectory,
    scan_trajectory,
    snapshot_text,
)
from llzo_al.files import read_json, sync_directory, write_atomic, write_json
from llzo_al.process import child_main
from llzo_al.progress import ProgressFile

_LOG = logging.getLogger(__name__)
_MARKER = "run.json"
_LAMMPS_LOG = "lammps.log"
_KEPT_RESTARTS = 2


@dataclass(frozen=True, kw_only=True)
class _Start:
    """An engine that is ready to run on, and what the trajectory holds up to its step."""

    engine: Engine
    resumed_from_step: int | None
    n_frames: int
    max_deviation_eV_per_A: float | None
    notes: tuple[str, ...]


def work(spec: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Run, or go on with, the molecular dynamics that `spec` describes."""
    settings = EngineSettings.from_spec(spec)
    _clear_other_run(directory, spec["run"])
    useless: list[str] = []
    start = _resumed(settings, directory, useless) or _fresh(settings, directory, useless)
    progress = ProgressFile(
        None if spec["progress"] is None else Path(spec["progress"]), task=spec["task"], total=spec["steps"]
    )
    with TrajectoryWriter(directory / TRAJECTORY, settings.symbols) as trajectory:
        run = _Run(spec, settings, start, directory, trajectory, progress)
        progress.begin(start.resumed_from_step or 0)
        ended = run.to_end()
    progress.close()
    return run.result(ended).as_dict()


class _Run:
    """The loop over frames."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        settings: EngineSettings,
        start: _Start,
        directory: Path,
        trajectory: TrajectoryWriter,
        progress: ProgressFile,
    ) -> None:
        self._steps: int = spec["steps"]
        self._interval = settings.frame_interval_steps
        self._settings = settings
        self._limits = None if spec["limits"] is None else GuardLimits.from_dict(spec["limits"])
        self._start = start
        self._engine = start.engine
        self._directory = directory
        self._trajectory = trajectory
        self._progress = progress
        devi = settings.potential.deviation_file
        self._deviations = None if devi is None else DeviationReader(directory / devi)
        self._n_frames = start.n_frames
        self._max_deviation = start.max_deviation_eV_per_A
        self._steps_done = start.resumed_from_step or 0
        self._startup_s = time.time() - spec["started"]
        self._engine_s = 0.0
        self._begun = time.perf_counter()

    def to_end(self) -> str:
        """Run until the end or the guard, and say which."""
        if self._start.resumed_from_step is None:
            broken = self._visit()
            if broken is not None:
                return broken
        while self._steps_done < self._steps:
            target = min((self._steps_done // self._interval + 1) * self._interval, self._steps)
            try:
                self._advance(target - self._steps_done)
            except UnstableRunError as error:
                return f"guard: {error} between steps {self._steps_done} and {target}"
            broken = self._visit()
            if broken is not None:
                return broken
            self._steps_done = target
            _keep_restart(self._directory, target, self._trajectory)
        return COMPLETED

    def result(self, ended: str) -> MDResult:
        """What is told of the run."""
        return MDResult(
            trajectory=TRAJECTORY,
            n_frames=self._n_frames,
            ended=ended,
            stable=ended == COMPLETED,
            steps_done=self._steps_done,
            resumed_from_step=self._start.resumed_from_step,
            timings={
                "startup_s": self._startup_s,
                "engine_s": self._engine_s,
                "frames_s": time.perf_counter() - self._begun - self._engine_s,
            },
            max_deviation_eV_per_A=self._max_deviation,
            notes=self._start.notes,
        )

    def _advance(self, steps: int) -> None:
        begun = time.perf_counter()
        try:
            self._engine.advance(steps)
        finally:
            self._engine_s += time.perf_counter() - begun

    def _visit(self) -> str | None:
        """Look at the present state: keep it as a frame, or set it aside and say what is wrong with it."""
        snapshot = self._engine.snapshot()
        whole = snapshot.step % self._interval == 0
        if self._deviations is not None and whole:
            largest, mean = self._deviations.at(snapshot.step)
            snapshot = replace(
                snapshot, force_deviation_max_eV_per_A=largest, force_deviation_mean_eV_per_A=mean
            )
        broken = violation(self._limits, snapshot, self._settings.symbols)
        if broken is not None:
            write_atomic(self._directory / GUARD_FRAME, snapshot_text(snapshot, self._settings.symbols))
            return f"guard: {broken} at step {snapshot.step}"
        if whole:
            self._trajectory.append(snapshot)
            self._n_frames += 1
            self._note(snapshot)
        return None

    def _note(self, snapshot: Snapshot) -> None:
        detail = f"{snapshot.temperature_K:.0f} K"
        deviation = snapshot.force_deviation_max_eV_per_A
        if deviation is not None:
            self._max_deviation = max(deviation, self._max_deviation or 0.0)
            detail += f", force deviation {deviation:.2f} eV/Å"
        self._progress.update(snapshot.step, detail)


def _clear_other_run(directory: Path, run: str) -> None:
    """Remove what a run of other inputs left in the directory."""
    marker = directory / _MARKER
    if marker.exists() and read_json(marker)["run"] == run:
        return
    _remove_run(directory)
    write_json(marker, {"run": run})


def _remove_run(directory: Path) -> None:
    for path in (*directory.glob("restart-*"), *(directory / name for name in (TRAJECTORY, GUARD_FRAME))):
        path.unlink(missing_ok=True)


def _fresh(settings: EngineSettings, directory: Path, useless: Sequence[str]) -> _Start:
    _remove_run(directory)
    if settings.potential.deviation_file is not None:
        (directory / settings.potential.deviation_file).unlink(missing_ok=True)
    try:
        engine = Engine(settings, log=directory / _LAMMPS_LOG)
    except UnstableRunError as error:
        raise EngineError(f"LAMMPS cannot evaluate the start frame: {error}") from error
    notes = (*useless, "it began anew") if useless else ()
    return _Start(engine=engine, resumed_from_step=None, n_frames=0, max_deviation_eV_per_A=None, notes=notes)


def _resumed(settings: EngineSettings, directory: Path, useless: list[str]) -> _Start | None:
    """The run as its newest usable restart file left it; None if there is none.

    Frames and deviations behind that step are dropped: they are run again. What is wrong with newer restart
    files is appended to `useless`.
    """

    def pass_over(restart: Path, why: str) -> None:
        _LOG.warning("%s is no use: %s", restart, why)
        short = why.removeprefix(f"{restart}: ").partition("; the command was")[0]  # the rest is in child.log
        useless.append(f"the restart file {restart.name} was of no use: {short}")

    (directory / GUARD_FRAME).unlink(missing_ok=True)
    for leftover in directory.glob(RESTART_PATTERN):
        leftover.unlink()
    for step, restart in reversed(_restarts(directory)):
        expected = tuple(range(0, step + 1, settings.frame_interval_steps))
        scan = scan_trajectory(directory / TRAJECTORY)
        if scan.steps[: len(expected)] != expected:
            pass_over(restart, f"the trajectory lacks frames up to step {step}")
            continue
        if settings.potential.deviation_file is not None:
            cut_deviations(directory / settings.potential.deviation_file, step)
        try:
            engine = Engine(settings, log=directory / _LAMMPS_LOG, restart=restart)
        except (RestartError, UnstableRunError) as error:
            pass_over(restart, str(error))
            restart.unlink()
            continue
        cut_trajectory(directory / TRAJECTORY, len(expected), scan)
        return _Start(
            engine=engine,
            resumed_from_step=step,
            n_frames=len(expected),
            max_deviation_eV_per_A=scan.max_deviation_eV_per_A[len(expected) - 1],
            notes=(*useless, f"it went on from step {step}") if useless else (),
        )
    return None


def _restarts(directory: Path) -> list[tuple[int, Path]]:
    """Whole restart files by step."""
    return sorted((int(path.stem.split("-")[1]), path) for path in directory.glob("restart-*.bin"))


def _keep_restart(directory: Path, step: int, trajectory: TrajectoryWriter) -> None:
    """Give the restart file that LAMMPS wrote at `step`, if it did, its final name; older ones go.

    The trajectory is forced to disk first: a restart file promises that all frames up to its step are there.
    """
    written = directory / RESTART_PATTERN.replace("*", str(step))
    if not written.exists():
        return
    trajectory.sync()
    with written.open("rb") as file:
        os.fsync(file.fileno())
    written.rename(written.with_suffix(".bin"))
    sync_directory(directory)
    for _, old in _restarts(directory)[:-_KEPT_RESTARTS]:
        old.unlink()


if __name__ == "__main__":
    child_main(work)
