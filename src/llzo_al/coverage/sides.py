"""One element's environments of both sets, fitted and projected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.environments import EnvironmentSet, Float32Array, IntArray, require_finite
from llzo_al.coverage.pca import PrincipalSpace, Projection, fit_space

IN_MEMORY_BYTES = 256 * 2**20
"""Projected coordinates of a set larger than this are kept on disk while it is measured."""
ROUNDING = 1e-6
"""Share of a range by which rounded positions may carry an environment beyond it."""
_CROSS_CHECKED = 20000
"""Largest sample that the subspace's own error is estimated on."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One set's environments of one element, or of several together.

    Attributes
    ----------
    environments
        The set.
    symbols
        The elements.
    name
        What the set is called in messages.
    """

    environments: EnvironmentSet
    symbols: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return sum(self.environments.count(symbol) for symbol in self.symbols)

    def frames(self) -> IntArray:
        """Frame of each environment, shape (n,)."""
        return np.concatenate([self.environments.frames(symbol) for symbol in self.symbols])

    def chunks(self) -> Iterator[Float32Array]:
        """Descriptors some at a time; refuses those that are not finite."""
        for symbol in self.symbols:
            for chunk in self.environments.chunks(symbol):
                if not np.isfinite(chunk.sum(axis=1)).all():
                    require_finite(self.environments, self.name)
                yield chunk

    def extremes(self) -> tuple[Float32Array, Float32Array]:
        """Smallest and largest value of each feature, shape (n_features,) each."""
        ends = [(chunk.min(axis=0), chunk.max(axis=0)) for chunk in self.chunks()]
        low, high = zip(*ends, strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    def sample(self, most: int, seed: tuple[int, ...]) -> Float32Array:
        """Descriptors of a seeded sample, in their order; of all where there are no more than `most`."""
        numbers = np.arange(len(self))
        if len(numbers) > most:
            numbers = np.sort(np.random.default_rng(seed).choice(numbers, size=most, replace=False))
        parts, start = [], 0
        for symbol in self.symbols:
            end = start + self.environments.count(symbol)
            inside = numbers[(numbers >= start) & (numbers < end)] - start
            parts.append(self.environments.rows(symbol, inside))
            start = end
        return np.concatenate(parts)


def fit(
    training: Side, visited: Side, settings: Coverage, seed: tuple[int, ...]
) -> tuple[PrincipalSpace, str]:
    """The principal space, and the name of what it was fitted on: the visited set where training is empty."""
    sides = {"training": [training], "visited": [visited], "both": [training, visited]}[settings.fitted_on]
    fitted_on = settings.fitted_on
    if not any(len(side) for side in sides):
        sides, fitted_on = [visited], "visited"
    present = [side for side in sides if len(side)]
    most = settings.fit_environments_max
    values = np.concatenate(
        [side.sample(most // len(present), (*seed, 1, number)) for number, side in enumerate(present)]
    )
    low, high = zip(*(side.extremes() for side in present), strict=True)
    space = fit_space(
        values,
        variance=settings.variance,
        max_components=settings.max_components,
        extremes=(np.min(low, axis=0), np.max(high, axis=0)),
    )
    return space, fitted_on


def project(space: PrincipalSpace, side: Side, scratch: Path) -> Projection:
    """A side in the space; its coordinates lie in `scratch` where they are many."""
    if len(side) * space.n_components * 4 <= IN_MEMORY_BYTES:
        return space.project(side.chunks())
    scratch.mkdir()
    return space.project(side.chunks(), scratch)


def residual_limit(training: Side, known: Projection, settings: Coverage, seed: tuple[int, ...]) -> float:
    """Largest residual of a training environment, also in a space fitted without it; infinite unchecked."""
    if not settings.subspace_check or not len(known):
        return float("inf")
    sample = training.sample(_CROSS_CHECKED, (*seed, 2))
    # Every second one along the first features that differ: the same halves whatever the order of frames.
    order = _row_order(sample)
    fitted, tested = sample[order[::2]], sample[order[1::2]]
    limit = float(known.residual.max())
    if len(fitted) > 1:
        space = fit_space(fitted, variance=settings.variance, max_components=settings.max_components)
        limit = max(limit, float(space.project(tested).residual.max()))
    return limit * (1 + ROUNDING)


def with_limit(projection: Projection, limit: float) -> Projection:
    """The projection with those off the space, too, whose residual is beyond the limit."""
    return replace(projection, off=projection.off | (projection.residual > limit))


def _row_order(sample: Float32Array) -> IntArray:
    """Order of the rows by their first feature, where that is equal by the second one, and so on."""
    for width in (8, sample.shape[1]):  # the first few nearly always differ
        order = np.lexsort(sample[:, :width].T[::-1])
        rows = sample[order, :width]
        if (rows[1:] != rows[:-1]).any(axis=1).all():
            break
    return order
