"""Files that a campaign file names: a changed one is noticed, whatever else stays."""

import os
from typing import get_args

import pytest

from campaigns import make_tiny
from llzo_al.campaign import iteration
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.changed import changes_since_the_last_run
from llzo_al.campaign.initial import initial_key
from llzo_al.campaign.input_files import NAMING_KEYS, changed_files, kept, look
from llzo_al.config.initial_data import Source
from llzo_al.config.load import load_campaign
from llzo_al.structures.library import load_structure

OWN = {
    "structures: [Li2O]\n    scale_factors": "structures: [cell.vasp]\n    scale_factors",
    "exploration:\n  structures: [Li2O]": "exploration:\n  structures: [cell.vasp]",
}


def write_cell(folder, factor=1.0):
    folder.mkdir(parents=True, exist_ok=True)
    atoms = load_structure("Li2O", base=folder)
    atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    atoms.write(folder / "cell.vasp", format="vasp")


@pytest.fixture
def campaign(tmp_path):
    write_cell(tmp_path)
    return make_tiny(tmp_path, **OWN)


def again(campaign):
    """The campaign as the next run would see it."""
    loaded = load_campaign(campaign.base / "campaign.yaml")
    return Campaign.create(root=loaded.campaign_dir, config=loaded.config, campaign_file=loaded.path)


def test_every_kind_of_source_says_which_of_its_keys_name_files():
    models = {
        get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(Source)[0])
    }
    assert NAMING_KEYS.keys() == models.keys()
    for kind, keys in NAMING_KEYS.items():
        assert set(keys) <= models[kind].model_fields.keys()


def test_built_in_crystals_are_no_files(tmp_path):
    campaign = make_tiny(tmp_path)
    assert campaign.input_files == []
    assert "files" not in initial_key(campaign)


def test_a_changed_structure_file_makes_new_initial_data_and_new_runs(campaign):
    assert [each.key for each in campaign.input_files] == [
        "initial_data[1].structures[0]",
        "exploration.structures[0]",
    ]
    run = iteration.planned_runs(campaign, 0)[0]
    before = initial_key(campaign), iteration.explore_key(campaign, run, [])
    assert (initial_key(again(campaign)), iteration.explore_key(again(campaign), run, [])) == before
    write_cell(campaign.base, 1.01)
    told = changes_since_the_last_run(load_campaign(campaign.base / "campaign.yaml"))
    assert told[0].startswith(
        "initial_data[1].structures[0]: cell.vasp holds something else than before: initial frames are made"
    )
    assert told[1].startswith(
        "exploration.structures[0]: cell.vasp holds something else than before: MD runs of"
    )
    assert len(told) == 2
    changed = again(campaign)
    assert initial_key(changed) != before[0]
    assert iteration.explore_key(changed, run, []) != before[1]
    assert changes_since_the_last_run(load_campaign(campaign.base / "campaign.yaml")) == []


def test_a_file_that_was_only_touched_is_the_same(campaign):
    os.utime(campaign.base / "cell.vasp", (1, 1))
    touched = look(campaign.config, campaign.base, campaign.input_files)
    assert changed_files(campaign.input_files, touched) == []
    assert touched[0].stamp != campaign.input_files[0].stamp


def test_a_file_that_is_gone_counts_as_it_was(campaign):
    (campaign.base / "cell.vasp").unlink()
    assert look(campaign.config, campaign.base, campaign.input_files) == campaign.input_files
    assert look(campaign.config, campaign.base) == []


def test_a_campaign_of_an_earlier_version_has_no_checksums(campaign):
    campaign.directory.input_files.unlink()
    opened = Campaign.open(campaign.directory.root)
    assert opened.input_files == kept(opened.directory.input_files) == []
    assert changes_since_the_last_run(load_campaign(campaign.base / "campaign.yaml")) == []


@pytest.mark.parametrize("name", ["runs", "runs/*.xyz", "runs/**/*.xyz"])
def test_folders_and_patterns_hold_names_and_contents(tmp_path, name):
    (tmp_path / "runs" / "deep").mkdir(parents=True)
    (tmp_path / "runs" / "a.xyz").write_text("one")
    (tmp_path / "runs" / "b.xyz").write_text("two")
    config = make_tiny(tmp_path / "x").config
    source = {"kind": "existing_data", "paths": [name]}
    config = type(config).model_validate({**config.settings(), "initial_data": [source]})
    found = look(config, tmp_path)
    assert [each.key for each in found] == ["initial_data[0].paths[0]"]
    (tmp_path / "runs" / "b.xyz").write_text("TWO")
    renewed = look(config, tmp_path, found)
    assert changed_files(found, renewed) == renewed
    (tmp_path / "runs" / "b.xyz").rename(tmp_path / "runs" / "c.xyz")
    assert changed_files(renewed, look(config, tmp_path, renewed))
