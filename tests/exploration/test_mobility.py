from __future__ import annotations

import numpy as np
import pytest

from llzo_al.exploration.mobility import mobility

SYMBOLS = ["Li"] * 6 + ["O"] * 3


def vibrating(n_frames=40, amplitude=0.15, seed=0):
    generator = np.random.default_rng(seed)
    sites = generator.uniform(0, 10, size=(len(SYMBOLS), 3))
    return sites + generator.normal(scale=amplitude, size=(n_frames, len(SYMBOLS), 3))


def energies(n_frames=40, seed=1):
    return np.random.default_rng(seed).normal(size=n_frames)


def test_vibration_about_one_configuration_is_stuck():
    found = mobility(SYMBOLS, vibrating(), energies())
    assert found.stuck
    assert found.left_site_share == 0
    assert found.reason.startswith("no atom left its site (the farthest moved 0.")
    assert found.displacement_A["Li"] < 0.2


def test_a_hop_is_no_vibration():
    positions = vibrating()
    positions[20:, 0] += [2.5, 0.0, 0.0]
    found = mobility(SYMBOLS, positions, energies())
    assert not found.stuck
    assert found.reason == ""
    assert found.left_site_share == pytest.approx(1 / 9)
    assert found.displacement_A["Li"] > 0.8
    assert found.displacement_A["O"] < 0.5


def test_drift_of_the_whole_is_no_diffusion():
    positions = vibrating() + np.linspace(0, 8, 40)[:, None, None]
    assert mobility(SYMBOLS, positions, energies()).stuck


def test_few_independent_frames_are_told():
    positions = vibrating()
    positions[20:, 0] += [2.5, 0.0, 0.0]
    found = mobility(SYMBOLS, positions, np.linspace(0, 1, 40))
    assert found.stuck
    assert "of 40 frames are independent" in found.reason
    assert found.independent_frames < 5


def test_too_few_frames_say_nothing():
    assert mobility(SYMBOLS, vibrating(3), energies(3)) is None
