"""VASP's dynamics before the time limit of their job, in a run with local workers."""

import time

import pytest

from campaigns import CRYSTALS, DIMERS, REFERENCE_MD, make_tiny
from labelling.vasp_cases import STANDIN, make_potcars
from llzo_al.campaign.failures import read_failures
from llzo_al.campaign.reference_runs import md_runs
from llzo_al.labelling.vasp.outputs import read_vasp_run
from llzo_al.workflow import driver, local_workers

MD = """\
  - kind: reference_md
    structures: [Li2O]
    temperatures_K: [300]
    duration_ps: 0.02
    equilibration_ps: 0.01
    snapshot_interval_fs: 5
"""
LABELLING = f"""\
engine: vasp
  command: "{STANDIN}"
  min_free_MB: 1
  walltime_s: 40
resources:
  cores: 2"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_trajectory_is_dropped_and_no_iteration_starts_without_it(tmp_path, monkeypatch):
    hour_ago = time.localtime(time.time() - 3600)
    for name, value in {
        "PMG_VASP_PSP_DIR": make_potcars(tmp_path / "psp"),
        "LLZO_STANDIN_STATE": tmp_path / "count",
        "LLZO_STANDIN_FAULT": "slow:run=1",
        "LLZO_STANDIN_SLOW_S": "2",
        "CUSTODIAN_WALLTIME_START": time.strftime("%a %b %d %H:%M:%S UTC %Y", hour_ago),
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(local_workers, "PAUSE_S", 4.0)
    replaced = {DIMERS: "", CRYSTALS: "", REFERENCE_MD: MD, "engine: classical_reference": LABELLING}
    campaign = make_tiny(tmp_path, **replaced)
    assert len(md_runs(campaign)) == 1
    place = campaign.directory

    def watch():
        if (place.iteration(0) / "dataset").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver.run_workflow(campaign, watch=watch)
    told = place.log.read_text()
    assert "stopped in time: reference MD 0" in told
    assert "waits for the end of its job; if that does not come, its task goes on here in 4 s" in told
    assert "waited for the end of its job, which did not come; it is replaced and 1 task(s) start" in told
    assert "died" not in told
    assert read_failures(campaign) == []
    first, *more = sorted((place.initial / "reference_md").glob("*/piece-*"))
    assert more
    assert 0 < len(read_vasp_run(first).steps) < 21
    assert len(campaign.store.identities(labelled=True, physics=campaign.physics)) >= 2
