"""Whether an MD run went anywhere.

A trajectory that vibrates about one configuration is covered by a handful of frames: its coverage is high and
says nothing of what longer or hotter MD would visit. Two signs tell it: no atom left its site, and few of its
frames are independent of one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.timeseries import integrated_time

SITE_CHANGE_A = 1.0
"""An atom left its site if its mean positions in the two halves of a run differ by more than this
(angstrom)."""
FEW_INDEPENDENT = 5.0
"""A run with fewer independent frames than this is stuck."""
_MIN_FRAMES = 4


@dataclass(frozen=True, kw_only=True)
class Mobility:
    """What moved in a run.

    Attributes
    ----------
    displacement_A
        Root mean square, for each element, of the difference between an atom's mean positions in the second
        and in the first half of the run (angstrom), the drift of the whole taken off.
    left_site_share
        Share of all atoms that left their site.
    independent_frames
        Frames / twice the integrated autocorrelation time of the potential energy (Sokal 1996); at least 1;
        the number of frames where the energy does not vary.
    stuck
        No atom left its site, or there are too few independent frames.
    reason
        Why it is stuck, in words; empty if it is not.
    """

    displacement_A: dict[str, float]
    left_site_share: float
    independent_frames: float
    stuck: bool
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return asdict(self)


def mobility(
    symbols: Sequence[str], positions_A: NDArray[np.float64], energies_eV: NDArray[np.float64]
) -> Mobility | None:
    """What moved in a run; None with fewer than four frames.

    Parameters
    ----------
    symbols
        Chemical symbols, length n_atoms.
    positions_A
        Unwrapped positions, shape (n_frames, n_atoms, 3), at equal intervals.
    energies_eV
        Potential energies, shape (n_frames,).
    """
    n_frames = len(positions_A)
    if n_frames < _MIN_FRAMES:
        return None
    half = n_frames // 2
    moved = positions_A[half:].mean(axis=0) - positions_A[:half].mean(axis=0)
    moved -= moved.mean(axis=0)
    distance = np.linalg.norm(moved, axis=1)
    elements = np.array(symbols)
    left = float(np.mean(distance > SITE_CHANGE_A))
    time = integrated_time(energies_eV)[0] if np.ptp(energies_eV) > 0 else 0.5
    independent = float(min(max(n_frames / (2 * time), 1.0), n_frames))
    reasons = []
    if left == 0:
        reasons.append(f"no atom left its site (the farthest moved {distance.max():.2f} Å)")
    if independent < FEW_INDEPENDENT:
        reasons.append(f"only {independent:.1f} of {n_frames} frames are independent")
    return Mobility(
        displacement_A={
            symbol: float(np.sqrt(np.mean(distance[elements == symbol] ** 2)))
            for symbol in dict.fromkeys(symbols)
        },
        left_site_share=left,
        independent_frames=independent,
        stuck=bool(reasons),
        reason="; ".join(reasons),
    )
