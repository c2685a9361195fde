"""Trajectories and relaxations of the reference in a campaign: what enters the label store, and once only."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from campaigns import REFERENCE_MD, make_tiny
from llzo_al.campaign import initial, reference_runs
from llzo_al.campaign.labels import label_frames
from llzo_al.files import MANIFEST

AUTO = {
    "snapshot_interval_fs: 50": "snapshot_interval_fs: auto\n    sampling_interval_fs: 10\n"
    "    fallback_interval_fs: 50"
}


def run_all(campaign):
    data = initial.prepare_initial_data(campaign)
    return [reference_runs.run_reference_md(campaign, index, threads=1) for index in range(data.n_md_runs)]


def manifests(campaign):
    return {
        json.loads(path.read_text())["outputs"]["group"]: json.loads(path.read_text())["outputs"]
        for path in campaign.directory.initial.glob(f"reference_md/*/{MANIFEST}")
    }


def records_of(campaign, source):
    return [
        record
        for record in campaign.store.records(physics=campaign.physics)
        if record.frame.provenance.source == source
    ]


def test_another_temperature_leaves_finished_trajectories_as_they_are(tmp_path):
    before = run_all(make_tiny(tmp_path))
    stamps = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "tiny/initial/reference_md").glob(f"*/{MANIFEST}")
    }
    after = run_all(make_tiny(tmp_path, **{"temperatures_K: [300, 600]": "temperatures_K: [150, 300, 600]"}))
    assert len(after) == 3
    assert [ids for ids in after if ids in before] == before
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_what_autocorrelation_says_is_in_the_manifest(tmp_path):
    campaign = make_tiny(tmp_path, **AUTO)
    identities = run_all(campaign)
    for outputs in manifests(campaign).values():
        (choice,) = outputs["autocorrelation"]
        assert choice["n_samples"] == 20
        assert choice["interval_fs"] == 10 * choice["stride"]
        assert choice["reason"]
    for record in records_of(campaign, "reference_md"):
        assert "reason" in record.frame.provenance.details["autocorrelation"]
    assert all(ids for ids in identities)


def test_relaxations_enter_with_their_labels_and_share_their_material_split(tmp_path):
    (tmp_path / "crystals").mkdir()
    for name, scale in (("a", 1.03), ("b", 0.97), ("c", 1.05)):
        atoms = bulk("LiO", "rocksalt", a=4.1 * scale, cubic=True)
        atoms.rattle(0.05, seed=1)
        write(tmp_path / "crystals" / f"{name}.extxyz", atoms)
    section = """\
  - kind: materials_project
    folder: crystals
    scale_factors: [0.98, 1.02]
    deduplicate: false
    relax: true
    relax_cell: false
    relax_steps_max: 6
    relax_keep_every: 2
"""
    campaign = make_tiny(tmp_path, **{REFERENCE_MD: section})
    identities = run_all(campaign)
    assert len(identities) == 3
    records = records_of(campaign, "materials_project")
    paths = [each for each in records if "relaxation_step" in each.frame.provenance.details]
    assert len(paths) == sum(len(ids) for ids in identities) >= 6
    assert all(each.label is not None for each in paths)
    splits = {}
    for each in records:
        splits.setdefault(each.frame.provenance.group, set()).add(each.split)
    assert all(len(split) == 1 for split in splits.values())


@pytest.mark.parametrize("same", [False, True])
def test_existing_trajectories_enter_as_structures_or_with_their_labels(tmp_path, same):
    random = np.random.default_rng(2)
    for name in ("one", "two"):
        frames = []
        for _ in range(6):
            atoms = bulk("LiO", "rocksalt", a=4.1, cubic=True)
            atoms.positions += random.normal(scale=0.05, size=(8, 3))
            atoms.calc = SinglePointCalculator(
                atoms, energy=random.normal(), forces=random.normal(size=(8, 3)), stress=np.zeros(6)
            )
            frames.append(atoms)
        write(tmp_path / f"{name}.extxyz", frames)
    section = f"""\
  - kind: trajectories
    files: ["*.extxyz"]
    stride: 2
    same_level_of_theory: {str(same).lower()}
