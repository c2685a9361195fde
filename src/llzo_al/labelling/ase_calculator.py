"""Labels by any ASE calculator, named in the campaign file by its import path."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.config.labelling import ASECalculator
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.base import checked_label
from llzo_al.labelling.jobs import START_S, frame_record, label_in_child
from llzo_al.labelling.streaming import stream_child
from llzo_al.process import engine_environment
from llzo_al.progress import ProgressFile
from llzo_al.structures.reference_md import MDRun

_PHYSICS_FORMAT = 1
_CHILD = "llzo_al.labelling.ase_child"
_MD_CHILD = "llzo_al.labelling.ase_md_child"
TELL_S = 0.5
"""Shortest time between two messages of the dynamics' child."""

_log = logging.getLogger(__name__)


class ASELabeller:
    """Labels with an ASE calculator in a child process.

    Energies are the ones that the forces belong to: the calculator's ``free_energy`` where it has one, and
    its ``energy`` otherwise. Virials are -stress x volume where the frame is periodic in all directions,
    `virials` is on and the calculator has stress.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.

    Raises
    ------
    UserError
        If the calculator's parameters cannot be written as JSON, or one is given twice.
    """

    def __init__(self, settings: ASECalculator) -> None:
        self._settings = settings
        for key in ("parameters", "run_parameters"):
            try:
                json.dumps(getattr(settings, key), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"labelling.{key}: only numbers, text, lists and mappings can be given ({error})"
                ) from error
        twice = sorted(set(settings.parameters) & set(settings.run_parameters))
        if twice:
            raise UserError(
                f"labelling: {', '.join(twice)} stands in `parameters` and in `run_parameters`; keep it in "
                "`parameters` if it changes the physics, and in `run_parameters` otherwise"
            )

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"ase:{self._settings.calculator.replace(':', '.')}"

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
        return {
            "format": _PHYSICS_FORMAT,
            "engine": "ase",
            "calculator": self._settings.calculator.replace(":", "."),
            "version": self._settings.version,
            "parameters": json.loads(json.dumps(self._settings.parameters)),
        }

    def preflight(self) -> None:
        """Import and construct the calculator once, in a child process of its own.

        Raises
        ------
        UserError
            If the import path leads nowhere, the calculator refuses its parameters, or it has no forces.
        """
        with tempfile.TemporaryDirectory() as directory:
            try:
                for message in stream_child(
                    _CHILD,
                    {**self._spec(), "frames": []},
                    directory=Path(directory),
                    environment=self._environment(self.threads),
                    start_s=START_S,
                ):
                    if "refused" in message:
                        raise UserError(f"labelling.{message['key']}: {message['refused']}")
            except EngineError as error:
                raise UserError(
                    f"labelling.calculator: {self._settings.calculator} cannot be made: {error}"
                ) from error

    def label(
        self,
        frames: Sequence[Frame],
        directory: Path,
        *,
        attempt: int = 1,  # noqa: ARG002
        progress: Path | None = None,
    ) -> Iterator[tuple[int, Label | LabelFailure]]:
        """See `llzo_al.labelling.base.Labeller.label`."""
        return label_in_child(
            _CHILD,
            self._spec(),
            frames,
            directory,
            environment=self._environment(self.threads),
            task=f"label with {self.name}",
            silence_s=self._settings.timeout_s,
            progress=progress,
        )

    def snapshots(
        self, run: MDRun, directory: Path, *, threads: int, progress: Path | None = None
    ) -> list[tuple[Frame, Label | None]]:
        """Langevin dynamics with the calculator's forces; see `llzo_al.labelling.base.Labeller.snapshots`.

        The snapshots carry the labels that the dynamics computed. A killed run continues from its last
        checkpoint, with the same random numbers as if it had not been interrupted.
        """
        shown = ProgressFile(progress, task=run.group, total=run.total_steps)
        spec = {
            **self._spec(),
            "start": frame_record(run.frame),
            "temperature_K": run.temperature_K,
            "timestep_fs": run.timestep_fs,
            "friction_per_fs": 1.0 / run.thermostat_time_fs,
            "equilibration_steps": run.equilibration_steps,
            "snapshot_steps": run.snapshot_steps,
            "total_steps": run.total_steps,
            "seed": run.seed,
        }
        ended = ""
        try:
            for message in stream_child(
                _MD_CHILD,
                spec,
                directory=directory,
                environment=self._environment(threads),
                silence_s=self._settings.timeout_s + TELL_S,
                start_s=START_S,
            ):
                if "refused" in message:
                    raise UserError(f"labelling.{message['key']}: {message['refused']}")
                if "ended" in message:
                    ended = str(message["ended"])
                else:
                    shown.update(int(message["step"]), f"{message['temperature_K']:.0f} K")
        finally:
            shown.close()
        return _read_snapshots(run, directory / "snapshots.jsonl", ended)

    def _spec(self) -> dict[str, Any]:
        return {
            "calculator": self._settings.calculator,
            "parameters": self._settings.parameters,
            "run_parameters": self._settings.run_parameters,
            "virials": self._settings.virials,
        }

    def _environment(self, threads: int) -> dict[str, str]:
        return engine_environment(threads=threads)


def _read_snapshots(run: MDRun, path: Path, ended: str) -> list[tuple[Frame, Label | None]]:
    pairs: list[tuple[Frame, Label | None]] = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        record = json.loads(line)
        moved = Frame(
            symbols=run.frame.symbols,
            positions_A=np.array(record["positions_A"]),
            cell_A=run.frame.cell_A,
            periodic=run.frame.periodic,
            provenance=run.frame.provenance,
        )
        frame = run.snapshot(moved, int(record["step"]), len(pairs))
        label = checked_label(
            frame,
            energy_eV=record["energy_eV"],
            forces_eV_per_A=record["forces_eV_per_A"],
            virial_eV=record["virial_eV"],
            wall_s=float(record["wall_s"]),
        )
        if isinstance(label, LabelFailure):
            raise EngineError(f"{run.group}: snapshot at step {record['step']}: {label.reason}")
        pairs.append((frame, label))
    if not pairs:
        why = f" ({ended})" if ended else ""
        raise EngineError(f"{run.group}: the run gave no snapshot{why}; see {path.parent / 'child.log'}")
    if ended:
        _log.warning("%s ended after %d of %d snapshots: %s", run.group, len(pairs), run.n_snapshots, ended)
    return pairs
