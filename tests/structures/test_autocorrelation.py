"""Strides from autocorrelation, on series whose time is known exactly."""

import math

import numpy as np
import pytest
from ase.build import bulk

from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.structures.autocorrelation import choose_stride, frame_observables, pair_sums
from llzo_al.timeseries import integrated_time


def autoregressive(memory, n, seed=1):
    """x(t) = memory x(t - 1) + noise: integrated time (1 + memory) / (1 - memory) / 2."""
    noise = np.random.default_rng(seed).normal(size=n)
    values = np.empty(n)
    values[0] = noise[0] / math.sqrt(1 - memory**2)
    for step in range(1, n):
        values[step] = memory * values[step - 1] + noise[step]
    return values


@pytest.mark.parametrize(("memory", "expected"), [(0.0, 0.5), (0.5, 1.5), (0.9, 9.5), (0.98, 49.5)])
def test_the_time_of_a_known_process_is_found(memory, expected):
    times = [integrated_time(autoregressive(memory, 40_000, seed))[0] for seed in range(8)]
    assert np.mean(times) == pytest.approx(expected, rel=0.08)


def test_the_stated_error_is_the_scatter_of_the_estimates():
    series = [autoregressive(0.8, 4000, seed) for seed in range(200)]
    times = [integrated_time(each)[0] for each in series]
    stated = np.mean([choose_stride({"x": each}, fallback=1).relative_error for each in series])
    assert np.std(times) / np.mean(times) == pytest.approx(stated, rel=0.35)


def test_frames_at_the_stride_are_independent():
    series = autoregressive(0.9, 100_000)
    choice = choose_stride({"energy": series}, fallback=1)
    assert choice.estimated
    assert choice.stride == pytest.approx(19, abs=2)
    thinned = series[list(choice.kept())]
    assert abs(np.corrcoef(thinned[1:], thinned[:-1])[0, 1]) < 0.16


def test_the_slowest_observable_decides():
    fast, slow = autoregressive(0.2, 5000), autoregressive(0.9, 5000, seed=2)
    choice = choose_stride({"fast": fast, "slow": slow}, fallback=1)
    assert choice.observable == "slow"
    assert choice.stride == choose_stride({"slow": slow}, fallback=1).stride


def test_what_does_not_vary_says_nothing():
    series = autoregressive(0.5, 2000)
    alone = choose_stride({"varies": series}, fallback=7)
    assert choose_stride({"varies": series, "constant": np.full(2000, 3.7)}, fallback=7) == alone


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (np.arange(10.0), "10 samples are too few"),
        (np.ones(500), "nothing varies over 500 samples"),
        (np.arange(500.0), "of which 500 samples are"),
        (autoregressive(0.98, 500), "50 are needed"),
    ],
)
def test_a_series_without_an_estimate_takes_the_stated_stride_and_says_so(series, reason):
    choice = choose_stride({"energy": series}, fallback=7)
    assert (choice.stride, choice.estimated) == (7, False)
    assert reason in choice.reason
    assert "stated stride" in choice.reason


def test_a_stride_longer_than_the_series_keeps_its_last_sample():
    choice = choose_stride({"energy": np.arange(5.0)}, fallback=9)
    assert list(choice.kept()) == [4]
    assert list(choose_stride({}, fallback=9).kept()) == []


def frame_of(atoms):
    return Frame.from_atoms(atoms, Provenance(source="test", kind="test", group="test"))


def test_pair_sums_are_those_of_all_pairs_and_images():
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    sums = pair_sums(frame_of(atoms))
    expected = {"Cl-Cl": 0.0, "Cl-Na": 0.0, "Na-Na": 0.0}
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3), axis=-1).reshape(-1, 3) * 5.64
    for a in atoms:
        for b in atoms:
            distances = np.linalg.norm(b.position + shifts - a.position, axis=1)
            near = distances[(distances > 0) & (distances < 4.5)]
            name = "-".join(sorted([a.symbol, b.symbol]))
            expected[name] += np.exp(-((near / 1.5) ** 2)).sum()
    assert sums == pytest.approx(expected)
    assert pair_sums(frame_of(atoms.repeat(2)))["Cl-Na"] == pytest.approx(8 * sums["Cl-Na"])


def test_energies_are_looked_at_where_all_are_known():
    frame = frame_of(bulk("Cu"))
    assert list(frame_observables([(frame, 1.0), (frame, 2.0)])) == ["potential energy"]
    assert list(frame_observables([(frame, None), (frame, None)])) == ["Cu-Cu pair sum"]
    assert frame_observables([(frame, 1.0), (frame, None)]) == {}
    assert frame_observables([]) == {}
