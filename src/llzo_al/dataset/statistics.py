"""Robust fits and distributions of what labels hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llzo_al.dataset.frames import FloatArray

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution by its median absolute deviation."""

_FITS = 4
"""Fits with Huber's loss, each with the scale of what the one before left."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Quantiles of a quantity, and its histogram.

    Attributes
    ----------
    n
        Values.
    minimum, p05, median, p95, p99, maximum
        Quantiles.
    edges, counts
        Histogram, n + 1 edges and n counts.
    """

    n: int
    minimum: float
    p05: float
    median: float
    p95: float
    p99: float
    maximum: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


def atomic_energies(
    counts: Sequence[Mapping[str, int]], energies_eV: Sequence[float]
) -> tuple[dict[str, float], FloatArray]:
    """Energies of the elements by a robust linear fit, and what the fit leaves.

    Parameters
    ----------
    counts
        Atoms of each element, of each frame.
    energies_eV
        Total energies.

    Returns
    -------
    tuple
        Energy of each element (eV), and the residuals by the number of atoms (eV/atom), shape (n_frames,).
    """
    elements = sorted({symbol for count in counts for symbol in count})
    numbers = np.array([[count.get(symbol, 0) for symbol in elements] for count in counts], dtype=np.float64)
    atoms = numbers.sum(axis=1)
    values, residuals = robust_fit(numbers / atoms[:, None], np.asarray(energies_eV) / atoms)
    return dict(zip(elements, map(float, values), strict=True)), residuals


def robust_fit(design: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients and residuals of a linear fit with Huber's loss; the shortest where there are several."""
    from scipy.optimize import least_squares

    found = np.asarray(np.linalg.lstsq(design, values, rcond=None)[0], dtype=np.float64)
    for _ in range(_FITS):
        scale = max(MAD_TO_SIGMA * deviation(values - design @ found), 1e-4)
        found = least_squares(
            lambda coefficients: design @ coefficients - values,
            found,
            jac=lambda _: design,
            loss="huber",
            f_scale=1.345 * scale,
        ).x
    return found, values - design @ found


def distribution(values: Any, *, log: bool = False) -> Distribution | None:
    """Quantiles and a histogram of 40 cells, equal on a logarithmic scale where `log` is set."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return None
    low, high = float(array.min()), float(array.max())
    if log:
        top = max(high, 1e-12)
        bottom = min(max(float(np.quantile(array, 0.001)), 1e-4 * top), top / 1.001)
        edges = np.geomspace(bottom, top, 41)
        counts = np.histogram(np.clip(array, bottom, top), edges)[0]
    else:
        edges = np.linspace(low, high if high > low else low + 1.0, 41)
        counts = np.histogram(array, edges)[0]
    p05, median, p95, p99 = (float(value) for value in np.quantile(array, [0.05, 0.5, 0.95, 0.99]))
    return Distribution(
        n=int(array.size),
        minimum=low,
        p05=p05,
        median=median,
        p95=p95,
        p99=p99,
        maximum=high,
        edges=tuple(map(float, edges)),
        counts=tuple(map(int, counts)),
    )


def deviation(values: FloatArray) -> float:
    """Median absolute deviation from the median; 0 of nothing."""
    return float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
