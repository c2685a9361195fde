"""The campaign directory: where everything lies, which version wrote it, and who works in it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from llzo_al import __version__
from llzo_al.errors import StageError, UserError
from llzo_al.files import read_json, write_json
from llzo_al.process import LOCK_FD_VARIABLE

FORMAT = 1
"""Version of the layout; a directory of another version is refused."""
_ANY_FILE = Path("/path/of/the/campaign.yaml")


@dataclass(frozen=True)
class CampaignDirectory:
    """Paths inside a campaign directory.

    Attributes
    ----------
    root
        The campaign directory itself, absolute.
    """

    root: Path

    @property
    def config(self) -> Path:
        """The campaign file as resolved at the last run, with all defaults."""
        return self.root / "campaign.yaml"

    @property
    def version_file(self) -> Path:
        """Layout version and where the user's campaign file lies."""
        return self.root / "campaign.json"

    @property
    def level_of_theory(self) -> Path:
        """What changed a label in the last run, so that it can be looked at where the labeller cannot be."""
        return self.root / "level_of_theory.json"

    @property
    def input_files(self) -> Path:
        """Checksums of the files that the campaign file named at the last run."""
        return self.root / "input_files.json"

    @property
    def labels(self) -> Path:
        """The label store."""
        return self.root / "dataset" / "labels.sqlite"

    @property
    def label_jobs(self) -> Path:
        """Working directories of the labelling jobs under way."""
        return self.root / "dataset" / "jobs"

    @property
    def initial(self) -> Path:
        """Stages that make the initial data."""
        return self.root / "initial"

    @property
    def final(self) -> Path:
        """The final training and its test."""
        return self.root / "final"

    @property
    def models(self) -> Path:
        """The finished potential."""
        return self.root / "models"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report"

    @property
    def logs(self) -> Path:
        """Logs of the run and of the workers."""
        return self.root / "logs"

    @property
    def log(self) -> Path:
        """What the campaign says as it goes on; `llzo-al run` shows it."""
        return self.logs / "campaign.log"

    @property
    def progress(self) -> Path:
        """Progress of the tasks under way."""
        return self.root / "logs" / "progress"

    @property
    def failures(self) -> Path:
        """Failed tasks of all runs, one JSON line each; a mark begins each run."""
        return self.root / "logs" / "failures.jsonl"

    @property
    def label_log(self) -> Path:
        """Finished labelling jobs, one JSON line each."""
        return self.root / "logs" / "label_jobs.jsonl"

    @property
    def runs(self) -> Path:
        """Start, end and memory of each run of the program, one JSON line each."""
        return self.root / "logs" / "runs.jsonl"

    def iteration(self, number: int) -> Path:
        """Directory of an iteration's stages."""
        return self.root / "iterations" / f"{number:03d}"

    def look(self, campaign_file: Path) -> None:
        """Refuse a place where no campaign can be run; nothing is written.

        Raises
        ------
        UserError
            If the directory cannot be written, holds something else, or is of another version.
        StageError
            If campaign.json is missing or damaged.
        """
        try:
            nearest = next(path for path in (self.root, *self.root.parents) if path.exists())
            if not nearest.is_dir():
                raise UserError(
                    f"{nearest}: is a file, expected a directory for the campaign; choose another `directory`"
                )
            if self.version_file.exists():
                self.check(campaign_file)
            elif nearest == self.root:
                self._refuse_foreign(campaign_file)
            if not os.access(nearest, os.W_OK | os.X_OK):
                read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
                raise OSError(errno.EROFS if read_only else errno.EACCES, "", str(nearest))
        except OSError as error:
            raise self._unwritable(error) from error

    def _refuse_foreign(self, campaign_file: Path) -> None:
        if all(self._is_beginning(entry) for entry in self.root.iterdir()):
            return
        if self.labels.exists():
            raise StageError(self._damaged(campaign_file))
        raise UserError(
            f"{self.root}: is not empty and is not a campaign directory (it has no "
            f"campaign.json); choose another `directory`, or remove it"
        )

    def _unwritable(self, error: OSError) -> UserError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        where = f"{error.filename}: " if error.filename and str(error.filename) != str(self.root) else ""
        return UserError(
            f"{self.root}: the campaign directory cannot be written ({where}{reason}); make it "
            "writable, free space, or choose another `directory` in the campaign file"
        )

    def create(self, campaign_file: Path) -> None:
        """Make the directory, or check that an existing one is ours and of this version.

        Raises
        ------
        UserError, StageError
            As `look` does.
        """
        self.look(campaign_file)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not self.version_file.exists():
                write_json(
                    self.version_file,
                    {"format": FORMAT, "created_by": __version__, "campaign_file": str(campaign_file)},
                )
            self.check(campaign_file)
            for directory in (self.labels.parent, self.logs, self.progress):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _is_beginning(self, entry: Path) -> bool:
        """Whether `entry` can be there before ``campaign.json``: of a run that was killed, or starts now."""
        name = self.version_file.name
        return entry.name in ("run.lock", name) or entry.match(f".{name}.*.tmp")

    def check(self, campaign_file: Path = _ANY_FILE) -> None:
        """Refuse what is not a campaign directory of this version.

        Parameters
        ----------
        campaign_file
            Where the campaign file lies, for what is said of a damaged directory.

        Raises
        ------
        UserError
            If `root` is missing, is something else, or has another layout version.
        StageError
            If campaign.json is damaged.
        """
        if not self.version_file.exists():
            raise UserError(f"{self.root}: is not a campaign directory (it has no campaign.json)")
        try:
            about = read_json(self.version_file)
        except StageError as error:
            raise StageError(self._damaged(campaign_file)) from error
        if not isinstance(about, dict) or "format" not in about or "campaign_file" not in about:
            raise StageError(self._damaged(campaign_file))
        found = about["format"]
        if found != FORMAT:
            raise UserError(
                f"{self.root}: was written by another version (layout {found}, this program's is "
                f"{FORMAT}); use the version named in campaign.json, or start a new directory and seed "
                "it with this one's labels"
            )

    def _damaged(self, campaign_file: Path) -> str:
        content = f'{{"format": {FORMAT}, "campaign_file": "{campaign_file}"}}'
        return (
            f"{self.version_file}: is missing or damaged, expected `format` and `campaign_file`; write them "
            f"back ({content} for a directory of this version) and run again"
        )


