"""Child process of the classical reference: labels frame after frame in one start of LAMMPS."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from llzo_al.exploration.potential import LammpsPotential
from llzo_al.labelling.streaming import Emit, stream_main
from llzo_al.process import import_lammps

FloatArray = NDArray[np.float64]

_MARGIN_A = 1.0


def closed_cell(
    cell_A: FloatArray, periodic: Sequence[bool], positions_A: FloatArray, reach_A: float
) -> FloatArray:
    """A cell, periodic in all directions, in which atoms interact as in the given one.

    Directions without periodicity get a vector perpendicular to the others and so long that images are out
    of reach of one another, which is exact for a potential of finite cutoff.

    Parameters
    ----------
    cell_A
        Lattice vectors as rows, shape (3, 3); only those of periodic directions are looked at.
    periodic
        Periodicity along the three vectors.
    positions_A
        Shape (n_atoms, 3).
    reach_A
        The potential's cutoff.

    Returns
    -------
    numpy.ndarray
        Lattice vectors as rows, shape (3, 3).
    """
    cell = np.array(cell_A, dtype=np.float64)
    basis = [cell[axis] for axis in range(3) if periodic[axis]]
    for axis in range(3):
        if periodic[axis]:
            continue
        # The last right singular vector of at most two vectors is perpendicular to them.
        direction = np.linalg.svd(np.array([*basis, np.zeros(3)]))[2][-1]
        along = positions_A @ direction
        cell[axis] = direction * (along.max() - along.min() + reach_A + _MARGIN_A)
        basis.append(cell[axis])
    return cell


class ClassicalEngine:
    """One start of LAMMPS that labels frames of the same elements.

    Parameters
    ----------
    elements
        Elements of the atom types 1 to n.
    potential
        Pair commands and charges.
    cutoff_A
        The potential's cutoff.
    log
        Where LAMMPS writes.
    """

    def __init__(
        self, *, elements: Sequence[str], potential: LammpsPotential, cutoff_A: float, log: Path
    ) -> None:
        self._types = {element: number for number, element in enumerate(elements, 1)}
        self._potential = potential
        self._cutoff_A = cutoff_A
        self._lammps = import_lammps().lammps(cmdargs=["-screen", "none", "-log", str(log), "-nocite"])

    def label(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Energy (eV), forces (eV/angstrom) and a crystal's virial (eV) of a `frame_record`."""
        positions_A = np.array(record["positions_A"], dtype=np.float64)
        periodic = [bool(flag) for flag in record["periodic"]]
        cell_A = closed_cell(np.array(record["cell_A"]), periodic, positions_A, self._cutoff_A)
        if abs(np.linalg.det(cell_A)) < 1e-6:
            return {"cause": "not supported", "reason": "the periodic lattice vectors are linearly dependent"}
        # A reflection of a left-handed cell is undone with the rotation.
        prism = Prism(cell_A)
        self._setup(prism, record["symbols"], positions_A)
        self._lammps.command("run 0 post no")
        virial = self._virial(prism)
        return {
            "energy_eV": self._lammps.get_thermo("pe"),
            "forces_eV_per_A": prism.vector_to_ase(self._forces(len(positions_A))).tolist(),
            "virial_eV": virial.tolist() if all(periodic) else None,
            "program": self.program,
        }

    @property
    def program(self) -> str:
        """What computes, with its version."""
        return f"LAMMPS {self._lammps.version()}"

    def _setup(self, prism: Prism, symbols: Sequence[str], positions_A: FloatArray) -> None:
        xhi, yhi, zhi, xy, xz, yz = (float(edge) for edge in prism.get_lammps_prism())
        n_types = len(self._types)
        commands = [
            "clear",
            "units metal",
            "atom_style charge",
            "atom_modify map array sort 0 0",
            "boundary p p p",
            "box tilt large",
            f"region box prism 0 {xhi!r} 0 {yhi!r} 0 {zhi!r} {xy!r} {xz!r} {yz!r}",
            f"create_box {n_types} box",
        ]
        for command in commands:
            self._lammps.command(command)
        wrapped = prism.vector_to_lammps(positions_A, wrap=True)
        types = [self._types[symbol] for symbol in symbols]
        created = self._lammps.create_atoms(
            len(types), list(range(1, len(types) + 1)), types, wrapped.ravel().tolist()
        )
        if created != len(types):
            raise RuntimeError(f"LAMMPS took {created} of {len(types)} atoms")
        for element, number in self._types.items():
            self._lammps.command(f"mass {number} {float(atomic_masses[atomic_numbers[element]])!r}")
        for number, charge in enumerate(self._potential.charges_e or (), 1):
            self._lammps.command(f"set type {number} charge {charge!r}")
        for command in (
            *self._potential.commands,
            "neighbor 0.1 bin",
            "compute stress all pressure NULL virial",
            "thermo_style custom step pe c_stress[*]",
            "thermo_modify norm no",
        ):
            self._lammps.command(command)

    def _forces(self, n_atoms: int) -> FloatArray:
        """Forces in LAMMPS's frame, in the order of the frame's atoms."""
        n_local = self._lammps.extract_global("nlocal")
        if n_local != n_atoms:
            raise RuntimeError(f"LAMMPS kept {n_local} of {n_atoms} atoms")
        ids = np.array(self._lammps.numpy.extract_atom("id")).ravel()[:n_local]
        forces = np.empty((n_atoms, 3))
        forces[ids - 1] = np.array(self._lammps.numpy.extract_atom("f"))[:n_local]
        return forces

    def _virial(self, prism: Prism) -> FloatArray:
        """Virial in the frame's own axes: LAMMPS's pressure without its kinetic part, times the volume."""
        xx, yy, zz, xy, xz, yz = (
            np.array(self._lammps.numpy.extract_compute("stress", 0, 1), dtype=np.float64)
            / self._lammps.extract_global("nktv2p")
            * self._lammps.get_thermo("vol")
        )
        tensor = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return np.asarray(prism.tensor2_to_ase(tensor), dtype=np.float64)


