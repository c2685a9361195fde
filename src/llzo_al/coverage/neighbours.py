"""The check in the full reduced space: how far visited environments lie from the nearest training one.

Planes can hide a hole of the full space: an environment can share its cell with training in every plane and
still have no training environment near it. Distances are compared with the training set's own scale, the
distances from training environments to the nearest one among other training frames. The same distances, in
the mean over a frame, tell which frames are farthest from training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.pca import Projection

QUANTILE = 0.95
"""Share of the training set's own distances that count as near."""
REFERENCE_FACTOR = 10
"""The reference is a sample of training this many times as large as that of the tested environments."""
FRAMES_REFERENCE = 5000
"""Training environments that the distances of frames are measured to, at most: they rank frames as well as
all do."""
FRAMES_SAMPLE = 500_000
"""Visited environments of one element that the distances of frames are measured from, at most."""
_AT_ONCE = 1 << 16
OFF_DISTANCE = 1.0
"""An environment that differs in a feature that is constant in training is taken to be no nearer than
this."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Distances to the nearest training environment, on samples.

    Attributes
    ----------
    far_share
        Share of the visited environments that lie farther from training than `QUANTILE` of the training set's
        own environments do; 1 - `QUANTILE` is what training's own distribution gives.
    far_share_error
        Its standard error, of the samples only.
    distance_ratio
        Median distance of the visited environments / median distance of the training set's own.
    n_reference, n_training, n_visited
        Environments of one half of the training frames that distances are measured to, and of the other half
        and the visited set that they are measured from.
    """

    far_share: float
    far_share_error: float
    distance_ratio: float | None
    n_reference: int
    n_training: int
    n_visited: int


def nearest_training(
    training: Projection, frames: IntArray, visited: Projection, *, sample: int, seed: tuple[int, ...]
) -> Neighbours | None:
    """Compare the visited set's distances to training with the training set's own.

    The training frames are halved at random, so that no environment is compared with itself or with its own
    frame. An environment that is off the space counts as far.

    Parameters
    ----------
    training, visited
        Environments in one principal space.
    frames
        Frame of each training environment, shape (n_training,).
    sample
        Largest number of environments that distances are measured from, for each set.
    seed
        Seeds of the halves and samples.

    Returns
    -------
    Neighbours or None
        None with fewer than two training frames.
    """
    generator = np.random.default_rng(seed)
    units = np.unique(frames)
    if len(units) < 2 or not len(visited):
        return None
    half = np.isin(frames, generator.permutation(units)[: len(units) // 2])
    reference = _points(training, _sample(np.flatnonzero(half), REFERENCE_FACTOR * sample, generator))
    own = _points(training, _sample(np.flatnonzero(~half), sample, generator))
    rows = _sample(np.arange(len(visited)), sample, generator)
    with threadpool_limits(limits=1):  # so few distances are computed faster than threads are woken
        search = _search(reference)
        own_distance = search.kneighbors(own)[0][:, 0]
        distance = search.kneighbors(_points(visited, rows))[0][:, 0]
    limit, scale = np.quantile(own_distance, QUANTILE), float(np.median(own_distance))
    far = float(np.mean((distance > limit) | visited.off[rows]))
    # Of the share itself, and of the quantile that it is measured at.
    variance = far * (1 - far) / len(rows) + QUANTILE * (1 - QUANTILE) / len(own)
    return Neighbours(
        far_share=far,
        far_share_error=float(np.sqrt(variance)),
        distance_ratio=float(np.median(distance)) / scale if scale > 0 else None,
        n_reference=len(reference),
        n_training=len(own),
        n_visited=len(rows),
    )


def frame_distances(
    training: Projection,
    visited: Projection,
    frames: IntArray,
    n_frames: int,
    *,
    seed: tuple[int, ...],
) -> NDArray[np.float64]:
    """Mean distance of each frame's environments to the nearest training environment.

    In the space of the kept components, in units of the training set's own width: the root mean square
    distance of its environments from their mean.

    Parameters
    ----------
    training, visited
        Environments in one principal space.
    frames
        Frame of each visited environment, shape (n_visited,).
    n_frames
        Number of frames.
    seed
        Seeds of the samples of `FRAMES_REFERENCE` training environments and of `FRAMES_SAMPLE` visited ones
        (the same number of each frame) that stand for larger sets.

    Returns
    -------
    numpy.ndarray
        Shape (n_frames,); not a number for a frame without an environment, and throughout if training has
        none.
    """
    mean: NDArray[np.float64] = np.full(n_frames, np.nan)
    if not len(training) or not len(visited):
        return mean
    generator = np.random.default_rng(seed)
    reference = _points(training, _sample(np.arange(len(training)), FRAMES_REFERENCE, generator))
    rows = np.arange(len(frames))
    if len(rows) > FRAMES_SAMPLE:
        rows = _sample_of_each(frames, max(FRAMES_SAMPLE // n_frames, 1), generator)
    width = float(np.sqrt(np.mean(np.sum((reference - reference.mean(axis=0)) ** 2, axis=1))))
    search = _search(reference)
    distance = np.concatenate(
        [
            search.kneighbors(_points(visited, some))[0][:, 0]
            for some in np.array_split(rows, len(rows) // _AT_ONCE + 1)
        ]
    ) / (width or 1.0)
    distance = np.where(visited.off[rows], np.maximum(distance, OFF_DISTANCE), distance)
    count = np.bincount(frames[rows], minlength=n_frames)
    total = np.bincount(frames[rows], weights=distance, minlength=n_frames)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _sample_of_each(frames: IntArray, most: int, generator: np.random.Generator) -> IntArray:
    """Numbers of at most so many environments of each frame, ascending."""
    order = np.lexsort((generator.random(len(frames)), frames))
    counts = np.bincount(frames)
    first = np.cumsum(counts) - counts
    rank = np.arange(len(frames)) - np.repeat(first, counts)
    return np.sort(order[rank < most])


def _sample(rows: NDArray[np.int64], most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return np.sort(generator.choice(rows, size=most, replace=False))


def _search(reference: NDArray[np.float64]) -> Any:
    """Search for the nearest of some points."""
    from sklearn.neighbors import NearestNeighbors  # see `llzo_al.coverage.pca`

    return NearestNeighbors(n_neighbors=1).fit(reference)


def _points(projection: Projection, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(projection.coordinates[rows], dtype=np.float64)
