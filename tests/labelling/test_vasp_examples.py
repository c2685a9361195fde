"""The files for VASP that are shipped, and VASP's way through the rest of the program."""

import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from vasp_cases import STANDIN, make_potcars

from llzo_al.config.changes import Consequence, consequence_of
from llzo_al.config.labelling import VASP
from llzo_al.config.load import load_campaign
from llzo_al.config.plan import make_plan
from llzo_al.errors import UserError
from llzo_al.preflight import missing_parts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def campaign():
    return load_campaign(ROOT / "examples" / "llzo-vasp" / "campaign.yaml")


def test_the_production_campaign_is_valid_and_counts_its_labels(campaign):
    plan = make_plan(campaign)
    assert plan.labeller == "VASP (PBE_54, k-point spacing 0.25/angstrom)"
    assert plan.initial_labels > 250
    assert not plan.warnings


def test_all_that_it_lacks_is_vasp(campaign, tmp_path, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path)))
    monkeypatch.delenv("LLZO_AL_VASP_CMD", raising=False)
    (told,) = [each for each in missing_parts(campaign.config) if each.startswith("labelling")]
    assert "LLZO_AL_VASP_CMD" in told
    monkeypatch.setenv("LLZO_AL_VASP_CMD", STANDIN)
    assert not [each for each in missing_parts(campaign.config) if each.startswith("labelling")]


def test_the_template_of_the_section():
    data = YAML(typ="safe").load((ROOT / "configs" / "vasp_labelling.yaml").read_text(encoding="utf-8"))
    settings = VASP.model_validate(data["labelling"])
    assert settings.spacing_per_A == 0.25


@pytest.mark.parametrize(
    "key", ["command", "incar.NCORE", "incar.KPAR", "retry_incar", "keep_outputs", "threads"]
)
def test_working_settings_change_no_label(key):
    assert consequence_of(("labelling", *key.split("."))) is Consequence.NOTHING


@pytest.mark.parametrize(
    "key", ["incar.ENCUT", "preset", "functional", "potcar_symbols.Li", "kspacing_per_A"]
)
def test_the_user_is_told_what_asks_for_new_labels(key):
    assert consequence_of(("labelling", *key.split("."))) is Consequence.NEW_LABELS


def test_a_workers_env_reaches_its_jobs(monkeypatch, tmp_path):
    from llzo_al.labelling.vasp.command import resolve_command
    from llzo_al.workflow.tasks import CampaignTask

    monkeypatch.setattr("llzo_al.workflow.tasks.Campaign.open", lambda root: root)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    found = []

    class Task(CampaignTask):
        def _work(self, campaign):
            found.append(resolve_command(">>vasp_cmd<<", "command"))

    worker = {"_fw_env": {"vasp_cmd": "srun -n 4 vasp_std"}}
    Task(campaign_dir=str(tmp_path)).run_task(worker)
    assert found == [["srun", "-n", "4", "vasp_std"]]
    os.environ.pop("LLZO_AL_VASP_CMD")
    with pytest.raises(UserError, match="vasp_cmd"):
        resolve_command(">>vasp_cmd<<", "command")


def test_the_stand_in_is_out_of_reach_of_the_package():
    for path in (ROOT / "src").rglob("*.py"):
        assert "standin" not in path.read_text(encoding="utf-8").lower(), path


def test_doctor_looks_at_the_worker_command(monkeypatch):
    from llzo_al.doctor.check import Status
    from llzo_al.doctor.labels import vasp

    monkeypatch.setenv("LLZO_AL_VASP_CMD", STANDIN)
    assert vasp().status is Status.OK
    monkeypatch.setenv("LLZO_AL_VASP_CMD", "srun_that_is_not_there vasp_std")
    assert vasp().status is Status.BROKEN
    assert "srun_that_is_not_there" in vasp().detail