class ClassicalCalculator(Calculator):
    """The reference as an ASE calculator, for dynamics and relaxations step by step.

    Parameters
    ----------
    elements, cutoff_A
        As for `ClassicalEngine`.
    potential
        What `LammpsPotential.as_dict` gives.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, *, elements: Sequence[str], potential: Mapping[str, Any], cutoff_A: float) -> None:
        super().__init__()
        self._engine = ClassicalEngine(
            elements=elements,
            potential=LammpsPotential.from_dict(potential),
            cutoff_A=cutoff_A,
            log=Path("none"),
        )

    @property
    def program(self) -> str:
        """What computes, with its version."""
        return self._engine.program

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy, forces and, of a crystal, stress of `atoms`.

        Raises
        ------
        CalculationFailed
            If LAMMPS refuses the frame.
        """
        super().calculate(atoms, properties, system_changes)
        answer = self._engine.label(
            {
                "symbols": self.atoms.get_chemical_symbols(),
                "positions_A": self.atoms.positions,
                "cell_A": self.atoms.cell.array,
                "periodic": self.atoms.pbc,
            }
        )
        if "cause" in answer:
            raise CalculationFailed(f"{answer['cause']}: {answer['reason']}")
        self.results = {
            "energy": float(answer["energy_eV"]),
            "forces": np.array(answer["forces_eV_per_A"]),
        }
        if answer["virial_eV"] is not None:
            stress = -np.array(answer["virial_eV"]) / self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)


def work(spec: dict[str, Any], directory: Path, emit: Emit) -> None:
    """Label the frames of `spec`, telling each start and each result (see `label_in_child`)."""
    engine = ClassicalEngine(
        elements=spec["elements"],
        potential=LammpsPotential.from_dict(spec["potential"]),
        cutoff_A=spec["cutoff_A"],
        log=directory / "lammps.log",
    )
    for record in spec["frames"]:
        emit({"start": record["index"]})
        started = time.perf_counter()
        try:
            result = engine.label(record)
        except Exception as error:  # noqa: BLE001 - what LAMMPS's module raises is a bare Exception
            result = {"cause": "engine error", "reason": f"LAMMPS: {error}"}
        emit({"index": record["index"], **result, "wall_s": time.perf_counter() - started})


if __name__ == "__main__":
    stream_main(work)