_GLANCE_S = 2.0
"""Longer than `running_process` holds a lock; a run on another machine holds it longer."""


class CampaignLock:
    """Exclusive use of a campaign directory, by this process and all its descendants.

    The lock belongs to an open file that every worker and engine inherits, so it is free only when the last
    of them has ended: a new run cannot start beside an orphan of a killed one.
    """

    def __init__(self, directory: CampaignDirectory, *, patience_s: float = 20.0) -> None:
        self._path = directory.root / "run.lock"
        self._patience_s = patience_s
        self._descriptor: int | None = None

    def __enter__(self) -> CampaignLock:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        begun = time.monotonic()
        while not try_lock(descriptor):
            holder, host = _holder(descriptor)
            elsewhere = host not in (None, socket.gethostname())
            waited_s = time.monotonic() - begun
            if waited_s > _GLANCE_S if elsewhere else _alive(holder):
                os.close(descriptor)
                place = f" on {host}" if elsewhere else ""
                raise UserError(
                    f"{self._path.parent}: is being run already (process {holder}{place}); wait for it, "
                    "watch it with `llzo-al status`, or stop it first"
                )
            if waited_s > self._patience_s:
                os.close(descriptor)
                raise UserError(
                    f"{self._path.parent}: the last run (process {holder}) was killed, but after "
                    f"{self._patience_s:g} s processes that it started are still there; wait for them, or "
                    "stop them (their command lines name this directory), and run the same command again"
                )
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        os.set_inheritable(descriptor, True)
        os.environ[LOCK_FD_VARIABLE] = str(descriptor)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.environ.pop(LOCK_FD_VARIABLE, None)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def running_process(directory: CampaignDirectory) -> int | None:
    """Process that runs the campaign now, or None."""
    return _look(directory)[1]


def driven(directory: CampaignDirectory) -> bool:
    """Whether a run drives the campaign now, on this machine or another."""
    return _look(directory)[0]


def _look(directory: CampaignDirectory) -> tuple[bool, int | None]:
    """Whether the campaign's lock is held, and by which process, as far as it is known."""
    try:
        descriptor = os.open(directory.root / "run.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False, None
    try:  # a file that is open for reading cannot be locked exclusively on NFS
        return (False, None) if try_lock(descriptor, fcntl.LOCK_SH) else (True, _holder(descriptor)[0])
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file without waiting; whether that was possible."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> tuple[int | None, str | None]:
    """Process and machine of the run that holds the lock, as far as they are known."""
    try:
        about = json.loads(os.pread(descriptor, 500, 0))
        return int(about["pid"]), about.get("host")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z"
