"""Figures of one element's visited environments, each a mean over the planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LevelFigures:
    """Figures at one number of bins, each a mean over the planes.

    Attributes
    ----------
    bins
        Bins along each axis.
    coverage
        Share of the visited cells that training holds (You et al. 2024, Eq. 6).
    environment_coverage
        Share of the visited environments that lie in cells that training holds.
    ceiling, environment_ceiling
        The same of one half of the visited set by the other half; None without halves.
    halves, environment_halves
        The same of those halves by training.
    unseen_mass
        Good-Turing estimate of the share of a further sample that would fall into cells not visited yet:
        cells visited once / visited environments (Good, Biometrika 40, 237 (1953)).
    unseen_mass_between_trajectories
        The same from the cells that one or two trajectories visited (Chao and Jost, Ecology 93, 2533 (2012),
        the estimator for incidences), which the correlation along a trajectory does not lower; None with a
        single trajectory.
    cells_visited, cells_covered
        Summed over the planes.
    """

    bins: int
    coverage: float
    environment_coverage: float
    ceiling: float | None
    environment_ceiling: float | None
    halves: float | None
    environment_halves: float | None
    unseen_mass: float
    unseen_mass_between_trajectories: float | None
    cells_visited: int
    cells_covered: int

    @property
    def ratio(self) -> float | None:
        """`halves` / `ceiling`; None without halves, or where they share no cell."""
        return None if not self.ceiling or self.halves is None else self.halves / self.ceiling

    @property
    def environment_ratio(self) -> float | None:
        """`environment_halves` / `environment_ceiling`, or None."""
        if not self.environment_ceiling or self.environment_halves is None:
            return None
        return self.environment_halves / self.environment_ceiling


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Figures with the visited trajectories drawn again with replacement.

    Attributes
    ----------
    coverage, environment_coverage
        Means over the planes, shape (n_samples,) each.
    """

    coverage: Floats
    environment_coverage: Floats


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All figures of one element.

    Attributes
    ----------
    levels
        Figures by number of bins, ascending.
    chosen
        The one that counts.
    resampled
        None without a bootstrap: fewer than two trajectories, or no samples asked for.
    """

    levels: tuple[LevelFigures, ...]
    chosen: LevelFigures
    resampled: Resampled | None
