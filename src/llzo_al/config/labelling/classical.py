"""The classical reference."""

from __future__ import annotations

from typing import Literal

from llzo_al.config.base import Count, CutoffA, Positive, Section


class ClassicalReference(Section):
    """Classical Li-La-Zr-O reference: Buckingham pairs and damped-shifted Coulomb, through LAMMPS.

    It stands for a reference where there is none better; it is never DFT.
    """

    engine: Literal["classical_reference"]
    """The classical Li-La-Zr-O Buckingham-Coulomb reference."""
    cutoff_A: CutoffA = 6.0
    """Cutoff of the Buckingham and of the Coulomb part (angstrom)."""
    damping_per_A: Positive = 0.3
    """Damping alpha of the damped-shifted-force Coulomb sum (1/angstrom)."""
    frames_per_job: Count = 64
    """Frames that one job labels."""
