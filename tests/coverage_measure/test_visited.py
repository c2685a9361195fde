"""What is told of single frames: their uncovered cells, and how far they are from training."""

from __future__ import annotations

import numpy as np
import pytest
from coverage_helpers import cloud, one_element

from llzo_al.config.coverage import Coverage
from llzo_al.coverage import neighbours, uncovered
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.environments import Environments
from llzo_al.coverage.uncovered import Missed, join

OPTIONS = Coverage(bins=10)


def of_frames(training, visited, options=OPTIONS):
    frames = assess_coverage(training, visited, options).frames
    assert frames is not None
    return frames


def missed(frame, cell, weights):
    return Missed(
        planes=np.zeros(0, dtype=np.int64),
        frame=np.array(frame, dtype=np.int32),
        cell=np.array(cell, dtype=np.int32),
        weights=np.array(weights),
        every=1,
    )


def test_cells_of_two_elements_frame_by_frame():
    lithium = missed(frame=[2, 0, 2], cell=[1, 0, 0], weights=[3, 1])
    oxygen = missed(frame=[0, 2], cell=[1, 1], weights=[4, 5])
    cells = join([lithium, oxygen], 4)
    assert [row.tolist() for row in cells] == [[0, 3], [], [0, 1, 3], []]
    assert cells.weights.tolist() == [3, 1, 4, 5]
    assert len(cells) == 4
    with pytest.raises(IndexError, match="frame 4 is not among 0 to 3"):
        cells[4]


def test_weights_are_the_environments_in_each_cell_by_hand():
    # As in the case by hand of `test_measure`: in thirds of the ranges training holds high-middle and the
    # ends of the middle. Two environments of frame 0 and one of frame 1 are middle-middle, one high-end.
    training = one_element([[3, 3], [-3, -3], [1, -1], [-1, 1]])
    visited = one_element([[3, 3], [0, 0], [0.1, 0], [0, 0.1], [3, 1]], [0, 0, 0, 1, 1])
    cells = of_frames(training, visited, Coverage(bins=3)).uncovered_cells
    assert [len(row) for row in cells] == [1, 2]
    assert cells.weights[cells[0]].tolist() == [3]
    assert sorted(cells.weights[cells[1]].tolist()) == [1, 3]


def test_many_pairs_are_thinned_to_some_planes_which_stand_for_all(monkeypatch):
    generator = np.random.default_rng(0)
    training = one_element(generator.normal(size=(60, 12)))
    widths = np.repeat(np.linspace(0.5, 2.0, 30), 10)[:, None]
    visited = one_element(widths * generator.normal(size=(300, 12)), np.repeat(np.arange(30), 10))
    whole = of_frames(training, visited)
    monkeypatch.setattr(uncovered, "MOST_PAIRS", len(whole.uncovered_cells.cells) * 2 // 3)
    report = assess_coverage(training, visited, OPTIONS)
    thinned = report.frames.uncovered_cells
    assert 0 < len(thinned.cells) < 0.6 * len(whole.uncovered_cells.cells)
    assert any("those of one in 2 planes stand for all" in words for words in report.warnings)
    np.testing.assert_array_equal(report.frames.novelty, whole.novelty)
    worth, estimate = (
        np.array([one.weights[row].sum() for row in one]) for one in (whole.uncovered_cells, thinned)
    )
    assert estimate.sum() == pytest.approx(worth.sum(), rel=0.2)
    assert np.corrcoef(worth, estimate)[0, 1] > 0.8


def test_distance_to_the_nearest_training_environment_by_hand():
    # Standardised training is itself / sqrt(5); its width is the root mean square length, sqrt(10 / 5).
    training = one_element([[3, 3], [-3, -3], [1, -1], [-1, 1]])
    visited = one_element([[3, 3], [0, 0], [2, 2]], [0, 1, 1])
    distance = of_frames(training, visited).distance
    # (0, 0) is sqrt(2) from (1, -1), (2, 2) is sqrt(2) from (3, 3).
    np.testing.assert_allclose(distance, [0, np.sqrt(2 / 10)], atol=1e-6)


def test_the_distance_goes_on_rising_where_novelty_cannot():
    training = one_element(np.random.default_rng(0).normal(size=(300, 4)))
    far = of_frames(training, one_element(np.outer([10.0, 20.0, 40.0], [1.0, -2.0, 0.7, 1.4])))
    np.testing.assert_array_equal(far.novelty, [1, 1, 1])
    assert (np.diff(far.distance) > 1).all()


def test_an_environment_that_differs_where_training_does_not_vary_is_not_near():
    training = one_element([[1, 0, 5], [0, 1, 5], [1, 1, 5], [0, 0, 5]])
    distance = of_frames(training, one_element([[1, 0, 5], [1, 0, 6]])).distance
    assert distance[0] == pytest.approx(0, abs=1e-6)
    assert distance[1] == neighbours.OFF_DISTANCE


def test_frames_with_an_element_that_training_lacks_have_no_distance():
    visited = cloud(2, n_frames=4)
    keep = visited.frame_index["O"] > 1  # the first two frames hold lithium only
    mixed = Environments.from_arrays(
        {"Li": visited.values["Li"], "O": visited.values["O"][keep]},
        {"Li": visited.frame_index["Li"], "O": visited.frame_index["O"][keep]},
    )
    training = cloud(1)
    no_oxygen = Environments.from_arrays(
        {"Li": training.values["Li"], "O": training.values["O"][:0]},
        {"Li": training.frame_index["Li"], "O": training.frame_index["O"][:0]},
    )
    distance = of_frames(no_oxygen, mixed).distance
    assert np.isfinite(distance).tolist() == [True, True, False, False]


def test_samples_rank_frames_as_all_environments_do(monkeypatch):
    generator = np.random.default_rng(3)
    training = one_element(generator.normal(size=(4000, 5)))
    widths = np.linspace(0.5, 2.0, 40)
    values = np.concatenate([width * generator.normal(size=(50, 5)) for width in widths])
    visited = one_element(values, np.repeat(np.arange(40), 50))
    whole = of_frames(training, visited).distance
    monkeypatch.setattr(neighbours, "FRAMES_REFERENCE", 400)
    monkeypatch.setattr(neighbours, "FRAMES_SAMPLE", 1000)
    sampled = of_frames(training, visited).distance
    assert np.isfinite(sampled).all()
    assert np.corrcoef(np.argsort(np.argsort(whole)), np.argsort(np.argsort(sampled)))[0, 1] > 0.9
