"""Tasks, workflows and workers for the tests of LaunchPads; importable by child processes."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from fireworks import FiretaskBase, Firework, FWAction, FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket, rapidfire

from llzo_al.workflow.document_file import DocumentFile
from llzo_al.workflow.embedded import EmbeddedLaunchPad
from llzo_al.workflow.owner import Owner

OWNER = Owner(directory="/here", identity="one")
"""The campaign of these fireworks and workers."""

GROWN = ("grow", "detour", "join", "failing", "tolerant", "pushed")
"""Names of the fireworks of `growing_workflow`, once it has grown."""


class RecordTask(FiretaskBase):
    """Append the firework's name to a log, in one write."""

    _fw_name = "{{launchpad_worlds.RecordTask}}"

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction | None:
        descriptor = os.open(fw_spec["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, f"{fw_spec['label']}\n".encode())
        os.close(descriptor)
        return self.act(fw_spec)

    def act(self, fw_spec: dict[str, Any]) -> FWAction | None:
        return None


class GrowTask(RecordTask):
    """Detour over one firework, add another, and push to the children's specs."""

    _fw_name = "{{launchpad_worlds.GrowTask}}"

    def act(self, fw_spec: dict[str, Any]) -> FWAction:
        return FWAction(
            detours=[Workflow([firework("detour", fw_spec["log"])])],
            additions=[Workflow([firework("pushed", fw_spec["log"])])],
            update_spec={"seen": "grow"},
        )


class FailTask(RecordTask):
    """Fail, always."""

    _fw_name = "{{launchpad_worlds.FailTask}}"

    def act(self, fw_spec: dict[str, Any]) -> FWAction:
        raise RuntimeError("it fails on purpose")


def firework(label: str, log: str | Path, task: type[RecordTask] = RecordTask, **spec: Any) -> Firework:
    return Firework(task(), name=label, spec={"log": str(log), "label": label, **OWNER.spec, **spec})


def worker(name: str) -> FWorker:
    return FWorker(name, env=OWNER.env)


def alone(label: str, log: str | Path) -> Workflow:
    return Workflow([firework(label, log)], name=label, metadata=OWNER.metadata)


def growing_workflow(log: Path, *, name: str = "campaign", failing: bool = True) -> Workflow:
    """grow -> (detour) -> join -> tolerant <- failing, and grow -> (pushed)."""
    grow = firework("grow", log, GrowTask)
    join = firework("join", log)
    bad = firework("failing", log, FailTask if failing else RecordTask)
    tolerant = firework("tolerant", log, _allow_fizzled_parents=True)
    links = {grow: [join], join: [tolerant], bad: [tolerant]}
    return Workflow([grow, join, bad, tolerant], links, name=name, metadata=OWNER.metadata)


def independent_workflow(log: Path, count: int, *, name: str = "campaign", owner: Owner = OWNER) -> Workflow:
    fireworks = [firework(f"f{number}", log, **owner.spec) for number in range(count)]
    return Workflow(fireworks, name=name, metadata=owner.metadata)


@contextlib.contextmanager
def mongodb_database() -> Iterator[dict[str, Any]]:
    """A launchpad file's settings for a database of this test's own, on the server of LLZO_AL_MONGODB."""
    server = os.environ.get("LLZO_AL_MONGODB")
    if not server:
        pytest.skip("no MongoDB server: name one in LLZO_AL_MONGODB, such as localhost:27017")
    host, _, port = server.partition(":")
    settings = {"host": host, "port": int(port or 27017), "name": f"llzo_al_test_{uuid.uuid4().hex[:8]}"}
    try:
        yield settings
    finally:
        with pymongo.MongoClient(settings["host"], settings["port"]) as client:
            client.drop_database(settings["name"])


def empty(launchpad: LaunchPad) -> None:
    """An empty database, without the time that new indexes take."""
    for collection in (launchpad.fireworks, launchpad.workflows, launchpad.launches):
        collection.delete_many({})
    launchpad._restart_ids(1, 1)


def names_and_states(launchpad: LaunchPad) -> dict[str, str]:
    found = [(fw["name"], fw["state"]) for fw in launchpad.fireworks.find({}, {"name": 1, "state": 1})]
    states = dict(found)
    assert len(states) == len(found), f"a firework was added twice: {found}"
    return states


def work(launchpad: LaunchPad, directory: Path, worker_name: str = "worker") -> None:
    """Run fireworks with FireWorks' own rapidfire until none is left; changes the current directory."""
    directory.mkdir(exist_ok=True)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        rapidfire(launchpad, worker(worker_name), m_dir=str(directory), strm_lvl="CRITICAL", sleep_time=0.05)


def work_in_process(launchpad: LaunchPad) -> None:
    """Run fireworks without threads, directories or output."""
    while True:
        fw, launch_id = launchpad.checkout_fw(worker("worker"), "/nowhere")
        if fw is None:
            return
        try:
            action = fw.tasks[0].run_task(fw.spec) or FWAction()
        except RuntimeError:
            launchpad.complete_launch(launch_id, FWAction(exit=True), "FIZZLED")
            continue
        launchpad.ping_launch(launch_id)
        launchpad.complete_launch(launch_id, action)


def silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def worker_process(path: Path, directory: Path, worker_name: str, start: Any) -> None:
    """Entry of a child process: one worker on the embedded LaunchPad; all begin together."""
    silence()
    start.wait(60)
    work(EmbeddedLaunchPad(path), directory, worker_name)


def doomed_worker_process(path: Path, directory: Path, commit: int, moment: str) -> None:
    """Entry of a child process: a worker that is killed at its `commit`-th commit that writes."""
    silence()
    launchpad = EmbeddedLaunchPad(path)
    commits = 0
    finish, write = DocumentFile._finish, DocumentFile._write

    def dying_write(self: DocumentFile, connection: Any, sequence: int) -> None:
        nonlocal commits
        commits += 1
        if commits == commit and moment == "while writing":
            identity = next(iter(self._touched))
            self._touched = {identity: None}
            write(self, connection, sequence)
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, connection, sequence)

    def dying_finish(self: DocumentFile, connection: Any) -> None:
        if commits == commit and moment == "before commit":
            os.kill(os.getpid(), signal.SIGKILL)
        finish(self, connection)
        if commits == commit and moment == "after commit":
            os.kill(os.getpid(), signal.SIGKILL)

    DocumentFile._write, DocumentFile._finish = dying_write, dying_finish  # type: ignore[method-assign]
    directory.mkdir(exist_ok=True)
    os.chdir(directory)
    while launch_rocket(launchpad, worker("doomed"), strm_lvl="CRITICAL"):
        pass
