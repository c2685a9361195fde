"""Cubic LLZO is the published crystal of Awaka et al., Chem. Lett. 40, 60 (2011); see the library's entry."""

import numpy as np
import pytest
from model_checks import HERE, by_name, charge, counts, density, same_where_both, shortest
from pymatgen.core.ewald import EwaldSummation
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from llzo_al.config.initial_data import Orderings
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models.orderings import ordering_frames
from llzo_al.structures.models.partial import partial_crystal

CIF = """data_test
_cell_length_a 4.619
_cell_length_b 4.619
_cell_length_c 4.619
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
O1 O 0 0 0 {oxygen}
Li1 Li 0.28 0.28 0.28 0.25
"""


def orderings(**changes):
    return Orderings(**{"kind": "orderings", "orderings": 4, "samples": 40, **changes})


def frames(seed=1, **changes):
    return by_name(ordering_frames(orderings(**changes), base=HERE, seed=seed))


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_the_full_crystal_has_the_published_symmetry_and_enough_lithium():
    crystal = partial_crystal("c-LLZO", base=HERE)
    assert len(crystal.atoms) == 256
    structure = AseAtomsAdaptor.get_structure(crystal.atoms)
    assert SpacegroupAnalyzer(structure, symprec=1e-3).get_space_group_number() == 230
    assert crystal.ions_wanted() == 56
    # Both sites of the paper together hold the lithium that neutrality asks for.
    assert crystal.occupancy[crystal.partial].sum() == pytest.approx(56, abs=0.2)
    labels, symbols = np.array(crystal.labels), np.array(crystal.atoms.get_chemical_symbols())
    tetrahedral, octahedral = labels == "24d", labels == "96h"

    def nearest(ion, others):
        place = np.flatnonzero(ion)[0]
        apart = crystal.atoms.get_distances(place, np.flatnonzero(others), mic=True)
        return np.sort(apart[apart > 0.1])

    assert nearest(tetrahedral, octahedral)[0] == pytest.approx(1.602, abs=1e-3)
    assert nearest(octahedral, octahedral)[:2] == pytest.approx([0.806, 2.458], abs=1e-3)
    np.testing.assert_allclose(nearest(tetrahedral, symbols == "O")[:4], 1.908, atol=1e-3)
    np.testing.assert_allclose(nearest(symbols == "Zr", symbols == "O")[:6], 2.110, atol=1e-3)


def test_another_diffraction_experiment_has_the_same_sites():
    # Neutrons, 1273 K: Y. Chen et al., Chem. Mater. 27, 5491 (2015), ICSD 238685.
    crystal = partial_crystal("c-LLZO", base=HERE)
    for element, position, within_A in (
        ("Li", (0.0957, 0.1866, 0.4227), 0.1),
        ("O", (0.10085, 0.19759, 0.28076), 0.03),
    ):
        sites = crystal.atoms[crystal.atoms.symbols == element].get_scaled_positions()
        apart = sites - np.array(position)
        apart_A = np.linalg.norm((apart - np.round(apart)) @ np.array(crystal.atoms.cell), axis=1)
        assert apart_A.min() < within_A


def test_orderings_are_neutral_and_keep_the_distance():
    for frame in frames().values():
        assert counts(frame) == {"Li": 56, "La": 24, "Zr": 16, "O": 96}
        assert charge(frame) == 0
        assert density(frame) == pytest.approx(5.10, abs=0.01)
        assert shortest(frame, "Li", "Li") > 2.0
        assert shortest(frame) == pytest.approx(1.887, abs=1e-3)
        sites = frame.provenance.details["occupied_sites"]
        # Of 24 tetrahedra at most 13 can be filled if no octahedral ion is to be 1.60 angstrom from one.
        assert 8 <= sites["Li 24d"] <= 13
        assert sum(sites.values()) == 56


