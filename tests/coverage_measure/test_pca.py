from __future__ import annotations

import numpy as np
import pytest
from coverage_helpers import cloud
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from llzo_al.coverage.pca import fit_space


def fit(values, variance=0.95, max_components=20):
    return fit_space(np.asarray(values, dtype=np.float32), variance=variance, max_components=max_components)


def test_agrees_with_a_plain_standard_scaler_and_full_pca():
    values = cloud(1).values["Li"]
    space = fit(values, variance=1.0)
    table = StandardScaler().fit_transform(values.astype(np.float64))
    expected = PCA(svd_solver="full").fit_transform(table)
    np.testing.assert_allclose(np.abs(space.project(values).coordinates), np.abs(expected), atol=1e-8)
    assert space.variance_kept == pytest.approx(1.0)


def test_keeps_as_many_components_as_the_variance_needs():
    values = cloud(1).values["Li"]
    shares = fit(values, variance=1.0).variance_shares
    wanted = float(shares[:3].sum()) - 1e-6
    space = fit(values, variance=wanted)
    assert space.n_components == 3
    assert space.variance_kept >= wanted
    assert fit(values, variance=0.01).n_components == 2
    assert fit(values, variance=1.0, max_components=4).n_components == 4


def test_constant_features_are_left_out_and_a_difference_in_one_is_marked():
    generator = np.random.default_rng(0)
    values = np.c_[generator.normal(size=(50, 3)), np.full(50, 2.0), np.zeros(50)]
    space = fit(values)
    assert space.n_constant == 2
    same, other, noise = values[:1].copy(), values[:1].copy(), values[:1].copy()
    other[0, 4] = 0.01
    noise[0, 3] *= 1 + 1e-5
    assert not space.project(same.astype(np.float32)).off[0]
    assert space.project(other.astype(np.float32)).off[0]
    assert not space.project(noise.astype(np.float32)).off[0]


def test_the_fitted_set_is_never_off_its_own_space():
    values = np.random.default_rng(3).normal(size=(200, 4)) * [1, 1e-4, 1e-6, 1e-9] + [1, 1, 1, 0]
    assert not fit(values).project(values.astype(np.float32)).off.any()


def test_a_single_environment_and_a_single_varying_feature_still_make_a_plane():
    single = fit([[1.0, 2.0, 3.0]])
    assert single.n_components == 2
    assert single.n_constant == 3
    np.testing.assert_array_equal(single.project(np.ones((1, 3), dtype=np.float32)).coordinates, [[0, 0]])
    line = fit([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    assert line.n_components == 2
    assert line.variance_kept == pytest.approx(1.0)
    assert np.ptp(line.project(np.array([[1, 0], [4, 0]], dtype=np.float32)).coordinates[:, 1]) == 0


def test_fewer_environments_than_features():
    values = np.random.default_rng(0).normal(size=(3, 10))
    assert fit(values, variance=1.0).n_components == 2


def test_nothing_to_fit_on():
    with pytest.raises(ValueError, match="at least one"):
        fit(np.zeros((0, 3)))
