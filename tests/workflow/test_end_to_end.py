"""A whole campaign through the command line, every part real: two iterations on Li2O, a final training."""

import json
import os
import subprocess
import sys

import pytest

from campaigns import write_tiny
from llzo_al.campaign import closing
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.iteration import committee
from llzo_al.config.load import load_campaign
from llzo_al.dataset.identity import label_identity


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Campaign file, campaign directory, and the ended process of ``llzo-al run``."""
    place = tmp_path_factory.mktemp("campaign")
    file = write_tiny(place)
    done = subprocess.run(
        [sys.executable, "-m", "llzo_al", "run", str(file)],
        capture_output=True,
        text=True,
        timeout=580,
        env={**os.environ, "COLUMNS": "200"},
    )
    return file, place / "tiny", done


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run[1] / "report" / "report.json").read_text())


def test_it_ends_by_its_own_rule_and_says_so(run, report):
    _, root, done = run
    assert done.returncode == 0, done.stdout + done.stderr
    assert "iteration 0: goes on" in done.stdout
    assert "missed: 1 of at least 2 iterations done" in done.stdout
    assert "iteration 1: converged" in done.stdout
    assert f"potential: {root / 'models' / 'model-0.pb'}" in done.stdout
    assert report["status"] == "converged"
    assert [iteration["iteration"] for iteration in report["iterations"]] == [0, 1]
    assert "classical reference" in report["method"]
    assert sum(report["totals"]["trainings"].values()) == 6
    for name in report["final"]["model_files"]:
        assert (root / name).stat().st_size > 10_000
    page = (root / "report" / "index.html").read_text()
    assert "not DFT" in page
    assert "<svg" in page


def test_the_second_iteration_learns_from_the_first(run, report):
    first, second = report["iterations"]
    assert second["labels"]["training"] > first["labels"]["training"]
    assert second["labels"]["held_out"] > first["labels"]["held_out"]
    for iteration in report["iterations"]:
        pooled = iteration["coverage"]["pooled"]
        assert 0 < pooled["coverage"] <= 1
        assert 0 < pooled["ceiling"] <= 1
        assert set(iteration["coverage"]["elements"]) == {"Li", "O"}
        assert iteration["errors"]["held_out"]["all MD"]["n_frames"] >= 3


def test_no_held_out_frame_was_ever_trained_on(run):
    campaign = Campaign.open(run[1])
    held_out = {record.identity for record in campaign.store.records(split="held-out")}
    groups = {record.frame.provenance.group for record in campaign.store.records(split="held-out")}
    assert held_out
    for manifest in [
        *run[1].glob("iterations/*/dataset/manifest.json"),
        run[1] / "final/dataset/manifest.json",
    ]:
        trained = json.loads(manifest.read_text())["outputs"]["training"]
        assert trained
        assert not held_out & set(trained)
        for record in campaign.store.records(identities=trained):
            assert record.frame.provenance.group not in groups


def test_the_finished_potential_is_drawn_on_the_labelled_dimers(run, report):
    (curve,) = report["final"]["dimers"]
    assert curve["pair"] == "Li-O"
    assert curve["distances_A"][0] == pytest.approx(1.4)
    assert len(curve["distances_A"]) == len(curve["energies_eV"]) == len(curve["uses"]) == 4
    assert [len(energies) for energies in curve["model_energies_eV"]] == [60, 60]
    assert curve["energy_rmse_eV"] > 0
    page = (run[1] / "report" / "index.html").read_text()
    assert "<h2>Dimers</h2>" in page
    assert 'id="dimers-axes_1"' in page


def test_every_label_has_its_identity_and_its_reason(run):
    campaign = Campaign.open(run[1])
    records = list(campaign.store.records())
    assert {record.frame.provenance.source for record in records} == {
        "dimers",
        "crystals",
        "reference_md",
        "exploration",
    }
    for record in records:
        assert record.identity == label_identity(record.frame, campaign.physics)
        assert record.frame.provenance.reason


def test_warm_starts_and_committee(run):
    campaign = Campaign.open(run[1])
    models = committee(campaign, 1)
    assert [model.index for model in models] == [0, 1]
    assert all(model.result.warm_start for model in models)
    assert models[0].file.read_bytes() != models[1].file.read_bytes()


def test_running_it_again_repeats_nothing(run, call):
    file, root, _ = run
    before = {path: path.stat().st_mtime_ns for path in root.rglob("manifest.json")}
    assert before
    code, out, err = call("run", file)
    assert code == 0, out + err
    assert "finished; nothing to do" in out
    assert {path: path.stat().st_mtime_ns for path in root.rglob("manifest.json")} == before


def test_a_stricter_rule_reopens_the_loop_without_repeating_it(run, call, tmp_path):
    """The decision belongs to the campaign file as it is now; finished iterations stay."""
    _, root, _ = run
    status = json.loads(call("status", root, "--json")[1])
    assert status["finished"]
    assert status["open_iteration"] == 2
    strict = write_tiny(
        tmp_path, **{"min_iterations: 2": "min_iterations: 3", "max_iterations: 2": "max_iterations: 3"}
    )
    campaign = Campaign.open(root)
    changed = Campaign(directory=campaign.directory, config=load_campaign(strict).config, base=campaign.base)
    assert closing.first_open_iteration(changed) == 2
    assert not closing.decision(changed, 1).stop


def test_report_and_lpad_speak_of_the_campaign(run, call):
    _, root, _ = run
    code, table, _ = call("report", root)
    assert code == 0
    assert "coverage" in table
    code, workflows, err = call("lpad", root, "get_wflows")
    assert code == 0, workflows + err
    assert "COMPLETED" in workflows
