from __future__ import annotations

import math

import pytest
from dataset_helpers import make_frame
from hypothesis import given
from hypothesis import strategies as st

from llzo_al.dataset.frames import Provenance
from llzo_al.dataset.splits import assign_held_out, split_frames
from llzo_al.errors import StageError

NAMES = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=30)


@given(names=NAMES, share=st.floats(0.01, 0.5), seed=st.integers(0, 100), data=st.data())
def test_share_and_order(names, share, seed, data):
    chosen = assign_held_out(names, share=share, seed=seed)
    if len(names) < 2:
        assert chosen == frozenset()
    else:
        assert len(chosen) == min(max(1, math.ceil(share * len(names) - 1e-9)), len(names) - 1)
    assert chosen <= set(names)
    again = data.draw(st.permutations(names)) + names[:3]
    assert assign_held_out(again, share=share, seed=seed) == chosen


def test_a_round_share_is_not_rounded_up_twice():
    assert len(assign_held_out([f"g{i}" for i in range(30)], share=0.1, seed=1)) == 3


def test_never_everything_and_nothing_for_no_share():
    assert len(assign_held_out(["a", "b"], share=1.0, seed=1)) == 1
    assert assign_held_out(["a", "b"], share=0.0, seed=1) == frozenset()
    with pytest.raises(StageError, match="expected 0 to 1"):
        assign_held_out(["a", "b"], share=1.5, seed=1)


def test_the_seed_matters_and_the_choice_is_fixed_for_ever():
    names = [f"run-{index}" for index in range(10)]
    assert len({assign_held_out(names, share=0.2, seed=seed) for seed in range(20)}) > 5
    assert assign_held_out(names, share=0.2, seed=1) == {"run-1", "run-7"}


def frame_of(source: str, kind: str, group: str, iteration: int = -1):
    return make_frame(0, provenance=Provenance(source=source, kind=kind, group=group, iteration=iteration))


def test_every_source_and_kind_gives_its_share_in_whole_trajectories():
    frames = [
        frame_of(source, kind, f"{source}/{kind}/{run}")
        for source in ("reference_md", "crystals")
        for kind in ("t-LLZO", "Li2O")
        for run in range(4)
        for _ in range(3)
    ]
    splits = split_frames(frames, share=0.1, seed=3)
    assert len(splits) == 16
    for source in ("reference_md", "crystals"):
        for kind in ("t-LLZO", "Li2O"):
            of_kind = [split for group, split in splits.items() if group.startswith(f"{source}/{kind}")]
            assert sorted(of_kind) == ["held-out"] + 3 * ["training"]


def test_a_source_of_single_groups_is_taken_as_a_whole():
    splits = split_frames([frame_of("crystals", f"kind{i}", f"g{i}") for i in range(4)], share=0.1, seed=1)
    assert list(splits.values()).count("held-out") == 1
    assert split_frames([frame_of("crystals", "k", "g")], share=0.5, seed=1) == {"g": "training"}


def test_a_group_of_two_sources_is_refused():
    with pytest.raises(StageError, match="'g'"):
        split_frames([frame_of("a", "k", "g"), frame_of("b", "k", "g")], share=0.1, seed=1)
