"""`llzo-al structures`: one source, written, summed up and drawn."""

import json
from functools import partial

import numpy as np
import pytest
from ase.io import read

from campaigns import write_tiny


@pytest.fixture
def call(call, monkeypatch, tmp_path):
    """Run ``llzo-al structures`` in a directory of its own; returns exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    return partial(call, "structures")


def test_dimers_are_written_with_where_they_come_from(call, tmp_path):
    code, out, _ = call("dimers", "--set", "points=4", "--set", "multiplicities={O-O: 3}", "--out", "made")
    assert code == 0
    assert "dimers: 40 structures" in out
    assert "2.28 La-La" in out
    assert {path.name for path in (tmp_path / "made").iterdir()} == {
        *("frames.extxyz", "summary.json", "overview.png")
    }
    frames = read(tmp_path / "made" / "frames.extxyz", index=":")
    assert len(frames) == 40
    info = frames[-1].info
    assert (info["source"], info["kind"], info["group"]) == ("dimers", "dimer O-O", "dimers/O-O/03")
    assert (info["multiplicity"], info["details"]) == (3, {"distance_A": 4.0})
    assert "multiplicity" not in frames[0].info
    data = json.loads((tmp_path / "made" / "summary.json").read_text())
    assert (data["frames"], data["seed"], data["elements"]) == (40, 1, ["Li", "La", "Zr", "O"])
    assert data["source"]["points"] == 4
    assert data["kinds"]["dimer La-La"]["shortest_A"] == [pytest.approx(2.277, abs=1e-3), 4.0]


def test_a_campaigns_source_with_other_keys_and_another_seed(call, tmp_path):
    file = write_tiny(tmp_path / "campaign")
    same = ("crystals", "--from", file, "--set", "rattled_copies=1")
    code, out, _ = call(*same, "--out", "a", "--json")
    assert code == 0
    data = json.loads(out)
    assert data["kinds"]["Li2O"]["frames"] == 6
    assert data["files"][0] == str(tmp_path / "a" / "frames.extxyz")
    call(*same, "--out", "b")
    call(*same, "--out", "c", "--seed", 99)
    a, b, c = (read(tmp_path / name / "frames.extxyz", index=1).positions for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["elements"] == ["Li", "O"]


def test_runs_of_the_reference_go_through_the_campaigns_labeller(call, tmp_path):
    code, _, err = call(
        *("reference_md", "--set", "structures=[Li2O]", "--set", "temperatures_K=[300]", "--out", "x")
    )
    assert code == 2
    assert "reference_md: needs the forces of a labeller" in err
    assert "--from" in err
    file = write_tiny(tmp_path / "campaign")
    few = ("--set", "temperatures_K=[300]", "--set", "duration_ps=0.1", "--set", "equilibration_ps=0")
    code, out, err = call("reference_md", "--from", file, *few, "--out", "x")
    assert code == 0, err
    assert "reference_md: 2 structures" in out
    frames = read(tmp_path / "x" / "frames.extxyz", index=":")
    assert [frame.info["temperature_K"] for frame in frames] == [300, 300]
    assert not np.allclose(frames[0].positions, frames[1].positions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dimer",), "did you mean dimers"),
        (("dimers", "--set", "points=1"), "dimers: points: 1 given"),
        (("dimers", "--set", "pairs=[Li-F]"), "pairs[0]: 'Li-F' holds F, an element outside the type map"),
        (("dimers", "--elements", "Li,Xx"), "--elements: 'Xx' is no chemical symbol"),
        (("dimers", "--elements", "Li,Li"), "--elements: Li is listed twice"),
        (("dimers", "--source", "0"), "give the file with --from"),
        (("dimers", "--from", "nowhere.yaml"), "nowhere.yaml: no such campaign file"),
        (("crystals", "--set", "structures=[nowhere.cif]"), "nowhere.cif does not exist"),
    ],
)
def test_mistakes_are_the_users_and_leave_no_frames(call, tmp_path, arguments, message):
    code, out, err = call(*arguments, "--out", "made")
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.rglob("*.extxyz"))


def test_a_failure_half_way_keeps_the_frames_that_were_there(call, tmp_path):
    assert call("crystals", "--set", "structures=[Li2O]", "--out", "made")[0] == 0
    before = (tmp_path / "made" / "frames.extxyz").read_bytes()
    code, _, err = call("crystals", "--set", "structures=[Li2O, nowhere.cif]", "--out", "made")
    assert (code, "nowhere.cif" in err) == (2, True)
    assert (tmp_path / "made" / "frames.extxyz").read_bytes() == before


def test_help_names_every_kind(call):
    from llzo_al.config.one_source import source_kinds

    _, out, _ = call("--help")
    assert all(kind in out for kind in source_kinds())
