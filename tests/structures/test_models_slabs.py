"""Slabs of published crystals; pymatgen judges whether their surfaces are equivalent."""

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from model_checks import HERE, by_name, charge, counts, shortest
from pymatgen.core.surface import Slab
from pymatgen.io.ase import AseAtomsAdaptor

from llzo_al.config.initial_data import Slabs
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models.planes import crystal_planes
from llzo_al.structures.models.slabs import slab_frames


def frames(**changes):
    return list(by_name(slab_frames(Slabs(kind="slabs", **changes), base=HERE, seed=1)).values())


def pymatgen_slab(frame, miller):
    structure = AseAtomsAdaptor.get_structure(frame.to_atoms())
    return Slab(structure.lattice, structure.species, structure.frac_coords, miller, structure, 0, np.eye(3))


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_symmetric_slabs_of_llzo():
    made = frames()
    assert len(made) == 6
    for frame in made:
        details = frame.provenance.details
        height = np.ptp(frame.positions_A[:, 2])
        assert details["thickness_A"] == pytest.approx(height, abs=1e-3)
        assert 12.0 <= height < 12.0 + 6.7
        assert frame.cell_A[2] == pytest.approx([0, 0, height + 15.0], abs=1e-5)
        assert frame.cell_A[:2, 2] == pytest.approx([0, 0])
        assert frame.positions_A[:, 2].min() == pytest.approx(7.5, abs=1e-5)
        assert shortest(frame) == pytest.approx(1.891, abs=1e-3)
        assert pymatgen_slab(frame, details["miller"]).is_symmetric()
        assert details["dipole_e_A"] == pytest.approx(0, abs=1e-3)
        assert details["formal_charge_e"] == charge(frame)
    first = made[0]
    assert first.provenance.kind == "t-LLZO slab (1 0 0)"
    # 20 Zr have ten formula units: 70 Li, 30 La and 120 O in the crystal.
    assert counts(first) == {"Li": 60, "La": 28, "Zr": 20, "O": 112}
    assert first.provenance.details["excess_over_crystal"] == {"La": -2, "Li": -10, "O": -8}


def test_planes_are_those_of_the_conventional_cell():
    crystal = load_structure("t-LLZO", base=HERE)
    a, c = 13.134, 12.663
    for miller, spacing, area in [
        ([1, 0, 0], a, a * c),
        ([0, 0, 1], c, a * a),
        ([1, 1, 0], a / np.sqrt(2), a * np.sqrt(2) * c / 2),
    ]:
        planes = crystal_planes(crystal, miller, where="test")
        assert planes.area_A2 == pytest.approx(area, rel=1e-4)
        assert (planes.height_A / spacing) % 0.5 == pytest.approx(0, abs=1e-4)
    lithium = crystal_planes(load_structure("Li", base=HERE), [1, 1, 0], where="test")
    assert lithium.area_A2 == pytest.approx(3.51**2 / np.sqrt(2), rel=1e-4)


def test_bonds_are_counted_where_a_slab_cuts_them():
    crystal = load_structure("ZrO2", base=HERE)
    planes = crystal_planes(crystal, [1, 0, 0], where="test")
    cut = planes.bonds_cut({"Zr-O": 2.4})
    for bottom, bonds in cut.items():
        slab = planes.slab(bottom, bottom + 3)
        slab.cell[2, 2] = 60
        bulk_bonds = 3 * len(neighbor_list("i", planes.cell, {("Zr", "O"): 2.4}))
        assert bulk_bonds - len(neighbor_list("i", slab, {("Zr", "O"): 2.4})) == 2 * bonds


def test_slabs_of_the_crystals_composition():
    (slab,) = frames(structures=["Li2O"], miller_indices=[[1, 1, 1]], stoichiometric=True, terminations=1)
    assert counts(slab) == {"Li": 10, "O": 5}
    assert slab.provenance.details["stoichiometric"] is True
    (oxide,) = frames(structures=["ZrO2"], miller_indices=[[0, 0, 1]], stoichiometric=True, terminations=1)
    assert counts(oxide)["O"] == 2 * counts(oxide)["Zr"]


def test_slabs_that_are_not_symmetric_are_whole_layers():
    made = frames(structures=["c-LLZO"], miller_indices=[[0, 0, 1]], symmetric=False)
    for frame in made:
        assert counts(frame) == {"Li": 56, "La": 24, "Zr": 16, "O": 96}
        assert abs(frame.provenance.details["dipole_e_A"]) > 1


def test_supercells_and_displaced_copies_of_a_slab():
    made = frames(
        structures=["Li2O"], miller_indices=[[1, 1, 1]], terminations=1, supercell=[2, 2, 1], rattled_copies=1
    )
    assert [frame.provenance.frame for frame in made] == [0, 1]
    assert made[0].provenance.group == made[1].provenance.group
    assert made[0].n_atoms == 4 * 15


def test_what_has_no_such_slab_is_told():
    with pytest.raises(UserError, match=r"c-LLZO \(0, 0, 1\): .*set symmetric: false"):
        frames(structures=["c-LLZO"], miller_indices=[[0, 0, 1]])
    with pytest.raises(UserError, match=r"none of the 22 terminations .* stoichiometric: false"):
        frames(miller_indices=[[1, 0, 0]], stoichiometric=True)
    with pytest.raises(ValueError, match=r"miller_indices\[0\]: is \[0, 0, 0\]"):
        Slabs(kind="slabs", miller_indices=[[0, 0, 0]])
