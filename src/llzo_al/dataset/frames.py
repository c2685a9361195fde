"""Atomic configurations, their labels, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

GRID_A = 1e-6
"""Positions and cells are kept on this grid (angstrom): far below any physics, and what makes a frame's
identity survive a trip through a text file."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a frame came from and why it was chosen.

    Attributes
    ----------
    source
        "dimers", "crystals", "reference_md", "exploration", or another generator's name.
    kind
        Kind of structure for the reports: "dimer Li-O", "t-LLZO", "Li2O".
    group
        Frames that must share a split: one MD trajectory, or the one structure itself.
    iteration
        Iteration whose model made the frame; -1 for initial data.
    frame
        Index within the group.
    temperature_K
        Target temperature of the MD, None where there was none.
    reason
        Why it is labelled ("initial data", "covers 31 new cells").
    details
        Anything else worth keeping, JSON-serialisable.
    """

    source: str
    kind: str
    group: str
    iteration: int = -1
    frame: int = 0
    temperature_K: float | None = None
    reason: str = "initial data"
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One atomic configuration without labels.

    Positions and cell are rounded to `GRID_A` on construction.

    Attributes
    ----------
    symbols
        Chemical symbols, length n_atoms.
    positions_A
        Cartesian positions, shape (n_atoms, 3), angstrom.
    cell_A
        Lattice vectors as rows, shape (3, 3), angstrom.
    periodic
        Periodicity along the three vectors.
    charge
        Total charge in elementary charges.
    multiplicity
        Spin multiplicity, None for the labeller's default.
    """

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray
    periodic: tuple[bool, bool, bool] = (True, True, True)
    charge: int = 0
    multiplicity: int | None = None
    provenance: Provenance

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions_A, dtype=np.float64)
        cell = np.asarray(self.cell_A, dtype=np.float64)
        if positions.shape != (len(self.symbols), 3):
            raise ValueError(f"positions have shape {positions.shape}, expected ({len(self.symbols)}, 3)")
        if cell.shape != (3, 3):
            raise ValueError(f"cell has shape {cell.shape}, expected (3, 3)")
        if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
            raise ValueError("positions or cell hold a number that is not finite")
        object.__setattr__(self, "symbols", tuple(self.symbols))
        object.__setattr__(self, "positions_A", np.round(positions, 6) + 0.0)
        object.__setattr__(self, "cell_A", np.round(cell, 6) + 0.0)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.symbols)

    @classmethod
    def from_atoms(cls, atoms: Atoms, provenance: Provenance) -> Frame:
        """Frame of an ASE `Atoms`; charge and multiplicity are taken from its `info`, if they are there."""
        pbc = [bool(flag) for flag in atoms.pbc]
        multiplicity = atoms.info.get("multiplicity")
        return cls(
            symbols=tuple(atoms.get_chemical_symbols()),
            positions_A=atoms.get_positions(),
            cell_A=np.array(atoms.cell),
            periodic=(pbc[0], pbc[1], pbc[2]),
            charge=int(atoms.info.get("charge", 0)),
            multiplicity=None if multiplicity is None else int(multiplicity),
            provenance=provenance,
        )

    def to_atoms(self) -> Atoms:
        """ASE `Atoms` in the frame's own order of atoms; a charge or a multiplicity is in `info`."""
        info = {"charge": self.charge} if self.charge else {}
        if self.multiplicity is not None:
            info["multiplicity"] = self.multiplicity
        return Atoms(
            symbols=list(self.symbols),
            positions=self.positions_A,
            cell=self.cell_A,
            pbc=self.periodic,
            info=info,
        )


@dataclass(frozen=True, kw_only=True)
class Label:
    """What the reference says of a frame.

    Attributes
    ----------
    energy_eV
        Total energy (the one that the forces belong to).
    forces_eV_per_A
        Forces, shape (n_atoms, 3), in the frame's order of atoms.
    virial_eV
        Virial, shape (3, 3), = -stress x volume with ASE's sign of stress; None without periodicity.
    wall_s
        Seconds that the labeller worked on it.
    program
        What computed it, with its version ("VASP 6.4.2"); "" where that is not known.
    """

    energy_eV: float
    forces_eV_per_A: FloatArray
    virial_eV: FloatArray | None
    wall_s: float = 0.0
    program: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelFailure:
    """Why a frame got no label.

    Attributes
    ----------
    cause
        Short class of the failure for counting; see `llzo_al.labelling.causes`.
    reason
        The full reason, for a person.
    """

    cause: str
    reason: str
