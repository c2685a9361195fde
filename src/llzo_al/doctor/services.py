"""Probes of the workflow's database: the embedded LaunchPad, and a MongoDB if one is configured."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from llzo_al.doctor.check import Check, broken, cause, missing, ok, without_credentials

MONGODB_TIMEOUT_MS = 3000


def embedded_launchpad() -> Check:
    """The embedded LaunchPad: made in a temporary directory, written to, and read back by a second one."""
    name = "embedded LaunchPad"
    remedy = "use a Python whose SQLite has write-ahead logs, and a TMPDIR on a local disk"
    with tempfile.TemporaryDirectory(prefix="llzo-al-doctor-") as directory:
        path = Path(directory) / "launchpad.sqlite"
        connection = sqlite3.connect(Path(directory) / "wal.sqlite")
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        finally:
            connection.close()
        if mode != "wal":
            return broken(
                name, f"SQLite {sqlite3.sqlite_version} has no write-ahead log in {directory}", remedy
            )
        from llzo_al.workflow.embedded import EmbeddedLaunchPad

        first, second = EmbeddedLaunchPad(path), EmbeddedLaunchPad(path)
        number = first.get_new_fw_id()
        if second.get_new_fw_id() != number + 1:
            return broken(name, "what one process writes another does not see", remedy)
    return ok(name, f"SQLite {sqlite3.sqlite_version}, write-ahead log")


def mongodb() -> Check:
    """The MongoDB of the user's FireWorks configuration, which a campaign need not use."""
    name = "MongoDB"
    path = configured_launchpad()
    if path is None:
        return missing(
            name,
            "no FireWorks launchpad file configured",
            "none needed on one machine; otherwise write one after the template in configs/, put it into "
            "~/.fireworks, and name it to `llzo-al run --launchpad FILE`",
        )
    remedy = f"check {path}, and that the server runs and can be reached from here"
    import pymongo

    try:
        settings = _read_yaml(path)
        options = dict(settings.get("mongoclient_kwargs") or {})
        options |= {"serverSelectionTimeoutMS": MONGODB_TIMEOUT_MS, "connectTimeoutMS": MONGODB_TIMEOUT_MS}
        if not settings.get("uri_mode"):
            options |= {"port": int(settings.get("port") or 27017)}
            if settings.get("username"):
                options |= {
                    "username": settings["username"],
                    "password": settings.get("password"),
                    "authSource": settings.get("authsource") or settings.get("name"),
                }
        with pymongo.MongoClient(settings.get("host") or "localhost", **options) as client:
            server = client.server_info()["version"]
            database = str(settings.get("name") or "fireworks")
            fireworks = client[database].fireworks.estimated_document_count()  # needs the right to read
            host, port = client.address or ("?", 0)
    except pymongo.errors.PyMongoError as error:
        from llzo_al.workflow.launchpads import words

        return broken(name, f"{path}: {without_credentials(words(error))}", remedy)
    except Exception as error:  # noqa: BLE001 (whatever is wrong with the file)
        return broken(name, f"{path}: {cause(error)}", remedy)
    return ok(name, f"version {server} at {host}:{port}, {fireworks} fireworks in {database} ({path})")


def configured_launchpad() -> Path | None:
    """Launchpad file that FireWorks' own commands would use here, or None.

    FireWorks looks for ``FW_config.yaml`` in the current directory, then in ``~/.fireworks``, then where
    ``FW_CONFIG_FILE`` says; without a place named there, for ``my_launchpad.yaml`` in the same directories.
    """
    folders = [Path.cwd(), Path.home() / ".fireworks"]
    candidates = [folder / "FW_config.yaml" for folder in folders]
    if os.environ.get("FW_CONFIG_FILE"):
        candidates.append(Path(os.environ["FW_CONFIG_FILE"]))
    config = next((path for path in candidates if path.is_file()), None)
    if config is not None:
        settings = _read_yaml(config)
        if settings.get("LAUNCHPAD_LOC"):
            return Path(settings["LAUNCHPAD_LOC"])
        if settings.get("CONFIG_FILE_DIR"):
            folders.insert(0, Path(settings["CONFIG_FILE_DIR"]))
    return next((path for folder in folders if (path := folder / "my_launchpad.yaml").is_file()), None)


def _read_yaml(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML

    data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected keys and values")
    return data
