"""Cost of an empty firework on the embedded LaunchPad, on plain in-memory mongomock, and on a MongoDB.

Run it as a program: ``python tests/benchmarks/bench_launchpad.py [--fireworks 1000] [--mongodb HOST:PORT]``.
On the MongoDB server it makes a database of its own and drops it. Each firework is checked out, run and
completed by FireWorks' own Rocket. They come in workflows of a given size, since FireWorks reads and writes a
whole workflow document at each step.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import mongomock
import mongomock.gridfs
import pymongo
from fireworks import Firework, FWorker, LaunchPad, Workflow
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core.rocket_launcher import rapidfire
from fireworks.user_objects.firetasks.script_task import PyTask

from llzo_al.workflow.embedded import EmbeddedLaunchPad
from llzo_al.workflow.mongodb import MongoLaunchPad

BENCHMARK_DATABASE = "llzo_al_benchmark"


def in_memory_launchpad(_: Path) -> LaunchPad:
    """FireWorks' LaunchPad on mongomock, without any durability."""
    mongomock.gridfs.enable_gridfs_integration()
    with mock.patch.object(fireworks_launchpad, "MongoClient", mongomock.MongoClient):
        launchpad = LaunchPad(strm_lvl="CRITICAL")
    launchpad.reset("", require_password=False)
    return launchpad


def embedded_launchpad(directory: Path) -> LaunchPad:
    """The embedded LaunchPad."""
    return EmbeddedLaunchPad(directory / "launchpad.sqlite")


def mongodb_launchpad(server: str) -> Callable[[Path], LaunchPad]:
    """The LaunchPad of a MongoDB server, on a database that must be dropped."""

    def make(_: Path) -> LaunchPad:
        host, _, port = server.partition(":")
        settings = {
            "host": host,
            "port": int(port or 27017),
            "name": BENCHMARK_DATABASE,
            "strm_lvl": "CRITICAL",
        }
        launchpad = MongoLaunchPad.from_dict(settings)
        launchpad.reset("", require_password=False, max_reset_wo_password=10**9)
        return launchpad

    return make


@contextlib.contextmanager
def quiet_workplace() -> Iterator[Path]:
    """An empty current directory, since FireWorks runs where it is; what FireWorks prints is dropped."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def time_per_firework_ms(make: Callable[[Path], LaunchPad], fireworks: int, size: int) -> tuple[float, float]:
    """Milliseconds per firework for adding it and for running it."""
    with quiet_workplace() as directory:
        launchpad = make(directory)
        started = time.perf_counter()
        for first in range(0, fireworks, size):
            group = [Firework(PyTask(func="os.getpid"), name=f"f{first + i}") for i in range(size)]
            launchpad.add_wf(Workflow(group, {group[0]: group[1:]} if size > 1 else {}))
        added = time.perf_counter()
        rapidfire(launchpad, FWorker(), m_dir=str(directory), strm_lvl="CRITICAL", sleep_time=1)
        ended = time.perf_counter()
        for thread in threading.enumerate():
            if "ping_launch" in thread.name:  # FireWorks' last words on a launch, before it is deleted
                thread.join()
        completed = launchpad.get_fw_ids({"state": "COMPLETED"}, count_only=True)
        if completed != fireworks:
            raise RuntimeError(f"{completed} of {fireworks} fireworks were completed")
        return 1000 * (added - started) / fireworks, 1000 * (ended - added) / fireworks


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fireworks", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--embedded-only", action="store_true")
    parser.add_argument("--mongodb", metavar="HOST:PORT", help="measure on this server as well")
    arguments = parser.parse_args()
    print(f"{'LaunchPad':<12}{'fireworks':>10}{'per workflow':>14}{'add, ms':>10}{'run, ms':>10}")
    launchpads = {"embedded": embedded_launchpad, "in memory": in_memory_launchpad}
    if arguments.embedded_only:
        del launchpads["in memory"]
    if arguments.mongodb:
        launchpads["MongoDB"] = mongodb_launchpad(arguments.mongodb)
    for fireworks in arguments.fireworks:
        for size in arguments.sizes:
            for name, make in launchpads.items():
                add, run = time_per_firework_ms(make, fireworks, size)
                print(f"{name:<12}{fireworks:>10}{size:>14}{add:>10.2f}{run:>10.2f}", flush=True)
    if arguments.mongodb:
        with pymongo.MongoClient(f"mongodb://{arguments.mongodb}") as client:
            client.drop_database(BENCHMARK_DATABASE)


if __name__ == "__main__":
    main()
