"""The ceiling of a coverage: what one half of the visited set covers of the other.

A coverage falls with the number of cells and rises with the number of samples, even where nothing is missing.
The ceiling is what a set of the visited set's own distribution and half its size reaches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.grid import Located, count_cells

REPEATS = 4
"""Random splits that a ceiling is averaged over."""


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """Means over the splits.

    Attributes
    ----------
    ceiling
        Coverage of the tested half by the other half.
    coverage_of_halves
        Coverage of the same tested half by the training set.
    """

    ceiling: float
    coverage_of_halves: float

    @property
    def ratio(self) -> float | None:
        """`coverage_of_halves` / `ceiling`, None where the halves share no cell."""
        return self.coverage_of_halves / self.ceiling if self.ceiling > 0 else None


def split_half_ceiling(
    training: Located, visited: Located, frame_index: IntArray, *, seed: tuple[int, ...]
) -> Ceiling | None:
    """Measure the ceiling, and the training set's coverage of the same halves.

    Whole frames are drawn at random for the two halves; where all environments are of one frame, they are
    drawn themselves. Frames close in time may fall to different halves, so that the ceiling is rather too
    high than too low and the ratio to it rather too low. Both coverages are of the same tested half, so that
    their ratio does not depend on the number of tested environments. The reference half is not cut down to
    the size of a smaller training set (few frames cannot pass for all that MD visits), nor is a larger
    training set cut down to the half's (more labels never lower the ratio).

    Parameters
    ----------
    training, visited
        One element's environments on their common grid.
    frame_index
        Frame of each visited environment, shape (n_visited,).
    seed
        Seeds of the splits.

    Returns
    -------
    Ceiling or None
        None with fewer than two visited environments.
    """
    if len(visited) < 2:
        return None
    ceilings, coverages = [], []
    for repeat in range(REPEATS):
        chosen = _random_half(frame_index, np.random.default_rng((*seed, repeat)))
        tested = visited.rows(~chosen)
        ceilings.append(count_cells(visited.rows(chosen), tested).coverage)
        coverages.append(count_cells(training, tested).coverage)
    return Ceiling(ceiling=float(np.mean(ceilings)), coverage_of_halves=float(np.mean(coverages)))


def _random_half(frame_index: IntArray, generator: np.random.Generator) -> NDArray[np.bool_]:
    """True for the environments of a random half of the frames, shape (n,); never all, never none."""
    frames = np.unique(frame_index)
    units = frames if len(frames) > 1 else np.arange(len(frame_index))
    half = generator.permutation(units)[: len(units) // 2]
    if len(frames) > 1:
        return np.isin(frame_index, half)
    chosen = np.zeros(len(frame_index), dtype=np.bool_)
    chosen[half] = True
    return chosen
