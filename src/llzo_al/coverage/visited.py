"""What the training set misses in each visited frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.figures import Floats
from llzo_al.coverage.uncovered import Missed, UncoveredCells, join


@dataclass(frozen=True, kw_only=True)
class VisitedFrames:
    """What the training set misses in each visited frame.

    An environment's novelty is the share of its element's planes in which the training set does not hold its
    cell.

    Attributes
    ----------
    novelty
        Mean novelty of the frame's environments, 0 to 1, shape (n_frames,).
    distance
        Mean distance of the frame's environments to the nearest training environment in the space of the
        kept components, shape (n_frames,); see `llzo_al.coverage.neighbours.frame_distances`. Not a number
        where training lacks one of the frame's elements.
    environments
        Environments that were used, shape (n_frames,).
    uncovered_environments
        Those among them whose cell the training set misses in at least one plane, shape (n_frames,).
    outside_environments
        Those among them outside the training set's range, shape (n_frames,).
    uncovered_cells
        The cells of each frame that the training set misses, over all elements and planes.
    element_novelty
        For each element the mean novelty of its environments in each frame, shape (n_frames,); not a number
        where a frame holds none.
    """

    novelty: Floats
    distance: Floats
    environments: IntArray
    uncovered_environments: IntArray
    outside_environments: IntArray
    uncovered_cells: UncoveredCells
    element_novelty: Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True)
class ElementFrames:
    """The same of one element.

    Attributes
    ----------
    environments, uncovered, outside
        Numbers of environments in each frame, shape (n_frames,) each.
    novelty, distance
        Sum of the environments' novelties, and their mean distance, in each frame, shape (n_frames,) each.
    missed
        Its uncovered cells.
    """

    environments: IntArray
    uncovered: IntArray
    outside: IntArray
    novelty: Floats
    distance: Floats
    missed: Missed


def element_frames(
    missed: Missed,
    outside: NDArray[np.bool_],
    distance: Floats,
    *,
    frames: IntArray,
    n_planes: int,
) -> ElementFrames:
    """Sums over the environments of each frame.

    Parameters
    ----------
    missed
        What training misses of the environments.
    outside
        Which environments lie outside the training set's range, shape (n,).
    distance
        Mean distance in each frame, shape (n_frames,).
    frames
        Frame of each environment, shape (n,).
    n_planes
        Planes of the element.
    """
    n_frames = len(distance)
    return ElementFrames(
        environments=np.bincount(frames, minlength=n_frames),
        uncovered=np.bincount(frames[missed.planes > 0], minlength=n_frames),
        outside=np.bincount(frames[outside], minlength=n_frames),
        novelty=_sums(frames, missed.planes / n_planes, n_frames),
        distance=distance,
        missed=missed,
    )


def visited_frames(elements: Mapping[str, ElementFrames]) -> VisitedFrames:
    """What is missing in each frame, over all elements."""
    parts = list(elements.values())
    environments = np.sum([one.environments for one in parts], axis=0)
    held = np.maximum(environments, 1)
    distance = np.sum([_weighted(one) for one in parts], axis=0) / held
    return VisitedFrames(
        novelty=np.sum([one.novelty for one in parts], axis=0) / held,
        distance=np.where(environments > 0, distance, np.nan),
        environments=environments,
        uncovered_environments=np.sum([one.uncovered for one in parts], axis=0),
        outside_environments=np.sum([one.outside for one in parts], axis=0),
        uncovered_cells=join([one.missed for one in parts], len(environments)),
        element_novelty={symbol: _ratio(one.novelty, one.environments) for symbol, one in elements.items()},
    )


def _sums(frames: IntArray, values: Floats, n_frames: int) -> Floats:
    return np.bincount(frames, weights=values, minlength=n_frames).astype(np.float64)


def thinned(elements: Mapping[str, ElementFrames]) -> tuple[str, ...]:
    """In words, for which elements the cells of some planes stand for those of all."""
    return tuple(
        f"{symbol}: frames hold too many uncovered cells to keep; those of one in {one.missed.every} planes "
        "stand for all when frames are chosen. No figure of coverage is concerned."
        for symbol, one in elements.items()
        if one.missed.every > 1
    )


def _weighted(one: ElementFrames) -> Floats:
    return np.where(one.environments > 0, one.distance * one.environments, 0.0)


def _ratio(total: Floats, count: IntArray) -> Floats:
    means: Floats = np.full(len(count), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
