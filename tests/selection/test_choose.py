from __future__ import annotations

import csv
import io
import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llzo_al.config.assessment import Selection
from llzo_al.errors import StageError
from llzo_al.selection.candidates import Candidate
from llzo_al.selection.choose import select_frames

LIMITS = Selection(
    max_frames=3, deviation_low_eV_per_A=0.05, deviation_high_eV_per_A=2.0, duplicate_distance=0.1
)


def candidate(index, cells=(), deviation=0.01, mean=None, distance=0.5, expected=None):
    return Candidate(
        index=index,
        group="run",
        step=10 * index,
        force_deviation_eV_per_A=deviation,
        novelty=0.0,
        distance=distance,
        uncovered_cells=np.array(sorted(cells), dtype=np.int64),
        mean_descriptor=np.array([float(index), -float(index)]) if mean is None else np.asarray(mean, float),
        n_atoms=192,
        expected_error_meV_per_A=expected,
    )


def choose(candidates, options=LIMITS, seed=1, existing=None, weight=lambda _: 1.0):
    weights = [weight(cell) for cell in range(100)]
    return select_frames(candidates, options, seed=seed, cell_weights=weights, existing_means=existing)


def reasons(result):
    return {verdict.index: verdict.reason for verdict in (*result.chosen, *result.rejected)}


def test_uncovered_cells_come_first_and_overlaps_count_once():
    result = choose(
        [
            candidate(0, range(0, 10)),
            candidate(1, range(1, 10)),
            candidate(2, range(9, 14)),
            candidate(3, [3]),
        ]
    )
    assert result.indices == [0, 2]
    assert [verdict.new_cells for verdict in result.chosen] == [10, 4]
    assert result.uncovered_cells == result.cells_covered_by_choice == 14
    assert reasons(result)[2] == "covers 4 cells that training does not (weight 4)"
    expected = "covered by the chosen frames and deviation 0.01 eV/Å not above 0.05"
    assert reasons(result)[1] == reasons(result)[3] == expected


def test_then_the_largest_deviations_within_the_trust_range():
    result = choose(
        [
            candidate(0, deviation=0.06),
            candidate(1, deviation=0.5),
            candidate(2, [1], deviation=0.01),
            candidate(3, deviation=0.31),
            candidate(4, deviation=0.05),
        ]
    )
    assert result.indices == [2, 1, 3]
    assert reasons(result)[3] == "deviation 0.31 eV/Å in the trust range"
    assert reasons(result)[0] == "limit of 3 frames reached"
    assert reasons(result)[4] == "covered and deviation 0.05 eV/Å not above 0.05"
    assert [verdict.rule for verdict in result.rejected] == ["limit", "covered"]


@pytest.mark.parametrize("deviation", [2.01, np.nan, np.inf])
def test_unphysical_frames_are_never_chosen_nor_counted(deviation):
    result = choose([candidate(0, range(100), deviation=deviation), candidate(1, [1])])
    assert result.indices == [1]
    assert reasons(result)[0].startswith("unphysical: ")
    assert result.uncovered_cells == 1
    json.dumps(result.as_dict(), allow_nan=False)


def test_the_upper_edge_of_the_trust_range_belongs_to_it():
    assert choose([candidate(0, deviation=2.0)]).indices == [0]


def test_near_duplicates_of_a_chosen_frame_and_of_training_are_passed_over():
    result = choose(
        [candidate(0, range(9), mean=[0, 0]), candidate(1, range(20, 25), mean=[0.1, 0]), candidate(2, [50])],
        existing=np.array([[9.0, 9.0], [2.05, -2.0]]),
    )
    assert result.indices == [0]
    assert reasons(result)[1] == "near-duplicate of chosen frame 0 of run (distance 0.0707)"
    assert reasons(result)[2] == "near-duplicate of training frame 1 (distance 0.0354)"


def test_the_limit_is_kept():
    result = choose([candidate(n, [n]) for n in range(10)])
    assert len(result.chosen) == 3
    assert {verdict.reason for verdict in result.rejected} == {"limit of 3 frames reached"}
    assert result.as_dict()["counts"] == {"limit": 7, "uncovered": 3}


def test_ties_go_to_the_frame_farther_from_training_and_then_by_the_seed():
    assert choose([candidate(0, [1]), candidate(1, [1], distance=0.7)]).indices == [1]
    assert choose([candidate(0, deviation=0.3), candidate(1, deviation=0.3, distance=0.7)]).indices[0] == 1
    assert choose([candidate(0, [1], distance=9.0), candidate(1, [1], distance=np.nan)]).indices == [1]
    equal = [candidate(n, [n]) for n in range(30)]
    picks = {tuple(choose(equal, seed=seed).indices) for seed in range(5)}
    assert len(picks) > 1
    assert choose(equal, seed=3).indices == choose(equal, seed=3).indices


def test_nothing_to_choose_from():
    result = choose([])
    assert result.indices == []
    assert result.rejected == ()


def test_bad_candidates_are_named():
    with pytest.raises(StageError, match="index 4 occurs twice"):
        choose([candidate(4), candidate(4)])
    with pytest.raises(StageError, match="different shapes"):
        choose([candidate(0), candidate(1, mean=[1.0])])
    with pytest.raises(StageError, match="different shapes"):
        choose([candidate(0)], existing=np.zeros((2, 5)))
    with pytest.raises(StageError, match=r"frame 3 \(frame 30 of run\)"):
        choose([candidate(3, mean=[np.nan, 0.0])])
    with pytest.raises(StageError, match=r"frame 3 \(frame 30 of run\): its cells leave 0 to 99"):
        choose([candidate(3, [100])])


