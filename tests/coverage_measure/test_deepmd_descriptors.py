"""The descriptor of a real DeePMD-kit model, trained for a moment: what it says is not asked here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from coverage_helpers import frame_of, oxide

from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.deepmd import DeepmdDescriber
from llzo_al.coverage.descriptors import environments_of
from llzo_al.errors import EngineError

ELEMENTS = ("Li", "O")
FEATURES = 8 * 4
"""Last layer of the embedding net times the axis neurons."""


@pytest.fixture(scope="module")
def model(committee) -> Path:
    return committee[0]


@pytest.fixture(scope="module")
def described(model):
    """Two sets of cells, and descriptors of a cell and of what should be, or should not be, the same as it.

    All by one start of DeePMD-kit.
    """
    atoms = oxide(1)
    order = np.random.default_rng(0).permutation(len(atoms))
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    swapped = atoms.copy()
    lithium, oxygen = (np.flatnonzero(atoms.symbols == symbol)[0] for symbol in ELEMENTS)
    swapped.positions[[lithium, oxygen]] = swapped.positions[[oxygen, lithium]]
    cases = {
        "atoms": atoms,
        "permuted": atoms[order],
        "turned": turned,
        "swapped": swapped,
        "molecule": Atoms("LiO", positions=[[0, 0, 0], [0, 0, 1.7]]),
    }
    cells = [oxide(seed, displacement=0.1 if seed < 6 else 0.6) for seed in range(9)]
    every = environments_of(
        [frame_of(one) for one in (*cells, *cases.values())], DeepmdDescriber(model, ELEMENTS)
    )
    values = {name: every.subset([number]).values for number, name in enumerate(cases, start=len(cells))}
    return every, atoms, order, values


@pytest.fixture(scope="module")
def cases(described):
    return described[1:]


def test_shapes(cases):
    atoms, _, values = cases
    for symbol in ELEMENTS:
        count = int(np.sum(atoms.symbols == symbol))
        assert values["atoms"][symbol].shape == (count, FEATURES)
        assert values["atoms"][symbol].dtype == np.float32
        assert values["molecule"][symbol].shape == (1, FEATURES)
        assert np.ptp(values["atoms"][symbol], axis=0).max() > 0


def test_within_an_element_in_the_order_of_the_frames_atoms(cases):
    atoms, order, values = cases
    for symbol in ELEMENTS:
        mine = np.flatnonzero(atoms.symbols == symbol)
        place = [int(np.flatnonzero(mine == number)[0]) for number in order if number in mine]
        np.testing.assert_allclose(
            values["permuted"][symbol], values["atoms"][symbol][place], rtol=1e-4, atol=1e-6
        )


def test_rotations_change_nothing_and_swapped_elements_do(cases):
    _, _, values = cases
    for symbol in ELEMENTS:
        whole = values["atoms"][symbol]
        np.testing.assert_allclose(values["turned"][symbol], whole, rtol=1e-3, atol=1e-5)
        assert np.abs(values["swapped"][symbol] - whole).max() > 1e-2 * np.abs(whole).max()


def test_coverage_in_the_models_space(described):
    every = described[0]
    training, visited = every.subset(range(6)), every.subset(range(6, 9))
    report = assess_coverage(training, visited)
    assert {element.symbol for element in report.elements} == set(ELEMENTS)
    assert report.pooled.coverage < 0.5
    assert assess_coverage(training, training).pooled.coverage == 1


def test_an_element_that_the_model_does_not_know(model):
    frame = frame_of(Atoms("Zr2", positions=[[0, 0, 0], [0, 0, 3]], cell=[9, 9, 9], pbc=True))
    with pytest.raises(EngineError, match=r"the model knows Li, O, but frame 0 holds Zr"):
        list(DeepmdDescriber(model, ("Li", "O", "Zr")).describe([frame]))


def test_the_key_is_that_of_the_files_content_and_the_elements(model, tmp_path):
    key = DeepmdDescriber(model, ELEMENTS).key
    copy = tmp_path / "other-name.pb"
    shutil.copy(model, copy)
    assert DeepmdDescriber(copy, ELEMENTS).key == key
    assert DeepmdDescriber(model, ELEMENTS[::-1]).key != key
    with copy.open("ab") as file:
        file.write(b"\0")
    assert DeepmdDescriber(copy, ELEMENTS).key != key
