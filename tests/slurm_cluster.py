"""A SLURM of one node, started for a test from Debian's packages (slurm-wlm, munge), as root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SETTINGS = """\
ClusterName=one
SlurmctldHost={host}
SlurmctldPort={port}
SlurmdPort={port_of_node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0,defer
NodeName={host} CPUs={cores} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")


def missing() -> str:
    """Why there can be no SLURM here; empty if there can."""
    lacking = [program for program in PROGRAMS if _path(program) is None]
    if lacking:
        return f"{', '.join(lacking)} not found: apt-get install --no-install-recommends slurm-wlm munge"
    return "" if os.geteuid() == 0 else "a SLURM of one's own needs root"


class Cluster:
    """The running daemons.

    Parameters
    ----------
    place
        Folder for settings, state and logs; everybody must be able to reach it.
    cores
        Cores of the one node.
    """

    def __init__(self, place: Path, cores: int = 2) -> None:
        self.place = place
        self.environment = os.environ | {"SLURM_CONF": str(place / "slurm.conf")}
        self._daemons: list[subprocess.Popen] = []
        for name in ("state", "spool"):
            (place / name).mkdir(parents=True)
        text = SETTINGS.format(
            host=socket.gethostname(), place=place, cores=cores, port=_free_port(), port_of_node=_free_port()
        )
        (place / "slurm.conf").write_text(text)

    def __enter__(self) -> Cluster:
        key = self.place / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge = pwd.getpwnam("munge")
        for path in (self.place, key):
            os.chown(path, munge.pw_uid, munge.pw_gid)
        self._start(
            [
                _path("munged"),
                "--foreground",
                "--force",
                f"--key-file={key}",
                f"--socket={self.place}/munge.socket",
                f"--pid-file={self.place}/munged.pid",
                f"--log-file={self.place}/munged.log",
                f"--seed-file={self.place}/munged.seed",
            ],
            user="munge",
        )
        self._wait(lambda: (self.place / "munge.socket").exists(), "munged")
        self._start([_path("slurmctld"), "-D", "-c"])
        self._start([_path("slurmd"), "-D"])
        self._wait(lambda: self.ask("sinfo", "-h", "-o", "%T") == "idle", "an idle node")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["scancel", "--user=root"], env=self.environment, check=False, capture_output=True)
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()

    def ask(self, *command: str) -> str:
        """Standard output of a SLURM command."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def submit(self, *arguments: str, cwd: Path) -> int:
        """Submit a job; returns its number."""
        done = subprocess.run(
            ["sbatch", "--parsable", *arguments],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return int(done.stdout)

    def job(self, number: int) -> dict[str, str]:
        """What ``scontrol show job`` says of a job."""
        words = self.ask("scontrol", "show", "job", str(number)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for_state(self, number: int, *states: str, seconds: float) -> str:
        """Wait until a job is in one of the states; returns which."""
        ends = time.monotonic() + seconds
        while (state := self.job(number).get("JobState", "")) not in states:
            if time.monotonic() > ends:
                raise TimeoutError(f"job {number} is {state} after {seconds:.0f} s, expected {states}")
            time.sleep(0.3)
        return state

    def _start(self, command: list, user: str | None = None) -> None:
        with (self.place / f"{Path(command[0]).name}.out").open("ab") as log:
            os.chmod(log.name, 0o666)  # noqa: PTH101
            self._daemons.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, user=user)
            )

    def _wait(self, condition, what: str) -> None:
        ends = time.monotonic() + 30
        while not condition():
            if time.monotonic() > ends:
                raise TimeoutError(f"no {what} after 30 s; see the logs in {self.place}")
            time.sleep(0.1)


@contextmanager
def started() -> Iterator[Cluster]:
    """A cluster of its own; the test is skipped where SLURM is not installed."""
    if why := missing():
        pytest.skip(why)
    place = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with Cluster(place) as running:
            yield running
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _path(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
