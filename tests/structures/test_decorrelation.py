"""Snapshots of a run as far apart as their energies ask for, temperature by temperature."""

from pathlib import Path

import numpy as np
import pytest

from llzo_al.config.initial_data import ReferenceMD
from llzo_al.dataset.frames import Label
from llzo_al.structures.decorrelation import decorrelated
from llzo_al.structures.reference_md import reference_md_runs

MEMORY = {900.0: 0.8, 300.0: 0.5}


def run(**changes):
    values = {
        "kind": "reference_md",
        "structures": ["Li2O"],
        "schedule": "melt_quench",
        "temperatures_K": [900, 300],
        "melt_ps": 0.1,
        "duration_ps": 12.0,
        "snapshot_interval_fs": "auto",
        "fallback_interval_fs": 70.0,
    }
    return reference_md_runs(ReferenceMD(**{**values, **changes}), base=Path(), seed=3)[0]


def samples(run, count=None, *, labels=True):
    """What a labeller returns, with energies whose memory depends on the temperature."""
    random = np.random.default_rng(1)
    energy, pairs = 0.0, []
    for index, step in enumerate(run.snapshot_at[:count]):
        energy = MEMORY[run.temperature_at(step)] * energy + random.normal()
        frame = run.snapshot(run.frame, step, index, potential_energy_eV=energy)
        label = Label(energy_eV=energy, forces_eV_per_A=np.zeros((12, 3)), virial_eV=None)
        pairs.append((frame, label if labels else None))
    return pairs


@pytest.mark.parametrize("labels", [True, False])
def test_each_temperature_gets_its_own_stride(labels):
    trajectory = run()
    given = samples(trajectory, labels=labels)
    kept, choices = decorrelated(trajectory, given)
    assert [choice["temperature_K"] for choice in choices] == [900, 300]
    assert all(choice["estimated"] for choice in choices)
    # 2 tau = (1 + memory) / (1 - memory) samples of 10 fs.
    assert [choice["interval_fs"] for choice in choices] == pytest.approx([90, 30], abs=21)
    assert choices[0]["time_fs"] == pytest.approx(45, rel=0.4)
    assert [frame.provenance.frame for frame, _ in kept] == list(range(len(kept)))
    for temperature, choice in zip((900, 300), choices, strict=True):
        members = [pair for pair in kept if pair[0].provenance.temperature_K == temperature]
        steps = [frame.provenance.details["step"] for frame, _ in members]
        assert set(np.diff(steps)) == {choice["interval_fs"]}
        assert len(members) == 1200 // choice["stride"]
        told = members[0][0].provenance.details["autocorrelation"]
        assert told["estimated"]
        assert told["interval_fs"] == choice["interval_fs"]
    by_step = {frame.provenance.details["step"]: label for frame, label in given}
    assert all(by_step[frame.provenance.details["step"]] is label for frame, label in kept)


def test_a_run_too_short_keeps_what_the_plan_said_and_says_so():
    trajectory = run(duration_ps=0.15, fallback_interval_fs=50.0)
    kept, choices = decorrelated(trajectory, samples(trajectory))
    assert len(kept) == trajectory.n_snapshots == 6
    assert not any(choice["estimated"] for choice in choices)
    assert "stated stride" in kept[0][0].provenance.details["autocorrelation"]["reason"]


def test_a_run_that_broke_off_keeps_what_there_is():
    trajectory = run(duration_ps=0.7)
    kept, choices = decorrelated(trajectory, samples(trajectory, 30))
    assert [choice["temperature_K"] for choice in choices] == [900]
    assert [frame.provenance.details["step"] for frame, _ in kept] == list(range(170, 401, 70))


def test_a_stated_interval_keeps_every_snapshot():
    trajectory = run(snapshot_interval_fs=100.0)
    given = samples(trajectory)
    assert decorrelated(trajectory, given) == (given, [])


def test_without_energies_the_structure_decides():
    trajectory = run(duration_ps=0.5)
    pairs = [
        (trajectory.snapshot(trajectory.frame, step, index), None)
        for index, step in enumerate(trajectory.snapshot_at)
    ]
    kept, choices = decorrelated(trajectory, pairs)
    assert len(kept) == trajectory.n_snapshots
    assert "nothing varies over 50 samples" in choices[0]["reason"]
