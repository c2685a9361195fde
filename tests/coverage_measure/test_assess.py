from __future__ import annotations

import json

import numpy as np
import pytest
from coverage_helpers import ELEMENTS, QUICK, SETTINGS, cloud, frame_of, one_element, oxide, oxides
from hypothesis import given, settings
from hypothesis import strategies as st

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.descriptors import soap_environments
from llzo_al.coverage.environments import Environments, concatenate
from llzo_al.errors import StageError


def assess(training, visited, options=SETTINGS, seed=1):
    return assess_coverage(training, visited, options, seed=seed)


def without(environments: Environments, symbol: str) -> Environments:
    """The same set with no environment of one element."""
    return Environments(
        elements=environments.elements,
        values={**environments.values, symbol: environments.values[symbol][:0]},
        frame_index={**environments.frame_index, symbol: environments.frame_index[symbol][:0]},
        n_frames=environments.n_frames,
    )


def test_a_case_by_hand():
    # Training standardises to itself / sqrt(5); its components are (x + y) / sqrt(2), from -6 to 6, and
    # (x - y) / sqrt(2), from -2 to 2, both in units of sqrt(10). In thirds of these ranges (low, middle,
    # high) training holds high-middle, low-middle, and middle with the two ends. Visited: (3, 3) and (2, 2)
    # high-middle, (-1, 1) middle-end, (0, 0) middle-middle, (3, 1) high-end. So 2 of 4 cells are covered.
    training = one_element([[3, 3], [-3, -3], [1, -1], [-1, 1]])
    visited = one_element([[3, 3], [2, 2], [-1, 1], [0, 0], [3, 1]])
    report = assess(training, visited, Coverage(bins=3))
    (element,) = report.elements
    assert (element.cells_visited, element.cells_covered, element.n_planes) == (4, 2, 1)
    assert element.coverage == report.pooled.coverage == 0.5
    assert element.n_components == 2
    edges = np.sort(np.abs(element.edges), axis=0)[:, 1]
    np.testing.assert_allclose(edges, [2 / np.sqrt(10), 6 / np.sqrt(10)], rtol=1e-6)
    np.testing.assert_array_equal(report.frames.novelty, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(report.frames.uncovered_environments, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal([len(cells) for cells in report.frames.uncovered_cells], [0, 0, 0, 1, 1])
    assert element.outside_share == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 6), st.integers(2, 50), st.floats(0.1, 1.0))
def test_a_set_covers_itself(seed, n_frames, per_frame, bins, variance):
    environments = cloud(seed, n_frames=n_frames, per_frame=2 * per_frame)
    report = assess(environments, environments, Coverage(bins=bins, variance=variance))
    assert report.pooled.coverage == 1
    assert report.pooled.outside_share == 0
    assert not report.frames.novelty.any()
    assert not any(len(cells) for cells in report.frames.uncovered_cells)
    assert all(element.cells_covered == element.cells_visited for element in report.elements)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.permutations(range(12)))
def test_the_order_of_frames_does_not_matter(seed, order):
    training, visited = cloud(1, n_frames=20), cloud(seed, n_frames=12)
    one = assess(training, visited)
    shuffled = concatenate([visited.subset([number]) for number in order])
    reordered = concatenate([training.subset([n]) for n in np.random.default_rng(seed).permutation(20)])
    other = assess(reordered, shuffled)
    assert other.pooled.coverage == pytest.approx(one.pooled.coverage, abs=1e-12)
    np.testing.assert_allclose(other.frames.novelty, one.frames.novelty[list(order)], atol=1e-12)


