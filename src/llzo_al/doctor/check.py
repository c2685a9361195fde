"""What one probe found."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from enum import StrEnum

_CREDENTIALS = re.compile(r"//[^/@\s]+@")


class Status(StrEnum):
    """Whether a part of the stack can be used."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One part of the stack.

    Attributes
    ----------
    name
        What it is, for people.
    status
        Whether it works, is absent, or is there and does not work.
    detail
        What was found: versions, places, or the cause of a failure. Never a secret.
    remedy
        What to do about it; empty if nothing needs to be done.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Check:
    """A part that works."""
    return Check(name=name, status=Status.OK, detail=detail)


def missing(name: str, detail: str, remedy: str) -> Check:
    """A part that is not there."""
    return Check(name=name, status=Status.MISSING, detail=detail, remedy=remedy)


def broken(name: str, detail: str, remedy: str) -> Check:
    """A part that is there and does not work."""
    return Check(name=name, status=Status.BROKEN, detail=detail, remedy=remedy)


def without_credentials(text: str) -> str:
    """`text` with the user and password of every URL in it left out."""
    return _CREDENTIALS.sub("//", text)


def cause(error: BaseException) -> str:
    """An exception in one line, without credentials."""
    lines = str(error).strip().splitlines()
    return without_credentials(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)


def find_executable(names: tuple[str, ...]) -> str | None:
    """Absolute path of the first of `names` that is on PATH."""
    return next((path for name in names if (path := shutil.which(name))), None)


def run_executable(*command: str, timeout_s: float = 30.0) -> tuple[int, str]:
    """Exit code of a command without input, and all that it printed; it runs in an empty directory.

    Raises
    ------
    OSError, subprocess.TimeoutExpired
        If it cannot be started, or does not end.
    """
    with tempfile.TemporaryDirectory(prefix="llzo-al-doctor-") as directory:
        done = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    return done.returncode, done.stdout.decode(errors="replace")
