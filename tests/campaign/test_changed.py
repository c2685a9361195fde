"""What a changed campaign file is said to mean is what its stages' keys make of it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from campaigns import make_tiny
from llzo_al.campaign import iteration
from llzo_al.campaign.initial import initial_key
from llzo_al.config.changes import Consequence, consequence_of

STAGES = {
    Consequence.NOTHING: set(),
    Consequence.FUTURE_LABELS: set(),
    Consequence.SUCCESS: set(),
    Consequence.DECISION: set(),
    Consequence.FINAL: set(),
    Consequence.COMMITTEE: set(),
    Consequence.INITIAL_DATA: {"initial data"},
    Consequence.NEW_LABELS: {"initial data", "closed iterations"},
    Consequence.TRAINING: {"training"},
    Consequence.EXPLORATION: {"exploration"},
}
"""Stages whose own settings change; what follows from a stage changes with its outputs."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("changed"))


def with_change(campaign, path, value):
    """The campaign with one key changed, as a fresh object without what the old one has cached."""
    settings = campaign.config.settings()
    here = settings
    for part in path[:-1]:
        here = here[part]
    assert here[path[-1]] != value
    here[path[-1]] = value
    return replace(campaign, config=type(campaign.config).model_validate(settings))


def keys(campaign, run):
    training = iteration.Training(
        index=0,
        directory=None,
        dataset=SimpleNamespace(token=""),
        steps=campaign.config.training.steps,
        seed=1,
        warm=None,
    )
    return {
        "initial data": initial_key(campaign),
        "closed iterations": campaign.level_of_theory,
        "training": training.key(campaign),
        "exploration": iteration.explore_key(campaign, run, []),
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), "other"),
        (("directory",), "elsewhere"),
        (("initial_data", 1, "rattled_copies"), 3),
        (("labelling", "damping_per_A"), 0.31),
        (("labelling", "frames_per_job"), 3),
        (("dataset", "label_store"), "shared.sqlite"),
        (("failures", "attempts", "crash"), 5),
        (("failures", "min_success_share"), 0.9),
        (("training", "steps"), 121),
        (("training", "learning_rate"), 0.02),
        (("training", "checkpoint_steps"), 7),
        (("training", "final_steps"), 70),
        (("training", "committee_size"), 3),
        (("exploration", "replicas"), 3),
        (("exploration", "guard", "max_temperature_factor"), 2.0),
        (("stopping", "coverage_ratio"), 0.5),
        (("resources", "cores"), 1),
    ],
)
def test_what_is_told_is_what_the_keys_say(campaign, path, value):
    run = iteration.planned_runs(campaign, 0)[0]
    before, after = keys(campaign, run), keys(with_change(campaign, path, value), run)
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == STAGES[consequence_of(path)]
