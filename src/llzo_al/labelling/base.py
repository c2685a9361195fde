"""The contract between the campaign and whoever computes energies, forces and virials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from llzo_al.config.labelling import VASP, ClassicalReference, Labelling
from llzo_al.config.labelling.ase import CalculatorJobs
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun


class Labeller(Protocol):
    """Frames in; energies (eV), forces (eV/angstrom) and virials (eV) out, or the reason why not."""

    @property
    def name(self) -> str:
        """What reports call it ("classical reference", "ase:ase.calculators.emt.EMT")."""
        ...

    @property
    def frames_per_job(self) -> int:
        """Frames that one job labels."""
        ...

    @property
    def threads(self) -> int:
        """Cores that one job uses."""
        ...

    def physics(self) -> dict[str, Any]:
        """All and only what changes a label, JSON-serialisable, with the version of this form as ``format``.

        Part of each label's identity: no path, queue, machine or time limit.
        """
        ...

    def preflight(self) -> None:
        """Find out, before anything is spent, whether this labeller can work on this machine.

        Raises
        ------
        UserError
            If it cannot; the message names the key of the campaign file and what to do.
        """
        ...

    def label(
        self, frames: Sequence[Frame], directory: Path, *, attempt: int = 1, progress: Path | None = None
    ) -> Iterator[tuple[int, Label | LabelFailure]]:
        """Label frames, giving each result as soon as it is there.

        Parameters
        ----------
        frames
            What to label.
        directory
            Working directory of this job; nothing in it is needed afterwards.
        attempt
            Which attempt at these frames this is, from 1. A later one may change what does not change the
            physics (a longer time limit, another minimiser), as the campaign file says.
        progress
            Where to tell the progress (see `llzo_al.progress`).

        Yields
        ------
        tuple
            The frame's index in `frames`, and its label or why there is none. Each index comes once.

        Raises
        ------
        EngineError
            If the labeller does not work at all, whatever the frame. What was given before stays valid.
        """
        ...

    def snapshots(
        self, run: MDRun, directory: Path, *, threads: int, progress: Path | None = None
    ) -> list[tuple[Frame, Label | None]]:
        """Run molecular dynamics with the reference's own forces and return its snapshots.

        A run that was killed continues from what it left in `directory`, and loses no snapshot.

        Parameters
        ----------
        run
            The trajectory. Its snapshots are those at `MDRun.snapshot_at`, made with `MDRun.snapshot`, which
            is told the dynamics' ``potential_energy_eV``.
        directory
            Working directory of this run, kept until it is done.
        threads
            Cores to use.
        progress
            Where to tell the progress (see `llzo_al.progress`).

        Returns
        -------
        list of tuple
            Snapshots in the order of time, each with its label where the run computed one with the label's
            own settings, and with None where it is labelled like any other frame: with ``run.relabel``, where
            ``run.parameters`` change the physics, and where the dynamics give none.

        Raises
        ------
        UserError
            If ``run.parameters`` are not this labeller's.
        EngineError
            If the run ends without a snapshot.
        """
        ...

    def relaxation(
        self, run: RelaxationRun, directory: Path, *, threads: int, progress: Path | None = None
    ) -> list[tuple[Frame, Label | None]]:
        """Relax a structure with the reference's own forces; all converged ionic steps are kept as frames.

        A relaxation that was killed continues from its last ionic step in `directory`. One that does not
        converge within its steps is no error: its path is as good for training, and its last frame is not
        marked as relaxed.

        Parameters
        ----------
        run
            The relaxation.
        directory
            Working directory of this run, kept until it is done.
        threads
            Cores to use.
        progress
            Where to tell the progress (see `llzo_al.progress`).

        Returns
        -------
        list of tuple
            Frames of the path made with `RelaxationRun.path_frame`, from the start to the end, each with its
            label where the relaxation computed one with the label's own settings, and with None where it is
            labelled like any other frame (a calculation at varying cell with the basis of another one).

        Raises
        ------
        EngineError
            If not even the start could be computed.
        """
        ...


def make_labeller(settings: Labelling, elements: Sequence[str]) -> Labeller:
    """The labeller that the campaign file asks for.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.
    elements
        Elements of the campaign, in the order of the type map.

    Raises
    ------
    UserError
        If the labeller does not know one of the elements, or its settings cannot be written down.
    """
    if isinstance(settings, ClassicalReference):
        from llzo_al.labelling.classical import ClassicalLabeller

        return ClassicalLabeller(settings, elements)
    if isinstance(settings, CalculatorJobs):
        from llzo_al.labelling.ase_calculator import ASELabeller

        return ASELabeller(settings, elements)
    if isinstance(settings, VASP):
        from llzo_al.labelling.vasp.labeller import VaspLabeller

        return VaspLabeller(settings, elements)
    raise TypeError(f"no labeller for {type(settings).__name__}")


def checked_label(
    frame: Frame, *, energy_eV: Any, forces_eV_per_A: Any, virial_eV: Any, wall_s: float, program: str = ""
) -> Label | LabelFailure:
    """A label, or a failure ("not finite", "wrong shape") if an engine's numbers are not one.

    Parameters
    ----------
    frame
        The frame that the numbers belong to.
    energy_eV, forces_eV_per_A, virial_eV
        What the engine gave: a number, shape (n_atoms, 3), and shape (3, 3) or None.
    wall_s
        Seconds that the engine worked on it.
    program
        The engine and its version.
    """
    try:
        energy = float(energy_eV)
        forces = np.array(forces_eV_per_A, dtype=np.float64)
        virial = None if virial_eV is None else np.array(virial_eV, dtype=np.float64)
    except (TypeError, ValueError) as error:
        return LabelFailure(
            cause="wrong shape", reason=f"the engine's result is not made of numbers: {error}"
        )
    for quantity, array, shape in (
        ("forces", forces, (frame.n_atoms, 3)),
        ("virial", virial, (3, 3)),
    ):
        if array is not None and array.shape != shape:
            return LabelFailure(
                cause="wrong shape", reason=f"shape of {quantity} is {array.shape}, expected {shape}"
            )
    bad = [
        quantity
        for quantity, array in (("energy", energy), ("forces", forces), ("virial", virial))
        if array is not None and not np.isfinite(array).all()
    ]
    if bad:
        return LabelFailure(
            cause="not finite", reason=f"not finite: {', '.join(bad)} (energy {energy} eV); atoms may overlap"
        )
    return Label(energy_eV=energy, forces_eV_per_A=forces, virial_eV=virial, wall_s=wall_s, program=program)
