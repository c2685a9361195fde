"""Opening a campaign's LaunchPad, and FireWorks' own command line on it."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fireworks.core.launchpad import LaunchPad
from fireworks.scripts import lpad_run
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError

from llzo_al.errors import UserError
from llzo_al.workflow.embedded import EmbeddedLaunchPad
from llzo_al.workflow.filesystem import is_shared
from llzo_al.workflow.mongodb import MongoLaunchPad
from llzo_al.workflow.worker_file import read_settings

LAUNCHPAD_NAME = "launchpad.sqlite"
CONNECTION_TIMEOUT_S = 5.0


def open_launchpad(campaign_dir: Path, launchpad_file: Path | None = None) -> LaunchPad:
    """Open the LaunchPad of a campaign, ready for use.

    Parameters
    ----------
    campaign_dir
        The campaign directory; the embedded LaunchPad is the file that `embedded_file` names.
    launchpad_file
        A FireWorks launchpad file (YAML or JSON) that names a MongoDB server, used instead of the embedded
        LaunchPad.

    Returns
    -------
    LaunchPad
        An `EmbeddedLaunchPad`, or a `MongoLaunchPad` on the server. A database without any fireworks is set
        up; what others keep in it is left alone.

    Raises
    ------
    UserError
        If the launchpad file is missing or wrong, its server cannot be reached or refuses access, or the
        embedded LaunchPad cannot be used (see `EmbeddedLaunchPad`).
    """
    if launchpad_file is None:
        path = embedded_file(campaign_dir)
        if path.parent != campaign_dir:
            _make_private(path.parent)
        return EmbeddedLaunchPad(path)
    settings = _read_launchpad_file(launchpad_file)
    options = {"serverSelectionTimeoutMS": int(1000 * CONNECTION_TIMEOUT_S), "connectTimeoutMS": 5000}
    probe = {**settings, "mongoclient_kwargs": {**(settings.get("mongoclient_kwargs") or {}), **options}}
    where = "the server of its URI" if settings.get("uri_mode") else _address(settings)
    try:
        launchpad = MongoLaunchPad.from_dict(probe)
        try:
            _set_up(launchpad)
        finally:
            launchpad.connection.close()
        return MongoLaunchPad.from_dict(settings)
    except ConnectionFailure as error:
        raise UserError(
            f"{launchpad_file}: no MongoDB answered at {where} in {CONNECTION_TIMEOUT_S:.0f} s. Start the "
            "server, correct host and port, or leave the launchpad file out to use the embedded LaunchPad"
        ) from error
    except OperationFailure as error:
        raise UserError(
            f"{launchpad_file}: MongoDB at {where} refused access ({words(error)}). Check name, username, "
            "password and authsource (the database that knows the user; by default the one in `name`); the "
            "user needs the role readWrite"
        ) from error
    except (PyMongoError, TypeError, ValueError) as error:
        raise UserError(f"{launchpad_file}: cannot be used for MongoDB ({error})") from error


def embedded_file(campaign_dir: Path) -> Path:
    """Where the embedded LaunchPad of a campaign lies.

    It is ``launchpad.sqlite`` in the campaign directory. Its database needs one host's memory; so where the
    directory lies on a network filesystem it is kept in this machine's temporary directory (``TMPDIR``)
    instead. Nothing is lost with it: every run builds its workflow anew from the campaign directory.

    Parameters
    ----------
    campaign_dir
        The campaign directory.
    """
    inside = campaign_dir / LAUNCHPAD_NAME
    if not is_shared(inside):
        return inside
    name = hashlib.sha256(os.fsencode(campaign_dir.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"llzo-al-{os.getuid()}" / name / LAUNCHPAD_NAME


def _make_private(folder: Path) -> None:
    """Make a folder in a directory that other users write to."""
    for path in (folder.parent, folder):
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{path}: cannot be made for the LaunchPad ({error.strerror}); set TMPDIR to one on a "
                "local disk"
            ) from error
        if path.stat().st_uid != os.getuid():
            raise UserError(f"{path}: belongs to another user; set TMPDIR to a directory of your own")


def lpad_command(campaign_dir: Path, launchpad_file: Path | None, arguments: Sequence[str]) -> int:
    """Run FireWorks' command line ``lpad`` on a campaign's LaunchPad, its web page included.

    Parameters
    ----------
    campaign_dir
        The campaign directory.
    launchpad_file
        As for `open_launchpad`.
    arguments
        What would follow ``lpad``, such as ``["get_wflows", "-d", "more"]``.

    Returns
    -------
    int
        The exit code; ``lpad`` has printed to standard output and error.

    Raises
    ------
    UserError
        If ``lpad`` refuses the arguments' values, or the arguments would choose another LaunchPad.
    """
    if "init" in arguments[:1]:
        raise UserError(
            "lpad init: writes a launchpad file for another LaunchPad; this campaign's is ready for use. "
            "For a MongoDB, write the file by hand after the template in configs/"
        )
    for argument in arguments:
        short = argument.startswith("-l") and argument != "-lm"
        if short or argument.startswith("--launchp"):
            raise UserError(f"lpad {argument}: the campaign's own LaunchPad is used; leave this option out")
    if launchpad_file is None and is_shared(campaign_dir) and not embedded_file(campaign_dir).exists():
        raise UserError(
            f"{campaign_dir}: lies on a network filesystem, so its LaunchPad is in the temporary folder of "
            "the machine that runs it: use lpad there (`llzo-al status` works anywhere)"
        )
    from unittest import mock

    launchpad = open_launchpad(campaign_dir, launchpad_file)

    def own_launchpad(_: Any) -> LaunchPad:
        return launchpad

    with mock.patch.object(lpad_run, "get_lp", own_launchpad):
        try:
            return int(lpad_run.lpad(list(arguments)))
        except SystemExit as error:
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
                return 1
            return error.code or 0
        except (ValueError, SyntaxError, FileNotFoundError, PyMongoError) as error:
            raise UserError(f"lpad {' '.join(arguments)}: {error}") from error
        finally:
            launchpad.connection.close()


def _read_launchpad_file(path: Path) -> dict[str, Any]:
    settings = read_settings(path, "launchpad file")
    if not isinstance(settings, dict) or not settings.get("host"):
        raise UserError(
            f"{path}: is not a FireWorks launchpad file: expected at least 'host', for example localhost"
        )
    if "://" in str(settings["host"]) and not settings.get("uri_mode"):
        raise UserError(f"{path}: `host` is a URI; add `uri_mode: true`, or give host and port")
    if not isinstance(settings.get("mongoclient_kwargs") or {}, dict):
        raise UserError(f"{path}: `mongoclient_kwargs` is not a mapping of options, such as {{tls: true}}")
    return settings


def _address(settings: dict[str, Any]) -> str:
    return f"{settings['host']}:{settings.get('port') or 27017}"


def words(error: PyMongoError) -> str:
    """What MongoDB says, in one line."""
    details = getattr(error, "details", None) or {}
    text = str(details.get("errmsg") or error)
    for end in (", Timeout:", " to execute command", " (configured timeouts:"):
        text = text.partition(end)[0]
    return text.strip()


def _set_up(launchpad: LaunchPad) -> None:
    """Check that the database answers and may be read and written, and initialise an empty one."""
    if launchpad.fw_id_assigner.find_one() is None and launchpad.fireworks.find_one() is None:
        launchpad.tuneup()
        first = {"next_fw_id": 1, "next_launch_id": 1}
        # Not FireWorks' own way, by which two that begin at once would use the same ids.
        with suppress(DuplicateKeyError):
            launchpad.fw_id_assigner.update_one({"_id": -1}, {"$setOnInsert": first}, upsert=True)
    launchpad.fw_id_assigner.update_one({}, {"$inc": {"next_launch_id": 0}})
