"""A campaign as a SLURM job: killed by the queue, put back by itself at the time limit, and continued."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fireworks import FWorker
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

import slurm_cluster
from interruptions import SETTLE_S, InterruptedCampaign
from llzo_al.workflow.owner import Owner

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster.started() as running:
        yield running


def job_script(folder, **replaced):
    """The job script with the environment of these tests, and with some of its lines replaced."""
    text = (CONFIGS / "slurm_job.sh").read_text()
    here = Path(__file__).parents[1]
    path = f"{here}:{here.parent / 'src'}"
    replaced["# source /path/to/venv/bin/activate"] = (
        f"export PYTHONPATH={path} PATH={Path(sys.executable).parent}:$PATH\n"
        f'llzo-al() {{ exec {sys.executable} -m llzo_al "$@"; }}'
    )
    replaced["--cpus-per-task=16"] = "--cpus-per-task=2"
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    script = folder / "job.sh"
    script.write_text(text)
    return str(script)


def wait_for(reached, seconds=200):
    ends = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.1)


def output(folder):
    return "\n".join(path.read_text() for path in sorted(folder.glob("slurm-*.out")))


@pytest.mark.slurm
@pytest.mark.timeout(900)
def test_a_cancelled_job_submitted_again_finishes_the_campaign(cluster, tmp_path):
    campaign = InterruptedCampaign(tmp_path, iterations=1)
    script = job_script(tmp_path)
    first = cluster.submit(script, str(campaign.file), cwd=tmp_path)
    wait_for(lambda: len(campaign.calculated()) >= 8)
    cluster.ask("scancel", str(first))
    cluster.wait_for_state(first, "CANCELLED", seconds=60)
    campaign.seen.append(campaign.look())
    time.sleep(SETTLE_S)
    campaign.count_orphans(campaign.running())
    second = cluster.submit(script, str(campaign.file), cwd=tmp_path)
    cluster.wait_for_state(second, "COMPLETED", "FAILED", "TIMEOUT", seconds=400)
    assert cluster.job(second)["JobState"] == "COMPLETED", output(tmp_path)
    campaign.compare()
    assert campaign.findings.violations() == []


@pytest.mark.slurm
@pytest.mark.timeout(900)
def test_a_job_at_its_time_limit_goes_back_into_the_queue_and_finishes(cluster, tmp_path):
    campaign = InterruptedCampaign(tmp_path, iterations=2)
    limits = {"--time=24:00:00": "--time=00:02:00", "B:USR1@120": "B:USR1@75"}
    job = cluster.submit(job_script(tmp_path, **limits), str(campaign.file), cwd=tmp_path)
    cluster.wait_for_state(job, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", seconds=800)
    facts = cluster.job(job)
    assert facts["JobState"] == "COMPLETED", output(tmp_path)
    assert int(facts["Restarts"]) >= 1
    assert "goes back into the queue" in output(tmp_path)
    report = json.loads((campaign.root / "report/report.json").read_text())
    assert report["status"] == "converged"


def test_the_job_script_has_the_settings_that_its_text_speaks_of():
    text = (CONFIGS / "slurm_job.sh").read_text()
    assert re.search(r"^#SBATCH --signal=B:USR1@120$", text, re.M)
    assert re.search(r"^#SBATCH --requeue$", text, re.M)
    assert 'llzo-al run "$campaign"' in text
    assert os.access(CONFIGS / "slurm_job.sh", os.X_OK)


def test_the_queue_file_makes_a_job_script():
    settings = yaml.safe_load((CONFIGS / "my_qadapter.yaml").read_text())
    assert settings.pop("_fw_name") == "CommonAdapter"
    adapter = CommonAdapter(settings.pop("_fw_q_type"), **{"q_name": None, **settings})
    script = adapter.get_script_str("/launch")
    assert "#SBATCH --cpus-per-task=16" in script
    assert "#SBATCH --time=24:00:00" in script
    assert settings["rocket_launch"] in script
    assert "$${" not in script


def test_the_worker_file_asks_for_one_campaigns_tasks():
    worker = FWorker.from_file(str(CONFIGS / "my_fworker.yaml"))
    assert worker.query["spec._category"] == {"$in": ["train", "md", "label"]}
    campaign = Owner(directory="/path/to/the/campaign/directory", identity="any")
    assert worker.query.items() >= dict(list(campaign.fireworks.items())[:1]).items()


def test_the_queue_file_runs_what_the_program_has():
    """Its command is understood, up to the campaign that is not there."""
    command = shlex.split(yaml.safe_load((CONFIGS / "my_qadapter.yaml").read_text())["rocket_launch"])
    assert command[0] == "llzo-al"
    done = subprocess.run(
        [sys.executable, "-m", "llzo_al", *command[1:]], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "no such campaign directory" in done.stderr
