from pathlib import Path

import numpy as np
import pytest

from llzo_al.config.initial_data import Crystals
from llzo_al.structures.crystals import crystal_frames
from llzo_al.structures.library import load_structure

HERE = Path()


def crystals(**changes):
    values = {"kind": "crystals", "structures": ["Li2O", "ZrO2"], "scale_factors": [0.98, 1.02]}
    return Crystals(**{**values, **changes})


def by_group(made):
    frames = list(made)
    groups = {frame.provenance.group: frame for frame in frames}
    assert len(groups) == len(frames)
    return groups


def test_crystals_are_scaled_and_rattled():
    frames = by_group(crystal_frames(crystals(rattled_copies=2), base=HERE, seed=1))
    assert len(frames) == 2 * 2 * 3
    plain = load_structure("Li2O", base=HERE)
    still, moved = frames["crystals/Li2O/0.98/0"], frames["crystals/Li2O/0.98/1"]
    assert still.provenance.kind == "Li2O"
    assert still.provenance.details["scale_factor"] == 0.98
    np.testing.assert_allclose(still.cell_A, 0.98 * plain.cell, atol=1e-6)
    np.testing.assert_allclose(still.positions_A, 0.98 * plain.positions, atol=1e-6)
    np.testing.assert_allclose(moved.cell_A, still.cell_A)


def test_rattling_has_the_given_width():
    source = crystals(structures=["t-LLZO"], scale_factors=[1.0], rattled_copies=3, rattle_std_A=0.07)
    still, *moved = crystal_frames(source, base=HERE, seed=4)
    shifts = np.concatenate([frame.positions_A - still.positions_A for frame in moved])
    assert shifts.std() == pytest.approx(0.07, rel=0.05)
    assert abs(shifts.mean()) < 0.005


def test_a_frame_depends_on_its_name_and_the_seed_but_not_on_the_list():
    few = by_group(crystal_frames(crystals(rattled_copies=1), base=HERE, seed=1))
    many = by_group(
        crystal_frames(
            crystals(structures=["La2O3", "ZrO2", "Li2O"], scale_factors=[1.02, 1.0, 0.98], rattled_copies=3),
            base=HERE,
            seed=1,
        )
    )
    other = by_group(crystal_frames(crystals(rattled_copies=1), base=HERE, seed=2))
    for group, frame in few.items():
        np.testing.assert_array_equal(frame.positions_A, many[group].positions_A)
    group = "crystals/ZrO2/0.98/1"
    assert not np.allclose(few[group].positions_A, other[group].positions_A)
    displaced = [
        many[f"crystals/ZrO2/0.98/{copy}"].positions_A - many["crystals/ZrO2/0.98/0"].positions_A
        for copy in (1, 2)
    ]
    assert not np.allclose(*displaced)


def test_cells_of_one_crystal_share_no_group():
    groups = {
        frame.provenance.group
        for primitive in (False, True)
        for supercell in ([1, 1, 1], [1, 1, 2])
        for frame in crystal_frames(
            crystals(structures=["Li2O"], primitive=primitive, supercell=supercell, rattled_copies=0),
            base=HERE,
            seed=1,
        )
    }
    assert len(groups) == 4 * 2
    assert "crystals/Li2O.primitive.1x1x2/0.98/0" in groups


def test_without_copies_there_is_one_frame_for_each_scale_factor():
    assert len(list(crystal_frames(crystals(rattled_copies=0), base=HERE, seed=1))) == 4


def test_scaling_is_linear_or_by_volume_as_the_key_says():
    plain = load_structure("Li2O", base=HERE).get_volume()

    def volumes(**changes):
        source = crystals(structures=["Li2O"], rattled_copies=0, **changes)
        return {
            frame.provenance.group: np.linalg.det(frame.cell_A) / plain
            for frame in crystal_frames(source, base=HERE, seed=1)
        }

    assert volumes(scale_factors=[0.8, 1.2]) == pytest.approx(
        {"crystals/Li2O/0.8/0": 0.8**3, "crystals/Li2O/1.2/0": 1.2**3}, rel=1e-5
    )
    assert volumes(scale_factors=None, volume_factors=[0.8, 1.2]) == pytest.approx(
        {"crystals/Li2O/V0.8/0": 0.8, "crystals/Li2O/V1.2/0": 1.2}, rel=1e-5
    )
    assert len(volumes(scale_factors=None)) == 5


def test_volume_factors_are_in_the_provenance():
    source = crystals(structures=["Li2O"], scale_factors=None, volume_factors=[0.9], rattled_copies=1)
    still, moved = crystal_frames(source, base=HERE, seed=1)
    assert still.provenance.details == {"volume_factor": 0.9, "copy": 0, "rattle_std_A": 0.0}
    assert moved.provenance.details == {"volume_factor": 0.9, "copy": 1, "rattle_std_A": 0.05}


def test_strained_copies_keep_their_fractional_coordinates_and_vary_in_all_six_components():
    source = crystals(
        structures=["ZrO2"],
        scale_factors=[1.0],
        rattled_copies=0,
        rattle_std_A=0.0,
        strained_copies=200,
        strain_std=0.03,
    )
    still, *strained = crystal_frames(source, base=HERE, seed=2)
    cell = load_structure("ZrO2", base=HERE).cell
    strains = np.array([np.linalg.solve(cell, frame.cell_A) - np.eye(3) for frame in strained])
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1), atol=2e-6)
    np.testing.assert_allclose(strains, [f.provenance.details["strain"] for f in strained], atol=2e-6)
    for i, j in zip(*np.triu_indices(3), strict=True):
        assert strains[:, i, j].std() == pytest.approx(0.03, rel=0.2)
    scaled = still.to_atoms().get_scaled_positions()
    np.testing.assert_allclose(strained[0].to_atoms().get_scaled_positions(), scaled, atol=1e-5)
    groups = [frame.provenance.group for frame in strained]
    assert groups[:2] == ["crystals/ZrO2/1/strain1", "crystals/ZrO2/1/strain2"]


def test_strained_copies_are_displaced_too():
    source = crystals(structures=["t-LLZO"], scale_factors=[1.0], rattled_copies=0, strained_copies=1)
    still, strained = crystal_frames(source, base=HERE, seed=2)
    moved = strained.to_atoms().get_scaled_positions() - still.to_atoms().get_scaled_positions()
    moved -= np.rint(moved)
    assert (moved @ strained.cell_A).std() == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"volume_factors": [0.9]}, "given beside scale_factors"),
        ({"strained_copies": 1, "strain_std": 0.0}, "strain_std: is 0; copies that are not strained"),
        ({"rattle_std_A": 0.0}, "rattle_std_A: is 0; copies that are not displaced"),
    ],
)
def test_contradictions_are_named(keys, message):
    with pytest.raises(ValueError, match=message):
        crystals(**keys)
