import pytest

from campaigns import write_tiny
from llzo_al import preflight
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.config.load import load_campaign
from llzo_al.errors import StageError, UserError


def test_nothing_is_missing_here(tmp_path):
    loaded = load_campaign(write_tiny(tmp_path))
    assert preflight.missing_parts(loaded.config) == []
    preflight.check_training(loaded)


def test_every_missing_part_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("llzo_al.training.backends.available_backends", lambda: ())
    monkeypatch.setattr("llzo_al.preflight.importlib.util.find_spec", lambda _: None)
    text = "engine: ase\n  calculator: nosuch.module.Calculator"
    loaded = load_campaign(write_tiny(tmp_path, **{"engine: classical_reference": text}))
    missing = preflight.missing_parts(loaded.config)
    assert len(missing) == 3
    assert ".[cpu]" in missing[0]
    assert "LAMMPS" in missing[1]
    assert "No module named 'nosuch'" in missing[2]
    for number, tasks in enumerate((["train"], ["md", "train"], ["label"], ["control"], [])):
        found = preflight.missing_parts(loaded.config, tasks=tasks)
        assert found == [missing[:1], missing[:2], missing[2:], missing[:1], []][number]


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("kind: existing_data\n    paths: [Li2O.cif, 'runs/*/OUTCAR']", "paths[1]"),
        ("kind: trajectories\n    files: [Li2O.cif, XDATCAR]", "files[1]"),
        ("kind: blocks\n    structure: melt.cif", "structure"),
        ("kind: materials_project\n    folder: empty", "folder"),
    ],
)
def test_files_that_are_missing_are_told_before_anything_is_made(tmp_path, source, key):
    (tmp_path / "empty").mkdir()
    (tmp_path / "Li2O.cif").write_text("there")
    file = write_tiny(tmp_path, **{"initial_data:": f"initial_data:\n  - {source}"})
    loaded = load_campaign(file)
    with pytest.raises(UserError) as caught:
        preflight.check_sources(loaded, loaded.campaign_dir)
    line = 5 if "\n" not in source else 6
    assert str(caught.value).startswith(f"{file}:{line}: initial_data[0].{key}: ")
    made = loaded.campaign_dir / "initial" / "structures"
    made.mkdir(parents=True)
    (made / "manifest.json").touch()
    preflight.check_sources(loaded, loaded.campaign_dir)  # nothing is read any more


def test_overrides_are_not_checked_without_deepmd_kit(tmp_path, monkeypatch):
    text = "compress: false\n  overrides:\n    model: {descriptor: {rcutt: 4.0}}"
    loaded = load_campaign(write_tiny(tmp_path, **{"compress: false": text}))
    with pytest.raises(UserError, match="rcutt"):
        preflight.check_training(loaded)
    monkeypatch.setattr(preflight, "available_backends", lambda: ())
    preflight.check_training(loaded)


def test_full_disk(tmp_path, monkeypatch):
    place, file = CampaignDirectory(tmp_path / "not" / "there" / "yet"), tmp_path / "campaign.yaml"
    preflight.check_place(place, file)
    monkeypatch.setattr(preflight, "MIN_FREE_MB", 1e12)
    with pytest.raises(StageError, match="MB are free"):
        preflight.check_place(place, file)
    assert not list(tmp_path.iterdir())


def test_a_read_only_file_system_without_free_space_is_called_read_only(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "MIN_FREE_MB", 1e12)
    monkeypatch.setattr("llzo_al.campaign.directory.os.access", lambda *_: False)
    with pytest.raises(UserError, match="cannot be written"):
        preflight.check_place(CampaignDirectory(tmp_path / "campaign"), tmp_path / "campaign.yaml")
