"""The principal space of one element: standardisation and PCA, fitted once and applied to any set.

You et al., npj Comput. Mater. 10, 57 (2024): the columns of the descriptor matrix are standardised and
projected on the leading eigenvectors of their covariance matrix.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from llzo_al.coverage.environments import Float32Array

RELATIVE_NOISE = 1e-4
"""Relative change of a feature that is taken for noise: what a displacement of about 1e-4 angstrom makes."""
ABSOLUTE_NOISE = 1e-8
"""The same as a fraction of the descriptors' root mean square, for features that vanish by symmetry."""
_CHUNK = 16384


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Environments in a principal space.

    Attributes
    ----------
    coordinates
        Principal components, shape (n, n_components).
    off
        True where an environment differs in a feature that is constant in the set that the space was
        fitted on, shape (n,): the components cannot show that difference.
    residual
        What the components leave out of the standardised descriptor: the square root of its sum of squares,
        shape (n,).
    residual_share
        Its square as a share of the descriptor's whole sum of squares, 0 to 1, shape (n,).
    """

    coordinates: NDArray[np.float32]
    off: NDArray[np.bool_]
    residual: NDArray[np.float32]
    residual_share: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.off)

    @property
    def low(self) -> NDArray[np.float64]:
        """Smallest coordinate along each component, shape (n_components,)."""
        return np.asarray(self.coordinates.min(axis=0), dtype=np.float64)

    @property
    def high(self) -> NDArray[np.float64]:
        """Largest coordinate along each component, shape (n_components,)."""
        return np.asarray(self.coordinates.max(axis=0), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class PrincipalSpace:
    """Standardisation and principal components of one element.

    Attributes
    ----------
    mean, scale
        Of the varying features, shape (n_varying,).
    varying
        Which features vary in the fitted set, shape (n_features,). The others are left out of the PCA.
    constant_low, constant_high
        Range, widened by the noise, of the constant features in the fitted set, shape (n_constant,).
    components
        Rows are unit vectors in the space of the standardised varying features, shape
        (n_components, n_varying). Fewer than two that hold any variance are filled up with zero rows.
    variance_shares
        Share of the variance that each component holds, shape (n_components,).
    n_fitted
        Environments that the space was fitted on.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    varying: NDArray[np.bool_]
    constant_low: NDArray[np.float64]
    constant_high: NDArray[np.float64]
    components: NDArray[np.float64]
    variance_shares: NDArray[np.float64]
    n_fitted: int

    @property
    def n_components(self) -> int:
        """Number of components, at least 2."""
        return len(self.components)

    @property
    def n_constant(self) -> int:
        """Number of features that are constant in the fitted set."""
        return len(self.constant_low)

    @property
    def variance_kept(self) -> float:
        """Share of the variance that the components hold; 1 where nothing varies."""
        return min(float(self.variance_shares.sum()), 1.0) if self.varying.any() else 1.0

    def project(
        self, values: Float32Array | Iterable[Float32Array], scratch: Path | None = None
    ) -> Projection:
        """Project descriptors.

        Parameters
        ----------
        values
            Shape (n, n_features), or an iterable of such arrays.
        scratch
            Folder for the coordinates of a set too large for memory; they are kept in memory without it.
        """
        chunks = [values] if isinstance(values, np.ndarray) else values
        parts: list[tuple[NDArray[Any], ...]] = []
        with ExitStack() as stack:
            file = stack.enter_context((scratch / "coordinates").open("w+b")) if scratch else None
            for chunk in chunks:
                for start in range(0, len(chunk), _CHUNK):
                    coordinates, *rest = self._project(chunk[start : start + _CHUNK])
                    if file is not None:
                        coordinates.tofile(file)
                    parts.append((coordinates if file is None else coordinates[:0], *rest))
            if not parts:
                parts.append(self._project(np.zeros((0, len(self.varying)), dtype=np.float32)))
            kept, off, residual, share = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            if file is not None and len(off):
                file.flush()
                kept = np.memmap(file, dtype=np.float32, mode="r", shape=(len(off), self.n_components))
        return Projection(coordinates=kept, off=off, residual=residual, residual_share=share)

    def _project(self, values: Float32Array) -> tuple[NDArray[Any], ...]:
        all_vary = bool(self.varying.all())
        table = values.astype(np.float64) if all_vary else values[:, self.varying].astype(np.float64)
        table -= self.mean
        table *= 1 / self.scale
        coordinates = table @ self.components.T
        whole = np.einsum("ij,ij->i", table, table)
        rest = np.maximum(whole - np.einsum("ij,ij->i", coordinates, coordinates), 0.0)
        constant = values[:, ~self.varying]
        off = np.any((constant < self.constant_low) | (constant > self.constant_high), axis=1)
        share = np.divide(rest, whole, out=np.zeros_like(rest), where=whole > 0)
        return (
            coordinates.astype(np.float32),
            off,
            np.sqrt(rest).astype(np.float32),
            share.astype(np.float32),
        )