def test_atoms_order_rotation_and_supercell_leave_the_coverage_of_real_frames_unchanged():
    training = soap_environments(oxides(range(12)), QUICK, ELEMENTS)
    seeds = range(100, 108)
    one = assess(training, soap_environments(oxides(seeds, 0.15), QUICK, ELEMENTS))
    changed = []
    for seed in seeds:
        atoms = oxide(seed, 0.15)
        atoms = atoms[np.random.default_rng(seed).permutation(len(atoms))]
        atoms.rotate(20.0 + seed, (1, seed, 3), rotate_cell=True)
        changed.append(frame_of(atoms * (1, 2, 1)))
    other = assess(training, soap_environments(changed, QUICK, ELEMENTS))
    assert 0.1 < one.pooled.coverage < 0.95
    assert other.pooled.coverage == one.pooled.coverage
    np.testing.assert_allclose(other.frames.novelty, one.frames.novelty, atol=1e-12)
    for mine, theirs in zip(one.frames.uncovered_cells, other.frames.uncovered_cells, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_repeating_the_training_set_changes_nothing():
    training, visited = cloud(1), cloud(2)
    twice = concatenate([training, training])
    assert assess(twice, visited).pooled.coverage == pytest.approx(
        assess(training, visited).pooled.coverage, abs=1e-9
    )


def test_swapped_species_are_found_uncovered():
    right = [frame_of(oxide(seed, 0.05)) for seed in range(15)]
    wrong = []
    for seed in range(15, 30):
        atoms = oxide(seed, 0.05)
        symbols = np.array(atoms.get_chemical_symbols())
        swapped = np.where(symbols == "Li", "O", "Li")
        atoms.set_chemical_symbols(swapped.tolist())
        wrong.append(frame_of(atoms))
    training = soap_environments(right, QUICK, ELEMENTS)
    same = soap_environments([frame_of(oxide(seed, 0.05)) for seed in range(15, 30)], QUICK, ELEMENTS)
    assert assess(training, soap_environments(wrong, QUICK, ELEMENTS)).pooled.ratio < 0.3
    assert assess(training, same).pooled.ratio > 0.8


def test_an_element_never_seen_as_a_neighbour_is_uncovered_in_every_plane():
    training = soap_environments(oxides(range(8)), QUICK, ELEMENTS)
    doped = []
    for seed in range(8):
        atoms = oxide(seed)
        atoms.symbols[next(n for n, s in enumerate(atoms.symbols) if s == "Li")] = "Zr"
        doped.append(frame_of(atoms))
    report = assess(training, soap_environments(doped, QUICK, ELEMENTS))
    by_symbol = {element.symbol: element for element in report.elements}
    assert by_symbol["Li"].n_constant_features > 0
    assert by_symbol["Li"].coverage == by_symbol["O"].coverage == 0
    assert by_symbol["Li"].outside_share == 1
    assert by_symbol["Zr"].fitted_on == "visited"


def test_a_hole_in_the_training_set_is_found_where_it_is():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(3000, 2))
    hole = np.linalg.norm(points - [0.8, 0.0], axis=1) < 1.0
    visited = generator.normal(size=(1000, 2))
    inside = np.linalg.norm(visited - [0.8, 0.0], axis=1) < 0.8
    report = assess(one_element(points[~hole]), one_element(visited), Coverage(bins=20))
    whole = assess(one_element(points), one_element(visited), Coverage(bins=20))
    assert report.pooled.coverage < whole.pooled.coverage - 0.05
    assert report.frames.novelty[inside].mean() > 0.7
    assert report.frames.novelty[~inside].mean() < 0.15
    assert report.pooled.outside_share < 0.02


def test_training_of_the_same_distribution_and_half_the_size_reaches_the_ceiling():
    reports = [
        assess(cloud(seed, n_frames=30), cloud(100 + seed, n_frames=60), Coverage(bins=30))
        for seed in range(8)
    ]
    assert max(report.pooled.coverage for report in reports) < 0.8
    assert max(report.pooled.ratio for report in reports) <= 1
    assert np.mean([report.pooled.ratio_uncapped for report in reports]) == pytest.approx(1.0, abs=0.04)


