"""Melt-quench, labels of dynamics, and killed runs: real calculators and real LAMMPS."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from children import killed_when
from llzo_al.config.initial_data import ReferenceMD
from llzo_al.config.labelling import ASECalculator, ClassicalReference
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.base import make_labeller
from llzo_al.labelling.streaming import ChildDied
from llzo_al.progress import ProgressFile
from llzo_al.structures.reference_md import reference_md_runs

EMT_PATH = "ase.calculators.emt.EMT"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))


def emt(calculator=EMT_PATH, **settings):
    return make_labeller(ASECalculator(engine="ase", calculator=calculator, **settings), ["Cu"])


def classical():
    return make_labeller(ClassicalReference(engine="classical_reference"), ["Li", "La", "Zr", "O"])


def copper_run(tmp_path, **changes):
    (bulk("Cu", cubic=True) * (2, 2, 1)).write(tmp_path / "copper.extxyz")
    values = {
        "kind": "reference_md",
        "structures": ["copper.extxyz"],
        "schedule": "melt_quench",
        "temperatures_K": [1200, 600, 300],
        "melt_ps": 0.2,
        "cooling_rate_K_per_ps": 3000.0,
        "duration_ps": 0.2,
        "equilibration_ps": 0.1,
        "snapshot_interval_fs": 50.0,
        "timestep_fs": 5.0,
        "thermostat_time_fs": 50.0,
    }
    return reference_md_runs(ReferenceMD(**{**values, **changes}), base=tmp_path, seed=5)[0]


def isothermal_run(tmp_path, **changes):
    changes = {"schedule": "isothermal", "temperatures_K": [600], "melt_ps": None, **changes}
    return copper_run(tmp_path, cooling_rate_K_per_ps=None, **changes)


def li2o_run(**changes):
    values = {
        "kind": "reference_md",
        "structures": ["Li2O"],
        "schedule": "melt_quench",
        "temperatures_K": [2000, 500],
        "melt_ps": 0.05,
        "cooling_rate_K_per_ps": 15000.0,
        "duration_ps": 0.1,
        "equilibration_ps": 0.02,
        "snapshot_interval_fs": 20.0,
        "timestep_fs": 2.0,
    }
    return reference_md_runs(ReferenceMD(**{**values, **changes}), base=Path(), seed=5)[0]


def steps_of(pairs):
    return [frame.provenance.details["step"] for frame, _ in pairs]


def assert_labels_are_those_of_the_labeller(made, pairs, directory):
    again = dict(made.label([frame for frame, _ in pairs], directory))
    for index, (_, label) in enumerate(pairs):
        # A frame's positions are rounded to 1e-6 angstrom, the dynamics' own are not.
        assert label.energy_eV == pytest.approx(again[index].energy_eV, abs=1e-3)
        assert label.program == again[index].program
        assert label.program.startswith(("EMT (ase ", "LAMMPS 20"))
        np.testing.assert_allclose(label.forces_eV_per_A, again[index].forces_eV_per_A, atol=1e-3)
        np.testing.assert_allclose(label.virial_eV, again[index].virial_eV, atol=1e-2)


def test_a_melt_quench_cools_and_its_snapshots_carry_their_labels(tmp_path):
    run = copper_run(tmp_path, duration_ps=0.5)
    made = emt()
    pairs = made.snapshots(run, tmp_path / "md", threads=1)
    assert steps_of(pairs) == list(run.snapshot_at)
    assert [frame.provenance.temperature_K for frame, _ in pairs] == [1200] * 10 + [600] * 10 + [300] * 10
    energies = [np.mean([label.energy_eV for _, label in pairs[n : n + 10]]) for n in (0, 10, 20)]
    # Nearly harmonic: the mean potential energy of n atoms falls by 3/2 (n - 1) k T.
    quantum = 1.5 * 15 * 8.617e-5
    assert (energies[0] - energies[2]) / quantum == pytest.approx(900, rel=0.4)
    assert energies[0] > energies[1] > energies[2]
    assert_labels_are_those_of_the_labeller(made, pairs[::10], tmp_path / "again")


@pytest.mark.parametrize(
    ("changes", "labelled"),
    [
        ({"labels": "relabel"}, False),
        ({"parameters": {"asap_cutoff": True}}, False),
        ({"parameters": {"asap_cutoff": False}}, True),
    ],
)
def test_snapshots_are_labels_where_the_settings_are_those_of_the_labels(tmp_path, changes, labelled):
    run = isothermal_run(tmp_path, duration_ps=0.1, **changes)
    pairs = emt(parameters={"asap_cutoff": False}).snapshots(run, tmp_path / "md", threads=1)
    assert [label is not None for _, label in pairs] == [labelled] * run.n_snapshots
    told = pairs[0][0].provenance.details
    assert told.get("md_parameters", {}) == changes.get("parameters", {})
    again = pairs[0][0].to_atoms()
    again.calc = EMT(**changes.get("parameters", {}))
    assert told["potential_energy_eV"] == pytest.approx(again.get_potential_energy(), abs=1e-3)


def test_wrong_parameters_of_the_dynamics_are_told(tmp_path):
    run = isothermal_run(tmp_path, parameters={"asap_cutof": True})
    with pytest.raises(UserError, match=r"reference_md/copper\.extxyz/600K/0: parameters.*'asap_cutoff'"):
        emt().snapshots(run, tmp_path / "md", threads=1)
    run = li2o_run(parameters={"cutoff_A": 5.0})
    with pytest.raises(UserError, match=r"parameters: the classical reference takes none.*cutoff_A"):
        classical().snapshots(run, tmp_path / "md", threads=1)


def count(word, path):
    """How often `word` stands in a file, which need not exist yet."""
    return path.read_text().count(word) if path.exists() else 0


def test_a_melt_quench_killed_on_the_way_down_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    run = copper_run(tmp_path, melt_ps=0.05, duration_ps=0.1, equilibration_ps=0.0, temperatures_K=[900, 600])
    whole = emt("calculators.Slow").snapshots(run, tmp_path / "whole", threads=1)
    written = tmp_path / "killed" / "snapshots.jsonl"
    with (
        killed_when(lambda: count("\n", written) >= 3, "llzo_al.labelling.ase_md_child"),
        pytest.raises(ChildDied),
    ):
        emt("calculators.Slow").snapshots(run, tmp_path / "killed", threads=1)
    kept = written.read_text().splitlines()
    assert 3 <= len(kept) < run.n_snapshots
    begun = []
    monkeypatch.setattr(ProgressFile, "begin", lambda _, done, detail: begun.append((done, detail)))
    resumed = emt("calculators.Slow").snapshots(run, tmp_path / "killed", threads=1)
    assert written.read_text().splitlines()[: len(kept) - 1] == kept[:-1]
    ((done, detail),) = begun  # the time left is counted from the checkpoint
    assert done >= run.snapshot_at[len(kept) - 2]
    assert detail.endswith(" K")
    assert steps_of(resumed) == steps_of(whole) == list(run.snapshot_at)
    for (frame, label), (expected_frame, expected) in zip(resumed, whole, strict=True):
        np.testing.assert_allclose(frame.positions_A, expected_frame.positions_A, atol=2e-6)
        assert label.energy_eV == pytest.approx(expected.energy_eV, abs=1e-6)


def test_the_classical_reference_melts_and_quenches(tmp_path):
    run = li2o_run()
    pairs = classical().snapshots(run, tmp_path / "md", threads=1)
    assert steps_of(pairs) == list(run.snapshot_at)
    assert [frame.provenance.temperature_K for frame, _ in pairs] == [2000] * 5 + [500] * 5
    assert_labels_are_those_of_the_labeller(classical(), pairs, tmp_path / "again")


def test_a_killed_classical_run_loses_no_frame(tmp_path):
    run = li2o_run(
        schedule="isothermal",
        temperatures_K=[600],
        melt_ps=None,
        cooling_rate_K_per_ps=None,
        duration_ps=40.0,
        snapshot_interval_fs=2000.0,
    )
    trajectory = tmp_path / "trajectory.extxyz"
    with (
        killed_when(lambda: count("Lattice", trajectory) >= 4, "llzo_al.exploration.md_child"),
        pytest.raises(EngineError),
    ):
        classical().snapshots(run, tmp_path, threads=1)
    restarts = sorted(tmp_path.glob("restart-*.bin"))
    before = trajectory.read_text()
    frames = before.count("Lattice")
    assert restarts
    pairs = classical().snapshots(run, tmp_path, threads=1)
    whole = before.rsplit("12\nLattice", 1)[0] if not before.endswith("\n") else before
    kept = "".join(whole.splitlines(keepends=True)[: 14 * (frames - 1)])
    assert trajectory.read_text().startswith(kept)
    last = max(int(path.stem.split("-")[1]) for path in restarts)
    assert last >= 1000 * (frames - 2)
    assert len(pairs) == run.n_snapshots


def test_energies_of_the_dynamics_are_told_to_the_autocorrelation(tmp_path):
    pairs = classical().snapshots(
        li2o_run(schedule="isothermal", temperatures_K=[600], melt_ps=None, cooling_rate_K_per_ps=None),
        tmp_path / "md",
        threads=1,
    )
    labels = dict(classical().label([frame for frame, _ in pairs], tmp_path / "again"))
    assert all(label is None for _, label in pairs)
    for index, (frame, _) in enumerate(pairs):
        told = frame.provenance.details["potential_energy_eV"]
        assert told == pytest.approx(labels[index].energy_eV, abs=1e-3)


def test_dynamics_that_take_too_much_memory_are_stopped(tmp_path):
    run = isothermal_run(tmp_path)
    atoms = run.frame.to_atoms()
    atoms.positions[:, 2] += 0.555 - atoms.positions[0, 2]  # where this calculator outgrows its limit
    run = replace(run, frame=replace(run.frame, positions_A=atoms.positions))
    with pytest.raises(EngineError, match=r"memory limit of 0\.7 GB"):
        emt("calculators.Greedy", memory_limit_GB=0.7).snapshots(run, tmp_path / "work", threads=1)
