"""Which workers elsewhere have a task in hand: each holds the lock of a file while it works.

The driver cannot see processes of other machines, but it sees their locks. A worker that was killed, with all
that it started, has let go of its file and left it behind. The files are as reliable as the locks of the file
system that holds the campaign directory, which the campaign's other locks need as well.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from llzo_al.campaign.directory import CampaignDirectory, try_lock
from llzo_al.process import LOCK_FD_VARIABLE

_SUFFIX = ".lock"


def hands(directory: CampaignDirectory) -> Path:
    """Folder of the files."""
    return directory.logs / "elsewhere"


class TaskInHand:
    """Holds the file of a worker, in this process and in all that it starts.

    Left in order, the file is removed; left by an exception it stays, as after a kill.

    Parameters
    ----------
    folder
        From `hands`.
    name
        The worker's name, unique in its campaign.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}{_SUFFIX}"
        self._descriptor = -1

    def __enter__(self) -> TaskInHand:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if _is_file_at(self._descriptor, self._path):
                break
            os.close(self._descriptor)  # the driver has just removed it
        os.set_inheritable(self._descriptor, True)
        os.environ[LOCK_FD_VARIABLE] = str(self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.environ.pop(LOCK_FD_VARIABLE, None)
        if kind is None:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def busy(folder: Path) -> list[str]:
    """Names of the workers that have a task in hand."""
    names = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        descriptor = _open(path)
        if descriptor is None:
            continue
        if not try_lock(descriptor):
            names.append(path.name.removesuffix(_SUFFIX))
        os.close(descriptor)
    return names


def lost(folder: Path) -> Iterator[str]:
    """Names of the workers that ended with a task in hand; each file is removed after its turn."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        descriptor = _open(path)
        if descriptor is None:
            continue
        try:
            if try_lock(descriptor) and _is_file_at(descriptor, path):
                yield path.name.removesuffix(_SUFFIX)
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
