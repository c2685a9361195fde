"""What a changed campaign file means."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.changes import Consequence, consequence_of, describe_changes

DATA: dict[str, Any] = {
    "name": "demo",
    "initial_data": [
        {"kind": "dimers"},
        {"kind": "reference_md", "structures": ["t-LLZO"], "temperatures_K": [300]},
        {"kind": "materials_project"},
    ],
    "labelling": {
        "engine": "ase",
        "calculator": "gpaw.GPAW",
        "parameters": {"mode": {"ecut": 400}, "xc": "PBE"},
    },
    "exploration": {"structures": ["t-LLZO"], "temperatures_K": [600]},
}


def settings_with(path: tuple[str | int, ...] = (), value: Any = None) -> dict[str, Any]:
    data = copy.deepcopy(DATA)
    here: Any = data
    for part in path[:-1]:
        here = here[part] if isinstance(part, int) else here.setdefault(part, {})
    if path:
        here[path[-1]] = value
    return CampaignConfig.model_validate(data).settings()


def test_no_change():
    assert describe_changes(settings_with(), settings_with()) == []


@pytest.mark.parametrize(
    ("path", "value", "consequence"),
    [
        (("name",), "other", Consequence.NOTHING),
        (("directory",), "elsewhere", Consequence.NOTHING),
        (("seed",), 2, Consequence.INITIAL_DATA),
        (("elements",), ["La", "Li", "Zr", "O"], Consequence.NEW_TYPE_MAP),
        (("initial_data", 0, "points"), 5, Consequence.INITIAL_DATA),
        (("initial_data", 1, "temperatures_K"), [300, 600], Consequence.INITIAL_DATA),
        (("initial_data", 2, "chemical_systems"), ["Li-O"], Consequence.INITIAL_DATA),
        (("initial_data", 2, "cache"), "answers", Consequence.NOTHING),
        (("initial_data", 2, "timeout_s"), 60.0, Consequence.NOTHING),
        (("labelling", "parameters", "mode", "ecut"), 600, Consequence.NEW_LABELS),
        (("labelling", "version"), "26.7", Consequence.NEW_LABELS),
        (("labelling", "threads"), 2, Consequence.NOTHING),
        (("labelling", "run_parameters", "txt"), "out.txt", Consequence.NOTHING),
        (("labelling", "timeout_s"), 60.0, Consequence.FUTURE_LABELS),
        (("dataset", "held_out_share"), 0.2, Consequence.INITIAL_DATA),
        (("dataset", "force_cap_eV_per_A"), 20.0, Consequence.DATASET),
        (("training", "steps"), 10, Consequence.TRAINING),
        (("training", "final_steps"), 10, Consequence.FINAL),
        (("training", "committee_size"), 3, Consequence.COMMITTEE),
        (("training", "checkpoint_steps"), 10, Consequence.NOTHING),
        (("training", "overrides", "training", "disp_freq"), 5, Consequence.TRAINING),
        (("exploration", "temperatures_K"), [900.0], Consequence.EXPLORATION),
        (("exploration", "guard", "max_temperature_factor"), 2.0, Consequence.EXPLORATION),
        (("coverage", "descriptor", "n_max"), 4, Consequence.ASSESSMENT),
        (("selection", "max_frames"), 5, Consequence.ASSESSMENT),
        (("stopping", "coverage_ratio"), 0.9, Consequence.DECISION),
        (("resources", "cores"), 2, Consequence.NOTHING),
    ],
)
def test_one_changed_key(path, value, consequence):
    changes = describe_changes(settings_with(), settings_with(path, value))
    assert [change.path for change in changes] == [path]
    assert changes[0].new == value
    assert changes[0].consequence is consequence
    assert str(changes[0]).startswith(f"{changes[0].key}: ")
    assert consequence.value in str(changes[0])


def test_sources_added_and_removed():
    added = [*DATA["initial_data"], {"kind": "crystals", "structures": ["Li2O"]}]
    more = settings_with(("initial_data",), added)
    (change,) = describe_changes(settings_with(), more)
    assert str(change).startswith("initial_data[3]: not given -> crystals: initial frames are made anew")
    (change,) = describe_changes(more, settings_with())
    assert str(change).startswith("initial_data[3]: crystals -> not given: ")


def test_another_labeller_is_one_change():
    other = settings_with(("labelling",), {"engine": "classical_reference"})
    (change,) = describe_changes(settings_with(), other)
    assert str(change).startswith("labelling.engine: ase -> classical_reference: another level of theory")


def test_values_are_written_as_in_the_file():
    old = settings_with(("training",), {"warm_start": True, "batch_size": 1})
    new = settings_with(("training",), {"warm_start": False, "batch_size": "auto"})
    told = [str(change).split(": ")[1] for change in describe_changes(old, new)]
    assert told == ["true -> false", "1 -> auto"]


def test_every_key_has_a_consequence():
    for section, model in CampaignConfig.model_fields.items():
        keys = getattr(model.annotation, "model_fields", {})
        for key in keys or [section]:
            path = (section, key) if keys else (section,)
            known = consequence_of(path)
            assert known is not Consequence.NEW_LABELS or section == "labelling", path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


@given(old=documents, new=documents)
def test_changes_are_told_if_and_only_if_there_are_any(old, new):
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    # A key that appears without a value is no difference that a resolved file could hold.
    if not same and _without_none(old) == _without_none(new):
        return
    assert bool(describe_changes(old, new)) is not same


def _without_none(value: Any) -> str:
    def strip(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: strip(inner) for key, inner in part.items() if inner is not None}
        return [strip(inner) for inner in part] if isinstance(part, list) else part

    return json.dumps(strip(value), sort_keys=True)
