from pathlib import Path

import pytest
from pydantic import ValidationError

from llzo_al.config.initial_data import ReferenceMD
from llzo_al.structures.reference_md import MDRun, Segment, reference_md_runs

HERE = Path()
SEEDS = [562665422, 1225782821, 1730375115, 1310894977]


def test_reference_runs_are_counted_in_steps():
    source = ReferenceMD(
        kind="reference_md",
        structures=["t-LLZO"],
        primitive=True,
        temperatures_K=[600.0, 900.5],
        replicas=2,
        duration_ps=1.05,
        equilibration_ps=0.2,
        timestep_fs=2.0,
        snapshot_interval_fs=100.0,
    )
    runs = reference_md_runs(source, base=HERE, seed=1)
    assert [run.group for run in runs] == [
        "reference_md/t-LLZO.primitive/600K/0",
        "reference_md/t-LLZO.primitive/600K/1",
        "reference_md/t-LLZO.primitive/900.5K/0",
        "reference_md/t-LLZO.primitive/900.5K/1",
    ]
    run = runs[0]
    assert run.segments == (
        Segment(steps=600, start_K=600.0, end_K=600.0, equilibration_steps=100, snapshot_steps=50),
    )
    assert run.snapshot_at == tuple(range(150, 601, 50))
    assert (run.n_snapshots, run.total_steps) == (10, 600)
    assert run.frame.n_atoms == 96
    assert len({each.seed for each in runs}) == 4
    assert all(0 < each.seed < 2**31 for each in runs)
    assert [each.seed for each in reference_md_runs(source, base=HERE, seed=1)] == [r.seed for r in runs]
    snapshot = run.snapshot(run.frame, 150, 0)
    assert snapshot.provenance.group == run.group
    assert snapshot.provenance.temperature_K == 600


def test_seeds_and_snapshots_of_isothermal_runs_stay_what_they_were():
    source = ReferenceMD(kind="reference_md", structures=["t-LLZO"], temperatures_K=[300, 600], replicas=2)
    runs = reference_md_runs(source, base=HERE, seed=7)
    assert [run.seed for run in runs] == SEEDS
    assert {run.snapshot_at for run in runs} == {tuple(range(300, 1201, 100))}


def quench(**changes):
    values = {
        "kind": "reference_md",
        "structures": ["Li2O"],
        "schedule": "melt_quench",
        "temperatures_K": [3000, 2000, 1000, 500, 300],
        "melt_ps": 2.0,
        "cooling_rate_K_per_ps": 500.0,
        "duration_ps": 0.4,
        "equilibration_ps": 0.1,
        "timestep_fs": 2.0,
        "snapshot_interval_fs": 200.0,
    }
    return ReferenceMD(**{**values, **changes})


def test_a_melt_quench_holds_and_cools():
    (run,) = reference_md_runs(quench(), base=HERE, seed=1)
    assert run.group == "reference_md/Li2O/melt-quench-3000-300K/0"
    holds, coolings = run.segments[::2], run.segments[1::2]
    assert [(each.start_K, each.end_K) for each in holds] == [
        (temperature, temperature) for temperature in (3000, 2000, 1000, 500, 300)
    ]
    assert [each.steps for each in holds] == [1200, 250, 250, 250, 250]
    assert [each.steps * 2e-3 for each in coolings] == [2.0, 2.0, 1.0, 0.4]
    assert [len(each.snapshot_at) for each in coolings] == [0] * 4
    steps = run.snapshot_at
    assert len(steps) == run.n_snapshots == 10
    assert steps[:3] == (1100, 1200, 2350)
    assert [run.temperature_at(step) for step in steps] == [
        *(3000, 3000, 2000, 2000, 1000, 1000, 500, 500, 300, 300)
    ]
    assert run.total_steps == sum(each.steps for each in run.segments) == steps[-1]
    assert run.temperature_at(1700) == pytest.approx(2500)
    assert run.snapshot(run.frame, 2350, 2).provenance.temperature_K == 2000


