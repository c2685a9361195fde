import json
from dataclasses import replace

import numpy as np
import pytest

from exploration_cases import ELEMENTS, start_frame
from llzo_al.config.exploration import Guard
from llzo_al.errors import UserError
from llzo_al.exploration.guard import GuardLimits, pair_distances_A, violation
from llzo_al.exploration.trajectory import Snapshot


def snapshot_of(frame, **changes):
    return replace(
        Snapshot(
            step=10,
            time_ps=0.01,
            positions_A=frame.positions_A,
            cell_A=frame.cell_A,
            energy_eV=-1.0,
            forces_eV_per_A=np.zeros_like(frame.positions_A),
            virial_eV=np.zeros((3, 3)),
            temperature_K=610.0,
            force_deviation_max_eV_per_A=0.4,
            force_deviation_mean_eV_per_A=0.1,
        ),
        **changes,
    )


def limits_of(guard=None, temperature_K=600.0):
    return GuardLimits.of(guard or Guard(), ELEMENTS, temperature_K)


@pytest.fixture(scope="module")
def frame():
    return start_frame("t-LLZO", primitive=True)


def test_distances_are_a_fraction_of_the_radii_unless_given():
    distances = pair_distances_A(
        Guard(min_distance_fraction=0.5, min_distances_A={"O-Li": 1.3, "H-O": 0.7}), ELEMENTS
    )
    assert len(distances) == 10
    assert distances["Li", "O"] == 1.3
    assert distances["La", "O"] == pytest.approx(0.5 * (2.07 + 0.66))


@pytest.mark.parametrize("key", ["LiO", "Li-Xx", "Li-O-O", ""])
def test_a_key_that_is_no_pair_is_refused(key):
    with pytest.raises(UserError, match=r"min_distances_A: .* is not a pair"):
        limits_of(Guard(min_distances_A={key: 1.0}))


def test_a_crystal_passes(frame):
    assert violation(limits_of(), snapshot_of(frame), frame.symbols) is None
    assert violation(None, snapshot_of(frame), frame.symbols) is None


def test_the_closest_pair_is_told_also_across_a_boundary(frame):
    positions = frame.positions_A.copy()
    lithium = frame.symbols.index("Li")
    oxygen = frame.symbols.index("O")
    positions[oxygen] = positions[lithium] + [0.6, 0.0, 0.8] + frame.cell_A[0] - 2 * frame.cell_A[2]
    broken = violation(limits_of(), snapshot_of(frame, positions_A=positions), frame.symbols)
    assert broken == "Li-O 1.00 Å < 1.16 Å"


@pytest.mark.parametrize("dense_atoms", [0, 600])
def test_the_shortest_distance_agrees_with_a_sum_over_images(frame, monkeypatch, dense_atoms):
    monkeypatch.setattr("llzo_al.exploration.guard.DENSE_ATOMS", dense_atoms)
    shifts = np.array(np.meshgrid(*[[-2, -1, 0, 1, 2]] * 3)).reshape(3, -1).T @ frame.cell_A
    lithium = frame.positions_A[[symbol == "Li" for symbol in frame.symbols]]
    oxygen = frame.positions_A[[symbol == "O" for symbol in frame.symbols]]
    distances = np.linalg.norm(lithium[:, None, None] - oxygen[None, :, None] - shifts[None, None], axis=-1)
    shortest = float(distances.min())

    def check(limit):
        guard = Guard(min_distance_fraction=0.1, min_distances_A={"Li-O": limit})
        return violation(limits_of(guard), snapshot_of(frame), frame.symbols)

    assert check(shortest - 1e-6) is None
    assert check(shortest + 1e-6) is not None


def test_an_atom_sees_its_own_image_in_a_small_cell():
    frame = start_frame(primitive=True, rattle_A=0.0)
    lattice = snapshot_of(frame, cell_A=0.5 * frame.cell_A, positions_A=0.5 * frame.positions_A)
    broken = violation(limits_of(Guard(min_distances_A={"O-O": 1.7, "Li-O": 0.1})), lattice, frame.symbols)
    assert broken == "Li-Li 1.15 Å < 1.54 Å"
    alone = Guard(min_distance_fraction=0.1, min_distances_A={"O-O": 1.7})
    assert violation(limits_of(alone), lattice, frame.symbols) == "O-O 1.63 Å < 1.70 Å"


def test_temperature_and_deviation(frame):
    hot = snapshot_of(frame, temperature_K=1801.0)
    assert violation(limits_of(), hot, frame.symbols) == "temperature 1801 K > 1800 K"
    unsure = snapshot_of(frame, force_deviation_max_eV_per_A=5.2)
    assert violation(limits_of(), unsure, frame.symbols) == "force deviation 5.20 eV/Å > 5.00 eV/Å"


@pytest.mark.parametrize("limited", [True, False])
def test_numbers_that_are_not_finite_are_wrong_with_or_without_limits(frame, limited):
    limits = limits_of() if limited else None
    forces = np.zeros_like(frame.positions_A)
    forces[3, 1] = np.nan
    broken = snapshot_of(frame, forces_eV_per_A=forces, energy_eV=np.inf)
    assert violation(limits, broken, frame.symbols) == "not finite: energy, forces"
    unsure = snapshot_of(frame, force_deviation_max_eV_per_A=np.nan)
    assert violation(limits, unsure, frame.symbols) == "not finite: force deviation"


def test_limits_survive_json():
    limits = limits_of(Guard(min_distances_A={"Li-O": 1.3}))
    assert GuardLimits.from_dict(json.loads(json.dumps(limits.as_dict()))) == limits
