"""Whether energies and forces are in units that belong together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from llzo_al.dataset.frames import FloatArray
from llzo_al.structures.existing.reading import Reading

_LARGEST_STEP_A = 0.4
_SMALLEST_WORK_EV = 1e-3
_SAME_CELL_A = 1e-5
_FEWEST_PAIRS = 8
_MOST_PAIRS = 5000


@dataclass(kw_only=True)
class WorkEnergy:
    """Changes of energy between frames that lie close, and the work of their forces.

    Between two frames of one cell, E2 - E1 = -(F1 + F2)/2 . (x2 - x1) up to the third order of the
    displacement (the trapezoidal rule), so that the ratio of the two is 1 in consistent units, and the nearer
    to it the shorter the way.

    Attributes
    ----------
    ratios, steps_A
        Of each pair that was close enough: the ratio, and the largest displacement along an axis.
    """

    ratios: list[float] = field(default_factory=list)
    steps_A: list[float] = field(default_factory=list)

    def add(self, one: Reading, other: Reading) -> None:
        """Look at a pair of frames; passed over where it tells nothing."""
        if len(self.ratios) >= _MOST_PAIRS or one.symbols != other.symbols:
            return
        if one.energy_eV is None or other.energy_eV is None:
            return
        if one.forces_eV_per_A is None or other.forces_eV_per_A is None:
            return
        if np.abs(one.cell_A - other.cell_A).max() > _SAME_CELL_A:
            return
        step_A = other.positions_A - one.positions_A
        if all(one.periodic):
            scaled = step_A @ np.linalg.inv(one.cell_A)
            step_A = (scaled - np.rint(scaled)) @ one.cell_A
        largest_A = float(np.abs(step_A).max(initial=0.0))
        if largest_A > _LARGEST_STEP_A:
            return
        work_eV = -0.5 * float(np.sum((one.forces_eV_per_A + other.forces_eV_per_A) * step_A))
        if abs(work_eV) > _SMALLEST_WORK_EV:
            self.ratios.append((other.energy_eV - one.energy_eV) / work_eV)
            self.steps_A.append(largest_A)

    def slope(self) -> float | None:
        """Median ratio over the closer half of the pairs; None with fewer than 8 pairs."""
        return None if len(self.ratios) < _FEWEST_PAIRS else float(np.median(self._of_closer_half()))

    def scatters_about_one(self) -> bool:
        """Whether 1 is among the middle half of the ratios of the closer half of the pairs."""
        low, high = np.quantile(self._of_closer_half(), [0.25, 0.75])
        return bool(low < 1 < high)

    def _of_closer_half(self) -> FloatArray:
        steps_A = np.array(self.steps_A)
        return np.asarray(np.array(self.ratios)[steps_A <= np.median(steps_A)])