"""
    campaign = make_tiny(tmp_path, **{REFERENCE_MD: section})
    initial.prepare_initial_data(campaign)
    waiting = [frame for _, frame in campaign.store.pending(physics=campaign.physics)]
    assert sum(frame.provenance.source == "trajectories" for frame in waiting) == (0 if same else 6)
    records = records_of(campaign, "trajectories")
    assert len(records) == (6 if same else 0)
    by_group = {}
    for each in records:
        by_group.setdefault(each.frame.provenance.group, set()).add(each.split)
    if same:
        assert sorted(map(sorted, by_group.values())) == [["held-out"], ["training"]]
        original = read(tmp_path / "one.extxyz", index=1)
        (first,) = [
            each
            for each in records
            if (each.frame.provenance.group, each.frame.provenance.frame) == ("trajectories/one.extxyz", 0)
        ]
        assert first.label.energy_eV == pytest.approx(original.get_potential_energy(), abs=1e-6)


def test_labels_with_absurd_forces_are_not_believed_whoever_made_them(tmp_path, caplog):
    atoms = bulk("LiO", "rocksalt", a=4.1, cubic=True)
    atoms.rattle(0.1, seed=1)
    (tmp_path / "crystals").mkdir()
    write(tmp_path / "crystals" / "a.extxyz", atoms)
    section = """\
  - kind: materials_project
    folder: ../crystals
    scale_factors: [0.98]
    relax: true
    relax_steps_max: 4
"""
    relaxed = make_tiny(tmp_path / "all", **{REFERENCE_MD: section})
    run_all(relaxed)
    forces = sorted(each.max_force_eV_per_A for each in records_of(relaxed, "materials_project"))
    limit = float(forces[-1] + forces[-2]) / 2
    limits = f"dataset: {{force_cap_eV_per_A: {limit}}}\nfailures: {{max_force_eV_per_A: {limit}}}\n"
    campaign = make_tiny(
        tmp_path / "strict", **{REFERENCE_MD: section, "labelling:\n": f"{limits}labelling:\n"}
    )
    caplog.clear()
    (identities,) = run_all(campaign)
    assert len(records_of(campaign, "materials_project")) == len(forces) - 1
    ((worst, frame),) = campaign.store.pending(identities, physics=campaign.physics)
    (told,) = [record.getMessage() for record in caplog.records if "believed" in record.getMessage()]
    assert "1 label(s) that came with their frames have forces beyond failures.max_force_eV_per_A" in told
    assert told.endswith(f"the frames are labelled again: 1 of {frame.provenance.group}")
    assert label_frames(campaign, [worst]) == {"labelled": 0, "failed": 1, "shared": 0}
    assert campaign.store.counts(physics=campaign.physics).failure_causes == {"absurd forces": 1}


def test_absurd_labels_of_existing_data_are_dropped_file_by_file(tmp_path, caplog):
    random = np.random.default_rng(5)
    for name, absurd in (("hot", 2), ("cold", 0)):
        frames = []
        for number in range(5):
            atoms = bulk("LiO", "rocksalt", a=4.1, cubic=True)
            atoms.positions += random.normal(scale=0.05, size=(8, 3))
            forces = random.normal(size=(8, 3)) * (1e4 if number < absurd else 1.0)
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces, stress=np.zeros(6))
            frames.append(atoms)
        write(tmp_path / f"{name}.extxyz", frames)
    section = """\
  - kind: trajectories
    files: ["*.extxyz"]
    stride: 1
    same_level_of_theory: true
"""
    campaign = make_tiny(tmp_path, **{REFERENCE_MD: section})
    initial.prepare_initial_data(campaign)
    assert len(records_of(campaign, "trajectories")) == 8
    waiting = [frame for _, frame in campaign.store.pending(physics=campaign.physics)]
    assert sum(frame.provenance.source == "trajectories" for frame in waiting) == 2
    (told,) = [record.getMessage() for record in caplog.records]
    assert "2 label(s)" in told
    assert told.endswith(": 2 of trajectories/hot.extxyz")
