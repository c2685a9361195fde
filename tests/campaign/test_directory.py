import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llzo_al.campaign.directory import FORMAT, CampaignDirectory, CampaignLock, running_process
from llzo_al.errors import StageError, UserError
from llzo_al.process import LOCK_FD_VARIABLE

HOLDER = """
import sys, time
from pathlib import Path
from llzo_al.campaign.directory import CampaignDirectory, CampaignLock
with CampaignLock(CampaignDirectory(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""
HOLDER_WITH_ORPHAN = """
import subprocess, sys, time
from pathlib import Path
from llzo_al.campaign.directory import CampaignDirectory, CampaignLock
from llzo_al.process import inherited_locks
with CampaignLock(CampaignDirectory(Path(sys.argv[1]))):
    sleep = [sys.executable, "-c", "import time; time.sleep(2)"]
    orphan = subprocess.Popen(sleep, pass_fds=inherited_locks())
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def place(tmp_path):
    directory = CampaignDirectory(tmp_path / "campaign")
    directory.create(tmp_path / "campaign.yaml")
    return directory


def start(script, place):
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(place.root)], stdout=subprocess.PIPE, start_new_session=True
    )
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
    return process


def test_create_is_idempotent_and_checks_version(place, tmp_path):
    place.create(tmp_path / "campaign.yaml")
    place.check()
    about = json.loads(place.version_file.read_text())
    assert about["format"] == FORMAT
    about["format"] = FORMAT + 1
    place.version_file.write_text(json.dumps(about))
    with pytest.raises(UserError, match="another version"):
        place.create(tmp_path / "campaign.yaml")


def test_foreign_directory_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not a campaign directory"):
        CampaignDirectory(tmp_path).create(tmp_path / "campaign.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_in_the_way_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, expected a directory"):
        CampaignDirectory(tmp_path / "file" / "campaign").create(tmp_path / "campaign.yaml")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_place_that_turns_out_unwritable_is_a_user_error(tmp_path, monkeypatch, number):
    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError) as caught:
        CampaignDirectory(tmp_path / "campaign").create(tmp_path / "campaign.yaml")
    assert f"campaign: the campaign directory cannot be written ({os.strerror(number)}); make" in str(
        caught.value
    )
    assert list(tmp_path.iterdir()) == []


def test_a_look_writes_nothing(tmp_path, monkeypatch):
    place, file = CampaignDirectory(tmp_path / "not" / "there"), tmp_path / "campaign.yaml"
    place.look(file)
    monkeypatch.setattr(Path, "exists", lambda path: refused(path))
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\)"):
        place.look(file)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def refused(path):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_second_run_is_refused_at_once(place):
    holder = start(HOLDER, place)
    try:
        started = time.monotonic()
        with pytest.raises(UserError, match=f"being run already .process {holder.pid}"), CampaignLock(place):
            pass
        assert time.monotonic() - started < 5
        assert running_process(place) == holder.pid
    finally:
        holder.kill()
        holder.wait()
    assert running_process(place) is None


def test_a_run_on_another_machine_is_named(place):
    holder = start(HOLDER, place)
    try:
        lock = place.root / "run.lock"
        lock.write_text(json.dumps({"pid": 4711, "host": "node17"}))  # as a network filesystem would show it
        with pytest.raises(UserError, match="process 4711 on node17"), CampaignLock(place):
            pass
    finally:
        holder.kill()
        holder.wait()
    with CampaignLock(place):  # a name that an ended run left is no obstacle
        assert running_process(place) == os.getpid()


def test_lock_waits_for_the_orphans_of_a_killed_run(place):
    holder = start(HOLDER_WITH_ORPHAN, place)
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with CampaignLock(place):
        waited = time.monotonic() - started
        assert waited > 0.5
        assert os.environ[LOCK_FD_VARIABLE]
    assert LOCK_FD_VARIABLE not in os.environ


def test_lock_gives_up_when_the_orphan_stays(place):
    holder = start(HOLDER_WITH_ORPHAN, place)
    holder.kill()
    holder.wait()
    with pytest.raises(UserError, match="still there"), CampaignLock(place, patience_s=0.2):
        pass


def test_paths_lie_inside(place):
    for path in (place.labels, place.iteration(3), place.failures, place.progress):
        assert Path(place.root) in path.parents


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"format": 1}'])
def test_a_lost_or_damaged_version_file_says_what_to_write_back(place, content, tmp_path):
    place.labels.touch()
    if content is None:
        place.version_file.unlink()
    else:
        place.version_file.write_text(content)
    with pytest.raises(StageError, match=r"campaign\.json: is missing or damaged.*write them back \(\{"):
        place.create(tmp_path / "campaign.yaml")
    assert {entry.name for entry in place.root.iterdir()} <= {"campaign.json", "dataset", "logs"}
