"""Child process of VASP: one directory after the other, each under custodian's eyes."""

from __future__ import annotations

import logging
import subprocess
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from custodian.custodian import Custodian, CustodianError, Job

from llzo_al.labelling.streaming import Emit, stream_main
from llzo_al.labelling.vasp.handlers import Deferred, Watch, moving_handlers, static_handlers

POLL_S = 0.005
"""Time between two looks whether VASP has ended."""
_TERMINATE_S = 10.0
_END = b"</modeling>"


class VaspRun(Job):
    """VASP in one directory. The inputs are there; the command is run as it is.

    Parameters
    ----------
    command
        Its words.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.process: subprocess.Popen[bytes] | None = None
        self.started = time.monotonic()
        self.starts = 0

    def setup(self, directory: str = "./") -> None:
        """Keep the inputs as they were asked for."""
        for name in ("INCAR", "KPOINTS"):
            path = Path(directory) / name
            (path.with_name(f"{name}.orig")).write_bytes(path.read_bytes())

    def run(self, directory: str = "./") -> subprocess.Popen[bytes]:
        """Start VASP; what it prints goes to ``vasp.out`` and ``std_err.txt``."""
        place = Path(directory)
        self.started = time.monotonic()
        self.starts += 1
        with (place / "vasp.out").open("wb") as out, (place / "std_err.txt").open("wb") as err:
            self.process = subprocess.Popen(
                self.command, cwd=place, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        return self.process

    def postprocess(self, directory: str = "./") -> None:
        """Nothing: what the run is worth is decided by whoever asked for it."""

    def terminate(self, directory: str = "./") -> None:  # noqa: ARG002
        """End VASP, and its launcher with it."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            root = psutil.Process(self.process.pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for process in processes:
                try:
                    end(process)
                except psutil.NoSuchProcess:
                    continue
            _, processes = psutil.wait_procs(processes, timeout=_TERMINATE_S)

    def runs_for(self, seconds: float) -> bool:
        """Whether VASP is at work for longer than that."""
        at_work = self.process is not None and self.process.poll() is None
        return at_work and time.monotonic() - self.started > seconds

    def failed(self, directory: Path) -> bool:
        """Whether VASP has ended, and not well."""
        ended = self.process is not None and self.process.poll() is not None
        return ended and not ended_well(directory)

    def as_dict(self) -> dict[str, Any]:
        """For custodian's log."""
        return {"@module": __name__, "@class": "VaspRun", "command": self.command}


def ended_well(directory: Path) -> bool:
    """Whether ``vasprun.xml`` goes on to its regular end."""
    path = directory / "vasprun.xml"
    try:
        with path.open("rb") as handle:
            handle.seek(max(path.stat().st_size - 200, 0))
            return _END in handle.read()
    except OSError:
        return False


def run_one(spec: dict[str, Any], directory: Path, tell: Emit) -> dict[str, Any]:
    """Run VASP in `directory` and say how that went.

    Returns
    -------
    dict
        ``returncode``; ``corrections`` that custodian made; ``trouble``, why custodian gave up, "" if it did
        not; and ``frozen``.
    """
    job = VaspRun(spec["command"])
    look_in_s = float(spec["look_in_s"])
    asked = {name: (directory / name).read_text(encoding="utf-8") for name in ("INCAR", "KPOINTS")}

    def changed(place: Path) -> list[str]:
        from pymatgen.io.vasp.inputs import Incar

        from llzo_al.labelling.vasp.compare import changed_files

        return list(
            changed_files(dict(Incar.from_str(asked["INCAR"])), asked["INCAR"], asked["KPOINTS"], place)
        )

    watched: dict[str, Any] = {
        "frozen_s": spec["frozen_s"],
        "needed": lambda place: job.runs_for(look_in_s) or (not spec["moving"] and job.failed(place)),
        "changed": changed,
    }
    handlers: list[Deferred] = (
        moving_handlers(walltime_s=spec["walltime_s"], buffer_s=spec["buffer_s"], **watched)
        if spec["moving"]
        else static_handlers(**watched)
    )
    watch = Watch(lambda steps: tell({"ionic_steps": steps}))
    custodian = Custodian(
        [watch, *handlers],
        [job],
        max_errors=1 + int(spec["max_corrections"]),
        polling_time_step=POLL_S,
        monitor_freq=max(1, round(look_in_s / POLL_S)),
        terminate_on_nonzero_returncode=False,
        directory=str(directory),
    )
    trouble = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            custodian.run()
    except CustodianError as error:
        trouble = str(error.message)
    corrections = [each for log in custodian.run_log for each in log["corrections"]]
    errors = [str(error) for each in corrections for error in each["errors"]]
    return {
        "returncode": None if job.process is None else job.process.poll(),
        "corrections": errors,
        "trouble": "; ".join(
            filter(None, [trouble and _told(trouble, errors), *(h.refused for h in handlers)])
        ),
        "frozen": "Frozen job" in errors,
        "starts": job.starts,
    }


def _told(trouble: str, errors: Sequence[str]) -> str:
    """Why custodian gave up, without the address of a handler in memory."""
    found = f" ({', '.join(dict.fromkeys(errors))})" if errors else ""
    return trouble.split("<")[0].strip(" :") + found


def work(spec: dict[str, Any], directory: Path, emit: Emit) -> None:
    """Run VASP in the directories of `spec`, telling each start and each end."""
    logging.getLogger("custodian").setLevel(logging.CRITICAL)
    for run in spec["runs"]:
        emit({"start": run["index"]})
        started = time.perf_counter()
        told = run_one({**spec, "command": run["command"]}, directory / run["directory"], emit)
        emit({"index": run["index"], "wall_s": time.perf_counter() - started, **told})


if __name__ == "__main__":
    stream_main(work)
