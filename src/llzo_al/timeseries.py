r"""Statistics of series whose values follow one another in time.

The integrated autocorrelation time of an observable with normalised autocorrelation :math:`\rho(t)` is

.. math::

    \tau_\mathrm{int} = \frac{1}{2} + \sum_{t=1}^{M} \rho(t),

with the automatic window of A. D. Sokal, *Monte Carlo Methods in Statistical Mechanics: Foundations and New
Algorithms* (Cargese lectures, 1996), Section 3: the smallest :math:`M` with
:math:`M \geq c\, \tau_\mathrm{int}(M)`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WINDOW = 5.0
"""The window's c; Sokal takes 4 for a pure exponential and 6 or more for slower decays."""


def integrated_time(series: FloatArray) -> tuple[float, int]:
    """Integrated autocorrelation time of an observable, and the window of its sum.

    Parameters
    ----------
    series
        Values at equal intervals, shape (n_samples,).

    Returns
    -------
    tuple
        The time and the window, both in samples. A series in which no window is wide enough gives infinity.
    """
    n = len(series)
    deviations = np.asarray(series, dtype=np.float64) - np.mean(series)
    size = 1 << (2 * n - 1).bit_length()
    transform = np.fft.rfft(deviations, size)
    covariance = np.fft.irfft(transform * transform.conj(), size)[:n] / n
    times = np.cumsum(covariance / covariance[0]) - 0.5
    wide_enough = np.flatnonzero(np.arange(n) >= WINDOW * np.maximum(times, 0.5))
    if not len(wide_enough):
        return math.inf, n
    window = int(wide_enough[0])
    return max(float(times[window]), 0.5), window
