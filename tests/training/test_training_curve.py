"""Learning curves: reading, divergence, continuing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from llzo_al.training.lcurve import (
    EXPLODED_FACTOR,
    LabelScale,
    LearningPoint,
    find_divergence,
    read_learning_curve,
    truncate_learning_curve,
)

SCALE = LabelScale(energy_eV_per_atom=4.0, force_eV_per_A=3.0)
CURVE = """\
#  step       rmse_trn    rmse_e_trn    rmse_f_trn    rmse_v_trn   lr
# If there is no available reference data, rmse_*_{val,trn} will print nan
      0      3.09e+01      1.02e+00      9.75e-01           nan    1.0e-03
     50      1.00e+01      8.36e-02      9.92e-01      2.58e-02    1.0e-04
"""


def point(step: int, force: float | None = 0.5, loss: float = 1.0, energy: float = 0.1) -> LearningPoint:
    return LearningPoint(
        step=step,
        loss=loss,
        energy_rmse_eV_per_atom=energy,
        force_rmse_eV_per_A=force,
        virial_rmse_eV_per_atom=math.nan,
        learning_rate=1e-3,
    )


def test_columns_are_found_by_name(tmp_path: Path):
    path = tmp_path / "lcurve.out"
    path.write_text(CURVE)
    first, second = read_learning_curve(path)
    assert (first.step, first.loss, first.energy_rmse_eV_per_atom) == (0, 30.9, 1.02)
    assert math.isnan(first.virial_rmse_eV_per_atom)
    assert (second.force_rmse_eV_per_A, second.virial_rmse_eV_per_atom) == (0.992, 0.0258)
    assert second.learning_rate == 1e-4


def test_training_columns_are_read_beside_validation_ones(tmp_path: Path):
    path = tmp_path / "lcurve.out"
    path.write_text(
        "#  step   rmse_val   rmse_trn   rmse_f_val   rmse_f_trn   lr\n 10 1.0 2.0 3.0 4.0 1e-3\n"
    )
    (only,) = read_learning_curve(path)
    assert (only.loss, only.force_rmse_eV_per_A, only.energy_rmse_eV_per_atom) == (2.0, 4.0, None)


@pytest.mark.parametrize("cut", range(1, 70, 7))
def test_line_that_is_being_written_is_left_out(tmp_path: Path, cut: int):
    path = tmp_path / "lcurve.out"
    path.write_text(CURVE[:-cut])
    assert [item.step for item in read_learning_curve(path)] == [0]


def test_missing_curve_has_no_points(tmp_path: Path):
    assert read_learning_curve(tmp_path / "lcurve.out") == []


def test_continued_curve_has_every_step_once(tmp_path: Path):
    path = tmp_path / "lcurve.out"
    path.write_text(
        CURVE + "    100      1.00e+00      1.00e-02      1.00e-01      1.00e-02    1.0e-05\n   1"
    )
    truncate_learning_curve(path, before_step=50)
    assert [item.step for item in read_learning_curve(path)] == [0]
    path.write_text(
        path.read_text()
        + CURVE.replace("      0  ", "     50  ").replace("     50      1.00", "    100      1.00")
    )
    assert [item.step for item in read_learning_curve(path)] == [0, 50, 100]


def test_healthy_training_has_not_diverged():
    points = [point(step, force) for step, force in ((0, 2.0), (10, 1.0), (20, 40.0), (30, 0.1))]
    assert find_divergence(points, SCALE) is None
    assert find_divergence([], SCALE) is None
    assert find_divergence([point(0, None)], SCALE) is None


@pytest.mark.parametrize(
    "bad", [point(20, loss=math.nan), point(20, force=math.inf), point(20, energy=math.nan)]
)
def test_not_a_number_is_a_divergence(bad: LearningPoint):
    found = find_divergence([point(0), point(10), bad, point(30)], SCALE)
    assert found is not None
    assert found.step == 20
    assert "not a number" in found.reason


def test_explosion_takes_two_lines_in_a_row():
    limit = EXPLODED_FACTOR * 3.0
    once = [point(0), point(10, 1.1 * limit), point(20), point(30, 1.1 * limit)]
    assert find_divergence(once, SCALE) is None
    found = find_divergence([*once, point(40, 2 * limit)], SCALE)
    assert found is not None
    assert found.step == 40
    assert "60 eV/Å" in found.reason


def test_explosion_of_the_energy_alone_is_seen():
    points = [point(0), *(point(step, energy=41.0) for step in (10, 20))]
    found = find_divergence(points, SCALE)
    assert found is not None
    assert found.step == 20
    assert "energy RMSE is 41 eV/atom" in found.reason
    assert find_divergence([point(step, energy=39.0) for step in (10, 20, 30)], SCALE) is None