def test_few_frames_do_not_pass_for_all_that_is_visited():
    few = assess(cloud(1, n_frames=3), cloud(2, n_frames=60), Coverage(bins=30))
    assert few.pooled.ratio < 0.6


def test_the_pooled_ratio_does_not_let_one_element_make_up_for_another():
    visited = cloud(2, n_frames=30)
    training = cloud(1, n_frames=300)
    shifted = Environments.from_arrays(
        {"Li": training.values["Li"], "O": training.values["O"] + 50}, training.frame_index
    )
    report = assess(shifted, visited, Coverage(bins=30))
    lithium, oxygen = report.elements
    assert lithium.ratio > 1.1
    assert oxygen.ratio < 0.2
    weight_li = lithium.n_visited_environments * lithium.ceiling
    weight_o = oxygen.n_visited_environments * oxygen.ceiling
    expected = (weight_li + weight_o * oxygen.ratio) / (weight_li + weight_o)
    assert report.pooled.ratio == pytest.approx(expected)
    assert report.pooled.ratio_uncapped > report.pooled.ratio


def test_pooling_is_by_the_number_of_visited_environments():
    report = assess(cloud(1), cloud(2, n_frames=10, per_frame=8))
    lithium, oxygen = report.elements
    assert (lithium.n_visited_environments, oxygen.n_visited_environments) == (80, 40)
    assert report.pooled.coverage == pytest.approx((2 * lithium.coverage + oxygen.coverage) / 3)


def test_an_element_that_training_lacks_has_no_coverage_and_is_said_so():
    report = assess(without(cloud(1), "O"), cloud(2))
    oxygen = report.elements[1]
    assert (oxygen.coverage, oxygen.ratio, oxygen.n_training_environments) == (0, 0, 0)
    assert oxygen.fitted_on == "visited"
    assert oxygen.outside_share == 1
    assert any(words.startswith("O: the training set holds none") for words in report.warnings)
    assert report.pooled.ratio < 0.75


def test_an_element_that_training_lacks_lowers_the_pooled_ratio_however_few_of_it_were_visited():
    training, visited = without(cloud(1, n_frames=300), "O"), cloud(2)
    few = Environments(
        elements=visited.elements,
        values={**visited.values, "O": visited.values["O"][:2]},
        frame_index={**visited.frame_index, "O": np.array([0, 1])},
        n_frames=visited.n_frames,
    )
    report = assess(training, few)
    lithium, oxygen = report.elements
    assert oxygen.ratio is None  # its halves share no cell
    assert lithium.ratio > 1
    expected = 400 * lithium.ceiling / (400 * lithium.ceiling + 2)
    assert report.pooled.ratio == pytest.approx(expected)


def test_an_element_that_is_not_visited_is_not_counted_and_is_said_so():
    report = assess(cloud(1), without(cloud(2), "O"))
    assert [element.symbol for element in report.elements] == ["Li"]
    assert report.pooled.coverage == report.elements[0].coverage
    assert "O: the visited set holds none; not counted." in report.warnings


def test_a_single_visited_frame_is_split_by_environments_and_a_single_environment_not_at_all():
    report = assess(cloud(1), cloud(2, n_frames=1, per_frame=40))
    assert report.pooled.ceiling > 0
    alone = assess(one_element([[0, 0], [1, 2], [2, 1]]), one_element([[1, 1]]))
    assert alone.pooled.ceiling is None
    assert alone.pooled.ratio is None
    assert any("no ceiling" in words for words in alone.warnings)


def test_more_bins_than_samples_is_said_and_is_no_silent_one():
    report = assess(cloud(1, n_frames=3), cloud(2, n_frames=3), Coverage(bins=500))
    assert report.pooled.coverage < 0.1
    assert any("the ratio means little" in words for words in report.warnings)
    json.dumps(report.as_dict(), allow_nan=False)


def test_halves_that_share_no_cell_have_no_ratio():
    report = assess(cloud(1, n_frames=2), cloud(2, n_frames=2), Coverage(bins=2000))
    assert report.pooled.ceiling == 0
    assert report.pooled.ratio is None


