"""How the committee's deviation and the coverage of a frame relate to the model's true error.

You et al., npj Comput. Mater. 10, 57 (2024), relate coverage and error (Fig. 3c); committees are calibrated
in the same way. A power law is fitted to the frames whose label came after the prediction:

    log(force RMSE) = a + b log(deviation) + c novelty

by least squares, with a small ridge on b and c. Its reliability is measured by predicting each frame from a
fit without the frames of its own trajectory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

MIN_FRAMES = 8
"""Fewer frames than this are not fitted."""
_RIDGE = 0.1
_LEAST_eV_PER_A = 1e-6
_Z90 = 1.645

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A frame whose prediction can be compared with its label.

    Attributes
    ----------
    group
        Its trajectory.
    force_deviation_eV_per_A
        Largest deviation of the committee's forces on an atom.
    novelty
        Mean share of planes in which training misses its environments, 0 to 1.
    force_rmse_meV_per_A
        True error of the model that drove the MD.
    """

    group: str
    force_deviation_eV_per_A: float
    novelty: float
    force_rmse_meV_per_A: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A fit, and how far it can be trusted.

    Attributes
    ----------
    n_frames, n_groups
        Frames and trajectories that it was fitted on.
    rank_correlation_deviation, rank_correlation_novelty
        Spearman's rank correlation of deviation and novelty with the true error; None where one does not
        vary.
    intercept, deviation_exponent, novelty_coefficient
        a, b and c of the power law, with deviation and error in eV/angstrom.
    scatter
        Standard deviation of log(true / predicted), predicted without the frame's own trajectory.
    explained
        Share of the variance of log(error) that such predictions explain; at most 1, below 0 where they are
        worse than the mean.
    within_interval
        Share of the frames whose true error lies in the 90 % interval that `scatter` gives.
    """

    n_frames: int
    n_groups: int
    rank_correlation_deviation: float | None
    rank_correlation_novelty: float | None
    intercept: float
    deviation_exponent: float
    novelty_coefficient: float
    scatter: float
    explained: float
    within_interval: float

    def predict_meV_per_A(self, force_deviation_eV_per_A: Floats, novelty: Floats) -> Floats:
        """Expected force RMSE (the median of the error's distribution), shape (n,)."""
        table = _table(np.asarray(force_deviation_eV_per_A), np.asarray(novelty))
        slopes = np.array([self.deviation_exponent, self.novelty_coefficient])
        return np.asarray(1000.0 * np.exp(self.intercept + table @ slopes))

    def deviation_for_error(self, force_rmse_meV_per_A: float) -> float | None:
        """Deviation (eV/angstrom) of a covered frame with this expected error; None without a slope."""
        if self.deviation_exponent <= 0:
            return None
        log_error = math.log(force_rmse_meV_per_A / 1000.0)
        return math.exp((log_error - self.intercept) / self.deviation_exponent)

    @property
    def interval_factor(self) -> float:
        """The true error lies within the prediction divided and multiplied by this, with 90 %."""
        return math.exp(_Z90 * self.scatter)

    @property
    def in_words(self) -> str:
        """The calibration in a sentence."""
        quality = (
            "no better than the mean" if self.explained <= 0 else f"{self.explained:.0%} of its variance"
        )
        return (
            f"force error from deviation and novelty, {self.n_frames} frames of {self.n_groups} "
            f"trajectories: predictions explain {quality}; 90 % lie within a factor of "
            f"{self.interval_factor:.2g} ({self.within_interval:.0%} did)"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return {**asdict(self), "interval_factor": self.interval_factor, "in_words": self.in_words}


def calibrate(frames: Sequence[Compared]) -> Calibration | None:
    """Fit the power law; None with fewer than `MIN_FRAMES` usable frames or fewer than two trajectories.

    Frames whose deviation or error is not a positive finite number are left out.

    Parameters
    ----------
    frames
        In any order.
    """
    usable = [
        one
        for one in frames
        if math.isfinite(one.force_deviation_eV_per_A)
        and math.isfinite(one.force_rmse_meV_per_A)
        and one.force_rmse_meV_per_A > 0
    ]
    groups = np.array([one.group for one in usable])
    if len(usable) < MIN_FRAMES or len(set(groups.tolist())) < 2:
        return None
    deviation = np.array([one.force_deviation_eV_per_A for one in usable])
    novelty = np.array([one.novelty for one in usable])
    errors = np.array([one.force_rmse_meV_per_A for one in usable])
    table, target = _table(deviation, novelty), np.log(errors / 1000.0)
    fit = _fit(table, target)
    predicted = np.empty_like(target)
    for group in np.unique(groups):
        own = groups == group
        predicted[own] = _fit(table[~own], target[~own]).predict(table[own])
    residual = target - predicted
    scatter = float(np.sqrt(np.mean(residual**2)))
    spread = float(np.mean((target - target.mean()) ** 2))
    return Calibration(
        n_frames=len(usable),
        n_groups=len(set(groups.tolist())),
        rank_correlation_deviation=_rank(deviation, errors),
        rank_correlation_novelty=_rank(novelty, errors),
        intercept=float(fit.intercept_),
        deviation_exponent=float(fit.coef_[0]),
        novelty_coefficient=float(fit.coef_[1]),
        scatter=scatter,
        explained=1.0 - float(np.mean(residual**2)) / spread if spread > 0 else 0.0,
        within_interval=float(np.mean(np.abs(residual) <= _Z90 * scatter)),
    )


def _table(deviation: Floats, novelty: Floats) -> Floats:
    return np.column_stack([np.log(np.maximum(deviation, _LEAST_eV_PER_A)), novelty])


def _fit(table: Floats, target: Floats) -> Any:
    return Ridge(alpha=_RIDGE).fit(table, target)


def _rank(values: Floats, errors: Floats) -> float | None:
    if np.ptp(values) == 0 or np.ptp(errors) == 0:
        return None
    return float(spearmanr(values, errors).statistic)
