from pathlib import Path

from llzo_al.config.initial_data import ReferenceMD
from llzo_al.structures.reference_md import reference_md_runs

HERE = Path()


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
    assert (run.steps, run.equilibration_steps, run.snapshot_steps) == (525, 100, 50)
    assert (run.n_snapshots, run.total_steps) == (10, 600)
    assert run.frame.n_atoms == 96
    assert len({each.seed for each in runs}) == 4
    assert all(0 < each.seed < 2**31 for each in runs)
    assert [each.seed for each in reference_md_runs(source, base=HERE, seed=1)] == [r.seed for r in runs]
    snapshot = run.snapshot(run.frame, 150, 0)
    assert snapshot.provenance.group == run.group
    assert snapshot.provenance.temperature_K == 600
