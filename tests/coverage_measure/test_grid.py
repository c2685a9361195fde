from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llzo_al.coverage import tally as tally_module
from llzo_al.coverage.grid import Grid
from llzo_al.coverage.pca import Projection
from llzo_al.coverage.tally import tally_planes

POINTS = arrays(
    np.float64,
    st.tuples(st.integers(1, 25), st.just(3)),
    elements=st.floats(-1, 1, width=32, allow_subnormal=False),
)
FIXED = Grid(low=np.full(3, -1.0), high=np.full(3, 1.0), bins=4)


@dataclass(frozen=True)
class PlaneCounts:
    """Visited and covered cells of each plane."""

    visited: np.ndarray
    covered: np.ndarray

    @property
    def coverage(self):
        return float(np.mean(self.covered / self.visited))


def count_cells(reference, tested):
    tallies = list(tally_planes(reference, tested))
    held = [tally.visited > 0 for tally in tallies]
    covered = [(one & tally.known).sum() for one, tally in zip(held, tallies, strict=True)]
    return PlaneCounts(np.array([one.sum() for one in held]), np.array(covered))


def uncovered(reference, tested):
    for number, tally in enumerate(tally_planes(reference, tested)):
        cells = tested.cells(tally.plane)
        yield number, cells, tally.misses(cells)


def projection(points, off=None) -> Projection:
    points = np.asarray(points, dtype=np.float32)
    nothing = np.zeros(len(points), dtype=np.float32)
    return Projection(
        coordinates=points,
        off=np.zeros(len(points), dtype=bool) if off is None else np.asarray(off),
        residual=nothing,
        residual_share=nothing,
    )


def test_three_planes_by_hand():
    training = projection([[0, 0, 0], [3, 3, 3]])
    visited = projection([[0, 0, 0], [0, 3, 0], [1, 1, 3]])
    grid = Grid.over([training, visited], bins=3)
    np.testing.assert_array_equal(grid.low, [0, 0, 0])
    np.testing.assert_array_equal(grid.high, [3, 3, 3])
    # Bins of visited: (0,0,0), (0,2,0), (1,1,2); of training: (0,0,0), (2,2,2).
    # Plane (0,1): visited 00 02 11, training 00 22: 1 of 3. Plane (0,2): 00 00 12, training 00 22: 1 of 2.
    # Plane (1,2): 00 20 12, training 00 22: 1 of 3.
    counts = count_cells(grid.locate(training), grid.locate(visited))
    np.testing.assert_array_equal(counts.visited, [3, 2, 3])
    np.testing.assert_array_equal(counts.covered, [1, 1, 1])
    assert counts.coverage == pytest.approx((1 / 3 + 1 / 2 + 1 / 3) / 3)


def test_uncovered_environments_by_hand():
    training = projection([[0, 0, 0], [3, 3, 3]])
    visited = projection([[0, 0, 0], [0, 3, 0], [1, 1, 3]])
    grid = Grid.over([training, visited], bins=3)
    found = list(uncovered(grid.locate(training), grid.locate(visited)))
    np.testing.assert_array_equal(
        [missing for _, _, missing in found], [[False, True, True], [False, False, True], [False, True, True]]
    )
    np.testing.assert_array_equal(found[0][1], [0, 2, 4])


def test_an_environment_off_the_space_shares_no_cell_with_one_on_it():
    points = [[0, 0], [1, 1]]
    grid = Grid.over([projection(points)], bins=2)
    on, off = grid.locate(projection(points)), grid.locate(projection(points, [False, True]))
    counts = count_cells(on, off)
    assert (counts.visited[0], counts.covered[0]) == (2, 1)
    assert count_cells(off, off).coverage == 1


def test_many_cells_are_counted_as_few_are(monkeypatch):
    generator = np.random.default_rng(0)
    points, others = generator.normal(size=(300, 4)), generator.normal(size=(300, 4))
    grid = Grid.over([projection(points), projection(others)], bins=15)
    training, visited = grid.locate(projection(points)), grid.locate(projection(others))
    dense = count_cells(training, visited)
    dense_missing = [missing for _, _, missing in uncovered(training, visited)]
    monkeypatch.setattr(tally_module, "DENSE_CELLS", 0)
    sparse = count_cells(training, visited)
    np.testing.assert_array_equal(dense.visited, sparse.visited)
    np.testing.assert_array_equal(dense.covered, sparse.covered)
    np.testing.assert_array_equal(dense_missing, [missing for _, _, missing in uncovered(training, visited)])


def test_a_range_of_no_width_is_one_bin():
    grid = Grid.over([projection([[1, 0], [1, 2]])], bins=4)
    np.testing.assert_array_equal(grid.locate(projection([[1, 0], [1, 2]])).bins, [[0, 0], [0, 3]])


@settings(deadline=None, max_examples=60)
@given(training=POINTS, added=POINTS, visited=POINTS)
def test_more_training_never_covers_less_in_a_fixed_grid(training, added, visited):
    tested = FIXED.locate(projection(visited))
    before = count_cells(FIXED.locate(projection(training)), tested)
    after = count_cells(FIXED.locate(projection(np.concatenate([training, added]))), tested)
    assert (after.covered >= before.covered).all()
    np.testing.assert_array_equal(after.visited, before.visited)


@settings(deadline=None, max_examples=60)
@given(training=POINTS, visited=POINTS)
def test_counts_are_those_of_sets_of_cells(training, visited):
    ours, theirs = FIXED.locate(projection(visited)), FIXED.locate(projection(training))
    counts = count_cells(theirs, ours)
    for number, (a, b) in enumerate(FIXED.planes):
        seen = {(int(row[a]), int(row[b])) for row in ours.bins}
        known = {(int(row[a]), int(row[b])) for row in theirs.bins}
        assert counts.visited[number] == len(seen)
        assert counts.covered[number] == len(seen & known)


@settings(deadline=None, max_examples=60)
@given(training=POINTS, visited=POINTS)
def test_adding_what_is_uncovered_covers_everything(training, visited):
    tested = FIXED.locate(projection(visited))
    missing = np.any([one for _, _, one in uncovered(FIXED.locate(projection(training)), tested)], axis=0)
    added = FIXED.locate(projection(np.concatenate([training, visited[missing]])))
    assert count_cells(added, tested).coverage == 1
