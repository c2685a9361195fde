"""DeePMD-kit's input file: generated, merged and checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_data import small_settings

from llzo_al.config.training import Training
from llzo_al.errors import UserError
from llzo_al.training.inputs import (
    SystemSize,
    check_input,
    check_settings,
    intervals,
    make_input,
    merge,
    neighbor_descriptor,
    system_probabilities,
)


def sizes(*pairs: tuple[int, int]) -> list[SystemSize]:
    return [
        SystemSize(path=Path(f"/data/{number}"), n_frames=n_frames, n_atoms=n_atoms)
        for number, (n_frames, n_atoms) in enumerate(pairs)
    ]


def made(settings: Training | None = None, **changes):
    values = {"elements": ("Li", "O"), "systems": sizes((10, 192)), "steps": 1000, "seed": 5}
    return make_input(settings or Training(), **(values | changes))


def test_papers_network_is_the_default_and_deepmd_takes_it():
    data = made(selection=(36, 48))
    checked = check_input(data)
    descriptor = checked["model"]["descriptor"]
    assert descriptor["type"] == "se_e2_a"
    assert (descriptor["rcut"], descriptor["rcut_smth"]) == (6.0, 0.5)
    assert descriptor["neuron"] == [10, 20, 40]
    assert descriptor["sel"] == [36, 48]
    assert checked["model"]["fitting_net"]["neuron"] == [120, 120, 120]
    assert checked["training"]["numb_steps"] == 1000
    assert {descriptor["seed"], checked["model"]["fitting_net"]["seed"], checked["training"]["seed"]} == {5}
    assert checked["loss"]["start_pref_f"] == 1000.0
    assert checked["loss"]["limit_pref_v"] == 0.0


def test_input_is_checked_without_a_framework():
    code = (
        "import sys\n"
        "from llzo_al.training import train\n"
        "from llzo_al.training.inputs import check_input, make_input, SystemSize\n"
        "from llzo_al.config.training import Training\n"
        "from pathlib import Path\n"
        "check_input(make_input(Training(), elements=['Li'], steps=5, seed=1,\n"
        "    systems=[SystemSize(path=Path('/x'), n_frames=1, n_atoms=2)]))\n"
        "print([name for name in ('tensorflow', 'torch', 'dpdata') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_overrides_are_merged():
    settings = Training(
        overrides={
            "model": {"descriptor": {"type_one_side": True}, "fitting_net": {"resnet_dt": False}},
            "training": {"training_data": {"batch_size": 4}},
        }
    )
    data = made(settings)
    assert data["model"]["descriptor"]["type_one_side"] is True
    assert data["model"]["descriptor"]["neuron"] == [10, 20, 40]
    assert data["model"]["fitting_net"] == {
        "type": "ener",
        "neuron": [120, 120, 120],
        "resnet_dt": False,
        "seed": 5,
    }
    assert data["training"]["training_data"]["batch_size"] == 4
    assert data["training"]["training_data"]["systems"] == ["/data/0"]


def test_another_type_replaces_what_was_generated():
    settings = Training(
        overrides={"model": {"descriptor": {"type": "dpa1", "rcut": 5.0, "rcut_smth": 0.5, "sel": 80}}}
    )
    descriptor = made(settings)["model"]["descriptor"]
    assert descriptor == {"type": "dpa1", "rcut": 5.0, "rcut_smth": 0.5, "sel": 80, "seed": 5}
    assert neighbor_descriptor(check_input(made(settings))) is None


def test_networks_in_a_hybrid_descriptor_get_the_seed():
    part = {"type": "se_e2_a", "rcut": 5.0, "rcut_smth": 0.5, "sel": [20, 20]}
    hybrid = {"type": "hybrid", "list": [part, part | {"type": "se_e2_r"}]}
    data = check_input(made(Training(overrides={"model": {"descriptor": hybrid}})))
    assert [item["seed"] for item in data["model"]["descriptor"]["list"]] == [5, 5]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model": {"descriptor": {"neurons": [4]}}}, "neurons"),
        ({"training": {"disp_freq": "often"}}, "disp_freq"),
        ({"loss": {"start_pref_x": 1.0}}, "start_pref_x"),
        ({"model": {"descriptor": {"type": "se_e9"}}}, "se_e9"),
        ({"modell": {}}, "modell"),
        ({"model": 3}, "model"),
    ],
)
def test_wrong_overrides_end_in_one_message_with_deepmds(overrides: dict, message: str):
    with pytest.raises(UserError, match=f"(?s)training.overrides.*{message}"):
        check_settings(Training(overrides=overrides), ["Li", "O"])


def test_a_net_for_each_pair_of_elements_is_refused_where_it_cannot_be_frozen():
    with pytest.raises(UserError, match=r"training\.backend: .*set type_one_side to true"):
        check_settings(Training(backend="pytorch-exportable"), ["Li", "O"])
    one_side = {"model": {"descriptor": {"type_one_side": True}}}
    check_settings(Training(backend="pytorch-exportable", overrides=one_side), ["Li", "O"])
    check_settings(Training(backend="pytorch"), ["Li", "O"])


@pytest.mark.parametrize(
    "overrides",
    [
        {"training": {"seed": 1}},
        {"training": {"numb_steps": 1}},
        {"training": {"training_data": {"systems": []}}},
        {"training": {"save_ckpt": "else"}},
        {"model": {"type_map": ["O"]}},
        {"model": {"descriptor": {"seed": 3}}},
    ],
)
def test_keys_of_the_campaign_cannot_be_overridden(overrides: dict):
    with pytest.raises(UserError, match=r"training\.overrides: .* is set by the campaign"):
        check_settings(Training(overrides=overrides), ["Li", "O"])


def test_merge_changes_neither_side():
    base, over = {"a": {"b": 1, "c": [1]}}, {"a": {"b": 2}}
    assert merge(base, over) == {"a": {"b": 2, "c": [1]}}
    assert base == {"a": {"b": 1, "c": [1]}}
    assert over == {"a": {"b": 2}}


@given(steps=st.integers(1, 2_000_000), wanted=st.none() | st.integers(1, 100_000))
def test_checkpoints_fall_on_lines_of_the_curve(steps: int, wanted: int | None):
    display, save = intervals(steps, wanted)
    assert 1 <= display <= 1000
    assert save >= display
    assert save % display == 0
    target = wanted or min(max(steps // 10, 1), 10_000)
    assert abs(save - target) <= display / 2
    assert steps < 50 or display * 50 <= steps


@settings(deadline=None)
@given(
    steps=st.integers(1, 500_000),
    end=st.sampled_from([1e-7, 1e-8, 3.51e-8]),
)
def test_learning_rate_reaches_its_end(steps: int, end: float):
    from deepmd.dpmodel.utils.learning_rate import LearningRateExp

    section = dict(made(Training(learning_rate_end=end), steps=steps)["learning_rate"])
    section.pop("type")
    rate = LearningRateExp(num_steps=steps, **section)
    assert rate.value(0) == pytest.approx(1e-3)
    assert end * 0.999 <= rate.value(steps) <= end * 1.25


def test_warm_start_begins_with_its_own_learning_rate():
    settings = Training(warm_start_learning_rate=2e-4)
    assert made(settings, warm_start=True)["learning_rate"]["start_lr"] == 2e-4
    assert made(settings)["learning_rate"]["start_lr"] == 1e-3


def test_a_warm_start_has_an_end_and_energy_weights_of_its_own():
    settings = Training(warm_start_learning_rate_end=1e-5, warm_start_energy_prefactors=[0.2, 10.0])
    warm, cold = made(settings, warm_start=True), made(settings)
    assert (warm["learning_rate"]["stop_lr"], cold["learning_rate"]["stop_lr"]) == (1e-5, 1e-7)
    assert (warm["loss"]["start_pref_e"], warm["loss"]["limit_pref_e"]) == (0.2, 10.0)
    assert (cold["loss"]["start_pref_e"], cold["loss"]["limit_pref_e"]) == (0.02, 1.0)
    assert warm["loss"]["limit_pref_f"] == cold["loss"]["limit_pref_f"]
    plain = made(Training(), warm_start=True)
    assert (plain["learning_rate"]["stop_lr"], plain["loss"]["limit_pref_e"]) == (1e-7, 1.0)


def test_every_atom_or_every_frame_counts_the_same():
    systems = sizes((30, 96), (60, 2))
    assert system_probabilities(systems, "atoms") == pytest.approx([0.96, 0.04])
    assert system_probabilities(systems, "frames") == pytest.approx([1 / 3, 2 / 3])
    assert made(Training(), systems=systems)["training"]["training_data"]["sys_probs"] == pytest.approx(
        [0.96, 0.04]
    )


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 200)), min_size=1, max_size=8))
def test_probabilities_are_probabilities(pairs: list[tuple[int, int]]):
    chances = system_probabilities(sizes(*pairs), "atoms")
    assert sum(chances) == pytest.approx(1)
    assert all(chance > 0 for chance in chances)


def test_own_way_of_drawing_systems_can_be_given():
    settings = Training(overrides={"training": {"training_data": {"auto_prob": "prob_uniform"}}})
    assert "sys_probs" not in made(settings)["training"]["training_data"]
    check_input(made(settings))


def test_neighbors_come_from_the_settings_or_are_left_to_be_counted():
    given = made(small_settings(neighbors=[8, 12]))
    assert given["model"]["descriptor"]["sel"] == [8, 12]
    assert made(small_settings())["model"]["descriptor"]["sel"] == "auto"
    assert made(small_settings(), selection=(4, 8))["model"]["descriptor"]["sel"] == [4, 8]
