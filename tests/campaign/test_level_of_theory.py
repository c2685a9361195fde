"""A campaign is looked at where its labeller cannot say what changes a label (no POTCARs)."""

import pytest

from campaigns import make_tiny
from llzo_al.campaign.campaign import Campaign
from llzo_al.errors import UserError
from vasp_standin.potcars import write_dummy_potcars

VASP = {"  engine: classical_reference\n": "  engine: vasp\n  command: vasp_std\n"}


def make(tmp_path, **more):
    return make_tiny(tmp_path, **VASP, **more)


def test_the_level_of_theory_of_the_last_run_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    write_dummy_potcars(tmp_path / "potcars", ["Li_sv", "O"])
    campaign = make(tmp_path)
    known = campaign.physics
    campaign.keep_level_of_theory()
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "nowhere"))
    assert Campaign.open(campaign.directory.root).physics == known


def test_it_is_not_taken_for_that_of_other_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    write_dummy_potcars(tmp_path / "potcars", ["Li_sv", "O"])
    make(tmp_path).keep_level_of_theory()
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "nowhere"))
    other = {VASP["  engine: classical_reference\n"]: "  engine: vasp\n  incar: {ENCUT: 600}\n"}
    with pytest.raises(UserError, match="POTCAR"):
        _ = make(tmp_path, **other).physics
