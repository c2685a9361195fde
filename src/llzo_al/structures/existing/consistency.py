"""Whether energies and forces are in units that belong together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

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
    displacement (the trapezoidal rule), so that the ratio of the two is 1 in consistent units.

    Attributes
    ----------
    ratios, work_eV
        Of each pair that was close enough.
    """

    ratios: list[float] = field(default_factory=list)
    work_eV: list[float] = field(default_factory=list)

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
        if np.abs(step_A).max(initial=0.0) > _LARGEST_STEP_A:
            return
        work_eV = -0.5 * float(np.sum((one.forces_eV_per_A + other.forces_eV_per_A) * step_A))
        if abs(work_eV) > _SMALLEST_WORK_EV:
            self.ratios.append((other.energy_eV - one.energy_eV) / work_eV)
            self.work_eV.append(abs(work_eV))

    def slope(self) -> float | None:
        """Median ratio over the half of the pairs with the larger work; None with fewer than 8 pairs."""
        if len(self.ratios) < _FEWEST_PAIRS:
            return None
        work = np.array(self.work_eV)
        return float(np.median(np.array(self.ratios)[work >= np.median(work)]))
