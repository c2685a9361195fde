from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from llzo_al.errors import UserError
from llzo_al.structures.library import CRYSTALS, builtin_names, load_structure

HERE = Path()


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "formula", "n_atoms", "n_primitive", "shortest_A", "density_g_per_cm3"),
    [
        ("t-LLZO", "Li7La3Zr2O12", 192, 96, 1.891, 5.11),
        ("Li", "Li", 2, 1, 3.040, 0.53),
        ("Li2O", "Li2O", 12, 3, 2.000, 2.01),
        ("La2O3", "La2O3", 5, 5, 2.367, 6.57),
        ("ZrO2", "ZrO2", 12, 12, 2.052, 5.81),
    ],
)
def test_crystals_have_their_published_composition_symmetry_and_density(
    name, formula, n_atoms, n_primitive, shortest_A, density_g_per_cm3
):
    atoms = load_structure(name, base=HERE)
    structure = AseAtomsAdaptor.get_structure(atoms)
    assert len(atoms) == n_atoms
    assert structure.composition.reduced_composition == type(structure.composition)(formula)
    assert SpacegroupAnalyzer(structure, symprec=1e-3).get_space_group_number() == CRYSTALS[name].space_group
    assert structure.density == pytest.approx(density_g_per_cm3, abs=0.02)
    assert neighbor_list("d", atoms, 3.2).min() == pytest.approx(shortest_A, abs=1e-3)

    primitive = load_structure(name, base=HERE, primitive=True)
    assert len(primitive) == n_primitive
    assert primitive.get_volume() / n_primitive == pytest.approx(atoms.get_volume() / n_atoms)
    assert np.linalg.det(primitive.cell) > 0


def test_tetragonal_llzo_is_near_the_crystal_that_was_relaxed_with_pbe():
    """The relaxed cell has been passed round as Li7La3Zr2O12.cif since the Materials Project made it."""
    sites = {
        "Li": [(0.0805155, 0.1624655, 0.9308565), (0.181211, 0.181211, 0.75), (0, 0, 0)],
        "La": [(0.12737, 0.25, 0.375), (0, 0, 0.25)],
        "Zr": [(0, 0.25, 0.125)],
        "O": [
            (0.034616, 0.694517, 0.471296),
            (0.054963, 0.102443, 0.090667),
            (0.150823, 0.223227, 0.571236),
        ],
    }
    relaxed = Structure.from_spacegroup(
        "I4_1/acd",
        Lattice.tetragonal(13.23607, 12.701706),
        [element for element, positions in sites.items() for _ in positions],
        [position for positions in sites.values() for position in positions],
    )
    published = AseAtomsAdaptor.get_structure(load_structure("t-LLZO", base=HERE, primitive=True))
    matcher = StructureMatcher(primitive_cell=False)
    rms, furthest = matcher.get_rms_dist(published, relaxed.get_primitive_structure())
    unit_A = (published.volume / len(published)) ** (1 / 3)
    assert rms * unit_A < 0.03
    assert furthest * unit_A < 0.06


def test_every_builtin_names_its_reference():
    assert set(builtin_names()) >= {"t-LLZO", "c-LLZO", "Li", "Li2O", "La2O3", "ZrO2"}
    assert all("19" in entry.reference or "20" in entry.reference for entry in CRYSTALS.values())


def test_supercell_repeats_along_each_vector():
    atoms = load_structure("Li2O", base=HERE, primitive=True, supercell=[1, 2, 3])
    assert len(atoms) == 18
    single = load_structure("Li2O", base=HERE, primitive=True)
    np.testing.assert_allclose(atoms.cell, np.diag([1, 2, 3]) @ single.cell)


def test_files_are_read_relative_to_the_base_and_stripped(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.set_initial_charges([1, 0, 0, -1])
    atoms.info["energy"] = 3.0
    atoms.write(tmp_path / "cu.extxyz")
    read = load_structure("cu.extxyz", base=tmp_path)
    np.testing.assert_allclose(read.positions, atoms.positions)
    assert read.pbc.all()
    assert set(read.arrays) == {"numbers", "positions"}
    assert read.info == {}


@pytest.mark.parametrize(("given", "meant"), [("t-LLZ", "t-LLZO"), ("li2o", "Li2O"), ("LA2O3", "La2O3")])
def test_an_unknown_name_is_refused_with_the_likely_one(given, meant, tmp_path):
    with pytest.raises(UserError, match=f"Did you mean '{meant}'") as raised:
        load_structure(given, base=tmp_path)
    assert all(name in str(raised.value) for name in builtin_names())


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "POSCAR").write_text("no structure\nat all\n")
    with pytest.raises(UserError, match=r"POSCAR: ASE cannot read it"):
        load_structure("POSCAR", base=tmp_path)


def test_a_molecule_has_no_primitive_cell(tmp_path):
    (tmp_path / "m.xyz").write_text("2\n\nLi 0 0 0\nO 0 0 1.8\n")
    with pytest.raises(UserError, match="primitive"):
        load_structure("m.xyz", base=tmp_path, primitive=True)


def test_a_supercell_of_nothing_is_refused():
    with pytest.raises(UserError, match="three positive"):
        load_structure("Li2O", base=HERE, supercell=[1, 0, 1])
