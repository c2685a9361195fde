"""``llzo-al coverage``: what it prints and writes, and the exit code that it ends in."""

from __future__ import annotations

import json
from functools import partial

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from llzo_al.errors import ExitCode


@pytest.fixture
def call(call):
    """Run ``llzo-al coverage`` in this process; returns exit code, standard output and error."""
    return partial(call, "coverage")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A training set of cold lithium oxide and a test set of hot one."""
    folder = tmp_path_factory.mktemp("sets")
    for name, count, sigma_A in (("train", 6, 0.05), ("test", 5, 0.2)):
        frames = []
        for seed in range(count):
            atoms = bulk("Li2O", "fluorite", a=4.62, cubic=True)
            atoms.positions += np.random.default_rng(seed).normal(scale=sigma_A, size=atoms.positions.shape)
            frames.append(atoms)
        ase.io.write(folder / f"{name}.extxyz", frames)
    return folder / "train.extxyz", folder / "test.extxyz"


def test_table_warnings_and_files(call, sets, tmp_path):
    train, test = sets
    code, out, err = call("--train", train, "--test", test, "--out", tmp_path / "out", "--bins", 5)
    assert code == ExitCode.CONVERGED
    assert "coverage of 5 frames by 6" in out
    assert all(word in out for word in ("element", "ceiling", "ratio", "pooled", "Li", "O"))
    assert "farther from the nearest training environment" in " ".join(out.split())
    assert not err
    figures = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert set(figures["elements"]) == set(
        json.loads(call("--train", train, "--test", test, "--json")[1])["elements"]
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "coverage.json",
        "frames.npz",
        "planes-Li.png",
        "planes-O.png",
    ]


def test_json_for_machines_and_the_papers_measure(call, sets):
    train, test = sets
    code, out, _ = call("--train", train, "--test", test, "--json", "--paper", "--bins", "auto")
    assert code == ExitCode.CONVERGED
    figures = json.loads(out)
    assert figures["bins"] == "auto"
    assert figures["pooled"]["coverage"] < 0.9
    assert not any("outside the components than" in words for words in figures["statements"])
    again = json.loads(call("--train", train, "--test", test, "--json", "--paper", "--bins", "auto")[1])
    assert again == figures


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--bins", "1"], "--bins: '1' given; allowed: a whole number from 2 to 2000, or auto"),
        (["--bins", "many"], "--bins: 'many' given"),
        (["--elements", "Li"], "the sets hold O, but --elements lists Li"),
        (
            ["--elements", "Li,O,Xx"],
            "--elements: Li,O,Xx given; expected symbols such as Li,La,Zr,O, each once",
        ),
        (["--elements", "Li,,O"], "--elements: Li,,O given"),
        (["--format", "nonsense"], "--train: "),
        (["--out", __file__], "is a file; name a folder"),
        (["--model", "graph.pb"], "--model: graph.pb is not a file"),
        (["--every", "0"], "--every"),
        (["--variance", "0"], "--variance: 0 given; allowed: above 0 and at most 1"),
        (["--edges", "mine"], "--edges"),
    ],
)
def test_wrong_options_are_the_users_mistake(call, sets, more, message):
    code, _, err = call("--train", sets[0], "--test", sets[1], *more)
    assert code == ExitCode.USER_ERROR
    assert message in " ".join(err.split())


def test_files_that_are_not_there(call, sets, tmp_path):
    code, _, err = call("--train", sets[0], "--test", tmp_path / "missing.extxyz")
    assert code == ExitCode.USER_ERROR
    assert "--test: " in err
    assert "missing.extxyz" in err
    code, _, err = call("--train", sets[0])
    assert code == ExitCode.USER_ERROR
    assert "--test" in err


def test_the_papers_free_choices_are_options(call, sets):
    free = ["--paper", "--fitted-on", "both", "--edges", "training", "--variance", "0.8", "--together"]
    code, out, _ = call("--train", sets[0], "--test", sets[1], "--json", *free)
    assert code == ExitCode.CONVERGED
    figures = json.loads(out)
    (element,) = figures["elements"].values()
    assert element["fitted_on"] == "both"
    assert 0.8 <= element["variance_kept"] < 0.95
    said = " ".join(figures["statements"])
    assert "one space for all elements together" in said
    assert "the cells divide the range of the training environments" in said


def test_a_ratio_to_a_low_ceiling_is_marked(call, sets):
    _, out, _ = call("--train", sets[1], "--test", sets[1], "--bins", 20)
    assert "1.000?" in out
    assert "pooled: the ceiling is only" in out
    assert "the visited set is one trajectory" in out