def test_a_limit_in_units_of_the_error():
    """Where every frame has an expected error, that is what the lower limit is a limit of."""
    options = LIMITS.model_copy(update={"deviation_low_as_error_meV_per_A": 120.0})
    frames = [
        candidate(0, deviation=0.5, expected=110.0),
        candidate(1, deviation=0.01, expected=130.0),
        candidate(2, deviation=0.02, expected=150.0),
        candidate(3, deviation=3.0, expected=900.0),
        candidate(4, deviation=0.02, expected=np.nan),
    ]
    result = choose(frames, options)
    assert result.indices == [2, 1]
    assert reasons(result)[1] == "expected force error 130 meV/Å above 120"
    assert reasons(result)[0] == "covered and expected force error 110 meV/Å not above 120"
    assert reasons(result)[3] == "unphysical: deviation 3 eV/Å above 2"
    assert choose(frames).indices == [0]  # without the key the deviation decides
    assert choose([*frames, candidate(5)], options).indices == [0]  # and without an expectation of each


def test_the_table_tells_the_reason_of_every_candidate():
    result = choose([candidate(0, [1]), candidate(1, deviation=np.inf), candidate(2, expected=50.0)])
    rows = list(csv.DictReader(io.StringIO(result.as_table())))
    assert [(row["index"], row["chosen"], row["rule"]) for row in rows] == [
        ("0", "True", "uncovered"),
        ("1", "False", "unphysical"),
        ("2", "False", "covered"),
    ]
    assert rows[0]["reason"] == "covers 1 cell that training does not (weight 1)"
    assert (rows[1]["force_deviation_eV_per_A"], rows[2]["expected_error_meV_per_A"]) == ("", "50.0")


def test_a_cell_with_many_environments_is_worth_more_than_several_with_few():
    def weight(cell):
        return 0.5 if cell == 9 else 0.01

    many, heavy = candidate(0, range(5)), candidate(1, [9])
    result = choose([many, heavy], LIMITS.model_copy(update={"max_frames": 1}), weight=weight)
    assert result.indices == [1]
    (chosen,) = result.chosen
    assert (chosen.new_cells, chosen.gain) == (1, 0.5)
    assert result.rejected[0].reason == "limit of 1 frames reached"
    assert result.rejected[0].gain == pytest.approx(0.05)
    assert result.uncovered_weight == pytest.approx(0.55)
    assert result.weight_covered_by_choice == 0.5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.frozensets(st.integers(0, 12), max_size=6), min_size=1, max_size=7), st.integers(1, 3))
def test_greedy_keeps_its_guarantee(sets, most):
    """At least 1 - 1/e of the best choice of as many frames, found by trying them all."""

    def weight(cell):
        return 1.0 + cell % 5

    def worth(chosen):
        return sum(map(weight, frozenset().union(*chosen)))

    candidates = [candidate(n, cells) for n, cells in enumerate(sets)]
    options = LIMITS.model_copy(update={"duplicate_distance": 0.0, "max_frames": most})
    best = max(worth(chosen) for chosen in combinations(sets, min(most, len(sets))))
    result = choose(candidates, options, weight=weight)
    assert result.weight_covered_by_choice >= (1 - 1 / np.e) * best - 1e-9
    assert result.uncovered_weight == pytest.approx(worth(sets))


MANY = st.lists(
    st.tuples(
        st.frozensets(st.integers(0, 20), max_size=8),
        st.sampled_from([0.0, 0.03, 0.2, 0.2, 1.0, 3.0]),
        st.integers(0, 12),
    ),
    max_size=15,
)


def make(rows):
    return [candidate(n, cells, dev, mean=[where, 0.0]) for n, (cells, dev, where) in enumerate(rows)]


@settings(deadline=None, max_examples=80)
@given(MANY, st.randoms(use_true_random=False), st.integers(0, 5))
def test_the_order_of_candidates_does_not_matter_and_each_has_one_verdict(rows, random, seed):
    candidates = make(rows)
    result = choose(candidates, seed=seed)
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert choose(shuffled, seed=seed) == result
    decided = [verdict.index for verdict in (*result.chosen, *result.rejected)]
    assert sorted(decided) == list(range(len(rows)))
    assert len(result.chosen) <= LIMITS.max_frames
    assert all(verdict.reason for verdict in (*result.chosen, *result.rejected))


@settings(deadline=None, max_examples=80)
@given(MANY)
def test_lazy_greedy_takes_what_plain_greedy_takes(rows):
    options = LIMITS.model_copy(update={"duplicate_distance": 0.0, "max_frames": 4})
    candidates = [one for one in make(rows) if one.force_deviation_eV_per_A <= 2.0]
    gains, covered = [], set()
    left = [set(one.uncovered_cells.tolist()) for one in candidates]
    while len(gains) < 4 and left and (best := max(left, key=lambda cells: len(cells - covered))) - covered:
        gains.append(len(best - covered))
        covered |= best
    result = choose(candidates, options)
    found = [verdict.new_cells for verdict in result.chosen if verdict.rule == "uncovered"]
    # Ties may be taken in another order, which can change later gains; the first gain cannot differ, and
    # each gain is the largest that was left.
    assert found[:1] == gains[:1]
    assert found == sorted(found, reverse=True)
    chosen_cells: set[int] = set()
    for verdict, gain in zip(result.chosen, found, strict=False):
        largest = max(len(set(one.uncovered_cells.tolist()) - chosen_cells) for one in candidates)
        assert gain == largest
        chosen_cells |= set(next(o for o in candidates if o.index == verdict.index).uncovered_cells.tolist())
    if len(result.chosen) < 4:
        assert result.cells_covered_by_choice == result.uncovered_cells
