"""Campaign files to start from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from llzo_al.config.load import load_campaign
from llzo_al.config.plan import make_plan
from llzo_al.config.templates import template_names, template_text, write_template
from llzo_al.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "example"), [("quickstart", "quickstart"), ("vasp", "llzo-vasp")])
def test_template_is_the_example(name, example):
    path = ROOT / "examples" / example / "campaign.yaml"
    assert template_text(name) == path.read_text(encoding="utf-8")


def test_quickstart_is_short_and_keeps_to_its_recipe():
    lines = [line for line in template_text("quickstart").splitlines() if line.strip()]
    assert len([line for line in lines if not line.lstrip().startswith("#")]) <= 40
    config = load_campaign(ROOT / "examples" / "quickstart" / "campaign.yaml").config
    assert config.labelling.engine == "classical_reference"
    assert config.exploration.structures == ["t-LLZO"]
    assert not config.exploration.primitive
    assert min(config.exploration.temperatures_K) >= 600
    assert config.stopping.min_iterations >= 2


def test_the_harder_variant_is_the_quickstart_but_for_what_makes_it_harder():
    easy, hard = (
        load_campaign(ROOT / "examples" / "quickstart" / f"{name}.yaml").config.settings()
        for name in ("campaign", "harder")
    )
    changed = {
        (section, key)
        for section, values in easy.items()
        for key in (values if isinstance(values, dict) else [""])
        if (values[key] != hard[section][key] if key else values != hard[section])
    }
    assert changed == {
        ("name", ""),
        ("exploration", "temperatures_K"),
        ("selection", "max_frames"),
        ("stopping", "max_iterations"),
    }


@pytest.mark.parametrize("name", template_names())
def test_template_is_a_campaign_without_warnings(tmp_path, name):
    path = write_template(name, tmp_path / "new" / "directory")
    assert path == tmp_path / "new" / "directory" / "campaign.yaml"
    loaded = load_campaign(path)
    assert make_plan(loaded).warnings == ()
    assert "llzo-al run" in loaded.text


@pytest.mark.parametrize("name", template_names())
def test_editor_finds_the_schema(tmp_path, name):
    path = write_template(name, tmp_path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=campaign.schema.json"
    assert json.loads((tmp_path / "campaign.schema.json").read_text())["title"] == "CampaignConfig"
    example = ROOT / "examples" / "quickstart"
    relative = template_text(name).splitlines()[0].partition("$schema=")[2]
    assert (example / relative).is_file()


def test_nothing_is_overwritten(tmp_path):
    path = write_template("quickstart", tmp_path)
    path.write_text("mine")
    with pytest.raises(UserError, match="is there already and is not overwritten"):
        write_template("production", tmp_path)
    assert path.read_text() == "mine"


def test_unknown_template(tmp_path):
    with pytest.raises(UserError, match=r"allowed: quickstart, production, vasp; did you mean quickstart\?"):
        write_template("quick-start", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="choose another"):
            write_template("quickstart", directory)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a directory that nobody can write")
def test_read_only_directory():
    with pytest.raises(UserError, match="cannot be written"):
        write_template("quickstart", Path("/proc/campaign"))
