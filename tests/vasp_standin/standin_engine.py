"""Energies, forces and stresses of the stand-in, and the ionic steps that it takes with them.

The calculator is the classical Li-La-Zr-O reference, in LAMMPS, with the numbers that
`llzo_al.labelling.classical` has by default: what comes back through VASP's files can be compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from standin_inputs import Inputs, Refused

from llzo_al.exploration.potential import LammpsPotential
from llzo_al.labelling.classical_child import ClassicalEngine

ELEMENTS = ("Li", "La", "Zr", "O")
CUTOFF_A = 6.0
# Written out, since importing them from llzo_al.labelling.classical takes longer than the whole run; a test
# compares the two.
POTENTIAL = LammpsPotential(
    commands=(
        "pair_style hybrid/overlay buck 6.0 coul/dsf 0.3 6.0",
        "pair_modify pair buck shift yes",
        "pair_coeff * * coul/dsf",
        "pair_coeff 1 4 buck 632.1018 0.2906 0.0",
        "pair_coeff 2 4 buck 4579.23 0.30437 0.0",
        "pair_coeff 3 4 buck 985.869 0.376 0.0",
        "pair_coeff 4 4 buck 9547.96 0.21916 32.0",
    ),
    charges_e=(1.0, 3.0, 4.0, -2.0),
)

ENTROPY_EV_PER_ATOM = 1e-3
"""T*S that the stand-in's electrons pretend to have with a smearing, so that VASP's energies differ."""


class ClassicalReference(Calculator):
    """The classical reference for ASE's optimisers and dynamics."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._engine = ClassicalEngine(elements=ELEMENTS, potential=POTENTIAL, cutoff_A=CUTOFF_A, log=log)

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        result = self._engine.label(
            {
                "positions_A": self.atoms.positions.tolist(),
                "cell_A": np.array(self.atoms.cell).tolist(),
                "periodic": [True, True, True],
                "symbols": self.atoms.get_chemical_symbols(),
            }
        )
        virial = np.array(result["virial_eV"])
        stress = -virial / self.atoms.get_volume()
        self.results = {
            "energy": result["energy_eV"],
            "free_energy": result["energy_eV"],
            "forces": np.array(result["forces_eV_per_A"]),
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


@dataclass(frozen=True, kw_only=True)
class Step:
    """One ionic step as VASP reports it.

    Attributes
    ----------
    stress_eV_per_A3
        With ASE's sign, shape (3, 3).
    energies_eV
        Free energy after each electronic step.
    converged
        Whether the electronic steps reached EDIFF.
    kinetic_eV, temperature_K
        Of the ions; zero but in dynamics.
    """

    cell_A: np.ndarray
    positions_A: np.ndarray
    forces_eV_per_A: np.ndarray
    stress_eV_per_A3: np.ndarray
    energies_eV: tuple[float, ...]
    entropy_eV: float
    converged: bool
    kinetic_eV: float = 0.0
    temperature_K: float = 0.0
    velocities_A_per_fs: np.ndarray | None = None

    @property
    def free_energy_eV(self) -> float:
        """The energy that the forces belong to."""
        return self.energies_eV[-1]


@dataclass
class Run:
    """The ionic steps of a run, as they come; `relaxed` tells afterwards whether EDIFFG was reached."""

    inputs: Inputs
    fault: str
    log: Path
    relaxed: bool = False

    @property
    def nsw(self) -> int:
        """Number of ionic steps at most; 0 for a static run."""
        return int(self.inputs.tag("NSW", 0))

    @property
    def ibrion(self) -> int:
        """VASP's IBRION, with its default."""
        return int(self.inputs.tag("IBRION", 0 if self.nsw > 1 else -1)) if self.nsw else -1

    @property
    def isif(self) -> int:
        """VASP's ISIF, with its default."""
        return int(self.inputs.tag("ISIF", 0 if self.ibrion == 0 else 2))

    def steps(self) -> Iterator[Step]:
        """Take the steps.

        Raises
        ------
        Refused
            If the run is of a kind, or of elements, that the stand-in does not do.
        """
        inputs = self.inputs
        unknown = sorted(set(inputs.symbols) - set(ELEMENTS))
        if unknown:
            raise Refused(f" stand-in: its calculator knows Li, La, Zr and O, not {', '.join(unknown)}")
        atoms = Atoms(inputs.atoms, positions=inputs.positions_A, cell=inputs.cell_A, pbc=True)
        atoms.set_masses(
            [p.mass_u for p, n in zip(inputs.potcars, inputs.counts, strict=True) for _ in range(n)]
        )
        atoms.calc = ClassicalReference(self.log)
        if self.ibrion == -1:
            yield self._step(atoms)
        elif self.ibrion == 0:
            yield from self._dynamics(atoms)
        elif self.ibrion in (1, 2, 3):
            yield from self._relaxation(atoms)
        else:
            raise Refused(f" stand-in: IBRION = {self.ibrion} is not among what it does")

    def _step(self, atoms: Atoms, **motion: Any) -> Step:
        energies, converged = self._electronic(float(atoms.get_potential_energy()))
        smeared = int(self.inputs.tag("ISMEAR", 1)) >= -1 and float(self.inputs.tag("SIGMA", 0.2)) > 0
        return Step(
            cell_A=np.array(atoms.cell),
            positions_A=atoms.get_positions(),
            forces_eV_per_A=atoms.get_forces(),
            stress_eV_per_A3=atoms.get_stress(voigt=False),
            energies_eV=energies,
            entropy_eV=ENTROPY_EV_PER_ATOM * len(atoms) if smeared else 0.0,
            converged=converged,
            **motion,
        )

    def _electronic(self, energy_eV: float) -> tuple[tuple[float, ...], bool]:
        """Electronic steps that close in on the energy by a factor of ten each, until EDIFF or NELM."""
        nelm = int(self.inputs.tag("NELM", 60))
        nelmin = int(self.inputs.tag("NELMIN", 2))
        ediff = float(self.inputs.tag("EDIFF", 1e-4))
        needed = max(nelmin, 4 + int(np.ceil(np.log10(10.0 / ediff))))
        if self.fault == "unconverged" or needed > nelm:
            return tuple(energy_eV + 0.3 * (-1) ** i for i in range(nelm)), False
        energies = [energy_eV + 10.0 ** (2 - i) for i in range(needed - 1)]
        return (*energies, energy_eV), True

    def _relaxation(self, atoms: Atoms) -> Iterator[Step]:
        from ase.filters import FrechetCellFilter
        from ase.optimize import BFGS, FIRE

        if self.isif not in (2, 3):
            raise Refused(f" stand-in: relaxes with ISIF = 2 or 3, not {self.isif}")
        moved = FrechetCellFilter(atoms) if self.isif == 3 else atoms
        optimiser = (FIRE if self.ibrion == 3 else BFGS)(moved, logfile=None)
        ediffg = float(self.inputs.tag("EDIFFG", 10 * float(self.inputs.tag("EDIFF", 1e-4))))
        last = np.inf
        for count, _ in enumerate(optimiser.irun(fmax=0.0, steps=self.nsw - 1), 1):
            step = self._step(atoms)
            yield step
            largest = float(np.linalg.norm(step.forces_eV_per_A, axis=1).max())
            change = abs(step.free_energy_eV - last)
            reached = largest < -ediffg if ediffg < 0 else change < ediffg
            self.relaxed = reached and self.fault != "unconverged-ionic"
            last = step.free_energy_eV
            if self.relaxed or count >= self.nsw or self._stopped():
                return

    def _dynamics(self, atoms: Atoms) -> Iterator[Step]:
        """Newtonian dynamics for MDALGO = 0 without a thermostat, Langevin's for all that have one."""
        from ase.md.langevin import Langevin
        from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
        from ase.md.verlet import VelocityVerlet

        if self.isif == 3:
            raise Refused(" stand-in: does no dynamics at constant pressure (ISIF = 3)")
        if "POTIM" not in self.inputs.incar:
            raise Refused(" ERROR: MD (IBRION = 0) requires POTIM in INCAR")
        begin_K = float(self.inputs.tag("TEBEG", 0.0))
        end_K = float(self.inputs.tag("TEEND", begin_K))
        seed = self.inputs.tag("RANDOM_SEED", [0])
        random = np.random.default_rng([int(number) for number in seed])
        if self.inputs.velocities_A_per_fs is not None:
            atoms.set_velocities(self.inputs.velocities_A_per_fs / units.fs)
        else:
            MaxwellBoltzmannDistribution(atoms, temperature_K=max(begin_K, 1e-4), rng=random)
            Stationary(atoms)
        timestep = float(self.inputs.tag("POTIM", 1.0)) * units.fs
        free = int(self.inputs.tag("MDALGO", 0)) == 0 and float(self.inputs.tag("SMASS", -3)) == -3
        if free:
            dynamics = VelocityVerlet(atoms, timestep=timestep)
        else:
            dynamics = Langevin(
                atoms,
                timestep=timestep,
                temperature_K=begin_K,
                friction=0.01 / units.fs,
                rng=random,
                fixcm=False,
            )
        for count, _ in enumerate(dynamics.irun(self.nsw - 1), 1):
            if not free:
                dynamics.set_temperature(temperature_K=begin_K + (end_K - begin_K) * count / self.nsw)
            yield self._step(
                atoms,
                kinetic_eV=float(atoms.get_kinetic_energy()),
                temperature_K=float(atoms.get_temperature()),
                velocities_A_per_fs=atoms.get_velocities() * units.fs,
            )
            if self._stopped():
                return

    def _stopped(self) -> bool:
        path = Path("STOPCAR")
        return path.exists() and ".TRUE." in path.read_text(encoding="utf-8").upper()
