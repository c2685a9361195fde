"""Units of files that do not say theirs: converted where they are given, doubted where they look wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llzo_al.config.initial_data.existing_data import ExistingData

if TYPE_CHECKING:
    from llzo_al.structures.existing.reading import Reading

ENERGY_UNITS = ("eV", "hartree", "rydberg", "kcal_mol", "kJ_mol")
FORCE_UNITS = (
    "eV/angstrom",
    "hartree/bohr",
    "rydberg/bohr",
    "eV/bohr",
    "hartree/angstrom",
    "kcal_mol/angstrom",
    "kJ_mol/angstrom",
    "kJ_mol/nm",
)


@dataclass(frozen=True, kw_only=True)
class Units:
    """Factors that turn a file's numbers into electronvolts and angstroms.

    Attributes
    ----------
    energy_eV, length_A, force_eV_per_A
        One unit of the file's.
    """

    energy_eV: float = 1.0
    length_A: float = 1.0
    force_eV_per_A: float = 1.0

    @classmethod
    def of(cls, source: ExistingData) -> Units:
        """The units that the campaign file names, through dpdata."""
        if (source.energy_unit, source.length_unit, source.force_unit) == (None, None, None):
            return cls()
        energy, length = source.energy_unit or "eV", source.length_unit or "angstrom"
        return cls(
            energy_eV=_energy_eV(energy),
            length_A=_length_A(length),
            force_eV_per_A=_force_eV_per_A(source.force_unit or f"{energy}/{length}"),
        )

    def converted(self, frame: Reading) -> Reading:
        """`frame` in electronvolts and angstroms."""
        if self == Units():
            return frame
        forces, virial, energy = frame.forces_eV_per_A, frame.virial_eV, frame.energy_eV
        return replace(
            frame,
            positions_A=frame.positions_A * self.length_A,
            cell_A=frame.cell_A * self.length_A,
            energy_eV=None if energy is None else energy * self.energy_eV,
            forces_eV_per_A=None if forces is None else forces * self.force_eV_per_A,
            virial_eV=None if virial is None else virial * self.energy_eV,
        )


def units_with_slope(slope: float, *, tolerance: float = 0.1) -> list[str]:
    """Pairs of units whose misreading as eV and eV/angstrom gives a slope, likely ones first.

    Parameters
    ----------
    slope
        Change of energy over the work of the forces, both as the numbers stand; 1 where the units are right.
    tolerance
        Relative deviation that is allowed.

    Returns
    -------
    list of str
        Such as "energy_unit: eV with force_unit: hartree/bohr".
    """
    found = []
    for energy, force in _pairs():
        expected = _force_eV_per_A(force) / _energy_eV(energy)
        if abs(slope / expected - 1) <= tolerance:
            found.append(f"energy_unit: {energy} with force_unit: {force}")
    return found


def _pairs() -> Iterator[tuple[str, str]]:
    for energy in ENERGY_UNITS:
        for force in FORCE_UNITS:
            yield energy, force


def _energy_eV(unit: str) -> float:
    from dpdata.unit import EnergyConversion

    return float(EnergyConversion(unit, "eV").value())


def _length_A(unit: str) -> float:
    from dpdata.unit import LengthConversion

    return float(LengthConversion(unit, "angstrom").value())


def _force_eV_per_A(unit: str) -> float:
    from dpdata.unit import ForceConversion

    return float(ForceConversion(unit, "eV/angstrom").value())
