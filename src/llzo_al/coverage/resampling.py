"""How the visited frames are halved for the ceiling, and the trajectories drawn again for the intervals."""

from __future__ import annotations

import numpy as np

from llzo_al.coverage.environments import IntArray
from llzo_al.coverage.figures import Floats, Resampled
from llzo_al.coverage.tally import Keying, PlaneTally

Seeds = tuple[int, ...]

PARTS = 16
"""Parts of equal size that the visited frames are dealt to at random; a half is half of the parts."""
REPEATS = 8
"""Halvings that a ceiling is averaged over."""
BLOCKS = 32
"""Largest number of blocks of whole trajectories that the bootstrap draws from."""


def dealt(frames: IntArray, seed: Seeds) -> Keying | None:
    """Parts of whole frames, equal in number; of environments where there is one frame; None with one."""
    _, unit = np.unique(frames, return_inverse=True)
    if unit.max(initial=0) == 0:
        unit = np.arange(len(frames))
    n_units = int(unit.max(initial=-1)) + 1
    if n_units < 2:
        return None
    parts = min(PARTS, n_units - n_units % 2)
    part = np.random.default_rng((*seed, 0)).permutation(n_units) % parts
    return Keying(keys=part[unit].astype(np.uint8), n_keys=parts)


def halvings(parts: int, seed: Seeds) -> Floats | None:
    """Which parts are the reference half in each repeat, shape (REPEATS, parts); every half is used twice."""
    if parts < 2:
        return None
    generator = np.random.default_rng((*seed, 1))
    chosen = np.zeros((REPEATS, parts))
    for row in range(0, REPEATS, 2):
        half = generator.permutation(parts)[: parts // 2]
        chosen[row, half] = 1
        chosen[row + 1] = 1 - chosen[row]
    return chosen


def trajectory_blocks(trajectories: IntArray, seed: Seeds) -> Keying:
    """Blocks of whole trajectories."""
    _, unit = np.unique(trajectories, return_inverse=True)
    count = int(unit.max(initial=0)) + 1
    blocks = min(count, BLOCKS)
    block = np.random.default_rng((*seed, 2)).permutation(count) % blocks
    return Keying(keys=block[unit].astype(np.uint8), n_keys=blocks)


def drawn_weights(blocks: int, samples: int, seed: Seeds) -> Floats | None:
    """How often each block is drawn in each resampling, shape (samples, blocks)."""
    if blocks < 2 or not samples:
        return None
    generator = np.random.default_rng((*seed, 3))
    return generator.multinomial(blocks, np.full(blocks, 1 / blocks), size=samples).astype(np.float64)


class Draws:
    """Coverages with blocks drawn again, summed plane by plane.

    Parameters
    ----------
    weights
        How often each block is drawn, shape (samples, blocks).
    """

    def __init__(self, weights: Floats) -> None:
        self._weights = weights
        self._drawn = (weights > 0).astype(np.float32)
        self._coverage, self._by_environment = np.zeros(len(weights)), np.zeros(len(weights))
        self._planes = 0

    def add(self, tally: PlaneTally) -> None:
        """Add a plane; its last keying is that by blocks."""
        visited = np.flatnonzero(tally.visited)
        counts, known = tally.counts[-1][:, visited], tally.known[visited]
        held = self._drawn @ (counts > 0).astype(np.float32) > 0
        total = self._weights @ counts.sum(axis=1)
        # Where an element is not in the blocks drawn there is nothing to cover.
        cells = np.maximum(np.count_nonzero(held, axis=1), 1)
        self._coverage += np.count_nonzero(held[:, known], axis=1) / cells
        self._by_environment += (self._weights @ counts[:, known].sum(axis=1)) / np.maximum(total, 1)
        self._planes += 1

    def resampled(self) -> Resampled:
        """Means over the planes."""
        return Resampled(
            coverage=self._coverage / self._planes,
            environment_coverage=self._by_environment / self._planes,
        )
