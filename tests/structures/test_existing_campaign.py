"""The Materials Project and existing data as sources of a campaign."""

import json
import re

import ase.io
import numpy as np
import pytest
from pymatgen.core import SETTINGS

from campaigns import write_tiny
from llzo_al import preflight
from llzo_al.campaign import initial, labels
from llzo_al.campaign.campaign import Campaign
from llzo_al.config.load import load_campaign
from llzo_al.config.plan import make_plan
from llzo_al.dataset.export import write_extxyz
from llzo_al.errors import UserError
from llzo_al.files import MANIFEST
from materials_project_server import KEY, materials_project_server

SOURCES = re.compile(r"initial_data:\n.*?\nlabelling:", re.DOTALL)


def write(directory, sources):
    path = write_tiny(directory)
    path.write_text(SOURCES.sub(f"initial_data:\n{sources}\nlabelling:", path.read_text()))
    return load_campaign(path)


def make(directory, sources):
    loaded = write(directory, sources)
    return loaded, Campaign.create(root=directory / "c", config=loaded.config, campaign_file=loaded.path)


def reports(campaign):
    manifest = json.loads((campaign.directory.initial / "structures" / MANIFEST).read_text())
    return manifest["outputs"]["reports"]


@pytest.fixture(scope="module")
def labelled_file(tmp_path_factory):
    """Crystals labelled by the classical reference in one campaign, and exported."""
    place = tmp_path_factory.mktemp("first")
    sources = "  - kind: crystals\n    structures: [Li2O]\n    rattled_copies: 3\n"
    _, campaign = make(place, sources)
    initial.prepare_initial_data(campaign)
    for job in labels.label_jobs(campaign):
        labels.label_frames(campaign, job)
    path = place / "seed.extxyz"
    write_extxyz(list(campaign.store.records()), path)
    return path


def test_labels_of_the_same_level_of_theory_seed_a_campaign(labelled_file, tmp_path):
    sources = f"  - kind: existing_data\n    paths: [{labelled_file}]\n    same_level_of_theory: true\n"
    loaded, campaign = make(tmp_path, sources)
    plan = make_plan(loaded)
    assert (plan.initial_frames, plan.initial_labels) == (20, 0)
    initial.prepare_initial_data(campaign)
    counts = campaign.store.counts()
    assert (counts.total.labelled, counts.total.pending) == (20, 0)
    assert counts.splits["held-out"].labelled > 0
    assert labels.label_jobs(campaign) == []
    reference = {round(each.get_potential_energy(), 6) for each in ase.io.read(labelled_file, ":")}
    stored = list(campaign.store.records())
    assert {round(record.label.energy_eV, 6) for record in stored} == reference
    assert stored[0].frame.provenance.source == "existing_data"
    (report,) = reports(campaign)
    assert (report["kept"], report["already_stored"], report["labels"]) == (20, 0, "own")
    assert (
        "20 of 20 frames enter, with their labels" in (campaign.directory.logs / "campaign.log").read_text()
    )


def test_by_default_structures_are_labelled_anew(labelled_file, tmp_path):
    sources = f"  - kind: existing_data\n    paths: [{labelled_file}]\n"
    loaded, campaign = make(tmp_path, sources)
    assert make_plan(loaded).initial_labels == 20
    initial.prepare_initial_data(campaign)
    assert campaign.store.counts().total.pending == 20


def test_duplicates_against_the_store_are_counted(labelled_file, tmp_path):
    sources = (
        "  - kind: crystals\n    structures: [Li2O]\n    rattled_copies: 3\n"
        f"  - kind: existing_data\n    paths: [{labelled_file}]\n    same_level_of_theory: true\n"
    )
    _, campaign = make(tmp_path, sources)
    initial.prepare_initial_data(campaign)
    (report,) = reports(campaign)
    assert report["already_stored"] == 20
    counts = campaign.store.counts()
    assert (counts.total.labelled, counts.total.pending) == (20, 0)


def test_bad_existing_data_stops_the_plan_with_its_file(labelled_file, tmp_path):
    frames = ase.io.read(labelled_file, ":")
    frames[2].positions[0] = frames[2].positions[1] + [0.3, 0, 0]
    ase.io.write(tmp_path / "bad.extxyz", frames)
    loaded = write(tmp_path, "  - kind: existing_data\n    paths: [bad.extxyz]\n")
    with pytest.raises(UserError, match=r"bad\.extxyz, frame 2"):
        make_plan(loaded)


@pytest.fixture
def _no_key_of_this_machine(monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.delitem(SETTINGS, "PMG_MAPI_KEY", raising=False)


@pytest.mark.usefixtures("_no_key_of_this_machine")
def test_a_campaign_from_the_materials_project_keeps_the_key_to_itself(tmp_path, monkeypatch, capfd):
    with materials_project_server() as server:
        sources = (
            f"  - kind: materials_project\n    endpoint: {server.endpoint}\n    cache: kept\n"
            "    chemical_systems: [Li-O, Li]\n    scale_points: 3\n    relax: true\n    relax_steps_max: 3\n"
        )
        loaded, campaign = make(tmp_path, sources)
        with pytest.raises(UserError, match="key was refused"):
            make_plan(loaded)
        monkeypatch.setenv("MP_API_KEY", KEY)
        preflight.check_sources(loaded, campaign.directory.root)
        plan = make_plan(loaded)
    monkeypatch.delenv("MP_API_KEY")
    data = initial.prepare_initial_data(campaign)
    assert len(data.identities) == 6
    assert data.n_md_runs == 2
    assert plan.sources[0].frames >= 6
    (report,) = reports(campaign)
    assert report["material_ids"] == ["mp-1", "mp-2"]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in "".join(capfd.readouterr())


@pytest.mark.usefixtures("_no_key_of_this_machine")
def test_a_campaign_without_key_or_network_does_not_begin(tmp_path):
    loaded, campaign = make(tmp_path, "  - kind: materials_project\n    cache: kept\n")
    with pytest.raises(UserError, match="MP_API_KEY") as error:
        preflight.check_sources(loaded, campaign.directory.root)
    assert "folder:" in str(error.value)
    manifest = campaign.directory.initial / "structures" / MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    preflight.check_sources(loaded, campaign.directory.root)


def test_relaxed_materials_keep_to_one_split(tmp_path, monkeypatch):
    from llzo_al.campaign.reference_runs import md_runs, run_reference_md

    monkeypatch.setenv("MP_API_KEY", KEY)
    with materials_project_server() as server:
        sources = (
            f"  - kind: materials_project\n    endpoint: {server.endpoint}\n    cache: kept\n"
            "    chemical_systems: [Li-O, Li]\n    scale_factors: [0.98, 1.0]\n    cell: conventional\n"
            "    relax: true\n    relax_steps_max: 3\n    relax_keep_every: 1\n"
        )
        _, campaign = make(tmp_path, sources)
        initial.prepare_initial_data(campaign)
    runs = md_runs(campaign)
    assert sorted(split for _, split in runs) == ["held-out", "training"]
    oxide = next(index for index, (run, _) in enumerate(runs) if "Li2O" in run.kind)
    identities = run_reference_md(campaign, oxide, threads=1)
    assert len(identities) >= 1
    splits = {}
    for record in campaign.store.records(labelled=None):
        for origin in record.provenances:
            splits.setdefault(origin.group, set()).add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    assert splits["materials_project/mp-2"] == {runs[oxide][1]}
    assert np.isfinite([record.label.energy_eV for record in campaign.store.records()]).all()
