"""Campaign directories of other versions: what can be shown is shown."""

import logging

import pytest

from campaigns import make_tiny
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.changed import changes_since_the_last_run
from llzo_al.campaign.facts import campaign_facts
from llzo_al.config.load import load_campaign
from llzo_al.errors import StageError
from llzo_al.files import read_json, write_json


def edit(campaign, old, new):
    path = campaign.directory.config
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def campaign(tmp_path):
    made = make_tiny(tmp_path)
    made.keep_level_of_theory()
    return made


def test_what_was_written_is_read_back(campaign, caplog):
    opened = Campaign.open(campaign.directory.root)
    assert opened.config == campaign.config
    assert not opened.in_part
    assert not caplog.records


def test_a_key_of_another_version_is_told_and_left_out(campaign, caplog):
    edit(campaign, "coverage:\n", "coverage:\n  environments_max: 1000\n")
    edit(campaign, "engine: classical_reference", "engine: classical_reference\n  old_key: 1")
    with caplog.at_level(logging.WARNING):
        opened = Campaign.open(campaign.directory.root)
    (told,) = [record.getMessage() for record in caplog.records]
    assert str(campaign.directory.config) in told
    assert "coverage.environments_max: unknown key" in told
    assert "labelling.old_key: unknown key" in told
    assert opened.in_part
    assert opened.config == campaign.config
    assert campaign_facts(opened).campaign == "tiny"


def test_a_value_of_another_version_gives_way_to_the_default(campaign):
    edit(campaign, "edges: common", "edges: widest")
    assert Campaign.open(campaign.directory.root).config.coverage.edges == "common"


def test_labels_of_another_version_are_found_by_its_own_level_of_theory(campaign):
    kept = read_json(campaign.directory.level_of_theory)
    write_json(campaign.directory.level_of_theory, {**kept, "physics": {"engine": "of another version"}})
    assert Campaign.open(campaign.directory.root).physics == kept["physics"]
    edit(campaign, "engine: classical_reference", "engine: classical_reference\n  old_key: 1")
    assert Campaign.open(campaign.directory.root).physics == {"engine": "of another version"}


def test_a_new_run_tells_what_it_means_and_writes_the_file_anew(campaign):
    edit(campaign, "coverage:\n", "coverage:\n  environments_max: 1000\n")
    loaded = load_campaign(campaign.base / "campaign.yaml")
    assert changes_since_the_last_run(loaded) == []
    Campaign.create(root=loaded.campaign_dir, config=loaded.config, campaign_file=loaded.path)
    assert not Campaign.open(campaign.directory.root).in_part


@pytest.mark.parametrize("text", ["", "name: [", "- 1\n", "name: tiny\n", "initial_data: [{kind: magic}]\n"])
def test_a_file_of_which_too_little_is_left_says_what_to_do(campaign, text):
    campaign.directory.config.write_text(text)
    with pytest.raises(
        StageError, match=r"campaign\.yaml: cannot be read back \(.*remove it, and `llzo-al run`"
    ):
        Campaign.open(campaign.directory.root)


def test_a_missing_file_is_no_damaged_one(campaign):
    campaign.directory.config.unlink()
    with pytest.raises(StageError, match=r"campaign\.yaml: is missing; `llzo-al run` with the campaign file"):
        Campaign.open(campaign.directory.root)
