"""The section `failures`: what it allows, and its defaults for every cause."""

import pytest

from campaigns import write_tiny
from llzo_al.config.failures import Attempts, Failures
from llzo_al.config.load import load_campaign
from llzo_al.errors import UserError
from llzo_al.labelling.causes import CAUSES

WITHOUT_THE_ENGINE = {"atoms too close", "not supported"}
OF_THE_MACHINE = {
    *("not converged", "crash", "time limit", "out of memory", "truncated output", "empty output")
}


def test_every_cause_that_an_engine_can_give_has_its_number_of_attempts():
    fields = {name.replace("_", " ") for name in Attempts.model_fields}
    assert fields == set(CAUSES) - WITHOUT_THE_ENGINE


@pytest.mark.parametrize("cause", CAUSES)
def test_by_default_what_can_pass_is_tried_twice(cause):
    assert Attempts().allowed(cause) == (2 if cause in OF_THE_MACHINE else 1)


def test_unknown_causes_are_not_tried_again():
    assert Attempts(crash=5).allowed("crash") == 5
    assert Attempts().allowed("something new") == 1


def read(directory, failures):
    return load_campaign(write_tiny(directory, **{"labelling:\n": f"{failures}\nlabelling:\n"})).config


def test_what_is_given_leaves_the_other_defaults(tmp_path):
    found = read(tmp_path, "failures: {attempts: {time_limit: 4}, min_success_share: 0.9}").failures
    assert (found.attempts.time_limit, found.attempts.crash) == (4, 2)
    assert (found.min_success_share, found.max_force_eV_per_A) == (0.9, Failures().max_force_eV_per_A)


@pytest.mark.parametrize(
    ("failures", "message"),
    [
        ("failures: {attempts: {timeout: 3}}", "failures.attempts.timeout: unknown key"),
        ("failures: {attempts: {crash: 0}}", "failures.attempts.crash"),
        ("failures: {min_success_share: 80}", "failures.min_success_share"),
        ("failures: {min_distances_A: {Li-Xx: 1}}", "holds Xx, an element outside the type map"),
        ("failures: {min_distances_A: {LiO: 1}}", "two elements joined by a hyphen"),
        (
            "failures: {max_force_eV_per_A: 20}",
            "failures.max_force_eV_per_A: is 20; must not be smaller than dataset.force_cap_eV_per_A (50)",
        ),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, failures, message):
    with pytest.raises(UserError) as caught:
        read(tmp_path, failures)
    assert message in str(caught.value)
    assert "campaign.yaml:2" in str(caught.value)
