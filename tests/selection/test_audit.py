from __future__ import annotations

import json

import numpy as np
import pytest

from llzo_al.config.assessment import Selection
from llzo_al.dataset.frames import Label
from llzo_al.errors import StageError
from llzo_al.selection.audit import Prediction, audit

LIMITS = Selection(energy_error_meV_per_atom=5.0, force_error_meV_per_A=150.0)
FORCES = np.zeros((2, 3))


def label(energy=-40.0, forces=FORCES):
    return Label(energy_eV=energy, forces_eV_per_A=forces, virial_eV=None)


def compare(energy, forces=FORCES, options=LIMITS, reference=None):
    prediction = Prediction(energy_eV=energy, forces_eV_per_A=np.asarray(forces, float))
    (entry,) = audit([prediction], [reference or label()], options)
    return entry


def test_errors_by_hand():
    # 0.02 eV on 2 atoms: 10 meV/atom, 0.05 % of 40 eV. Squares of the components: 0.09 / 6.
    entry = compare(-39.98, [[0.3, 0, 0], [0, 0, 0]])
    assert entry.energy_error_meV_per_atom == pytest.approx(10.0)
    assert entry.force_rmse_meV_per_A == pytest.approx(1000 * np.sqrt(0.015))
    assert entry.relative_energy_error_percent == pytest.approx(0.05)
    assert entry.split == "training"
    assert entry.reason == "energy error 10 > 5 meV/atom; force RMSE 122 <= 150 meV/Å"


@pytest.mark.parametrize(
    ("energy", "force", "split"),
    [
        (-39.999, 0.1, "audit"),
        (-39.98, 0.1, "training"),
        (-39.999, 0.2, "training"),
        (-40.02, 0.0, "training"),
    ],
)
def test_either_error_sends_a_frame_to_training(energy, force, split):
    assert compare(energy, np.full((2, 3), force)).split == split


def test_an_error_at_the_limit_is_within_it():
    options = LIMITS.model_copy(update={"force_error_meV_per_A": 250.0})
    assert compare(-40.0, np.full((2, 3), 0.25), options).split == "audit"


def test_the_relative_limit_replaces_the_absolute_one():
    options = LIMITS.model_copy(update={"relative_energy_error_percent": 1.0})
    entry = compare(-39.98, options=options)
    assert entry.split == "audit"
    assert entry.reason.startswith("energy error 0.05 <= 1 % of the total energy")
    assert compare(-39.5, options=options).split == "training"
    assert compare(0.0, options=options, reference=label(energy=0.0)).split == "training"


def test_a_prediction_that_is_not_finite_goes_to_training():
    entry = compare(np.nan)
    assert entry.split == "training"
    assert "not finite" in entry.reason
    json.dumps(entry.as_dict(), allow_nan=False)


def test_bad_pairs_are_named():
    prediction = Prediction(energy_eV=0.0, forces_eV_per_A=FORCES)
    with pytest.raises(StageError, match="1 predictions for 2 labels"):
        audit([prediction], [label(), label()], LIMITS)
    with pytest.raises(StageError, match=r"frame 0: predicted forces have shape \(3, 3\)"):
        compare(0.0, np.zeros((3, 3)))
    with pytest.raises(StageError, match="frame 0: its label is not finite"):
        compare(0.0, reference=label(energy=np.inf))