def fit_space(
    values: Float32Array,
    *,
    variance: float,
    max_components: int | None = None,
    extremes: tuple[Float32Array, Float32Array] | None = None,
) -> PrincipalSpace:
    """Fit an element's principal space.

    A feature is constant if its range is below `RELATIVE_NOISE` of its magnitude plus `ABSOLUTE_NOISE` of the
    descriptors' root mean square. Constant features cannot be standardised; they are left out of the PCA, and
    an environment that differs in one of them is marked by `PrincipalSpace.project` as off the space.

    Parameters
    ----------
    values
        Descriptors, shape (n, n_features), n >= 1.
    extremes
        Smallest and largest value of each feature, shape (n_features,) each, where `values` are a sample of a
        larger set; by default those of `values`.
    variance
        Share of the variance to keep.
    max_components
        Largest number of components, at least 2.

    Raises
    ------
    ValueError
        If there is no environment.
    """
    if not len(values):
        raise ValueError("a principal space needs at least one environment")
    lowest, highest = (values.min(axis=0), values.max(axis=0)) if extremes is None else extremes
    low, high = lowest.astype(np.float64), highest.astype(np.float64)
    size = float(np.sqrt(np.einsum("ij,ij->", values, values, dtype=np.float64) / values.size))
    noise = RELATIVE_NOISE * np.maximum(np.abs(low), np.abs(high)) + ABSOLUTE_NOISE * size
    varying = high - low > noise
    table = values[:, varying].astype(np.float64)
    mean = table.mean(axis=0)
    table -= mean
    scale = np.sqrt(np.einsum("ij,ij->j", table, table) / len(table))
    # A feature that varies only beyond a sample has no width in it: any displacement of it is a large one.
    scale = np.where(scale > 0, scale, noise[varying])
    table /= scale
    components, shares = _principal_components(table, variance=variance, max_components=max_components)
    return PrincipalSpace(
        mean=mean,
        scale=scale,
        varying=varying,
        constant_low=(low - noise)[~varying],
        constant_high=(high + noise)[~varying],
        components=components,
        variance_shares=shares,
        n_fitted=len(values),
    )


def _principal_components(
    table: NDArray[np.float64], *, variance: float, max_components: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Components (m, n_varying) and their shares of the variance (m,), for a standardised `table`."""
    from sklearn.decomposition import PCA  # takes most of a second: not for those who only look at reports

    n_features = table.shape[1]
    if n_features:
        # Threads of a BLAS wait for each other in such a small eigenvalue problem.
        with threadpool_limits(limits=1):
            pca = PCA(svd_solver="covariance_eigh", copy=False).fit(table)
        shares = np.asarray(pca.explained_variance_ratio_, dtype=np.float64)
        enough = int(np.searchsorted(np.cumsum(shares), variance - 1e-12)) + 1
        real = int(np.sum(shares > 1e-12 * shares[0]))
        count = min(max(enough, 2), real if max_components is None else max_components, real)
        components, shares = pca.components_[:count], shares[:count]
    else:
        components, shares = np.zeros((0, 0)), np.zeros(0)
    missing = max(2 - len(components), 0)
    return (
        np.concatenate([components, np.zeros((missing, n_features))]),
        np.concatenate([shares, np.zeros(missing)]),
    )
