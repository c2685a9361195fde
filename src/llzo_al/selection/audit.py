"""Labelled frames against what the model said of them: which go to training, and which to the audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.assessment import Selection
from llzo_al.dataset.frames import Label
from llzo_al.errors import StageError


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What the model says of a frame.

    Attributes
    ----------
    energy_eV
        Total energy.
    forces_eV_per_A
        Forces, shape (n_atoms, 3), in the frame's order of atoms.
    """

    energy_eV: float
    forces_eV_per_A: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """A label compared with the model's prediction.

    Attributes
    ----------
    index
        Position of the pair.
    split
        "training" where the model was wrong by more than a limit, otherwise "audit".
    reason
        In words, with the numbers.
    energy_error_meV_per_atom
        Absolute energy error; None where the prediction is not finite.
    force_rmse_meV_per_A
        Root mean square error over the force components; None where the prediction is not finite.
    relative_energy_error_percent
        Absolute energy error as a share of the label's total energy; None where it is not finite.
    """

    index: int
    split: Literal["training", "audit"]
    reason: str
    energy_error_meV_per_atom: float | None
    force_rmse_meV_per_A: float | None
    relative_energy_error_percent: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return dict(vars(self))


def audit(
    predictions: Sequence[Prediction], labels: Sequence[Label], settings: Selection
) -> list[AuditEntry]:
    """Compare predictions with labels and sort the frames by whether the model has to learn them.

    A frame goes to training if the energy error or the force error is above its limit. With
    `relative_energy_error_percent` the energy limit is the papers' share of the total energy instead of the
    absolute one. That share depends on the zero of energy: with total energies of -22 eV per atom 1 % is
    220 meV per atom, and with another zero it is anything.

    Parameters
    ----------
    predictions, labels
        One of each for each frame, in the same order.
    settings
        The limits.

    Raises
    ------
    StageError
        If the numbers of predictions, labels or atoms differ, or if a label is not finite.
    """
    if len(predictions) != len(labels):
        raise StageError(f"{len(predictions)} predictions for {len(labels)} labels: expected one for each")
    return [
        _entry(index, prediction, label, settings)
        for index, (prediction, label) in enumerate(zip(predictions, labels, strict=True))
    ]


def _entry(index: int, prediction: Prediction, label: Label, settings: Selection) -> AuditEntry:
    shape, expected = prediction.forces_eV_per_A.shape, label.forces_eV_per_A.shape
    if shape != expected or len(expected) != 2 or expected[0] == 0:
        raise StageError(f"frame {index}: predicted forces have shape {shape}, the label's {expected}")
    if not (math.isfinite(label.energy_eV) and np.isfinite(label.forces_eV_per_A).all()):
        raise StageError(f"frame {index}: its label is not finite; it belongs in quarantine")
    if not (math.isfinite(prediction.energy_eV) and np.isfinite(prediction.forces_eV_per_A).all()):
        return AuditEntry(
            index=index,
            split="training",
            reason="the model's prediction is not finite",
            energy_error_meV_per_atom=None,
            force_rmse_meV_per_A=None,
            relative_energy_error_percent=None,
        )
    error_eV = abs(prediction.energy_eV - label.energy_eV)
    energy_error = 1000.0 * error_eV / expected[0]
    difference = prediction.forces_eV_per_A - label.forces_eV_per_A
    force_rmse = 1000.0 * float(np.sqrt(np.mean(difference**2)))
    relative = 100.0 * error_eV / abs(label.energy_eV) if label.energy_eV != 0 else None
    energy_wrong, energy_words = _judge_energy(energy_error, relative, settings)
    force_wrong = force_rmse > settings.force_error_meV_per_A
    force_words = (
        f"force RMSE {force_rmse:.3g} {'>' if force_wrong else '<='} {settings.force_error_meV_per_A:g} meV/Å"
    )
    return AuditEntry(
        index=index,
        split="training" if energy_wrong or force_wrong else "audit",
        reason=f"{energy_words}; {force_words}",
        energy_error_meV_per_atom=energy_error,
        force_rmse_meV_per_A=force_rmse,
        relative_energy_error_percent=relative,
    )


def _judge_energy(energy_error: float, relative: float | None, settings: Selection) -> tuple[bool, str]:
    """Whether the energy error is above its limit, and the comparison in words."""
    share = settings.relative_energy_error_percent
    if share is None:
        limit = settings.energy_error_meV_per_atom
        wrong = energy_error > limit
        return wrong, f"energy error {energy_error:.3g} {'>' if wrong else '<='} {limit:g} meV/atom"
    if relative is None:
        return True, "relative energy error undefined: the label's energy is 0"
    wrong = relative > share
    return wrong, f"energy error {relative:.3g} {'>' if wrong else '<='} {share:g} % of the total energy"
