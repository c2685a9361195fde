"""Labels by VASP."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llzo_al.config.labelling import VASP
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.dataset.identity import structure_hash
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.jobs import START_S
from llzo_al.labelling.streaming import ChildDied, ChildSilent, stream_child
from llzo_al.labelling.vasp.command import check_executable, check_parallel, commands, ranks
from llzo_al.labelling.vasp.diagnosis import SAID
from llzo_al.labelling.vasp.keep import KEPT, keep_outputs
from llzo_al.labelling.vasp.potcars import potcar_symbols, read_potcars
from llzo_al.labelling.vasp.settings import physics, tags_of_attempt
from llzo_al.progress import ProgressFile
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun

if TYPE_CHECKING:
    from llzo_al.labelling.vasp.inputs import VaspInputs

CHILD = "llzo_al.labelling.vasp.run"
LOOK_IN_S = 10.0
"""How often custodian's handlers look at a static run."""
MAX_CRASHES = 8
"""Frames of one job on which the child itself may die before the labeller counts as broken."""


class VaspLabeller:
    """Labels with VASP, one directory after the other, each run under custodian in a child process.

    Energies are VASP's free energies, the ones that the forces belong to. Virials are kept of frames that are
    periodic in all directions.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.
    elements
        Elements of the campaign.

    Raises
    ------
    UserError
        If an element has no POTCAR symbol, or one of another element.
    """

    name = "VASP"

    def __init__(self, settings: VASP, elements: Sequence[str]) -> None:
        self._settings = settings
        self._elements = tuple(elements)
        potcar_symbols(settings, elements)

    @property
    def frames_per_job(self) -> int:
        """Frames that one job labels."""
        return self._settings.frames_per_job

    @property
    def threads(self) -> int:
        """Cores that one job uses: as the campaign file says, or its command."""
        if self._settings.threads is not None:
            return self._settings.threads
        try:
            return ranks(commands(self._settings)[0]) or 1
        except UserError:
            return 1

    def physics(self) -> dict[str, Any]:
        """See `llzo_al.labelling.vasp.settings.physics`."""
        return physics(self._settings, self._elements)

    def preflight(self) -> None:
        """Look for POTCARs, the executable, and whether the parallel settings fit it.

        Raises
        ------
        UserError
            With all that is wrong.
        """
        wrong = []
        for check in (
            lambda: read_potcars(self._settings, self._elements),
            self._check_commands,
            lambda: check_parallel(self._settings, self._words_or_none()),
        ):
            try:
                check()
            except UserError as error:
                wrong.append(str(error))
        if wrong:
            raise UserError("\n".join(wrong))

    def _check_commands(self) -> None:
        if not self._settings.check_command:
            return
        self._found_commands()

    def _words_or_none(self) -> list[str]:
        try:
            return commands(self._settings)[0]
        except UserError:
            return []

    def _found_commands(self) -> tuple[list[str], list[str]]:
        command, gamma_command = commands(self._settings)
        check_executable(command, "command")
        if gamma_command is not command:
            check_executable(gamma_command, "gamma_command")
        return command, gamma_command

    def label(
        self,
        frames: Sequence[Frame],
        directory: Path,
        *,
        attempt: int = 1,
        progress: Path | None = None,
    ) -> Iterator[tuple[int, Label | LabelFailure]]:
        """See `llzo_al.labelling.base.Labeller.label`.

        Each frame has its own folder ``frame-N`` in `directory`; what is kept of successful ones goes to the
        folder ``outputs`` two levels above `directory`, named by the structure's hash. Later attempts take
        `retry_incar`.
        """
        job = _Job(self._settings, self._elements, directory, frames, attempt, self.environment(), progress)
        return job.results(self.ready(directory))

    def ready(self, directory: Path) -> tuple[list[str], list[str]]:
        """Commands for meshes and for the Gamma point, on the machine where the work is done.

        Raises
        ------
        EngineError
            If VASP is not here, or the disk is full.
        """
        directory.mkdir(parents=True, exist_ok=True)
        free_MB = shutil.disk_usage(directory).free / 1e6
        if free_MB < self._settings.min_free_MB:
            raise EngineError(
                f"{directory}: only {free_MB:.0f} MB are free on its disk; labelling.min_free_MB asks for "
                f"{self._settings.min_free_MB:g}"
            )
        try:
            return self._found_commands()
        except UserError as error:
            raise EngineError(str(error)) from error

    def environment(self) -> dict[str, str]:
        """Environment of VASP: this process's own, and when the queue's clock started, which is its start."""
        import psutil

        environment = dict(os.environ)
        started = dt.datetime.fromtimestamp(psutil.Process().create_time())
        environment.setdefault("CUSTODIAN_WALLTIME_START", started.strftime("%a %b %d %H:%M:%S UTC %Y"))
        return environment

    def snapshots(
        self,
        run: MDRun,
        directory: Path,
        *,
        threads: int,  # noqa: ARG002
        progress: Path | None = None,
    ) -> list[tuple[Frame, Label | None]]:
        """Langevin dynamics in VASP; see `llzo_al.labelling.base.Labeller.snapshots`.

        ``run.parameters`` are INCAR tags. The snapshots carry the labels that the dynamics computed unless
        these tags change the physics.
        """
        from llzo_al.labelling.vasp.dynamics import run_dynamics

        return run_dynamics(self, run, directory, progress=progress)

    def relaxation(
        self,
        run: RelaxationRun,
        directory: Path,
        *,
        threads: int,  # noqa: ARG002
        progress: Path | None = None,
    ) -> list[tuple[Frame, Label | None]]:
        """Relaxation in VASP; see `llzo_al.labelling.base.Labeller.relaxation`."""
        from llzo_al.labelling.vasp.relax import run_relaxation

        return run_relaxation(self, run, directory, progress=progress)

    @property
    def settings(self) -> VASP:
        """Section `labelling` of the campaign file."""
        return self._settings

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the campaign."""
        return self._elements


class _Job:
    """Static labels of some frames, one after the other."""

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
        self, waiting: list[int], found: tuple[list[str], list[str]]
    ) -> Iterator[tuple[int, Label | LabelFailure]]:
        """Run VASP in as few children as possible; one that dies or goes quiet costs its own frame only."""
        crashes = 0
        while waiting:
            at: int | None = None
            try:
                for message in self._messages(waiting, found):
                    if "start" in message:
                        at = int(message["start"])
                    elif "index" in message:
                        at = None
                        index = int(message["index"])
                        waiting.remove(index)
                        yield self._told(index, self._result(index, message))
                if waiting:
                    raise EngineError(f"{CHILD} ended without {len(waiting)} results; see {self._directory}")
            except (ChildDied, ChildSilent) as error:
                if at is None:
                    raise
                crashes += 1
                waiting.remove(at)
                quiet = isinstance(error, ChildSilent)
                yield self._told(
                    at, LabelFailure(cause="time limit" if quiet else "crash", reason=str(error))
                )
                if crashes > MAX_CRASHES:
                    raise EngineError(f"label with VASP: {crashes} runs in one job died: {error}") from error

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
        return self._directory / f"frame-{index}"


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
