"""Densities, distances and compositions of what is made, against values worked out by hand."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.structures.library import load_structure
from llzo_al.structures.overview import draw_overview
from llzo_al.structures.summary import Summary, frame_figures, shortest_distances_A


def frame(atoms, kind="kind"):
    return Frame.from_atoms(atoms, Provenance(source="test", kind=kind, group=kind))


def test_lithium_metal():
    figures = frame_figures(frame(bulk("Li", a=3.51, cubic=True)))
    assert figures.density_g_per_cm3 == pytest.approx(2 * 6.94 * 1.66054 / 3.51**3, rel=1e-3)
    assert figures.shortest_A == {"Li-Li": pytest.approx(3.51 * np.sqrt(3) / 2, abs=1e-5)}
    assert figures.composition == "Li"
    assert figures.formal_charge is None


def test_the_images_of_a_small_cell_count(tmp_path):
    primitive = frame_figures(frame(load_structure("Li2O", base=tmp_path, primitive=True)))
    conventional = frame_figures(frame(load_structure("Li2O", base=tmp_path, supercell=[2, 1, 1])))
    assert primitive.shortest_A == pytest.approx(conventional.shortest_A, abs=1e-4)
    assert primitive.shortest_A["Li-O"] == pytest.approx(4.619 * np.sqrt(3) / 4, abs=1e-4)
    assert (primitive.composition, primitive.formal_charge) == ("Li2O", 0)


def test_charge_imbalance_and_a_frames_own_charge():
    atoms = load_structure("Li2O", base=None)
    del atoms[next(atom.index for atom in atoms if atom.symbol == "Li")]
    assert frame_figures(frame(atoms)).composition == "Li7O4"
    assert frame_figures(frame(atoms)).formal_charge == -1
    atoms.info["charge"] = -1
    assert frame_figures(frame(atoms)).formal_charge == 0


def test_without_a_cell_or_in_a_nearly_empty_one_there_is_no_density():
    molecule = Atoms("LiO", positions=[[0, 0, 0], [1.7, 0, 0]])
    assert frame_figures(frame(molecule)).density_g_per_cm3 is None
    assert shortest_distances_A(frame(molecule)) == {"Li-O": pytest.approx(1.7)}
    molecule.set_cell([20, 20, 20])
    molecule.pbc = True
    assert frame_figures(frame(molecule)).density_g_per_cm3 is None


def test_distances_across_a_slabs_vacuum_do_not_count():
    atoms = Atoms("Li2", positions=[[0, 0, 0.1], [0, 0, 3.9]], cell=[9, 9, 4], pbc=[True, True, False])
    assert shortest_distances_A(frame(atoms)) == {"Li-Li": pytest.approx(3.8)}
    atoms.pbc = True
    assert shortest_distances_A(frame(atoms)) == {"Li-Li": pytest.approx(0.2)}


def test_a_summary_adds_up_and_is_drawn(tmp_path):
    summary = Summary()
    for factor in (0.9, 1.0, 1.1):
        for name in ("Li2O", "ZrO2"):
            atoms = load_structure(name, base=tmp_path)
            atoms.set_cell(atoms.cell * factor, scale_atoms=True)
            summary.add(frame(atoms, name))
    data = summary.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["frames"] == 6
    lithia = data["kinds"]["Li2O"]
    assert (lithia["frames"], lithia["atoms"], lithia["compositions"]) == (3, [12, 12], {"Li2O": 3})
    assert lithia["density_g_per_cm3"] == pytest.approx([2.014 / 1.1**3, 2.014 / 0.9**3], rel=2e-3)
    assert lithia["shortest_of_pairs_A"]["Li-O"] == pytest.approx(0.9 * 2.0, abs=1e-3)
    assert lithia["formal_charges"] == {"0": 3}
    assert summary.kinds["ZrO2"].shortest_pair == ("Zr-O", pytest.approx(0.9 * 2.052, abs=1e-3))
    draw_overview(summary, tmp_path / "o.png", title="title")
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["o.png"]


def test_many_kinds_are_drawn_together(tmp_path):
    summary = Summary()
    for number in range(30):
        summary.add(frame(bulk("Li", a=3.4 + 0.01 * number, cubic=True) * (3, 1, 1), f"kind {number}"))
    draw_overview(summary, tmp_path / "o.png", title="title")
    assert (tmp_path / "o.png").stat().st_size > 10_000
