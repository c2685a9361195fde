from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from coverage_helpers import ELEMENTS, QUICK, frame_of, oxide, oxides

from llzo_al.config.coverage import Descriptor
from llzo_al.coverage.descriptors import SoapDescriber, soap_environments
from llzo_al.errors import StageError


def soap(*atoms: Atoms, settings: Descriptor = QUICK):
    return soap_environments([frame_of(one) for one in atoms], settings, ELEMENTS)


def assert_same(first, second, tolerance=1e-4):
    for symbol in first.elements:
        np.testing.assert_allclose(
            first.values[symbol],
            second.values[symbol],
            atol=tolerance * np.abs(first.values[symbol]).max(initial=0),
        )


def test_rows_follow_the_atoms_of_each_element():
    environments = soap(oxide(1), oxide(2))
    assert environments.values["Li"].shape == (16, environments.n_features)
    assert environments.values["O"].shape == (8, environments.n_features)
    assert environments.values["Zr"].shape == (0, environments.n_features)
    assert environments.values["Li"].dtype == np.float32
    np.testing.assert_array_equal(environments.frame_index["O"], [0] * 4 + [1] * 4)


def test_rotation_translation_and_unwrapped_positions_change_nothing():
    atoms = oxide(1)
    moved = atoms.copy()
    moved.rotate(37, (1, 2, 3), rotate_cell=True)
    moved.positions += 0.7
    moved.positions += np.random.default_rng(0).integers(-2, 3, (len(atoms), 3)) @ np.array(moved.cell)
    assert_same(soap(atoms), soap(moved))


def test_a_supercell_repeats_the_environments_of_a_cell_smaller_than_the_cutoff():
    atoms = oxide(1)
    assert atoms.cell.lengths().min() < 2 * QUICK.cutoff_A
    single, double = soap(atoms), soap(atoms * (2, 1, 1))
    for symbol in ("Li", "O"):
        np.testing.assert_allclose(double.values[symbol], np.tile(single.values[symbol], (2, 1)), atol=1e-4)


@pytest.mark.parametrize("compression", ["crossover", "mu1nu1", "off"])
def test_swapping_two_species_is_seen(compression):
    settings = QUICK.model_copy(update={"compression": compression})
    atoms = Atoms("OLiLa", positions=[[0, 0, 0], [2.0, 0, 0], [0, 2.6, 0]], cell=[20, 20, 20], pbc=True)
    swapped = atoms.copy()
    swapped.set_chemical_symbols(["O", "La", "Li"])
    one, other = soap(atoms, settings=settings), soap(swapped, settings=settings)
    difference = np.linalg.norm(one.values["O"] - other.values["O"]) / np.linalg.norm(one.values["O"])
    assert difference > 0.05


def test_a_dimer_is_the_same_in_a_large_box_and_without_a_cell():
    boxed = Atoms("LiO", positions=[[0, 0, 0], [0, 0, 2]], cell=[20, 20, 20], pbc=True)
    free = Atoms("LiO", positions=[[0, 0, 0], [0, 0, 2]])
    assert_same(soap(boxed), soap(free))


def test_a_slab_without_a_third_vector_is_the_same_as_one_in_a_tall_box():
    positions = [[0, 0, 0], [0, 0, 2]]
    flat = Atoms("LiO", positions=positions, cell=[3, 3, 0], pbc=[True, True, False])
    tall = Atoms("LiO", positions=positions, cell=[3, 3, 30], pbc=True)
    assert_same(soap(flat), soap(tall))


def test_no_frames_give_an_empty_set():
    environments = soap_environments([], QUICK, ELEMENTS)
    assert environments.n_frames == environments.n_environments == 0


def test_another_element_and_a_missing_lattice_vector_are_named():
    with pytest.raises(StageError, match=r"frame 1 \(test\) holds Al"):
        soap(oxide(1), Atoms("Al", cell=[4, 4, 4], pbc=True))
    with pytest.raises(StageError, match=r"frame 0 .* vector 2"):
        soap(Atoms("Li", cell=[4, 4, 0], pbc=True))


def test_the_cache_computes_only_new_frames(tmp_path, monkeypatch):
    computed = []
    original = SoapDescriber.describe

    def counting(describer, wanted):
        computed.append(len(wanted))
        return original(describer, wanted)

    monkeypatch.setattr(SoapDescriber, "describe", counting)
    cache = tmp_path / "soap.npz"
    frames = oxides(range(3))
    first = soap_environments(frames[:2], QUICK, ELEMENTS, cache=cache)
    assert computed == [2]
    both = soap_environments([frames[2], frames[0], frames[0]], QUICK, ELEMENTS, cache=cache)
    assert computed == [2, 1]
    assert_same(both.subset([1]), first.subset([0]), tolerance=0.0)
    assert_same(both, soap_environments([frames[2], frames[0], frames[0]], QUICK, ELEMENTS), tolerance=0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["soap.npz"]


def test_the_cache_of_other_settings_is_not_used(tmp_path):
    cache = tmp_path / "soap.npz"
    frames = oxides(range(1))
    soap_environments(frames, QUICK, ELEMENTS, cache=cache)
    wider = QUICK.model_copy(update={"sigma_A": 0.7})
    assert_same(
        soap_environments(frames, wider, ELEMENTS, cache=cache),
        soap_environments(frames, wider, ELEMENTS),
        tolerance=0.0,
    )


@pytest.mark.parametrize("content", [b"", b"not a file of arrays", None])
def test_a_damaged_cache_is_computed_again_and_replaced(tmp_path, content, caplog):
    cache = tmp_path / "soap.npz"
    frames = oxides(range(1))
    good = soap_environments(frames, QUICK, ELEMENTS, cache=cache)
    data = cache.read_bytes()
    cache.write_bytes(data[: len(data) // 2] if content is None else content)
    assert_same(soap_environments(frames, QUICK, ELEMENTS, cache=cache), good, tolerance=0.0)
    assert "cannot be read" in caplog.text
    caplog.clear()
    soap_environments(frames, QUICK, ELEMENTS, cache=cache)
    assert caplog.text == ""