def test_the_lowest_electrostatic_energies_are_kept_in_order():
    kept = list(frames(samples=40, orderings=4).values())
    everything = list(frames(samples=40, orderings=40).values())
    energies = [frame.provenance.details["ewald_energy_eV"] for frame in everything]
    assert energies == sorted(energies)
    assert energies[0] < energies[-1] - 1
    assert [f.provenance.group for f in kept] == [f.provenance.group for f in everything[:4]]
    structure = AseAtomsAdaptor.get_structure(kept[1].to_atoms())
    structure.add_oxidation_state_by_element({"Li": 1, "La": 3, "Zr": 4, "O": -2})
    assert EwaldSummation(structure).total_energy == pytest.approx(energies[1], abs=1e-3)


def test_more_orderings_keep_those_of_fewer():
    same_where_both(frames(orderings=2), frames(orderings=4))
    other = frames(seed=2)
    assert not any(
        np.array_equal(a.positions_A, b.positions_A) for a in frames().values() for b in other.values()
    )


def test_displaced_copies_share_the_group_of_their_ordering():
    source = orderings(orderings=2, rattled_copies=2)
    named = by_name(ordering_frames(source, base=HERE, seed=1))
    groups = {group for group, _ in named}
    assert len(groups) == 2
    assert len(named) == 6


def test_the_primitive_cell_is_ordered_too():
    (frame, *_) = frames(primitive=True, orderings=1).values()
    assert counts(frame) == {"Li": 28, "La": 12, "Zr": 8, "O": 48}
    assert density(frame) == pytest.approx(5.10, abs=0.01)


def test_the_builtin_name_is_one_ordering_always_the_same():
    atoms = load_structure("c-LLZO", base=HERE)
    np.testing.assert_array_equal(atoms.positions, load_structure("c-LLZO", base=HERE).positions)
    assert atoms.get_chemical_formula() == "La24Li56O96Zr16"
    assert len(load_structure("c-LLZO", base=HERE, primitive=True)) == 96
    assert len(load_structure("c-LLZO", base=HERE, supercell=[1, 1, 2])) == 384


def test_too_large_a_distance_leaves_no_room():
    with pytest.raises(UserError, match=r"at most \d+ of 56 Li .* lower it"):
        frames(samples=1, orderings=1, min_distance_A=2.6)


def test_a_distance_that_reaches_the_ions_own_image_is_refused():
    with pytest.raises(UserError, match="the cell is too small"):
        frames(samples=1, orderings=1, min_distance_A=13.0)


def test_a_crystal_without_partial_sites_is_refused():
    with pytest.raises(UserError, match="occupied in full"):
        frames(structure="t-LLZO")


def test_a_cif_file_with_partial_occupancies(tmp_path):
    (tmp_path / "x.cif").write_text(CIF.format(oxygen=1))
    source = orderings(structure="x.cif", orderings=2, samples=5, min_distance_A=1.5)
    for frame in ordering_frames(source, base=tmp_path, seed=1):
        assert counts(frame) == {"Li": 8, "O": 4}
        assert shortest(frame, "Li", "Li") > 1.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CIF.format(oxygen=1).replace("O1 O", "O1 N"), "12 Li on 32"),
        (CIF.format(oxygen=0.5), "Li and O are there"),
        ("nonsense", "cannot read it as CIF"),
    ],
)
def test_files_that_cannot_be_arranged(tmp_path, text, message):
    (tmp_path / "x.cif").write_text(text)
    source = orderings(structure="x.cif", orderings=1, samples=1, min_distance_A=3.0)
    with pytest.raises(UserError, match=f"{message}|at most"):
        list(ordering_frames(source, base=tmp_path, seed=1))


def test_a_composition_that_cannot_be_neutral_is_refused(tmp_path):
    text = CIF.format(oxygen=1).replace("O1 O 0 0 0", "O1 Zr 0 0 0")
    (tmp_path / "x.cif").write_text(text)
    with pytest.raises(UserError, match=r"cannot be charge-balanced: .* formal charge of \+16"):
        list(ordering_frames(orderings(structure="x.cif"), base=tmp_path, seed=1))


def test_more_orderings_than_samples_are_refused():
    with pytest.raises(ValueError, match="must not be more than samples"):
        orderings(orderings=5, samples=4)
