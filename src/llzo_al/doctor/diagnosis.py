"""Runs the probes: those that import or load much in a child process each, several at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llzo_al.doctor import engines, labels, machine, services
from llzo_al.doctor.check import Check, Status, broken, cause
from llzo_al.process import engine_environment

PROBE_TIMEOUT_S = 120.0
AT_ONCE = 4
_NOISE = ("implib-gen", "libcudart", "TF_ENABLE_ONEDNN", "absl::InitializeLog")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One question to this machine.

    Attributes
    ----------
    title
        Name of its check, for when it cannot tell itself.
    ask
        Answers the question.
    isolated
        Whether it runs in a child process, in the engines' environment: what it loads may hang, crash, or
        leave traces.
    """

    title: str
    ask: Callable[[], Check]
    isolated: bool = False


PROBES: dict[str, Probe] = {
    "machine": Probe(title="machine", ask=machine.machine),
    "packages": Probe(title="packages", ask=machine.packages),
    "gpu": Probe(title="GPU", ask=machine.gpu),
    "tensorflow": Probe(title="DeePMD-kit, TensorFlow", ask=engines.tensorflow, isolated=True),
    "pytorch": Probe(title="DeePMD-kit, PyTorch", ask=engines.pytorch, isolated=True),
    "lammps": Probe(title="LAMMPS", ask=engines.lammps, isolated=True),
    "pair-style": Probe(title="LAMMPS pair style deepmd", ask=engines.pair_style, isolated=True),
    "launchpad": Probe(title="embedded LaunchPad", ask=services.embedded_launchpad, isolated=True),
    "mongodb": Probe(title="MongoDB", ask=services.mongodb, isolated=True),
    "vasp": Probe(title="VASP", ask=labels.vasp),
    "potcars": Probe(title="VASP pseudopotentials", ask=labels.potcars, isolated=True),
    "gpaw": Probe(title="GPAW", ask=labels.gpaw, isolated=True),
    "cp2k": Probe(title="CP2K", ask=labels.cp2k),
    "quantum-espresso": Probe(title="Quantum ESPRESSO", ask=labels.quantum_espresso),
    "abinit": Probe(title="ABINIT", ask=labels.abinit),
    "materials-project": Probe(title="Materials Project key", ask=labels.materials_project, isolated=True),
}
"""All probes, in the order in which they are shown."""

BACKENDS = ("tensorflow", "pytorch")
ESSENTIAL = ("packages", "lammps", "pair-style", "launchpad")


def diagnose(names: Sequence[str] = tuple(PROBES)) -> list[Check]:
    """Find out which parts of the stack are present and work.

    Parameters
    ----------
    names
        Keys of `PROBES`; by default all.

    Returns
    -------
    list of Check
        In the order of `names`. A probe that fails, crashes or hangs is a check with status ``broken``.
    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(_answer, names))


def ready(checks: Sequence[Check]) -> bool:
    """Whether a campaign with the classical reference, such as the quickstart, can run here.

    Parameters
    ----------
    checks
        What `diagnose` found.
    """
    working = {check.name for check in checks if check.status is Status.OK}
    return all(PROBES[name].title in working for name in ESSENTIAL) and any(
        PROBES[name].title in working for name in BACKENDS
    )


def ask(name: str) -> Check:
    """Answer one probe in this process; an exception becomes a check with status ``broken``."""
    probe = PROBES[name]
    try:
        return probe.ask()
    except Exception as error:  # noqa: BLE001 (that is what is being asked)
        return broken(probe.title, cause(error), _details(name))


def _answer(name: str) -> Check:
    return _ask_child(name) if PROBES[name].isolated else ask(name)


def _ask_child(name: str) -> Check:
    title = PROBES[name].title
    try:
        done = subprocess.run(
            [sys.executable, "-m", "llzo_al.doctor", name, str(os.getpid())],
            env=engine_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return broken(title, f"no answer within {PROBE_TIMEOUT_S:.0f} s", _details(name))
    try:
        answer = json.loads(done.stdout)
        return Check(**{**answer, "status": Status(answer["status"])})
    except (ValueError, TypeError, KeyError):
        return broken(title, _last_words(done.returncode, done.stderr), _details(name))


def _last_words(code: int, output: bytes) -> str:
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    useful = [line for line in lines if not any(word in line for word in _NOISE)]
    return f"ended with {ended}" + (f": {useful[-1].strip()}" if useful else "")


def _details(name: str) -> str:
    return f"see all of it with: python -m llzo_al.doctor {name}"
