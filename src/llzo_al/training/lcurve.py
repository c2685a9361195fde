"""DeePMD-kit's learning curve: reading it while it grows, and telling when a training has diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llzo_al.files import write_atomic

LEARNING_CURVE = "lcurve.out"

EXPLODED_FACTOR = 10.0
"""An error beyond this multiple of the largest label of the training data is an explosion."""
EXPLODED_LINES = 2
"""Lines of the learning curve in a row that must be beyond it."""


@dataclass(frozen=True, kw_only=True)
class LabelScale:
    """The largest labels of the training data.

    Attributes
    ----------
    energy_eV_per_atom
        Largest absolute energy of a frame divided by its number of atoms (eV/atom).
    force_eV_per_A
        Largest absolute force component (eV/angstrom).
    """

    energy_eV_per_atom: float
    force_eV_per_A: float


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """One line of a learning curve.

    Attributes
    ----------
    step
        Training steps done.
    loss
        Square root of the loss on the line's batch.
    energy_rmse_eV_per_atom, force_rmse_eV_per_A, virial_rmse_eV_per_atom
        Errors on the line's batch; None where the loss has no such part. A virial error is "not a number" for
        a batch without virials.
    learning_rate
        Learning rate at the step.
    """

    step: int
    loss: float
    energy_rmse_eV_per_atom: float | None
    force_rmse_eV_per_A: float | None
    virial_rmse_eV_per_atom: float | None
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where and how a training diverged.

    Attributes
    ----------
    step
        Step of the learning curve's line that showed it.
    reason
        What was seen, for a person.
    """

    step: int
    reason: str


def read_learning_curve(path: Path) -> list[LearningPoint]:
    """Points of a learning curve, also of one that is being written: an unfinished line is left out.

    Columns are found by the header that precedes them; where validation data are given, the training column
    is read. A missing file has no points.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    columns: list[str] = []
    points = []
    for line in text.splitlines(keepends=True):
        words = line.split()
        if not line.endswith("\n") or not words:
            continue
        if words[0] == "#":
            columns = words[1:] if words[1:2] == ["step"] else columns
            continue
        if len(words) == len(columns):
            points.append(_point(dict(zip(columns, words, strict=True))))
    return points


def find_divergence(points: Sequence[LearningPoint], scale: LabelScale) -> Divergence | None:
    """First sign that a training has diverged, or None.

    A training has diverged when the loss, or the energy or force error of a line is not a finite number, or
    when one of the two errors is more than `EXPLODED_FACTOR` times the largest label of its kind in
    `EXPLODED_LINES` lines in a row; a model that predicts zeros only stays below once the largest label.

    Parameters
    ----------
    points
        The learning curve so far.
    scale
        The largest labels of the training data.
    """
    exploded = 0
    for point in points:
        watched = (point.loss, point.energy_rmse_eV_per_atom, point.force_rmse_eV_per_A)
        if any(value is not None and not math.isfinite(value) for value in watched):
            return Divergence(step=point.step, reason="the loss is not a number")
        reason = _explosion(point, scale)
        exploded = exploded + 1 if reason else 0
        if exploded >= EXPLODED_LINES:
            return Divergence(step=point.step, reason=reason)
    return None


def _explosion(point: LearningPoint, scale: LabelScale) -> str:
    for name, unit, error, largest in (
        ("force", "eV/Å", point.force_rmse_eV_per_A, scale.force_eV_per_A),
        ("energy", "eV/atom", point.energy_rmse_eV_per_atom, scale.energy_eV_per_atom),
    ):
        if error is not None and error > EXPLODED_FACTOR * largest:
            return (
                f"the {name} RMSE is {error:.3g} {unit}, more than {EXPLODED_FACTOR:g} times the largest "
                f"{name} of the training data ({largest:.3g} {unit})"
            )
    return ""


def truncate_learning_curve(path: Path, *, before_step: int) -> None:
    """Drop the lines from `before_step` on: a continued training writes them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        words = line.split()
        if not line.endswith("\n") or not words:
            continue
        if words[0] == "#" or (words[0].isdigit() and int(words[0]) < before_step):
            kept.append(line)
    write_atomic(path, "".join(kept))


def _point(row: dict[str, str]) -> LearningPoint:
    def column(name: str) -> float | None:
        text = row.get(f"{name}_trn", row.get(name))
        return None if text is None else _number(text)

    loss = column("rmse")
    return LearningPoint(
        step=int(row["step"]),
        loss=math.nan if loss is None else loss,
        energy_rmse_eV_per_atom=column("rmse_e"),
        force_rmse_eV_per_A=column("rmse_f"),
        virial_rmse_eV_per_atom=column("rmse_v"),
        learning_rate=_number(row.get("lr", "nan")),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
