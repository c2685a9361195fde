"""Energies and forces that do not fit the rest of a data set."""

from __future__ import annotations

import warnings

import numpy as np

from llzo_al.dataset.frames import FloatArray

FEWEST_FRAMES = 10
"""With fewer frames there is no rest to compare with."""

_ENERGY_WIDTH_EV = 0.01
_LOG_FORCE_WIDTH = 0.2
_FORCE_FLOOR_EV_PER_A = 0.1
_MAD_TO_SIGMA = 1.4826


def energy_scores(energies_eV_per_atom: FloatArray, compositions: FloatArray) -> FloatArray:
    """Robust z-scores of energies per atom, the trend with the composition taken out.

    The trend is linear in the shares of the elements, fitted with Huber's loss (P. J. Huber, Ann. Math. Stat.
    35, 73 (1964)). The scale is 1.4826 times the median absolute deviation, at least 0.01 eV/atom, so that
    the frames of a cold crystal are no outliers of each other.

    Parameters
    ----------
    energies_eV_per_atom
        Shape (n,); NaN where there is none.
    compositions
        Shares of the elements, shape (n, n_elements), rows that sum to 1.

    Returns
    -------
    ndarray
        Absolute scores, shape (n,); 0 where there is no energy, or too few of them.
    """
    scores = np.zeros(len(energies_eV_per_atom))
    known = np.isfinite(energies_eV_per_atom)
    if known.sum() < FEWEST_FRAMES:
        return scores
    energies, shares = energies_eV_per_atom[known], compositions[known]
    residuals = energies - _trend(energies, shares)
    scores[known] = np.abs(_robust(residuals, least_width=_ENERGY_WIDTH_EV))
    return scores


def force_scores(max_forces_eV_per_A: FloatArray) -> FloatArray:
    """Robust z-scores of ln(largest force + 0.1 eV/angstrom); negative ones are small forces.

    Parameters
    ----------
    max_forces_eV_per_A
        Shape (n,); NaN where there is none.

    Returns
    -------
    ndarray
        Shape (n,); 0 where there is no force, or too few of them.
    """
    scores = np.zeros(len(max_forces_eV_per_A))
    known = np.isfinite(max_forces_eV_per_A)
    if known.sum() >= FEWEST_FRAMES:
        logarithms = np.log(max_forces_eV_per_A[known] + _FORCE_FLOOR_EV_PER_A)
        scores[known] = _robust(logarithms, least_width=_LOG_FORCE_WIDTH)
    return scores


def _robust(values: FloatArray, *, least_width: float) -> FloatArray:
    centred = values - np.median(values)
    width = _MAD_TO_SIGMA * float(np.median(np.abs(centred)))
    return np.asarray(centred / max(width, least_width))


def _trend(energies: FloatArray, shares: FloatArray) -> FloatArray:
    """Huber's linear fit to the composition, around the median so that its scale plays no part."""
    if np.ptp(shares, axis=0).max() < 1e-9:
        return np.full(len(energies), np.median(energies))
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import HuberRegressor

    middle = float(np.median(energies))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = HuberRegressor(fit_intercept=True, alpha=1e-6, max_iter=1000).fit(shares, energies - middle)
    return np.asarray(fit.predict(shares) + middle)
