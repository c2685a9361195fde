"""A campaign on a real MongoDB server, which others use too: killed, cut off, worked for from elsewhere.

    LLZO_AL_MONGODB=localhost:27017 python -m pytest tests/workflow/test_mongodb.py

Each test makes a database of its own and drops it.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import launchpad_worlds as worlds
import pytest
from fireworks import Firework, FWorker, Workflow
from tcp_proxy import Proxy

import slurm_cluster
from interruptions import LABELLER, InterruptedCampaign, environment
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.errors import UserError
from llzo_al.workflow.launchpads import lpad_command, open_launchpad
from llzo_al.workflow.mongodb import MongoLaunchPad
from llzo_al.workflow.owner import Owner, owner_of

CONFIGS = Path(__file__).parents[2] / "configs"

pytestmark = pytest.mark.mongodb


@pytest.fixture(scope="module")
def database():
    with worlds.mongodb_database() as settings:
        yield settings


@pytest.fixture
def fresh_database():
    with worlds.mongodb_database() as settings:
        yield settings


def write_launchpad_file(place, settings, **others):
    path = place / "my_launchpad.yaml"
    path.write_text(json.dumps({**settings, "strm_lvl": "WARNING", **others}))
    return path


def llzo_al(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "llzo_al", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment(),
    )


# --- a campaign ---


class Story:
    """A campaign whose labels are made elsewhere, beside a namesake and a stranger in the same database."""

    def __init__(self, place, settings):
        self.campaign = InterruptedCampaign(place, iterations=1)
        self.proxy = Proxy(settings["host"], settings["port"])
        through = {**settings, "host": "127.0.0.1", "port": self.proxy.port}
        # By default the driver of MongoDB waits for 30 s before it calls a server unreachable.
        haste = {"serverSelectionTimeoutMS": 1000}
        self.file = write_launchpad_file(place, through, mongoclient_kwargs=haste)
        self.campaign.options = ["--launchpad", str(self.file), "--here", "control,train,md"]
        self.launchpad = open_launchpad(place, write_launchpad_file(place.parent, settings))
        self.elsewhere = []
        self.exit_code = None

    def add_others(self):
        """A running campaign of the same name, with workers of the same names, and somebody's own task."""
        owner = Owner(directory="/elsewhere/interrupted", identity="another")
        self.launchpad.add_wf(worlds.independent_workflow("/dev/null", 3, name="interrupted", owner=owner))
        worker = FWorker("interrupted-local-0", query=owner.fireworks, env=owner.env)
        self.launchpad.checkout_fw(worker, "/nowhere")
        task = Firework(worlds.RecordTask(), name="a stranger's", spec={"_category": "train"})
        self.launchpad.add_wf(Workflow([task], name="theirs"))

    def others(self):
        mine = (
            owner_of(CampaignDirectory(self.campaign.root)).fireworks if self.campaign.root.exists() else {}
        )
        query = {"$nor": [mine]} if mine else {}
        return sorted((fw["name"], fw["state"]) for fw in self.launchpad.fireworks.find(query))

    def live_through(self):
        campaign = self.campaign
        self.add_others()
        self.before = self.others()
        campaign.start()
        assert campaign.wait_until(campaign.root.joinpath("campaign.yaml").exists)
        self.start_worker()
        assert campaign.wait_until(lambda: self.labelled() >= 3)
        self.elsewhere[-1].kill()
        self.start_worker()
        assert campaign.wait_until(lambda: self.labelled() >= 10)
        campaign.seen.append(campaign.look())
        self.refused = llzo_al("run", campaign.file, *campaign.options)
        assert campaign.kill("parent", settle=False)  # the worker elsewhere goes on
        campaign.start()
        assert campaign.wait_until(lambda: "training" in campaign.engines())
        self.proxy.down()
        time.sleep(5)
        self.proxy.up()
        assert campaign.wait_until(lambda: "MD" in campaign.engines())
        self.proxy.cut()
        assert campaign.kill("worker")
        self.exit_code = campaign.finish()
        self.after = self.others()

    def labelled(self):
        return sum(by == LABELLER for _, by in self.campaign.calculated())

    def start_worker(self):
        root, file = str(self.campaign.root), str(self.file)
        command = ["worker", root, "--launchpad", file, "--tasks", "label", "--idle-s", "600"]
        with self.campaign.output.open("ab") as output:
            self.elsewhere.append(
                subprocess.Popen(
                    [sys.executable, "-m", "llzo_al", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment(),
                )
            )

    def end(self):
        if self.campaign.process.poll() is None:
            self.campaign.kill("group")
        for worker in self.elsewhere:
            worker.kill()
            worker.wait()
        self.proxy.down()
        self.launchpad.connection.close()


@pytest.fixture(scope="module")
def story(tmp_path_factory, database):
    story = Story(tmp_path_factory.mktemp("one") / "place", database)
    try:
        story.live_through()
    finally:
        story.end()
    return story


@pytest.mark.kill
@pytest.mark.timeout(900)
def test_it_ends_with_nothing_lost_or_repeated(story):
    assert story.exit_code == 0, story.campaign.output.read_text()[-3000:]
    assert story.campaign.findings.violations() == []


@pytest.mark.kill
def test_what_happened_is_told(story):
    log = (story.campaign.root / "logs" / "campaign.log").read_text()
    assert "ended in the middle of a task; 1 task(s) start again" in log
    assert "MongoDB does not answer" in log
    assert "MongoDB answers again" in log
    assert "exit code -9" in log
    assert "traceback" not in story.campaign.output.read_text().lower()


@pytest.mark.kill
def test_a_second_run_is_refused(story):
    assert story.refused.returncode == 2
    assert "is being run already" in story.refused.stderr


@pytest.mark.kill
def test_others_in_the_database_are_not_touched(story):
    assert story.before == story.after
    assert [state for name, state in story.after if name.startswith("f")].count("RUNNING") == 1
    assert ("a stranger's", "READY") in story.after


@pytest.mark.kill
def test_the_other_commands_know_the_campaign(story, capsys):
    root = story.campaign.root
    direct = story.file.parent.parent / "my_launchpad.yaml"
    assert lpad_command(root, direct, ["get_wflows", "-q", '{"state": "COMPLETED"}', "-d", "less"]) == 0
    assert "interrupted" in capsys.readouterr().out
    assert json.loads(llzo_al("status", root, "--json").stdout)["finished"]


@pytest.mark.kill
@pytest.mark.timeout(900)
def test_two_campaigns_of_one_name_at_once(fresh_database, tmp_path):
    """One of them loses its whole process group, and the report is made while the other still runs."""
    file = write_launchpad_file(tmp_path, fresh_database)
    both = [InterruptedCampaign(tmp_path / name, iterations=1) for name in ("first", "second")]
    try:
        for campaign in both:
            campaign.options = ["--launchpad", str(file)]
            campaign.start()
        killed, other = both
        assert killed.wait_until(lambda: "training" in killed.engines())
        assert killed.kill("group", settle=False)
        killed.start()
        assert other.wait_until(lambda: "MD" in other.engines())
        told = llzo_al("report", other.root)
        assert [campaign.finish() for campaign in both] == [0, 0], killed.output.read_text()[-3000:]
    finally:
        for campaign in both:
            if campaign.process.poll() is None:
                campaign.kill("group")
    assert [campaign.findings.violations() for campaign in both] == [[], []]
    assert told.returncode == 0, told.stderr
    assert (other.root / "report" / "index.html").exists()
    logs = [(campaign.root / "logs" / "campaign.log").read_text() for campaign in both]
    assert not any("start again" in log for log in logs[1:])


# --- the launchpad file ---


def test_an_empty_database_is_set_up_once(fresh_database, tmp_path):
    file = write_launchpad_file(tmp_path, fresh_database)
    launchpads = [open_launchpad(tmp_path, file) for _ in range(3)]
    assert [each.get_new_fw_id() for each in launchpads] == [1, 2, 3]
    assert "fw_id_1" in launchpads[0].fireworks.index_information()
    for each in launchpads:
        each.connection.close()


def test_a_uri(fresh_database, tmp_path):
    host, port = fresh_database["host"], fresh_database["port"]
    uri = {"host": f"mongodb://{host}:{port}/?appname=llzo-al", "port": None, "uri_mode": True}
    launchpad = open_launchpad(tmp_path, write_launchpad_file(tmp_path, {**fresh_database, **uri}))
    assert launchpad.get_new_fw_id() == 1
    launchpad.connection.close()


def test_a_wrong_password(fresh_database, tmp_path):
    file = write_launchpad_file(tmp_path, fresh_database, username="nobody", password="hunter2")
    with pytest.raises(UserError, match=r"refused access \(Authentication failed") as caught:
        open_launchpad(tmp_path, file)
    assert "hunter2" not in str(caught.value)


# --- several nodes ---


@pytest.fixture
def cluster():
    with slurm_cluster.started() as running:
        yield running


def filled_in(place, name, **replaced):
    """A file of configs/ as a user fills it in."""
    text = (CONFIGS / name).read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (place / name).write_text(text)


@pytest.mark.slurm
@pytest.mark.timeout(1200)
def test_jobs_of_a_queue_do_the_work(cluster, fresh_database, tmp_path):
    """The recipe of docs/howto/cluster.md; a job is cancelled in the middle of its labels, then the run."""
    campaign = InterruptedCampaign(tmp_path, iterations=1)
    file = write_launchpad_file(tmp_path, fresh_database)
    programs = Path(sys.executable).parent
    places = {
        "/path/to/the/campaign/directory": str(campaign.root),
        "/path/to/my_launchpad.yaml": str(file),
        "/path/to/my_fworker.yaml": str(tmp_path / "my_fworker.yaml"),
    }
    filled_in(tmp_path, "my_fworker.yaml", **dict(list(places.items())[:1]))
    shell = environment()
    setup = f'pre_rocket: "export PATH={programs}:$PATH PYTHONPATH={shell["PYTHONPATH"]}"'
    small = {"cpus_per_task: 16": "cpus_per_task: 1", "--idle-s 60": "--idle-s 15", "pre_rocket: null": setup}
    filled_in(tmp_path, "my_qadapter.yaml", **places, **small)
    (tmp_path / "FW_config.yaml").write_text("QUEUE_UPDATE_INTERVAL: 1\n")
    (tmp_path / "jobs").mkdir()
    campaign.options = ["--launchpad", str(file), "--here", "control"]
    campaign.start()
    files = ["-q", "my_qadapter.yaml", "-l", "my_launchpad.yaml", "-w", "my_fworker.yaml"]
    queue = ["rapidfire", "-m", "2", "--nlaunches", "infinite", "--sleep", "2"]
    launcher = subprocess.Popen(
        [programs / "qlaunch", *files, "--launch_dir", "jobs", *queue],
        cwd=tmp_path,
        env={**shell, **cluster.environment, "PATH": f"{programs}:{shell['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert campaign.wait_until(lambda: len(campaign.calculated()) >= 8)
        cluster.ask("scancel", cluster.ask("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()[0])
        campaign.seen.append(campaign.look())
        assert campaign.wait_until(lambda: "training" in campaign.engines())
        assert campaign.kill("SIGTERM", settle=False)
        launchpad = open_launchpad(tmp_path, file)
        assert not launchpad.run_exists(FWorker())
        launchpad.connection.close()
        campaign.start()
        assert campaign.finish(timeout_s=900) == 0, campaign.output.read_text()[-3000:]
    finally:
        launcher.kill()
        launcher.wait()
        if campaign.process.poll() is None:
            campaign.kill("group")
    assert campaign.findings.violations() == []
    log = (campaign.root / "logs" / "campaign.log").read_text()
    assert "ended in the middle of a task; 1 task(s) start again" in log
    own = {worker.name for worker in (campaign.root / "logs" / "launches").glob("interrupted-local-*")}
    with MongoLaunchPad.from_dict(fresh_database).connection as client:
        launches = client[fresh_database["name"]].launches
        elsewhere = launches.distinct("fworker.name", {"fworker.name": {"$nin": list(own)}})
    assert len(elsewhere) >= 3
