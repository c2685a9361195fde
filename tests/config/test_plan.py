"""What a campaign will do, counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase.build import bulk
from pymatgen.core import SETTINGS
from rich.console import Console

from llzo_al.config.load import load_campaign
from llzo_al.config.plan import Plan, make_plan, render_plan

CAMPAIGN = """\
name: counted
elements: [Li, O]
initial_data:
  - kind: dimers
    pairs: [Li-O, O-O]
    points: 5
  - kind: crystals
    structures: [Li2O, lithium.vasp]
    primitive: false
    scale_factors: [0.98, 1.0, 1.02]
    rattled_copies: 1
  - kind: reference_md
    structures: [Li2O]
    supercell: [2, 1, 1]
    temperatures_K: [300, 600]
    replicas: 2
    duration_ps: 1
    equilibration_ps: 0.1
    timestep_fs: 2
    snapshot_interval_fs: 100
labelling:
  engine: classical_reference
dataset:
  held_out_share: 0.25
training:
  committee_size: 3
  steps: 1000
exploration:
  structures: [Li2O]
  supercell: [2, 2, 2]
  temperatures_K: [600, 900]
  replicas: 3
  duration_ps: 4
  equilibration_ps: 1
  timestep_fs: 2
  frame_interval_fs: 50
selection:
  max_frames: 20
  held_out_frames: 5
stopping:
  min_iterations: 2
  max_iterations: 10
"""


def plan_of(tmp_path: Path, text: str) -> Plan:
    bulk("Li").write(tmp_path / "lithium.vasp", format="vasp")
    path = tmp_path / "campaign.yaml"
    path.write_text(text, encoding="utf-8")
    return make_plan(load_campaign(path))


def test_counts(tmp_path):
    plan = plan_of(tmp_path, CAMPAIGN)
    dimers, crystals, molecular_dynamics = plan.sources
    assert (dimers.structures, dimers.labels, dimers.atoms_min, dimers.atoms_max) == (2, 10, 2, 2)
    # Each pair of five dimers holds out a quarter, rounded up.
    assert dimers.held_out == 4
    assert (crystals.structures, crystals.labels) == (2, 2 * 3 * 2)
    assert (crystals.atoms_min, crystals.atoms_max) == (1, 12)
    assert (molecular_dynamics.md_runs, molecular_dynamics.md_steps) == (4, 4 * 550)
    assert (molecular_dynamics.labels, molecular_dynamics.held_out) == (40, 10)
    assert molecular_dynamics.atoms_max == 24
    assert plan.initial_labels == 62
    assert plan.reference_md_steps == 2200
    assert plan.labels_per_iteration_at_most == 25
    assert plan.labels_at_most == 62 + 250
    training, exploration = plan.training, plan.exploration
    assert (training.trainings_per_iteration, training.steps_per_iteration) == (3, 3000)
    assert (training.trainings_at_most, training.steps_at_most) == (33, 30000 + 3 * 2000)
    assert (exploration.runs_per_iteration, exploration.steps_per_iteration) == (6, 12000)
    assert (exploration.frames_per_run, exploration.atoms) == (61, {"Li2O": 96})
    assert exploration.steps_at_most == 120000
    assert plan.warnings == ()


@pytest.mark.parametrize(("more", "labels"), [("", 0), ("\n    labels: relabel", 40)])
def test_dynamics_of_an_ase_calculator_bring_their_labels(tmp_path, more, labels):
    text = CAMPAIGN.replace("engine: classical_reference", "engine: ase\n  calculator: a.b.C")
    plan = plan_of(tmp_path, text.replace("kind: reference_md", f"kind: reference_md{more}"))
    source = plan.sources[2]
    assert (source.frames, source.labels, source.given) == (40, labels, 40 - labels)
    assert plan.initial_labels == 22 + labels


def test_frames_and_progress(tmp_path):
    bulk("Li").write(tmp_path / "lithium.vasp", format="vasp")
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN.replace("rattled_copies: 1", "rattled_copies: 99"), encoding="utf-8")
    told = []
    plan = make_plan(load_campaign(path), told.append)
    assert [source.frames for source in plan.sources] == [10, 600, 40]
    assert plan.initial_frames == plan.initial_labels == 650
    assert told == ["crystals: 200 structures", "crystals: 400 structures", "crystals: 600 structures"]


def test_a_database_that_cannot_be_asked_leaves_the_other_sources_counted(tmp_path, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.setitem(SETTINGS, "PMG_MAPI_KEY", "")
    text = CAMPAIGN.replace("initial_data:\n", "initial_data:\n  - {kind: materials_project, cache: kept}\n")
    plan = plan_of(tmp_path, text)
    assert plan.initial_labels == 62
    (reason,) = plan.unknown
    assert "MP_API_KEY" in reason
    assert "folder:" in reason
    console = Console(width=110, force_terminal=False)
    with console.capture() as capture:
        console.print(render_plan(plan))
    (row,) = (line for line in capture.get().splitlines() if "materials_project" in line)
    assert row.count("?") == 4
    assert "without those marked ?" in capture.get()


def test_plan_writes_nothing(tmp_path):
    plan_of(tmp_path, CAMPAIGN)
    assert {path.name for path in tmp_path.iterdir()} == {"campaign.yaml", "lithium.vasp"}


def test_json(tmp_path):
    plan = plan_of(tmp_path, CAMPAIGN)
    data = plan.as_json()
    assert json.loads(json.dumps(data)) == data
    assert data["initial_labels"] == 62
    assert data["training"]["steps_per_iteration"] == 3000


def test_table_shows_the_counts(tmp_path):
    plan = plan_of(
        tmp_path, CAMPAIGN.replace("engine: classical_reference", "engine: ase\n  calculator: a.b.C")
    )
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(render_plan(plan))
    shown = capture.get()
    for text in ("counted", "2,200", "3 x 1,000", "6 x 2,000", "272 (with the initial)", "Li2O: 96", "a.b.C"):
        assert text in shown
    assert "warning: labelling.version is not given" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("selection:\n", "selection:\n  deviation_high_eV_per_A: 9\n", "where the run ends"),
        ("training:\n", "training:\n  rcut_A: 4\n", "what the model cannot see"),
    ],
)
def test_warnings(tmp_path, old, new, warning):
    plan = plan_of(tmp_path, CAMPAIGN.replace(old, new))
    assert len(plan.warnings) == 1
    assert warning in plan.warnings[0]


def test_warning_where_no_trajectory_can_be_held_out(tmp_path):
    text = CAMPAIGN.replace("  temperatures_K: [600, 900]\n  replicas: 3", "  temperatures_K: [600]")
    assert plan_of(tmp_path, text).warnings == ()
    alone = text.replace("temperatures_K: [300, 600]\n    replicas: 2", "temperatures_K: [300]")
    assert any("cannot converge" in warning for warning in plan_of(tmp_path, alone).warnings)
