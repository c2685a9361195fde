from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from llzo_al.selection.calibration import MIN_FRAMES, Calibration, Compared, Signs, calibrate


def compared(group, deviation, novelty, distance, error):
    signs = Signs(mean_deviation_eV_per_A=float(deviation), novelty=float(novelty), distance=float(distance))
    return Compared(group=group, signs=signs, force_rmse_meV_per_A=float(error))


def frames(n=60, scatter=0.2, groups=6, seed=0):
    """Errors of 0.3 eV/angstrom x deviation^0.8 x exp(2 novelty) x distance^0.5, with scatter."""
    generator = np.random.default_rng(seed)
    deviation = np.exp(generator.normal(-2.0, 0.7, size=n))
    novelty = generator.uniform(0, 0.5, size=n)
    distance = generator.uniform(0.3, 1.5, size=n)
    noise = generator.normal(scale=scatter, size=n)
    error = 300 * deviation**0.8 * np.exp(2 * novelty + noise) * distance**0.5
    rows = zip(deviation, novelty, distance, error, strict=True)
    return [compared(f"run {index % groups}", *row) for index, row in enumerate(rows)]


def test_finds_the_law_that_errors_follow():
    fit = calibrate(frames(n=400, scatter=0.1))
    assert fit.deviation_exponent == pytest.approx(0.8, abs=0.03)
    assert fit.novelty_coefficient == pytest.approx(2.0, abs=0.15)
    assert fit.distance_exponent == pytest.approx(0.5, abs=0.05)
    assert np.exp(fit.intercept) == pytest.approx(0.3, rel=0.1)
    assert fit.scatter == pytest.approx(0.1, rel=0.1)
    assert fit.explained > 0.95
    assert fit.within_interval == pytest.approx(0.9, abs=0.05)
    assert fit.rank_correlation_deviation > 0.8
    assert fit.rank_correlation_predicted > fit.rank_correlation_deviation > fit.rank_correlation_distance
    known = Signs(mean_deviation_eV_per_A=0.1, novelty=0.0, distance=0.6)
    (predicted,) = fit.predict_meV_per_A([known])
    assert predicted == pytest.approx(300 * 0.1**0.8 * 0.6**0.5, rel=0.1)
    assert np.isnan(fit.predict_meV_per_A([replace(known, distance=np.nan)])).all()
    assert fit.predict_meV_per_A([]).shape == (0,)
    assert Calibration.from_dict(fit.as_dict()) == fit


def test_what_has_nothing_to_do_with_the_error_predicts_nothing():
    generator = np.random.default_rng(1)
    shuffled = generator.permutation([one.force_rmse_meV_per_A for one in frames()])
    mixed = [
        replace(one, force_rmse_meV_per_A=float(error)) for one, error in zip(frames(), shuffled, strict=True)
    ]
    fit = calibrate(mixed)
    assert fit.explained < 0.1
    assert abs(fit.rank_correlation_deviation) < 0.4
    assert calibrate(frames()).explained > 0.8


def test_a_frame_is_predicted_without_its_own_trajectory():
    """Each trajectory has an error level of its own: within it all agree, between them nothing does."""
    generator = np.random.default_rng(3)
    rows = [
        compared(f"run {run}", 0.1 * 1.5**run * np.exp(generator.normal(scale=0.01)), 0.0, 1.0, level)
        for run, level in enumerate([100.0, 400.0, 80.0, 300.0])
        for _ in range(10)
    ]
    assert calibrate(rows).explained < 0.1


def test_too_few_frames_or_trajectories_are_not_fitted():
    assert calibrate(frames(n=MIN_FRAMES - 1)) is None
    assert calibrate(frames(groups=1)) is None
    assert calibrate(frames(n=MIN_FRAMES)) is not None


def test_frames_of_which_something_is_unknown_are_left_out():
    bad = [compared("x", np.nan, 0.1, 1.0, 10.0), compared("x", 0.1, 0.1, np.nan, 10.0)]
    assert calibrate([*frames(), *bad]).n_frames == 60


def test_what_is_compared_is_kept_as_it_is():
    one = frames()[0]
    assert Compared.from_dict(json.loads(json.dumps(one.as_dict()))) == one


def test_says_in_words_how_far_to_trust_it():
    fit = calibrate(frames())
    assert fit.in_words.startswith(
        "force error from deviation, novelty and distance, 60 frames of 6 trajectories: "
    )
    assert "90 % lie within a factor of 1.5" in fit.in_words
    json.dumps(fit.as_dict(), allow_nan=False)
