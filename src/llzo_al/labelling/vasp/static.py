"""Static labels by VASP: some frames, one directory after the other, in as few children as possible."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llzo_al.config.labelling import VASP
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.dataset.identity import structure_hash
from llzo_al.labelling.jobs import START_S, frame_directory, keep_log, one_by_one
from llzo_al.labelling.streaming import stream_child
from llzo_al.labelling.vasp.diagnosis import SAID
from llzo_al.labelling.vasp.keep import KEPT, keep_outputs
from llzo_al.labelling.vasp.settings import tags_of_attempt
from llzo_al.progress import ProgressFile

if TYPE_CHECKING:
    from llzo_al.labelling.vasp.inputs import VaspInputs

CHILD = "llzo_al.labelling.vasp.run"
LOOK_IN_S = 10.0
"""How often custodian's handlers look at a static run."""


class StaticJob:
    """Static labels of some frames, one after the other.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.
    elements
        Elements of the campaign.
    directory
        Working directory of the job; each frame gets a folder of its own in it.
    frames
        What to label.
    attempt
        Which attempt it is, from 1.
    environment
        Environment of VASP.
    progress
        Where to tell the progress.
    """

    def __init__(
        self,
        settings: VASP,
        elements: tuple[str, ...],
        directory: Path,
        frames: Sequence[Frame],
        attempt: int,
        environment: Mapping[str, str],
        progress: Path | None,
    ) -> None:
        self._settings = settings
        self._elements = elements
        self._directory = directory
        self._frames = frames
        self._extra = tags_of_attempt(settings, attempt)
        self._environment = environment
        self._shown = ProgressFile(progress, task="label with VASP", total=len(frames), unit="labels")
        self._inputs: dict[int, VaspInputs] = {}
        self._done = 0

    def results(self, found: tuple[list[str], list[str]]) -> Iterator[tuple[int, Label | LabelFailure]]:
        """Each frame's label or failure, when it is there."""
        try:
            waiting = []
            for index, frame in enumerate(self._frames):
                failure = self._prepare(index, frame)
                if failure is None:
                    waiting.append(index)
                else:
                    yield self._told(index, failure)
            yield from self._run(waiting, found)
        finally:
            self._shown.close()

    def _prepare(self, index: int, frame: Frame) -> LabelFailure | None:
        from llzo_al.labelling.vasp.inputs import make_inputs

        place = self._place(index)
        shutil.rmtree(place, ignore_errors=True)
        try:
            made = make_inputs(frame, self._settings, self._elements, extra=self._extra)
        except ValueError as error:
            return LabelFailure(cause="not supported", reason=str(error))
        made.write(place)
        self._inputs[index] = made
        return None

    def _run(
        self, waiting: Sequence[int], found: tuple[list[str], list[str]]
    ) -> Iterator[tuple[int, Label | LabelFailure]]:
        """Run VASP in as few children as possible."""
        results = one_by_one(waiting, lambda left: self._messages(left, found), task="label with VASP")
        for index, told in results:
            if isinstance(told, LabelFailure):
                keep_log(self._directory, index)
                yield self._told(index, told)
            else:
                yield self._told(index, self._result(index, told))

    def _messages(
        self, waiting: Sequence[int], found: tuple[list[str], list[str]]
    ) -> Iterator[dict[str, Any]]:
        command, gamma_command = found
        settings = self._settings
        spec = {
            "runs": [
                {
                    "index": index,
                    "directory": self._place(index).name,
                    "command": gamma_command if self._inputs[index].gamma_only else command,
                }
                for index in waiting
            ],
            "moving": False,
            "max_corrections": settings.max_corrections,
            "frozen_s": settings.frozen_s,
            "look_in_s": min(LOOK_IN_S, settings.frozen_s),
        }
        return stream_child(
            CHILD,
            spec,
            directory=self._directory,
            environment=self._environment,
            silence_s=settings.timeout_s,
            start_s=START_S,
        )

    def _result(self, index: int, message: Mapping[str, Any]) -> Label | LabelFailure:
        from llzo_al.labelling.vasp.check import label_of

        place, frame = self._place(index), self._frames[index]
        wall_s = float(message["wall_s"])
        result = label_of(frame, self._inputs.pop(index), place, wall_s=wall_s)
        if isinstance(result, LabelFailure):
            return with_history(result, message)
        if self._settings.keep_outputs == "all":
            archive = self._directory.parents[1] / KEPT / f"{structure_hash(frame)}.tar.gz"
            keep_outputs(place, archive, max_MB=self._settings.keep_outputs_max_MB)
        shutil.rmtree(place, ignore_errors=True)
        return result

    def _told(self, index: int, result: Label | LabelFailure) -> tuple[int, Label | LabelFailure]:
        with contextlib.suppress(FileNotFoundError):  # licensed, and the same for all
            (self._place(index) / "POTCAR").unlink()
        self._done += 1
        self._shown.update(self._done)
        return index, result

    def _place(self, index: int) -> Path:
        return frame_directory(self._directory, index)


def with_history(failure: LabelFailure, message: Mapping[str, Any]) -> LabelFailure:
    """A failure with what custodian did before it, and with the cause that only the process itself tells."""
    cause, told = failure.cause, [failure.reason]
    code = message.get("returncode")
    if message.get("frozen"):
        cause = "time limit"
        told.append("VASP had printed nothing for longer than labelling.frozen_s and was stopped")
    elif cause in ("truncated output", "empty output") and isinstance(code, int) and code != 0:
        if not failure.reason.startswith(SAID):
            cause = "crash"
        told.append(f"it ended with {'signal' if code < 0 else 'exit code'} {abs(code)}")
    if message.get("corrections"):
        told.append(f"custodian saw {', '.join(dict.fromkeys(message['corrections']))}")
    if message.get("trouble"):
        told.append(str(message["trouble"]))
    return LabelFailure(cause=cause, reason="; ".join(told))
