"""``llzo-al labels``: listing by default, one frame, trying again, checking."""

import json
from dataclasses import replace

import numpy as np
import pytest

from campaigns import make_tiny
from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.dataset.store import LabelStore
from llzo_al.errors import ExitCode


def frame(number):
    return Frame(
        symbols=("Li", "O", "Li"),
        positions_A=np.array([[0.0, 0, 0], [1.9 + 0.01 * number, 0, 0], [0, 2.1, 0]]),
        cell_A=np.eye(3) * 6,
        provenance=Provenance(source="crystals", kind="Li2O", group=f"g{number}", frame=number),
    )


def label(number, *, energy_eV=-14.0):
    force = np.array([0.1 * (number + 1), 0.2, 0.0])
    return Label(
        energy_eV=energy_eV + 0.001 * number,
        forces_eV_per_A=np.stack([force, -force, 0 * force]),
        virial_eV=np.eye(3) * (1.0 + 0.1 * number),
        wall_s=2.0,
    )


@pytest.fixture
def campaign(tmp_path):
    """Six labels, two failures of different causes, and a frame that waits."""
    made = make_tiny(tmp_path)
    identities = made.store.request(
        [frame(number) for number in range(9)], physics=made.physics, split="training"
    )
    for number in range(6):
        made.store.add_label(identities[number], label(number))
    made.store.add_failure(identities[6], LabelFailure(cause="crash", reason="[bold]signal 11[/bold]\nmore"))
    made.store.add_failure(identities[7], LabelFailure(cause="time limit", reason="after 60 s"))
    return made


def test_a_directory_alone_lists(call, campaign):
    root = campaign.directory.root
    code, out, _ = call("labels", root)
    assert code == 0
    assert (code, out) == call("labels", "list", root)[:2]
    assert call("labels", root.parent / "campaign.yaml")[1] == out
    assert "1 failed: crash (the engine died)" in out
    assert "[bold]signal 11[/bold]" in out  # not taken for markup
    assert "more" not in out.split("signal 11")[1].splitlines()[0]
    row = next(line for line in out.splitlines() if "source: crystals" in line)
    assert row.split()[-3:] == ["6", "1", "2"]


def test_the_list_as_json(call, campaign):
    _, out, _ = call("labels", campaign.directory.root, "--json")
    found = json.loads(out)
    assert found["by_split"] == {"training": {"labelled": 6, "failed": 2, "pending": 1}}
    assert [row["cause"] for row in found["failed"]] == ["crash", "time limit"]
    _, out, _ = call("labels", campaign.directory.root, "--cause", "crash", "--json")
    assert len(json.loads(out)["failed"]) == 1


def test_labels_above_the_force_cap_are_told_apart(call, campaign):
    root = campaign.directory.root
    assert "force cap" not in call("labels", root)[1]
    absurd = replace(label(8), forces_eV_per_A=np.diag([60.0, -30.0, -30.0]), program="VASP 6.4.2")
    campaign.store.add_label(campaign.store.pending()[0][0], absurd)
    out = call("labels", root)[1]
    row = next(line for line in out.splitlines() if "source: crystals" in line)
    assert row.split()[-4:] == ["7", "0", "2", "1"]
    assert "no training sees them" in out
    assert "1 computed by VASP 6.4.2" in out


def test_what_is_neither_a_command_nor_a_directory(call, tmp_path):
    code, _, err = call("labels", tmp_path / "absent")
    assert code == ExitCode.USER_ERROR
    assert "no such campaign directory" in err
    code, _, err = call("labels", "shwo", tmp_path)
    assert code == ExitCode.USER_ERROR
    assert "'show'" in err
    code, out, _ = call("labels")
    assert code == ExitCode.USER_ERROR
    assert "Usage" in out
    for name in ("list", "show", "retry", "check"):
        code, out, _ = call("labels", name, "--help")
        assert code == 0
        assert f"Example: llzo-al labels {name}" in out


def test_one_frame_is_shown(call, campaign):
    root = campaign.directory.root
    failed = json.loads(call("labels", root, "--json")[1])["failed"][0]["identity"]
    code, out, _ = call("labels", "show", root, failed[:15])
    assert code == 0
    assert "failed, training" in out
    assert "attempt 1 failed" in out
    assert f"llzo-al labels retry DIR --identity {failed[:15]}" in out
    labelled = campaign.store.identities(labelled=True)[0]
    shown = json.loads(call("labels", "show", root, labelled, "--json")[1])
    assert shown["label"]["wall_s"] == 2.0
    assert shown["label"]["pressure_GPa"] == pytest.approx(
        160.21766 * next(campaign.store.records(identities=[labelled])).label.virial_eV[0, 0] / 216, rel=1e-6
    )
    code, _, err = call("labels", "show", root, "v1-nothing")
    assert code == ExitCode.USER_ERROR
    assert "no frame of this campaign" in err


def test_trying_again(call, campaign):
    root = campaign.directory.root
    code, out, _ = call("labels", "retry", root, "--cause", "crash")
    assert code == 0
    assert "1 failed label(s) are tried again" in out
    assert campaign.store.counts().failure_causes == {"time limit": 1}
    code, _, err = call("labels", "retry", root, "--cause", "bad luck")
    assert code == ExitCode.USER_ERROR
    assert "'bad luck' given; allowed: " in err


def test_checking(call, campaign):
    root = campaign.directory.root
    code, out, _ = call("labels", "check", root, "--strict")
    assert code == 0
    assert "nothing stands out" in out
    assert "Li2O" in out
    identity = campaign.store.request([frame(20)], physics=campaign.physics, split="training")[0]
    wrong = label(0)
    campaign.store.add_label(
        identity,
        Label(energy_eV=-14.0, forces_eV_per_A=wrong.forces_eV_per_A + 1.0, virial_eV=wrong.virial_eV),
    )
    code, out, _ = call("labels", "check", root)
    assert code == 0
    assert "stands out: 1 × net forces that do not vanish" in out
    assert call("labels", "check", root, "--strict")[0] == ExitCode.FAILURE
    found = json.loads(call("labels", "check", root, "--json")[1])
    assert found["net_force_outliers"][0]["identity"] == identity


def test_checking_against_another_store(call, campaign, tmp_path):
    other = LabelStore(tmp_path / "other.sqlite")
    physics = {"engine": "another", "xc": "PBE"}
    identities = other.request([frame(number) for number in range(3)], physics=physics, split="training")
    for number, identity in enumerate(identities):
        other.add_label(identity, label(number, energy_eV=-100.0))
    root = campaign.directory.root
    code, out, _ = call("labels", "check", root, "--against", tmp_path / "other.sqlite", "--json")
    assert code == 0
    (compared,) = json.loads(out)["comparisons"]
    assert compared["n_frames"] == 3
    assert compared["first"].startswith("classical_reference [")
    assert compared["second"].startswith("another PBE [")
    assert compared["force_rmse_meV_per_A"] == 0.0
    assert compared["energy_rmse_meV_per_atom"] < 1e-3
    out = call("labels", "check", root, "--against", tmp_path / "other.sqlite")[1]
    assert "same frames, two methods" in out
    code, _, err = call("labels", "check", root, "--against", tmp_path / "nowhere")
    assert code == ExitCode.USER_ERROR
    assert "no such campaign directory or label store" in err
