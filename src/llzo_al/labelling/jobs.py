"""Labelling a list of frames in a child process that may die on one of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError
from llzo_al.labelling.base import checked_label
from llzo_al.labelling.streaming import ChildDied, ChildOutOfMemory, ChildSilent, stream_child
from llzo_al.progress import ProgressFile

MAX_CRASHES = 8
"""Frames of one job on which the child may die before the labeller counts as broken."""

START_S = 600.0
"""Time limit of a child's start: imports, construction of a calculator."""

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
    rest.

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
        If a child ends before its first frame, or on more than `MAX_CRASHES` frames.
    """
    shown = ProgressFile(progress, task=task, total=len(frames), unit="labels")
    waiting = [index for index, frame in enumerate(frames) if takes_charges or _supported(frame)]
    refused = [index for index in range(len(frames)) if index not in set(waiting)]
    done = crashes = 0
    try:
        for index in refused:
            done += 1
            yield index, _unsupported(frames[index])
        while waiting:
            records = [{"index": index, **frame_record(frames[index])} for index in waiting]
            at = None
            try:
                for message in stream_child(
                    module,
                    {**spec, "frames": records},
                    directory=directory,
                    environment=environment,
                    silence_s=limits.silence_s,
                    memory_GB=limits.memory_GB,
                    start_s=START_S,
                ):
                    if "start" in message:
                        at = int(message["start"])
                        continue
                    at = None
                    index = int(message["index"])
                    waiting.remove(index)
                    done += 1
                    shown.update(done)
                    yield index, _result(frames[index], message)
                if waiting:
                    raise EngineError(
                        f"{module} ended without {len(waiting)} of its results; see {directory}"
                    )
            except (ChildDied, ChildSilent) as error:
                if at is None:
                    raise
                crashes += 1
                _log.warning("%s: frame %d: %s", task, at, error)
                waiting.remove(at)
                done += 1
                yield at, LabelFailure(cause=_cause(error), reason=str(error))
                if crashes > MAX_CRASHES:
                    raise EngineError(
                        f"{task}: the labeller died on {crashes} frames of one job, the last time with: "
                        f"{error}"
                    ) from error
    finally:
        shown.close()


def _result(frame: Frame, message: Mapping[str, Any]) -> Label | LabelFailure:
    if "cause" in message:
        return LabelFailure(cause=str(message["cause"]), reason=str(message["reason"]))
    return checked_label(
        frame,
        energy_eV=message["energy_eV"],
        forces_eV_per_A=message["forces_eV_per_A"],
        virial_eV=message["virial_eV"],
        wall_s=float(message["wall_s"]),
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
