from __future__ import annotations

import numpy as np
import pytest
from coverage_helpers import cloud, one_element

from llzo_al.coverage.environments import (
    Environments,
    Scaling,
    concatenate,
    fit_scalings,
    frame_means,
    require_finite,
)
from llzo_al.errors import StageError


def test_subset_keeps_the_rows_of_the_frames_and_renumbers_them():
    environments = one_element([[0, 0], [1, 1], [2, 2], [3, 3]], [0, 1, 1, 2])
    part = environments.subset([2, 1])
    assert part.n_frames == 2
    np.testing.assert_array_equal(part.values["Li"][:, 0], [1, 2, 3])
    np.testing.assert_array_equal(part.frame_index["Li"], [1, 1, 0])


@pytest.mark.parametrize("frames", [[0, 0], [3], [-1]])
def test_subset_refuses_frames_that_are_not_there_or_named_twice(frames):
    with pytest.raises(ValueError, match="frame"):
        one_element([[0], [1], [2]]).subset(frames)


def test_subset_and_concatenate_undo_each_other():
    whole = cloud(1, n_frames=6)
    again = concatenate([whole.subset([0, 1, 2]), whole.subset([3, 4, 5])])
    for symbol in whole.elements:
        np.testing.assert_array_equal(again.values[symbol], whole.values[symbol])
        np.testing.assert_array_equal(again.frame_index[symbol], whole.frame_index[symbol])


def test_concatenate_refuses_sets_of_different_elements():
    with pytest.raises(ValueError, match="differ"):
        concatenate([cloud(1), one_element([[1.0]])])


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="expected"):
        one_element([[1.0], [2.0]], [0])
    with pytest.raises(ValueError, match="leaves"):
        Environments(
            elements=("Li",),
            values={"Li": np.zeros((1, 1), dtype=np.float32)},
            frame_index={"Li": np.array([1])},
            n_frames=1,
        )


def test_frame_means_by_hand():
    environments = Environments.from_arrays(
        {"Li": [[1.0, 0.0], [3.0, 0.0], [5.0, 2.0]], "O": [[4.0, 4.0]]}, {"Li": [1, 1, 0], "O": [0]}
    )
    two = np.array([2.0, 2.0])
    scalings = {
        "Li": Scaling(mean=np.array([1.0, 0.0]), scale=np.ones(2)),
        "O": Scaling(mean=two, scale=two),
    }
    # Frame 0: Li (5, 2) - (1, 0); O ((4, 4) - 2) / 2. Frame 1: mean Li (2, 0) - (1, 0); no O: (0 - 2) / 2.
    np.testing.assert_allclose(frame_means(environments, scalings), [[4, 2, 1, 1], [1, 0, -1, -1]])


def test_scalings_do_not_blow_up_features_that_hardly_vary():
    scaling = fit_scalings(one_element([[0.0, 5.0], [2.0, 5.0]]))["Li"]
    np.testing.assert_allclose(scaling.scale, [1.0, 1e-3])
    np.testing.assert_allclose(scaling.mean, [1.0, 5.0])


def test_not_finite_descriptors_are_named():
    values = np.zeros((4, 2))
    values[2, 1] = np.nan
    with pytest.raises(StageError, match=r"visited set: 1 descriptors of Li .* frame 1 "):
        require_finite(one_element(values, [0, 0, 1, 1]), "visited")
