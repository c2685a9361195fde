from pathlib import Path

import numpy as np
import pytest

from llzo_al.config.initial_data import Crystals, Dimers, ReferenceMD
from llzo_al.errors import UserError
from llzo_al.structures.initial import crystal_frames, dimer_frames, reference_md_runs
from llzo_al.structures.library import load_structure

HERE = Path()
ELEMENTS = ["Li", "La", "Zr", "O"]


def crystals(**changes):
    values = {"kind": "crystals", "structures": ["Li2O", "ZrO2"], "scale_factors": [0.98, 1.02]}
    return Crystals(**{**values, **changes})


def by_group(frames):
    groups = {frame.provenance.group: frame for frame in frames}
    assert len(groups) == len(frames)
    return groups


def test_dimers_cover_every_pair_at_every_distance():
    frames = dimer_frames(Dimers(kind="dimers", distance_min_A=1.0, distance_max_A=4.0, points=7), ELEMENTS)
    assert len(frames) == 10 * 7
    groups = by_group(frames)
    frame = groups["dimers/Li-O/03"]
    assert frame.symbols == ("Li", "O")
    assert frame.provenance.kind == "dimer Li-O"
    assert frame.provenance.source == "dimers"
    assert frame.provenance.details == {"distance_A": 2.5}
    for each in frames:
        distance = each.to_atoms().get_distance(0, 1, mic=True)
        assert distance == pytest.approx(each.provenance.details["distance_A"], abs=2e-6)


def test_named_pairs_only_in_the_campaigns_order():
    frames = dimer_frames(Dimers(kind="dimers", pairs=["O-Li"], points=2), ELEMENTS)
    assert [frame.symbols for frame in frames] == [("Li", "O")] * 2


@pytest.mark.parametrize("pair", ["Li-F", "LiO", "Li-O-O", "Li"])
def test_a_wrong_pair_is_named(pair):
    with pytest.raises(UserError, match=repr(pair)):
        dimer_frames(Dimers(kind="dimers", pairs=[pair]), ELEMENTS)


def test_a_pair_given_twice_is_refused():
    with pytest.raises(UserError, match="listed twice"):
        dimer_frames(Dimers(kind="dimers", pairs=["Li-O", "O-Li"]), ELEMENTS)


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
    assert len(crystal_frames(crystals(rattled_copies=0), base=HERE, seed=1)) == 4


def test_reference_runs_are_counted_in_steps():
    source = ReferenceMD(
        kind="reference_md",
        structures=["t-LLZO"],
        primitive=True,
        temperatures_K=[600.0, 900.5],
        replicas=2,
        duration_ps=1.05,
        equilibration_ps=0.2,
        timestep_fs=2.0,
        snapshot_interval_fs=100.0,
    )
    runs = reference_md_runs(source, base=HERE, seed=1)
    assert [run.group for run in runs] == [
        "reference_md/t-LLZO.primitive/600K/0",
        "reference_md/t-LLZO.primitive/600K/1",
        "reference_md/t-LLZO.primitive/900.5K/0",
        "reference_md/t-LLZO.primitive/900.5K/1",
    ]
    run = runs[0]
    assert (run.steps, run.equilibration_steps, run.snapshot_steps) == (525, 100, 50)
    assert (run.n_snapshots, run.total_steps) == (10, 600)
    assert run.frame.n_atoms == 96
    assert len({each.seed for each in runs}) == 4
    assert all(0 < each.seed < 2**31 for each in runs)
    assert [each.seed for each in reference_md_runs(source, base=HERE, seed=1)] == [r.seed for r in runs]
    snapshot = run.snapshot(run.frame, 150, 0)
    assert snapshot.provenance.group == run.group
    assert snapshot.provenance.temperature_K == 600