def test_constant_training_covers_only_what_is_equal_to_it():
    report = assess(one_element([[1, 2, 3]] * 4), one_element([[1, 2, 3], [1, 2, 3.5]]))
    assert report.pooled.coverage == 0.5
    np.testing.assert_array_equal(report.frames.novelty, [0, 1])
    assert any("all training environments are alike" in words for words in report.warnings)


def test_a_range_much_wider_than_what_is_visited_is_said():
    generator = np.random.default_rng(0)
    training = np.concatenate([generator.normal(size=(300, 3)), 50 * generator.normal(size=(30, 3))])
    report = assess(one_element(training), one_element(generator.normal(size=(300, 3))))
    assert report.pooled.coverage > 0.9
    assert any("cells are coarse" in words for words in report.warnings)


def test_outside_of_the_training_range():
    training = one_element(np.random.default_rng(0).uniform(-1, 1, size=(500, 2)))
    report = assess(training, one_element([[0, 0], [0.1, 0.2], [5, 5], [0, 0.3]]))
    assert report.pooled.outside_share == 0.25
    np.testing.assert_array_equal(report.frames.outside_environments, [0, 0, 1, 0])


def test_the_sample_that_the_space_is_fitted_on_is_seeded():
    training, visited = cloud(1), cloud(2, n_frames=30)
    options = Coverage(bins=10, fit_environments_max=100)
    first, again, other = (assess(training, visited, options, seed=seed) for seed in (1, 1, 2))
    assert first.as_dict() == again.as_dict()
    assert first.as_dict() != other.as_dict()
    lithium = first.elements[0]
    assert lithium.n_fitted == 100
    assert (lithium.n_training_environments, lithium.n_visited_environments) == (400, 300)
    assert first.frames.environments.sum() == 450
    whole = assess(training, visited)
    assert first.pooled.coverage == pytest.approx(whole.pooled.coverage, abs=0.1)


def test_uncovered_cells_say_which_frames_to_add():
    # In the fixed space and cells of a report, frames that hold all uncovered cells leave none.
    training, visited = cloud(1, n_frames=5), cloud(2, n_frames=20)
    report = assess(training, visited)
    every = set().union(*(cells.tolist() for cells in report.frames.uncovered_cells))
    assert len(every) == sum(element.cells_visited - element.cells_covered for element in report.elements)
    assert assess(concatenate([training, visited]), visited).pooled.coverage == 1


def test_what_the_report_states():
    report = assess(cloud(1), cloud(2), Coverage(bins=13, max_components=2, variance=0.9))
    text = " ".join(report.statements)
    for words in (
        "13 x 13 cells",
        "fitted on the training set",
        "common range",
        "90%",
        "Ceiling",
        "Eqs. 2 to 6",
    ):
        assert words in text
    assert any("max_components" in words for words in report.warnings)
    data = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert set(data["elements"]) == {"Li", "O"}
    assert len(data["elements"]["Li"]["edges"]) == 2
    assert data["pooled"]["coverage"] == report.pooled.coverage


def test_empty_and_foreign_sets_are_refused():
    empty = without(without(cloud(1), "O"), "Li")
    with pytest.raises(StageError, match="the training set holds no environment"):
        assess(empty, cloud(1))
    with pytest.raises(StageError, match="the visited set holds no environment"):
        assess(cloud(1), empty)
    with pytest.raises(StageError, match="same list of elements"):
        assess(cloud(1), one_element([[0.0] * 5]))
    with pytest.raises(StageError, match="features"):
        assess(one_element([[0.0, 1.0]]), one_element([[0.0]]))
    bad = cloud(1)
    bad.values["O"][7, 2] = np.inf
    with pytest.raises(StageError, match=r"training set: .* of O are not finite, first in frame 1 "):
        assess(bad, cloud(2))
