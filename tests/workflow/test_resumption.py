"""A small campaign that is killed and resumed: nothing stored or finished is lost or done twice."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing as closing_file
from pathlib import Path

import pytest

from interruptions import LABELLER, InterruptedCampaign, environment, geometries_of
from llzo_al.campaign import closing
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.failures import read_failures
from llzo_al.errors import UserError
from llzo_al.files import read_json

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "kill_campaign.py"


class Story:
    """What happened to the campaign of this module."""

    def __init__(self, place):
        self.campaign = InterruptedCampaign(place, iterations=1)
        self.at_kill = []
        self.refused = None
        self.before_refusal = set()
        self.after_refusal = set()
        self.exit_code = None

    def live_through(self):
        campaign = self.campaign
        campaign.start()
        assert campaign.wait_until(self._labels_under_way)
        self._kill("group", settle=True)
        campaign.start()
        assert campaign.wait_until(self._checkpoint_written)
        self._kill("parent", settle=False)
        campaign.start()
        campaign.settle()
        assert campaign.wait_until(lambda: "training" in campaign.engines())
        self._start_beside()
        assert campaign.wait_until(lambda: "MD" in campaign.engines())
        self._kill("parent", settle=True)
        campaign.start()
        self.exit_code = campaign.finish()

    def _labels_under_way(self):
        return sum(by == LABELLER for _, by in self.campaign.calculated()) >= 5

    def _checkpoint_written(self):
        """Whether a training has begun its second checkpoint, so that the first is whole."""
        trainings = self.campaign.root.glob("iterations/000/train/*.partial")
        return any(len(list(training.glob("model.ckpt-*.index"))) > 1 for training in trainings)

    def _kill(self, how, *, settle):
        self.at_kill.append(self.campaign.engines())
        assert self.campaign.kill(how, settle=settle)

    def _start_beside(self):
        self.before_refusal = {each.pid for each in self.campaign.workers()}
        self.refused = subprocess.run(
            [sys.executable, "-m", "llzo_al", "run", str(self.campaign.file)],
            capture_output=True,
            text=True,
            timeout=100,
            env=environment(),
        )
        self.after_refusal = {each.pid for each in self.campaign.workers()}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    story = Story(tmp_path_factory.mktemp("kills"))
    try:
        story.live_through()
    finally:
        if story.campaign.process.poll() is None:
            story.campaign.kill("group")
    return story


@pytest.mark.kill
def test_a_killed_campaign_ends_with_nothing_lost_or_repeated(story):
    assert story.exit_code == 0, story.campaign.output.read_text()[-3000:]
    assert story.campaign.findings.violations() == []


@pytest.mark.kill
def test_it_was_killed_while_it_worked(story):
    during_labels, during_training, during_md = story.at_kill
    assert during_labels & {"labels", "reference MD"}
    assert "training" in during_training
    assert "MD" in during_md


@pytest.mark.kill
def test_a_killed_training_went_on_from_its_checkpoint(story):
    manifests = story.campaign.root.glob("iterations/000/train/model-*/manifest.json")
    resumed = [read_json(path)["outputs"]["resumed_from_step"] for path in manifests]
    assert len(resumed) == 2
    assert any(step is not None and step >= 10 for step in resumed)


@pytest.mark.kill
def test_a_second_run_is_refused_and_leaves_the_first_alone(story):
    assert story.refused.returncode == 2, story.refused.stdout + story.refused.stderr
    assert "is being run already (process " in story.refused.stderr
    assert "Traceback" not in story.refused.stderr
    assert len(story.before_refusal) > 0
    assert story.after_refusal == story.before_refusal


@pytest.mark.kill
def test_nothing_is_left_of_what_was_interrupted(story):
    root = story.campaign.root
    assert [path for path in root.rglob("*.partial") if path.is_dir()] == []
    assert list((root / "logs" / "progress").iterdir()) == []
    assert list(CampaignDirectory(root).label_jobs.glob("*")) == []
    assert read_failures(Campaign.open(root)) == []


@pytest.mark.kill
def test_the_audit_would_have_seen_it(story, tmp_path):
    """Each thing that is counted is counted when it happens."""
    shutil.copytree(story.campaign.file.parent, tmp_path / "copy")
    campaign = InterruptedCampaign(tmp_path / "copy", iterations=1)
    campaign.seen.append(campaign.look())
    store = campaign.root / "dataset" / "labels.sqlite"
    with closing_file(sqlite3.connect(store)) as database, database:
        lost, changed, computed, *_ = [row[0] for row in database.execute("SELECT identity FROM labels")]
        database.execute("DELETE FROM labels WHERE identity = ?", (lost,))
        database.execute("UPDATE labels SET energy = energy + 1e-9 WHERE identity = ?", (changed,))
    again = geometries_of(store)[computed]
    with campaign.calculations.open("a") as handle:
        handle.write(json.dumps({"geometry": again, "by": LABELLER}) + "\n")
    manifest = campaign.root / "iterations" / "000" / "train" / "model-0" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes())
    with subprocess.Popen(
        [sys.executable, "-c", "input()", str(campaign.root)], stdin=subprocess.PIPE
    ) as one:
        campaign.count_orphans(campaign.running())
        one.communicate(b"\n")
    campaign.compare()
    assert campaign.findings.lost_labels == {lost, changed}
    assert campaign.findings.repeated_labels == {again}
    assert campaign.findings.repeated_stages == {manifest}
    assert [int(orphan.split()[0]) for orphan in campaign.findings.orphans] == [one.pid]


@pytest.mark.kill
def test_an_interrupted_close_is_finished_under_other_limits(story, tmp_path):
    """Splits that the interrupted close decided stay, though the new limits would decide otherwise."""
    root = tmp_path / "copy"
    shutil.copytree(story.campaign.root, root)
    opened = Campaign.open(root)
    before = {record.identity: record.split for record in opened.store.records()}
    assert "training" in {entry["split"] for entry in closing.closed(opened, 0)["audit"]}
    limits = {"energy_error_meV_per_atom": 1e9, "force_error_meV_per_A": 1e9}
    selection = opened.config.selection.model_copy(update=limits)
    config = opened.config.model_copy(update={"selection": selection})
    shutil.rmtree(root / "iterations" / "000" / "close")
    outputs = closing.close(Campaign(directory=opened.directory, config=config, base=opened.base), 0)
    assert {record.identity: record.split for record in opened.store.records()} == before
    assert {entry["identity"]: entry["split"] for entry in outputs["audit"]}.items() <= before.items()


@pytest.mark.kill
@pytest.mark.parametrize("left", ["run.lock", ".campaign.json.4711.tmp"])
def test_a_directory_whose_making_was_cut_short_is_taken_up(tmp_path, left):
    directory = CampaignDirectory(tmp_path / "campaign")
    directory.root.mkdir()
    (directory.root / left).write_text("{", encoding="utf-8")
    directory.create(tmp_path / "campaign.yaml")
    assert json.loads(directory.version_file.read_text())["campaign_file"] == str(tmp_path / "campaign.yaml")


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty and is not a campaign directory"):
        CampaignDirectory(tmp_path).create(tmp_path / "campaign.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_kills_at_random_moments(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(BENCHMARK),
            "--kills",
            "12",
            "--seed",
            "3",
            "--gentle",
            "6",
            "--dir",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
