"""Errors of a potential against reference labels: definitions, and pooling by sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
_MILLI = 1000.0


@dataclass(frozen=True, kw_only=True)
class ErrorSummary:
    """Errors over a set of frames, kept as sums so that sets can be pooled exactly.

    The definitions are those of ``dp test``: the energy error of a frame is divided by its number of atoms,
    the force error is taken over all Cartesian components of all atoms, and the virial error over the nine
    components of each frame that has a virial, divided by the number of atoms.

    Attributes
    ----------
    n_frames, n_atoms
        Frames, and atoms in all of them together.
    n_virial_frames
        Frames with a reference virial.
    energy_abs_sum, energy_square_sum
        Sums over frames of the absolute energy error (eV/atom) and of its square.
    force_abs_sum, force_square_sum
        Sums over the 3 n_atoms force components of the absolute error (eV/angstrom) and of its square.
    force_error_max_eV_per_A
        Largest error of one force component (eV/angstrom).
    virial_abs_sum, virial_square_sum
        Sums over the 9 n_virial_frames components of the absolute error (eV/atom) and of its square.
    """

    n_frames: int
    n_atoms: int
    n_virial_frames: int = 0
    energy_abs_sum: float
    energy_square_sum: float
    force_abs_sum: float
    force_square_sum: float
    force_error_max_eV_per_A: float
    virial_abs_sum: float = 0.0
    virial_square_sum: float = 0.0

    def __post_init__(self) -> None:
        if self.n_frames < 1 or self.n_atoms < 1:
            raise ValueError("errors of no frames are not defined")

    @property
    def energy_rmse_meV_per_atom(self) -> float:
        """Root-mean-square energy error (meV/atom)."""
        return _MILLI * math.sqrt(self.energy_square_sum / self.n_frames)

    @property
    def energy_mae_meV_per_atom(self) -> float:
        """Mean absolute energy error (meV/atom)."""
        return _MILLI * self.energy_abs_sum / self.n_frames

    @property
    def force_rmse_meV_per_A(self) -> float:
        """Root-mean-square error of a force component (meV/angstrom)."""
        return _MILLI * math.sqrt(self.force_square_sum / (3 * self.n_atoms))

    @property
    def force_mae_meV_per_A(self) -> float:
        """Mean absolute error of a force component (meV/angstrom)."""
        return _MILLI * self.force_abs_sum / (3 * self.n_atoms)

    @property
    def virial_rmse_meV_per_atom(self) -> float | None:
        """Root-mean-square error of a virial component (meV/atom); None without reference virials."""
        if self.n_virial_frames == 0:
            return None
        return _MILLI * math.sqrt(self.virial_square_sum / (9 * self.n_virial_frames))

    @property
    def virial_mae_meV_per_atom(self) -> float | None:
        """Mean absolute error of a virial component (meV/atom); None without reference virials."""
        if self.n_virial_frames == 0:
            return None
        return _MILLI * self.virial_abs_sum / (9 * self.n_virial_frames)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable: the sums, and the errors that follow from them."""
        return asdict(self) | {name: getattr(self, name) for name in _DERIVED}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ErrorSummary:
        """From what `as_dict` gave; the errors follow from the sums."""
        return cls(**{item.name: data[item.name] for item in fields(cls)})


_DERIVED = (
    "energy_rmse_meV_per_atom",
    "energy_mae_meV_per_atom",
    "force_rmse_meV_per_A",
    "force_mae_meV_per_A",
    "virial_rmse_meV_per_atom",
    "virial_mae_meV_per_atom",
)


def summarise(
    *,
    energies_eV: ArrayLike,
    reference_energies_eV: ArrayLike,
    forces_eV_per_A: ArrayLike,
    reference_forces_eV_per_A: ArrayLike,
    virials_eV: ArrayLike | None = None,
    reference_virials_eV: ArrayLike | None = None,
) -> ErrorSummary:
    """Errors over frames of one system.

    Parameters
    ----------
    energies_eV, reference_energies_eV
        Total energies, shape (n_frames,).
    forces_eV_per_A, reference_forces_eV_per_A
        Forces, shape (n_frames, n_atoms, 3).
    virials_eV, reference_virials_eV
        Virials, shape (n_frames, 3, 3), or None where the reference has none.

    Raises
    ------
    ValueError
        If shapes differ, there is no frame, or a number is not finite.
    """
    forces = _difference("forces", forces_eV_per_A, reference_forces_eV_per_A)
    if forces.ndim != 3 or forces.shape[2] != 3:
        raise ValueError(f"shape of forces is {forces.shape}, expected (n_frames, n_atoms, 3)")
    n_frames, n_atoms = forces.shape[:2]
    energies = _difference("energies", energies_eV, reference_energies_eV) / max(n_atoms, 1)
    if energies.shape != (n_frames,):
        raise ValueError(f"shape of energies is {energies.shape}, expected ({n_frames},)")
    with_virials = reference_virials_eV is not None and virials_eV is not None
    virials = np.zeros((0, 3, 3))
    if virials_eV is not None and reference_virials_eV is not None:
        virials = _difference("virials", virials_eV, reference_virials_eV) / max(n_atoms, 1)
        if virials.shape != (n_frames, 3, 3):
            raise ValueError(f"shape of virials is {virials.shape}, expected ({n_frames}, 3, 3)")
    return ErrorSummary(
        n_frames=n_frames,
        n_atoms=n_frames * n_atoms,
        n_virial_frames=n_frames if with_virials else 0,
        energy_abs_sum=float(np.abs(energies).sum()),
        energy_square_sum=float(np.square(energies).sum()),
        force_abs_sum=float(np.abs(forces).sum()),
        force_square_sum=float(np.square(forces).sum()),
        force_error_max_eV_per_A=float(np.abs(forces).max(initial=0.0)),
        virial_abs_sum=float(np.abs(virials).sum()),
        virial_square_sum=float(np.square(virials).sum()),
    )


def pool(summaries: Iterable[ErrorSummary]) -> ErrorSummary:
    """Errors over the frames of all `summaries` together.

    Raises
    ------
    ValueError
        If there is no summary.
    """
    every = list(summaries)
    if not every:
        raise ValueError("errors of no frames are not defined")

    def total(name: str) -> float:
        return math.fsum(getattr(summary, name) for summary in every)

    return ErrorSummary(
        n_frames=sum(summary.n_frames for summary in every),
        n_atoms=sum(summary.n_atoms for summary in every),
        n_virial_frames=sum(summary.n_virial_frames for summary in every),
        energy_abs_sum=total("energy_abs_sum"),
        energy_square_sum=total("energy_square_sum"),
        force_abs_sum=total("force_abs_sum"),
        force_square_sum=total("force_square_sum"),
        force_error_max_eV_per_A=max(summary.force_error_max_eV_per_A for summary in every),
        virial_abs_sum=total("virial_abs_sum"),
        virial_square_sum=total("virial_square_sum"),
    )


def _difference(what: str, predicted: ArrayLike, reference: ArrayLike) -> FloatArray:
    first, second = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"shape of predicted {what} is {first.shape}, of reference ones {second.shape}")
    for name, array in (("predicted", first), ("reference", second)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} {what} hold a number that is not finite")
    return first - second
