"""Labels by any ASE calculator, named in the campaign file by its import path."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llzo_al.config.labelling.ase import CalculatorJobs
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.ase_dynamics import ase_relaxation, ase_snapshots
from llzo_al.labelling.jobs import START_S, Limits, label_in_child
from llzo_al.labelling.presets.recipes import (
    child_spec,
    physics,
    recipe_name,
    refuse_unwritable,
    with_parameters,
)
from llzo_al.labelling.streaming import stream_child
from llzo_al.process import engine_environment
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun

_CHILD = "llzo_al.labelling.ase_child"


class ASELabeller:
    """Labels with an ASE calculator in a child process: any, by import path, or one of the presets.

    Energies are the ones that the forces belong to: the calculator's ``free_energy`` where it has one, and
    its ``energy`` otherwise. Virials are -stress x volume where the frame is periodic in all directions,
    `virials` is on and the calculator has stress.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.
    elements
        Elements of the campaign, whose pseudopotentials are part of a label's identity.

    Raises
    ------
    UserError
        If the calculator's parameters cannot be written as JSON.
    """

    def __init__(self, settings: CalculatorJobs, elements: Sequence[str] = ()) -> None:
        self._settings = settings
        self._elements = tuple(elements)
        refuse_unwritable(settings)

    @property
    def name(self) -> str:
        """What reports call it."""
        return recipe_name(self._settings)

    @property
    def frames_per_job(self) -> int:
        """Frames that one job labels."""
        return self._settings.frames_per_job

    @property
    def threads(self) -> int:
        """Cores that one job uses."""
        return self._settings.threads

    def physics(self) -> dict[str, Any]:
        """Calculator, version and parameters.

        Whether virials are asked for is not among them: it changes what is kept of a calculation, not the
        calculation.
        """
        return physics(self._settings, self._elements)

    def preflight(self) -> None:
        """Import and construct the calculator once, in a child process of its own.

        Raises
        ------
        UserError
            If the import path leads nowhere, the calculator refuses its parameters, or it has no forces.
        """
        self.physics()
        with tempfile.TemporaryDirectory() as directory:
            try:
                for attempt in range(1, 2 + len(self._settings.retry_parameters)):
                    self._try(Path(directory), attempt)
            except EngineError as error:
                raise UserError(f"labelling: {self.name} cannot be made: {error}") from error

    def _try(self, directory: Path, attempt: int) -> None:
        for message in stream_child(
            _CHILD,
            {**self._spec(attempt), "frames": []},
            directory=directory,
            environment=self._environment(self.threads),
            start_s=START_S,
        ):
            if "refused" in message:
                where = "" if attempt == 1 else f" (as changed by retry_parameters[{attempt - 2}])"
                raise UserError(f"labelling.{message['key']}: {message['refused']}{where}")

    def label(
        self,
        frames: Sequence[Frame],
        directory: Path,
        *,
        attempt: int = 1,
        progress: Path | None = None,
    ) -> Iterator[tuple[int, Label | LabelFailure]]:
        """See `llzo_al.labelling.base.Labeller.label`; later attempts take `retry_parameters`."""
        return label_in_child(
            _CHILD,
            self._spec(attempt),
            frames,
            directory,
            environment=self._environment(self.threads),
            task=f"label with {self.name}",
            limits=self._limits(),
            takes_charges=True,
            progress=progress,
        )

    def snapshots(
        self, run: MDRun, directory: Path, *, threads: int, progress: Path | None = None
    ) -> list[tuple[Frame, Label | None]]:
        """Langevin dynamics with the calculator's forces; see `llzo_al.labelling.base.Labeller.snapshots`.

        The snapshots carry the labels that the dynamics computed, unless the run's own parameters differ from
        those of the labels.
        """
        settings = with_parameters(self._settings, run.parameters, f"{run.group}: parameters")
        return ase_snapshots(
            run,
            child_spec(settings),
            directory,
            environment=self._environment(threads),
            limits=self._limits(),
            labels=physics(settings, self._elements) == self.physics(),
            progress=progress,
        )

    def relaxation(
        self, run: RelaxationRun, directory: Path, *, threads: int, progress: Path | None = None
    ) -> list[tuple[Frame, Label | None]]:
        """See `llzo_al.labelling.base.Labeller.relaxation`; every frame carries its label."""
        return ase_relaxation(
            run,
            self._spec(),
            directory,
            environment=self._environment(threads),
            limits=self._limits(),
            progress=progress,
        )

    def _spec(self, attempt: int = 1) -> dict[str, Any]:
        return child_spec(self._settings, attempt=attempt)

    def _limits(self) -> Limits:
        return Limits(silence_s=self._settings.timeout_s, memory_GB=self._settings.memory_limit_GB)

    def _environment(self, threads: int) -> dict[str, str]:
        return engine_environment(threads=threads)