def test_replicas_of_a_melt_quench_differ_and_its_seed_is_its_own():
    runs = reference_md_runs(quench(replicas=2), base=HERE, seed=1)
    isothermal = reference_md_runs(
        ReferenceMD(kind="reference_md", structures=["Li2O"], temperatures_K=[3000]), base=HERE, seed=1
    )
    assert len({run.seed for run in [*runs, *isothermal]}) == 3


def test_melt_and_cooling_have_defaults():
    (run,) = reference_md_runs(
        quench(melt_ps=None, cooling_rate_K_per_ps=None, temperatures_K=[1000, 600]), base=HERE, seed=1
    )
    assert run.segments[0].equilibration_steps * 2e-3 == 5.0
    assert run.segments[1].steps * 2e-3 == 2.0


def test_auto_samples_finely_and_counts_at_the_fallback():
    source = ReferenceMD(
        kind="reference_md",
        structures=["Li2O"],
        temperatures_K=[900],
        duration_ps=2.0,
        snapshot_interval_fs="auto",
        sampling_interval_fs=20.0,
        fallback_interval_fs=200.0,
    )
    (run,) = reference_md_runs(source, base=HERE, seed=1)
    assert (len(run.snapshot_at), run.n_snapshots, run.fallback_steps) == (100, 10, 200)


def test_settings_of_the_dynamics_alone_are_told():
    source = ReferenceMD(
        kind="reference_md", structures=["Li2O"], temperatures_K=[900], parameters={"ecut": 300}
    )
    (run,) = reference_md_runs(source, base=HERE, seed=1)
    assert run.parameters == {"ecut": 300}
    assert not run.relabel
    told = run.snapshot(run.frame, 300, 0, potential_energy_eV=-1.0).provenance.details
    assert told == {
        "step": 300,
        "timestep_fs": 1.0,
        "potential_energy_eV": -1.0,
        "md_parameters": {"ecut": 300},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperatures_K": [0]}, "greater than 0"),
        ({"temperatures_K": [-300]}, "greater than 0"),
        ({"temperatures_K": [3000]}, "names one temperature"),
        ({"temperatures_K": [300, 3000]}, r"temperatures_K\[1\]: is 3000 after 300"),
        ({"temperatures_K": [3000, 3000]}, "listed twice"),
        ({"schedule": "isothermal"}, "melt_ps: belongs to `schedule: melt_quench`"),
        ({"schedule": "isothermal", "melt_ps": None}, "cooling_rate_K_per_ps: belongs to"),
        ({"cooling_rate_K_per_ps": 0.0}, "greater than 0"),
        ({"cooling_rate_K_per_ps": -10.0}, "greater than 0"),
        ({"snapshot_interval_fs": 25.0}, "whole multiple of timestep_fs"),
        ({"snapshot_interval_fs": 500.0}, "longer than the run itself"),
        ({"snapshot_interval_fs": "sometimes"}, "auto"),
        (
            {"snapshot_interval_fs": "auto", "sampling_interval_fs": 5.0},
            "sampling_interval_fs: is 5; must be",
        ),
        ({"snapshot_interval_fs": "auto", "sampling_interval_fs": 800.0}, "longer than the run itself"),
        (
            {"snapshot_interval_fs": "auto", "fallback_interval_fs": 25.0},
            "fallback_interval_fs: is 25; must be a whole multiple of sampling_interval_fs",
        ),
        ({"thermostat_time_fs": 1.0}, "smaller than thermostat_time_fs"),
        ({"labels": "maybe"}, "relabel"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        quench(**changes)


def test_segments_that_do_not_join_are_refused():
    frame = reference_md_runs(quench(), base=HERE, seed=1)[0].frame
    hot, cold = (Segment(steps=10, start_K=kelvin, end_K=kelvin) for kelvin in (900.0, 300.0))
    values = {"frame": frame, "group": "g", "kind": "k", "timestep_fs": 1.0, "thermostat_time_fs": 100.0}
    with pytest.raises(ValueError, match="ends at 900 K and the next one starts at 300 K"):
        MDRun(**values, seed=1, segments=(hot, cold))
    with pytest.raises(ValueError, match="at least one segment"):
        MDRun(**values, seed=1, segments=())
