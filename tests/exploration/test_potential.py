import json

import pytest

from llzo_al.errors import UserError
from llzo_al.exploration.potential import LammpsPotential, deepmd_potential, quoted


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    paths = [folder / f"model_{index}.pb" for index in range(2)]
    for path in paths:
        path.write_bytes(b"")
    return paths


def test_a_committee_writes_its_deviation(models):
    potential = deepmd_potential(models, ["Li", "O"], deviation_interval_steps=20, deviation_file="devi.out")
    style, coefficients = potential.commands
    assert style == f"pair_style deepmd '{models[0]}' '{models[1]}' out_freq 20 out_file devi.out"
    assert coefficients == "pair_coeff * * Li O"
    assert potential.needs_deepmd
    assert (potential.deviation_file, potential.deviation_interval_steps) == ("devi.out", 20)


def test_a_single_model_has_no_deviation(models):
    potential = deepmd_potential(models[:1], ["Li", "O"], deviation_interval_steps=20)
    assert "out_file" not in potential.commands[0]
    assert potential.deviation_file is None
    assert potential.models == (str(models[0]),)


@pytest.mark.parametrize("charges", [None, (1.0, -2.0)])
def test_round_trip_through_json(models, charges):
    potential = deepmd_potential(models, ["Li", "O"], deviation_interval_steps=5)
    potential = LammpsPotential(**{**potential.as_dict(), "charges_e": charges})
    assert LammpsPotential.from_dict(
        json.loads(json.dumps(potential.as_dict()))
    ) == LammpsPotential.from_dict(potential.as_dict())


def test_a_missing_model_is_named(models):
    models[1].unlink()
    with pytest.raises(UserError, match=r"model_1\.pb: the model file is missing"):
        deepmd_potential(models, ["Li", "O"], deviation_interval_steps=5)


def test_no_model_and_no_interval_are_refused(models):
    with pytest.raises(ValueError, match="at least one model"):
        deepmd_potential([], ["Li"], deviation_interval_steps=5)
    with pytest.raises(ValueError, match="at least 1"):
        deepmd_potential(models, ["Li"], deviation_interval_steps=0)


def test_words_that_lammps_would_take_apart_are_quoted():
    assert quoted("/a/b-1.pb") == "/a/b-1.pb"
    assert quoted("/a b/$c#.pb") == "'/a b/$c#.pb'"
    with pytest.raises(UserError, match="quote or line break"):
        quoted("/it's/m.pb")
