"""How the committee's deviation and a frame's place outside training relate to the model's true error.

You et al., npj Comput. Mater. 10, 57 (2024), relate coverage and error (Fig. 3c); committees are calibrated
in the same way. A power law is fitted to the frames whose label came after the prediction:

    log(force RMSE) = a + b log(mean deviation) + c novelty + d log(distance)

by least squares, with a small ridge on b, c and d. Its reliability is measured by predicting each frame from
a fit without the frames of its own trajectory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MIN_FRAMES = 8
"""Fewer frames than this are not fitted."""
_RIDGE = 0.1
_LEAST_eV_PER_A = 1e-6
_LEAST_DISTANCE = 1e-3
_Z90 = 1.645

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What is known of a frame before it is labelled; not a number where it is unknown.

    Attributes
    ----------
    mean_deviation_eV_per_A
        Mean deviation of the committee's forces over the atoms.
    novelty
        Mean share of planes in which training misses its environments, 0 to 1.
    distance
        Mean distance of its environments to the nearest training environment; see
        `llzo_al.coverage.visited.VisitedFrames`.
    """

    mean_deviation_eV_per_A: float
    novelty: float
    distance: float

    @property
    def usable(self) -> bool:
        """Whether all of them are known."""
        return all(math.isfinite(value) for value in asdict(self).values())


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A frame whose prediction can be compared with its label.

    Attributes
    ----------
    group
        Its trajectory.
    signs
        What was known of it before.
    force_rmse_meV_per_A
        True error of the model that drove the MD.
    """

    group: str
    signs: Signs
    force_rmse_meV_per_A: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `as_dict` returned."""
        return cls(**{**values, "signs": Signs(**values["signs"])})


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A fit, and how far it can be trusted.

    Attributes
    ----------
    n_frames, n_groups
        Frames and trajectories that it was fitted on.
    rank_correlation_deviation, rank_correlation_novelty, rank_correlation_distance
        Spearman's rank correlation of mean deviation, novelty and distance with the true error; None where
        one does not vary.
    rank_correlation_predicted
        Of the error predicted without the frame's own trajectory.
    intercept, deviation_exponent, novelty_coefficient, distance_exponent
        a, b, c and d of the power law, with deviation and error in eV/angstrom.
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
    rank_correlation_distance: float | None
    rank_correlation_predicted: float | None
    intercept: float
    deviation_exponent: float
    novelty_coefficient: float
    distance_exponent: float
    scatter: float
    explained: float
    within_interval: float

    def predict_meV_per_A(self, frames: Sequence[Signs]) -> Floats:
        """Expected force RMSE (the median of the error's distribution), shape (n,).

        Not a number for a frame of which something is unknown.
        """
        slopes = np.array([self.deviation_exponent, self.novelty_coefficient, self.distance_exponent])
        return np.asarray(1000.0 * np.exp(self.intercept + _table(frames) @ slopes))

    @property
    def tells(self) -> bool:
        """Whether its predictions are better than the mean error."""
        return self.explained > 0

    @property
    def interval_factor(self) -> float:
        """The true error lies within the prediction divided and multiplied by this, with 90 %."""
        return math.exp(_Z90 * self.scatter)

    @property
    def in_words(self) -> str:
        """The calibration in a sentence."""
        quality = f"{self.explained:.0%} of its variance" if self.tells else "no better than the mean"
        return (
            f"force error from deviation, novelty and distance, {self.n_frames} frames of {self.n_groups} "
            f"trajectories: predictions explain {quality}; 90 % lie within a factor of "
            f"{self.interval_factor:.2g} ({self.within_interval:.0%} did)"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return {**asdict(self), "interval_factor": self.interval_factor, "in_words": self.in_words}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `as_dict` returned."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def calibrate(frames: Sequence[Compared]) -> Calibration | None:
    """Fit the power law; None with fewer than `MIN_FRAMES` usable frames or fewer than two trajectories.

    Frames of which something is unknown, or whose error is not a positive finite number, are left out.

    Parameters
    ----------
    frames
        In any order.
    """
    usable = [
        one
        for one in frames
        if one.signs.usable and math.isfinite(one.force_rmse_meV_per_A) and one.force_rmse_meV_per_A > 0
    ]
    groups = np.array([one.group for one in usable])
    if len(usable) < MIN_FRAMES or len(set(groups.tolist())) < 2:
        return None
    table = _table([one.signs for one in usable])
    target = np.log([one.force_rmse_meV_per_A / 1000.0 for one in usable])
    fit = _fit(table, target)
    predicted = np.empty_like(target)
    for group in np.unique(groups):
        own = groups == group
        predicted[own] = _fit(table[~own], target[~own]).predict(table[own])
    residual = target - predicted
    scatter = float(np.sqrt(np.mean(residual**2)))
    spread = float(np.mean((target - target.mean()) ** 2))
    deviation, novelty, distance = (_rank(column, target) for column in table.T)
    return Calibration(
        n_frames=len(usable),
        n_groups=len(set(groups.tolist())),
        rank_correlation_deviation=deviation,
        rank_correlation_novelty=novelty,
        rank_correlation_distance=distance,
        rank_correlation_predicted=_rank(predicted, target),
        intercept=float(fit.intercept_),
        deviation_exponent=float(fit.coef_[0]),
        novelty_coefficient=float(fit.coef_[1]),
        distance_exponent=float(fit.coef_[2]),
        scatter=scatter,
        explained=1.0 - float(np.mean(residual**2)) / spread if spread > 0 else 0.0,
        within_interval=float(np.mean(np.abs(residual) <= _Z90 * scatter)),
    )


def _table(frames: Sequence[Signs]) -> Floats:
    """The columns of the fit, shape (n, 3)."""
    deviation, novelty, distance = (
        np.array(
            [(one.mean_deviation_eV_per_A, one.novelty, one.distance) for one in frames], dtype=np.float64
        )
        .reshape(-1, 3)
        .T
    )
    return np.column_stack(
        [
            np.log(np.maximum(deviation, _LEAST_eV_PER_A)),
            novelty,
            np.log(np.maximum(distance, _LEAST_DISTANCE)),
        ]
    )


def _fit(table: Floats, target: Floats) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=_RIDGE).fit(table, target)


def _rank(values: Floats, errors: Floats) -> float | None:
    if np.ptp(values) == 0 or np.ptp(errors) == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(values, errors).statistic)
