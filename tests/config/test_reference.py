"""The generated reference is the committed one, and is true."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from bad_campaigns import GOOD
from ruamel.yaml import YAML

from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.fields import children
from llzo_al.config.reference import documents, json_schema, main, markdown, outdated

ROOT = Path(__file__).parents[2]


def test_committed_files_are_up_to_date():
    assert outdated(ROOT / "docs" / "reference") == [], "run python -m llzo_al.config.reference"


def test_check_finds_a_stale_file(tmp_path, capsys):
    assert main(["--check", "--directory", str(tmp_path)]) == 1
    assert "out of date" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main(["--directory", str(tmp_path)]) == 0
    assert main(["--check", "--directory", str(tmp_path)]) == 0
    page = tmp_path / "configuration.md"
    page.write_text(page.read_text(encoding="utf-8").replace("Timestep", "Step"), encoding="utf-8")
    assert main(["--check", "--directory", str(tmp_path)]) == 1


def test_page_holds_every_key():
    page = markdown()
    waiting = [CampaignConfig]
    while waiting:
        section = waiting.pop()
        waiting += [child for _, child in children(section)]
        for name in section.model_fields:
            assert f"| `{name}` |" in page
    timestep = (
        "| `timestep_fs` | Timestep (femtoseconds). | femtoseconds | a number at least 0.01 and at most 10"
    )
    assert f"{timestep} | `1.0` |" in page
    assert all(line.count(" | ") == 4 for line in page.splitlines() if line.startswith("| `"))


def test_schema_describes_a_good_file():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    data = YAML(typ="safe").load(GOOD)
    jsonschema.validate(data, schema)
    data["exploration"]["timestep_ps"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)


def test_schema_explains_keys():
    schema = json.loads(documents()["campaign.schema.json"])
    steps = schema["$defs"]["Training"]["properties"]["steps"]
    assert steps["description"] == "Training steps in each iteration."
    assert steps["minimum"] == 1
    assert schema["$defs"]["Training"]["additionalProperties"] is False
