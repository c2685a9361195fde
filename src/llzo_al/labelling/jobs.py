"""Labelling a list of frames in a child process that may die on one of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError
from llzo_al.labelling.base import checked_label
from llzo_al.labelling.streaming import LOG, ChildDied, ChildOutOfMemory, ChildSilent, stream_child
from llzo_al.progress import ProgressFile

MAX_CRASHES = 8
"""Frames of one job on which the child may die before the labeller counts as broken."""

START_S = 600.0
"""Time limit of a child's start: imports, construction of a calculator."""

LOG_BYTES = 64 * 1024
"""What is kept of the end of the child's log with the files of a frame that failed."""

_log = logging.getLogger(__name__)


def frame_record(frame: Frame) -> dict[str, Any]:
    """A frame as a child reads it: JSON-serialisable, without provenance."""
    record: dict[str, Any] = {
        "symbols": list(frame.symbols),
        "positions_A": frame.positions_A.tolist(),
        "cell_A": frame.cell_A.tolist(),
        "periodic": list(frame.periodic),
    }
    if frame.charge:
        record["charge"] = frame.charge
    if frame.multiplicity is not None:
        record["multiplicity"] = frame.multiplicity
    return record


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one job of a labeller may take.

    Attributes
    ----------
    silence_s
        Time limit of one frame (seconds), None for no limit.
    memory_GB
        Resident memory of the child and of all that it starts (10^9 bytes), None for no limit.
    """

    silence_s: float | None = None
    memory_GB: float | None = None


def label_in_child(
    module: str,
    spec: Mapping[str, Any],
    frames: Sequence[Frame],
    directory: Path,
    *,
    environment: Mapping[str, str],
    task: str,
    limits: Limits = Limits(),
    takes_charges: bool = False,
    progress: Path | None = None,
) -> Iterator[tuple[int, Label | LabelFailure]]:
    """Label `frames` one after the other in as few children as possible.

    The child gets `spec` and ``frames`` (see `frame_record`), tells ``{"start": index}`` before each frame
    and then ``{"index", "energy_eV", "forces_eV_per_A", "virial_eV", "wall_s"}`` or ``{"index", "cause",
    "reason"}``. A child that dies on a frame or goes quiet costs that frame only: a new child takes up the
    rest. Among the files of a frame that failed (`frame_directory`) is the end of the child's log.

    Parameters
    ----------
    module
        Module of the child (see `stream_child`).
    spec
        What the child needs besides the frames.
    frames
        What to label.
    directory
        Working directory of the job.
    environment
        Environment of the child.
    task
        What the progress calls it.
    limits
        Time and memory of one frame.
    takes_charges
        Whether the child sees to charged frames and given multiplicities; otherwise they are failures ("not
        supported").
    progress
        Where to tell the progress.

    Raises
    ------
    EngineError
        If a child ends before its first frame or without all of its results, or if children die on more than
        `MAX_CRASHES` frames.
    """
    taken = [index for index, frame in enumerate(frames) if takes_charges or _supported(frame)]

    def start(waiting: Sequence[int]) -> Iterator[dict[str, Any]]:
        records = [{"index": index, **frame_record(frames[index])} for index in waiting]
        return stream_child(
            module,
            {**spec, "frames": records},
            directory=directory,
            environment=environment,
            silence_s=limits.silence_s,
            memory_GB=limits.memory_GB,
            start_s=START_S,
        )

    shown = ProgressFile(progress, task=task, total=len(frames), unit="labels")
    refused = ((index, _unsupported(frame)) for index, frame in enumerate(frames) if index not in taken)
    labelled = _labelled(frames, one_by_one(taken, start, task=task), directory)
    try:
        for done, (index, result) in enumerate(chain(refused, labelled), start=1):
            shown.update(done)
            yield index, result
    finally:
        shown.close()


def one_by_one(
    frames: Sequence[int], start: Callable[[Sequence[int]], Iterator[Mapping[str, Any]]], *, task: str
) -> Iterator[tuple[int, Mapping[str, Any] | LabelFailure]]:
    """The result of each frame from as few children as possible; one that dies costs its own frame only.

    Parameters
    ----------
    frames
        Numbers of the frames.
    start
        Starts a child on some of them and gives its messages: ``{"start": index}`` before each frame, then
        one with ``"index"``. Others are passed over.
    task
        What errors call it.

    Yields
    ------
    tuple
        A frame's number, and the message that holds its result, or the failure of the child on it.

    Raises
    ------
    EngineError
        If a child ends before its first frame or without all of its results, or if children die on more than
        `MAX_CRASHES` frames.
    """
    waiting = list(frames)
    crashes = 0
    while waiting:
        at: int | None = None
        try:
            for message in start(waiting):
                if "start" in message:
                    at = int(message["start"])
                elif "index" in message:
                    at = None
                    waiting.remove(int(message["index"]))
                    yield int(message["index"]), message
            if waiting:
                raise EngineError(f"{task}: the child ended without {len(waiting)} of its results")
        except (ChildDied, ChildSilent) as error:
            if at is None:
                raise
            _log.warning("%s: frame %d: %s", task, at, error)
            waiting.remove(at)
            yield at, LabelFailure(cause=_cause(error), reason=str(error))
            crashes += 1
            if crashes > MAX_CRASHES:
                raise EngineError(
                    f"{task}: the labeller died on {crashes} frames of one job, the last time with: {error}"
                ) from error


def frame_directory(job: Path, index: int) -> Path:
    """Where the files of frame `index` of a job lie; those of a failed one are moved to quarantine."""
    return job / f"frame-{index}"


def keep_log(job: Path, index: int) -> None:
    """Put the end of the child's log among the files of a frame that failed."""
    log = job / LOG
    if not log.is_file():
        return
    frame_directory(job, index).mkdir(parents=True, exist_ok=True)
    with log.open("rb") as handle:
        handle.seek(max(log.stat().st_size - LOG_BYTES, 0))
        (frame_directory(job, index) / LOG).write_bytes(handle.read(LOG_BYTES))


def _labelled(
    frames: Sequence[Frame],
    results: Iterator[tuple[int, Mapping[str, Any] | LabelFailure]],
    directory: Path,
) -> Iterator[tuple[int, Label | LabelFailure]]:
    for index, told in results:
        result = told if isinstance(told, LabelFailure) else _result(frames[index], told)
        if isinstance(result, LabelFailure):
            keep_log(directory, index)
        yield index, result


def _result(frame: Frame, message: Mapping[str, Any]) -> Label | LabelFailure:
    if "cause" in message:
        return LabelFailure(cause=str(message["cause"]), reason=str(message["reason"]))
    return checked_label(
        frame,
        energy_eV=message["energy_eV"],
        forces_eV_per_A=message["forces_eV_per_A"],
        virial_eV=message["virial_eV"],
        wall_s=float(message["wall_s"]),
        program=str(message.get("program", "")),
    )


def _cause(error: ChildDied | ChildSilent) -> str:
    if isinstance(error, ChildSilent):
        return "time limit"
    return "out of memory" if isinstance(error, ChildOutOfMemory) else "crash"


def _supported(frame: Frame) -> bool:
    return frame.charge == 0 and frame.multiplicity is None


def _unsupported(frame: Frame) -> LabelFailure:
    return LabelFailure(
        cause="not supported",
        reason=f"charge {frame.charge}, multiplicity {frame.multiplicity}: "
        "this labeller takes neutral frames without a given multiplicity only",
    )
