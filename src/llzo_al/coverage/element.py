"""Coverage of one element's visited environments, or of all elements in one space."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.figures import Measured
from llzo_al.coverage.grid import Grid
from llzo_al.coverage.measure import Levels, measure
from llzo_al.coverage.neighbours import frame_distances, nearest_training
from llzo_al.coverage.pca import Projection
from llzo_al.coverage.reference import ReferenceFrame
from llzo_al.coverage.report import ElementCoverage
from llzo_al.coverage.sides import ROUNDING, Side, fit, project, residual_limit, with_limit
from llzo_al.coverage.summary import element_coverage
from llzo_al.coverage.uncovered import missed
from llzo_al.coverage.visited import ElementFrames, element_frames

_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ElementResult:
    """All that is found out about one element.

    Attributes
    ----------
    coverage, measured
        The figures, and those that they were made of.
    frame
        Space and cells that they were measured in.
    frames
        What is missing in each visited frame; None where it was not asked for.
    """

    coverage: ElementCoverage
    measured: Measured
    frame: ReferenceFrame
    frames: ElementFrames | None


def assess_element(
    name: str,
    sides: tuple[Side, Side],
    settings: Coverage,
    runs: IntArray,
    *,
    seed: tuple[int, int],
    per_frame: bool,
    fixed: ReferenceFrame | None,
) -> ElementResult:
    """Measure one element; see `llzo_al.coverage.assess.assess_coverage`.

    Parameters
    ----------
    name
        What it is called in the report.
    sides
        Its training and its visited environments.
    settings
        How it is measured.
    runs
        Trajectory of each visited frame, shape (n_frames,).
    seed
        Seeds of the splits and samples.
    per_frame
        Find out what is missing in each visited frame.
    fixed
        Space and cells to measure in; fitted without.
    """
    training, visited = sides
    with tempfile.TemporaryDirectory(prefix="llzo-al-coverage-") as scratch:
        space, fitted_on = (fixed.space, "given") if fixed else fit(training, visited, settings, seed)
        known = project(space, training, Path(scratch) / "training")
        projected = project(space, visited, Path(scratch) / "visited")
        limit = fixed.residual_limit if fixed else residual_limit(training, known, settings, seed)
        known, seen = with_limit(known, limit), with_limit(projected, limit)
        levels = Levels.automatic() if settings.bins == "auto" else Levels.around(settings.bins)
        grid = _grid(known, seen, settings, levels, fixed)
        located = (grid.locate(known), grid.locate(seen))
        frames = visited.frames()
        measured = measure(
            *located,
            frames=frames,
            trajectories=runs[frames],
            levels=levels,
            bins=None if settings.bins == "auto" else settings.bins,
            samples=settings.bootstrap_samples,
            seed=(*seed, 3),
        )
        near = nearest_training(
            known, training.frames(), seen, sample=settings.neighbour_sample, seed=(*seed, 4)
        )
        outside = _outside(known, seen)
        coverage = element_coverage(
            name, space, grid, measured, near, known, seen, outside, fitted_on=fitted_on
        )
        details = None
        if per_frame:
            distance = frame_distances(known, projected, frames, len(runs), seed=(*seed, 5))
            details = element_frames(
                missed(*located, frames=frames, coarser=levels.finest // measured.chosen.bins),
                outside,
                distance,
                frames=frames,
                n_planes=coverage.n_planes,
            )
    return ElementResult(
        coverage=coverage,
        measured=measured,
        frame=ReferenceFrame(space=space, low=grid.low, high=grid.high, residual_limit=limit),
        frames=details,
    )


def _grid(
    known: Projection, seen: Projection, settings: Coverage, levels: Levels, fixed: ReferenceFrame | None
) -> Grid:
    if fixed:
        return Grid(low=fixed.low, high=fixed.high, bins=levels.finest)
    chosen = {"common": [known, seen], "training": [known], "visited": [seen]}[settings.edges]
    return Grid.over(chosen if any(len(one) for one in chosen) else [seen], levels.finest)


def _outside(training: Projection, visited: Projection) -> NDArray[np.bool_]:
    """Visited environments outside the training set's range along any component, or off its space."""
    if not len(training):
        return np.ones(len(visited), dtype=np.bool_)
    low, high = training.low, training.high
    margin = ROUNDING * (high - low)
    lowest, highest = (low - margin).astype(np.float32), (high + margin).astype(np.float32)
    outside = visited.off.copy()
    for start in range(0, len(outside), _CHUNK):
        rows = slice(start, start + _CHUNK)
        points = np.asarray(visited.coordinates[rows])
        outside[rows] |= ((points < lowest) | (points > highest)).any(axis=1)
    return outside
