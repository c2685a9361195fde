from __future__ import annotations

import json

import ase.io
import numpy as np
import pytest
from ase import Atoms
from coverage_helpers import QUICK, oxide

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.datasets import compare_datasets
from llzo_al.errors import LlzoAlError, StageError, UserError

SETTINGS = Coverage(bins=5, descriptor=QUICK, bootstrap_samples=20)


def compare(train, test, **more):
    return compare_datasets([train], [test], **{"settings": SETTINGS, **more})


def write(path, seeds, displacement=0.1):
    ase.io.write(path, [oxide(seed, displacement) for seed in seeds])
    return path


@pytest.fixture
def train(tmp_path):
    return write(tmp_path / "train.extxyz", range(8))


@pytest.fixture
def test(tmp_path):
    return write(tmp_path / "test.extxyz", range(8, 14))


def deepmd_system(folder, seeds, type_map):
    """The oxides as DeePMD-kit's system; the types are numbers of `type_map`."""
    data = folder / "set.000"
    data.mkdir(parents=True)
    frames = [oxide(seed) for seed in seeds]
    types = [type_map.index(symbol) for symbol in frames[0].get_chemical_symbols()]
    (folder / "type.raw").write_text("\n".join(map(str, types)) + "\n")
    (folder / "type_map.raw").write_text("\n".join(type_map) + "\n")
    np.save(data / "coord.npy", np.array([one.positions.ravel() for one in frames]))
    np.save(data / "box.npy", np.array([np.array(one.cell).ravel() for one in frames]))
    np.save(data / "energy.npy", np.zeros(len(frames)))
    np.save(data / "force.npy", np.zeros((len(frames), 3 * len(types))))
    return folder


def test_two_files(train, test, tmp_path):
    told = []
    report = compare(train, test, out=tmp_path / "out", progress=lambda *words: told.append(words))
    assert (report.n_training_frames, report.n_visited_frames) == (8, 6)
    assert {element.symbol for element in report.elements} == {"Li", "O"}
    assert 0 < report.pooled.coverage < 1
    written = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert written == report.as_dict()
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == ["planes-Li.png", "planes-O.png"]
    assert ("train", 8, 8) in told
    assert ("test", 6, 6) in told
    assert compare(train, train).pooled.coverage == 1


def test_trajectories_are_the_files(train, test, tmp_path):
    alone = compare(train, test)
    assert alone.pooled.coverage_interval is None  # one trajectory cannot be resampled
    more = write(tmp_path / "more.extxyz", range(20, 26))
    both = compare_datasets([train], [test, more], settings=SETTINGS)
    low, high = both.pooled.coverage_interval
    assert low <= both.pooled.coverage <= high
    assert both.n_visited_frames == 12


def test_every_second_frame(train, test):
    assert compare(train, test, every=2).n_visited_frames == 3


def test_formats_and_the_order_of_types_make_no_difference(train, tmp_path):
    numbers = []
    for type_map in (["Li", "O"], ["O", "Li"], ["H", "O", "Li"]):
        system = deepmd_system(tmp_path / "-".join(type_map), range(8, 14), type_map)
        report = compare(train, system)
        assert {element.symbol for element in report.elements} == {"Li", "O"}
        numbers.append([element.coverage for element in report.elements])
    reference = compare(train, write(tmp_path / "same.extxyz", range(8, 14)))
    expected = [element.coverage for element in reference.elements]
    for found in numbers:
        assert found == pytest.approx(expected, abs=0.02)  # positions in the file have fewer digits


def test_elements_in_another_order_give_the_same_figures(train, test):
    first, second = (compare(train, test, elements=order) for order in (["Li", "O"], ["O", "Li"]))
    for one in first.elements:
        other = next(element for element in second.elements if element.symbol == one.symbol)
        assert other.coverage == pytest.approx(one.coverage, abs=0.02)
        assert other.n_visited_environments == one.n_visited_environments


def test_elements_that_are_not_listed_are_refused(train, test):
    with pytest.raises(UserError, match="the sets hold O, but --elements lists Li; list all of them"):
        compare(train, test, elements=["Li"])


def test_an_element_that_one_set_lacks(train, tmp_path):
    zirconia = Atoms("ZrO2", positions=[[0, 0, 0], [1.3, 1.3, 1.3], [3.5, 3.5, 1.3]], cell=[5] * 3, pbc=True)
    frames = []
    for seed in range(30):
        one = zirconia.copy()
        one.rattle(0.1, seed=seed)
        frames.append(one)
    ase.io.write(tmp_path / "zirconia.extxyz", frames)
    forth = compare(train, tmp_path / "zirconia.extxyz")
    zirconium = next(element for element in forth.elements if element.symbol == "Zr")
    assert (zirconium.coverage, zirconium.ratio) == (0, 0)
    assert any(words.startswith("Zr: the training set holds none") for words in forth.warnings)
    assert any(words.startswith("Li: the visited set holds none") for words in forth.warnings)
    assert forth.pooled.coverage < 0.5


def test_a_single_frame_on_either_side(train, tmp_path):
    single = write(tmp_path / "single.extxyz", [3], displacement=0.3)
    report = compare(train, single)
    assert report.pooled.coverage < 1
    assert report.pooled.coverage_interval is None
    other = compare(single, train)
    assert other.pooled.coverage < 0.5
    assert other.pooled.far_share is None


def test_sets_without_a_frame(train, tmp_path):
    (tmp_path / "empty.extxyz").write_text("")
    with pytest.raises(LlzoAlError, match=r"empty\.extxyz|no frame"):
        compare(train, tmp_path / "empty.extxyz")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="nothing"):
        compare(tmp_path / "nothing", train)
    with pytest.raises(UserError, match=r"missing\.extxyz"):
        compare(train, tmp_path / "missing.extxyz")


def test_positions_that_are_not_finite_are_refused(train, tmp_path):
    frames = [oxide(seed) for seed in range(3)]
    frames[1].positions[4, 0] = np.nan
    ase.io.write(tmp_path / "bad.extxyz", frames)
    with pytest.raises((UserError, StageError), match=r"(?s)bad\.extxyz.*not finite"):
        compare(train, tmp_path / "bad.extxyz")


def test_what_is_no_structure_is_refused(train, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see here\n")
    with pytest.raises(UserError, match=r"notes\.txt"):
        compare(train, tmp_path / "notes.txt")
