from collections import Counter

import numpy as np
import pytest
from model_checks import ELEMENTS, HERE, by_name, charge, density, shortest

from llzo_al.config.initial_data import Blocks
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models.blocks import block_frames


def frames(*, base=HERE, seed=1, **changes):
    source = Blocks(**{"kind": "blocks", **changes})
    return by_name(block_frames(source, ELEMENTS, base=base, seed=seed))


def test_64_blocks_of_5184_atoms_in_boxes_of_40_angstrom():
    named = frames(structure="t-LLZO", parent_supercell=[3, 3, 3])
    assert len(named) == 64
    assert len({group for group, _ in named}) == 64
    together = Counter()
    for frame in named.values():
        together.update(frame.symbols)
        np.testing.assert_allclose(frame.cell_A, 40 * np.eye(3))
        extent = np.ptp(frame.positions_A, axis=0)
        assert (extent <= np.array([13.134, 13.134, 12.663]) * 3 / 4 + 1e-5).all()
        assert frame.provenance.details["formal_charge_e"] == charge(frame)
    # Every atom of the large cell is in one block.
    assert together == {"Li": 56 * 27, "La": 24 * 27, "Zr": 16 * 27, "O": 96 * 27}
    sizes = [frame.n_atoms for frame in named.values()]
    assert np.mean(sizes) == 81


def test_atoms_of_a_block_are_where_they_were():
    named = frames(structure="t-LLZO", divisions=[1, 1, 2], box_length_A=30.0)
    parent = load_structure("t-LLZO", base=HERE)
    for (group, _), frame in named.items():
        low = 0.5 * int(group[-1]) * 12.663
        inside = (parent.positions[:, 2] % 12.663 >= low) & (
            parent.positions[:, 2] % 12.663 < low + 12.663 / 2
        )
        assert frame.n_atoms == inside.sum()
        assert shortest(frame) == pytest.approx(1.891, abs=1e-3)


def test_a_melt_is_packed_and_cut():
    named = frames(melt={"n_atoms": 400, "density_g_per_cm3": 4.2}, divisions=[2, 2, 2], max_blocks=3)
    more = frames(melt={"n_atoms": 400, "density_g_per_cm3": 4.2}, divisions=[2, 2, 2], max_blocks=5)
    assert len(named) == 3
    assert set(named) <= set(more)
    frame = next(iter(named.values()))
    assert frame.provenance.kind == "block of melt Li7:La3:Zr2"
    assert frame.provenance.details["parent_density_g_per_cm3"] == pytest.approx(4.2, abs=1e-4)
    assert density(frame) < 1


def test_a_frame_of_a_trajectory_can_be_the_large_cell(tmp_path):
    crystal = load_structure("Li2O", base=HERE, supercell=[2, 2, 2])
    melted = crystal.copy()
    melted.positions += np.random.default_rng(1).normal(scale=0.2, size=melted.positions.shape)
    crystal.write(tmp_path / "md.extxyz")
    melted.write(tmp_path / "md.extxyz", append=True)
    last = frames(structure="md.extxyz", base=tmp_path, divisions=[2, 2, 2], box_length_A=20.0)
    first = frames(structure="md.extxyz", frame=0, base=tmp_path, divisions=[2, 2, 2], box_length_A=20.0)
    assert sum(frame.n_atoms for frame in last.values()) == 96
    assert not set(first) & set(last)
    with pytest.raises(UserError, match=r"md\.extxyz: ASE cannot read it"):
        frames(structure="md.extxyz", frame=7, base=tmp_path)


def test_a_block_that_does_not_fit_into_its_box_is_refused():
    with pytest.raises(
        UserError, match=r"13.1 x 13.1 x 6.3 angstrom; .* does not fit into box_length_A \(20\)"
    ):
        frames(structure="t-LLZO", divisions=[1, 1, 2], box_length_A=20.0)


def test_contradictions_are_found_in_the_file():
    with pytest.raises(ValueError, match="neither is given"):
        Blocks(kind="blocks")
    with pytest.raises(ValueError, match="both are given"):
        Blocks(kind="blocks", structure="t-LLZO", melt={})
    with pytest.raises(ValueError, match="must be smaller than box_length_A"):
        Blocks(kind="blocks", structure="t-LLZO", vacuum_min_A=50.0)
    with pytest.raises(ValueError, match="holds O"):
        Blocks(kind="blocks", melt={"composition": {"O": 1.0}})
