"""Labels by VASP."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llzo_al.config.labelling import VASP
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.vasp.command import check_executable, check_parallel, commands, ranks
from llzo_al.labelling.vasp.potcars import potcar_symbols, read_potcars
from llzo_al.labelling.vasp.settings import physics
from llzo_al.labelling.vasp.static import StaticJob
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun


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
        job = StaticJob(
            self._settings, self._elements, directory, frames, attempt, self.environment(), progress
        )
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
