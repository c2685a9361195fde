"""K-points, isolation and spins of one frame, as all first-principles presets take them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, ground_state_magnetic_moments


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a calculator is given besides its physics.

    Attributes
    ----------
    directory
        Directory for its files.
    parameters
        The campaign file's `run_parameters`, and those of a later attempt.
    threads
        Cores of the job.
    """

    directory: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1


class Refused(Exception):
    """The calculator cannot be made from what the campaign file says.

    Parameters
    ----------
    key
        Key of the section `labelling` that is to blame.
    reason
        What was given and what was expected.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key
        self.reason = reason


class NotConverged(Exception):
    """The code ended without a self-consistent result."""


class NotSupported(Exception):
    """The calculator cannot do what the frame asks for (a charge, a multiplicity)."""


def vacuum_along(atoms: Atoms, gap_A: float) -> tuple[bool, bool, bool]:
    """Along which lattice vectors the atoms leave a gap of at least `gap_A`, or are not periodic.

    The gap is measured between neighbouring planes of atoms, along the normal of the other two vectors.
    """
    heights_A = (
        1.0 / np.linalg.norm(np.array(atoms.cell.reciprocal()), axis=1) if atoms.cell.rank == 3 else None
    )
    found = []
    for axis in range(3):
        if not atoms.pbc[axis] or heights_A is None:
            found.append(not atoms.pbc[axis])
            continue
        along = np.sort(atoms.get_scaled_positions(wrap=True)[:, axis])
        gaps = np.diff(np.append(along, along[0] + 1.0))
        found.append(bool(gaps.max() * heights_A[axis] >= gap_A))
    return (found[0], found[1], found[2])


def k_mesh(atoms: Atoms, *, spacing_per_A: float, gap_A: float) -> tuple[int, int, int]:
    """Divisions of the Gamma-centred mesh with at most `spacing_per_A` (2 pi included) between its points.

    As VASP's KSPACING: the smallest whole number that is not below |b| / KSPACING, with b the reciprocal
    lattice vector including 2 pi; 1 along vacuum.
    """
    lengths_per_A = 2 * math.pi * np.linalg.norm(np.array(atoms.cell.reciprocal()), axis=1)
    vacuum = vacuum_along(atoms, gap_A)
    # A mesh that fits exactly is not refined because of the last digit.
    counts = [
        1 if empty else max(1, math.ceil(length / spacing_per_A - 1e-6))
        for length, empty in zip(lengths_per_A, vacuum, strict=True)
    ]
    return (counts[0], counts[1], counts[2])


def is_isolated(atoms: Atoms, gap_A: float) -> bool:
    """Whether the frame is surrounded by vacuum in all directions."""
    return all(vacuum_along(atoms, gap_A))


def multiplicity_of(atoms: Atoms) -> int | None:
    """The frame's spin multiplicity, None if it leaves that open."""
    given = atoms.info.get("multiplicity")
    return None if given is None else int(given)


def charge_of(atoms: Atoms) -> int:
    """The frame's total charge in elementary charges."""
    return int(atoms.info.get("charge", 0))


def has_spin(atoms: Atoms, settings: Mapping[str, Any]) -> bool:
    """Whether the frame is treated spin-polarised (key `spin_polarised`).

    Raises
    ------
    NotSupported
        If the frame has a multiplicity above 1 and spins are switched off.
    """
    multiplicity = multiplicity_of(atoms)
    if settings["spin_polarised"] == "never":
        if multiplicity is not None and multiplicity > 1:
            raise NotSupported(f"multiplicity {multiplicity}, but labelling.spin_polarised is never")
        return False
    if settings["spin_polarised"] == "always" or multiplicity is not None:
        return True
    return is_isolated(atoms, settings["vacuum_gap_A"])


def initial_moments_muB(atoms: Atoms, settings: Mapping[str, Any]) -> list[float]:
    """Initial magnetic moment of each atom: the campaign file's, or that of the free atom's ground state.

    With a given multiplicity M they are scaled to the sum M - 1 (spread evenly if they add up to nothing).
    """
    given: Mapping[str, float] = settings["magnetic_moments_muB"]
    moments = np.array(
        [
            given.get(symbol, float(ground_state_magnetic_moments[atomic_numbers[symbol]]))
            for symbol in atoms.get_chemical_symbols()
        ]
    )
    multiplicity = multiplicity_of(atoms)
    if multiplicity is not None:
        total = float(moments.sum())
        unpaired = multiplicity - 1
        moments = moments * (unpaired / total) if total > 1e-6 else np.full(len(atoms), unpaired / len(atoms))
    return [float(moment) for moment in moments]


def refuse_physics(run: Run, physics: set[str], calculator: str) -> None:
    """Refuse run parameters that would change the physics behind the label's identity.

    Raises
    ------
    Refused
        If there is one.
    """
    for key in sorted(physics & set(run.parameters)):
        raise Refused(
            f"run_parameters.{key}",
            f"{key} changes what {calculator} computes and is set by the section's own keys; "
            "`run_parameters` and `retry_parameters` hold only what does not change the physics",
        )
