from __future__ import annotations

import json

import numpy as np
import pytest

from llzo_al.selection.calibration import MIN_FRAMES, Compared, calibrate


def frames(n=60, scatter=0.2, groups=6, seed=0):
    """Errors that follow the power law: 0.3 eV/angstrom x deviation^0.8 x exp(2 novelty), with scatter."""
    generator = np.random.default_rng(seed)
    deviation = np.exp(generator.normal(-2.0, 0.7, size=n))
    novelty = generator.uniform(0, 0.5, size=n)
    error = 300 * deviation**0.8 * np.exp(2 * novelty + generator.normal(scale=scatter, size=n))
    return [
        Compared(
            group=f"run {index % groups}",
            force_deviation_eV_per_A=float(deviation[index]),
            novelty=float(novelty[index]),
            force_rmse_meV_per_A=float(error[index]),
        )
        for index in range(n)
    ]


def test_finds_the_law_that_errors_follow():
    fit = calibrate(frames(n=400, scatter=0.1))
    assert fit.deviation_exponent == pytest.approx(0.8, abs=0.03)
    assert fit.novelty_coefficient == pytest.approx(2.0, abs=0.15)
    assert np.exp(fit.intercept) == pytest.approx(0.3, rel=0.1)
    assert fit.scatter == pytest.approx(0.1, rel=0.1)
    assert fit.explained > 0.95
    assert fit.within_interval == pytest.approx(0.9, abs=0.05)
    assert fit.rank_correlation_deviation > 0.8
    (predicted,) = fit.predict_meV_per_A(np.array([0.1]), np.array([0.0]))
    assert predicted == pytest.approx(300 * 0.1**0.8, rel=0.1)
    back = fit.deviation_for_error(float(predicted))
    assert back == pytest.approx(0.1, rel=1e-6)


def test_what_has_nothing_to_do_with_the_error_predicts_nothing():
    generator = np.random.default_rng(1)
    shuffled = generator.permutation([one.force_rmse_meV_per_A for one in frames()])
    mixed = [
        Compared(**{**vars(one), "force_rmse_meV_per_A": float(error)})
        for one, error in zip(frames(), shuffled, strict=True)
    ]
    fit = calibrate(mixed)
    assert fit.explained < 0.1
    assert abs(fit.rank_correlation_deviation) < 0.4
    assert calibrate(frames()).explained > 0.8


def test_a_frame_is_predicted_without_its_own_trajectory():
    """Each trajectory has an error level of its own: within it all agree, between them nothing does."""
    generator = np.random.default_rng(3)
    rows = [
        Compared(
            group=f"run {run}",
            force_deviation_eV_per_A=float(0.1 * 1.5**run * np.exp(generator.normal(scale=0.01))),
            novelty=0.0,
            force_rmse_meV_per_A=float(level),
        )
        for run, level in enumerate([100.0, 400.0, 80.0, 300.0])
        for _ in range(10)
    ]
    assert calibrate(rows).explained < 0.1


def test_too_few_frames_or_trajectories_are_not_fitted():
    assert calibrate(frames(n=MIN_FRAMES - 1)) is None
    assert calibrate(frames(groups=1)) is None
    assert calibrate(frames(n=MIN_FRAMES)) is not None


def test_frames_without_a_deviation_are_left_out():
    bad = Compared(group="x", force_deviation_eV_per_A=float("nan"), novelty=0.1, force_rmse_meV_per_A=10.0)
    assert calibrate([*frames(), bad]).n_frames == 60


def test_says_in_words_how_far_to_trust_it():
    fit = calibrate(frames())
    assert fit.in_words.startswith("force error from deviation and novelty, 60 frames of 6 trajectories: ")
    assert "90 % lie within a factor of 1.4" in fit.in_words
    json.dumps(fit.as_dict(), allow_nan=False)
