"""Answers of the Materials Project kept on disk, each document with its checksum."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from llzo_al.errors import UserError
from llzo_al.files import fingerprint, write_json
from llzo_al.structures.materials_project.query import SOURCE, Answer, Query

_FORMAT = 1


class DamagedCacheError(Exception):
    """A cache's file cannot be trusted; the message names the file and the entry."""


def cache_directory(given: str | None, base: Path) -> Path:
    """Folder that answers are kept in.

    Parameters
    ----------
    given
        The campaign file's `cache`; by default the user's cache directory, which all campaigns share.
    base
        Folder that relative paths start from.
    """
    if given is not None:
        return base / Path(given).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "llzo-al" / "materials_project"


def cache_file(directory: Path, query: Query) -> Path:
    """The file of one query's answer."""
    return directory / f"{query.name}.json"


def read_cache(path: Path) -> Answer | None:
    """The answer in `path`; None if there is no such file.

    Raises
    ------
    DamagedCacheError
        If it was written half, or changed since.
    UserError
        If it cannot be opened.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise DamagedCacheError(f"{path}: is not text ({error})") from error
    except OSError as error:
        raise UserError(
            f"{SOURCE}: the answer kept in {path} cannot be opened ({error.strerror}); give yourself "
            "permission "
            "to read it, or choose another `cache`"
        ) from error
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DamagedCacheError(f"{path}: is no whole JSON file ({error})") from error
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise DamagedCacheError(f"{path}: is no kept answer of format {_FORMAT}")
    entries = data.get("entries")
    if not isinstance(entries, list):
        raise DamagedCacheError(f"{path}: the entry `entries` is missing")
    documents = tuple(_document(path, number, entry) for number, entry in enumerate(entries))
    if data.get("checksum") != _checksum(data):
        raise DamagedCacheError(
            f"{path}: the checksum of the whole does not match; an entry was removed or its head changed"
        )
    return Answer(database_version=data["database_version"], documents=documents)


def write_cache(path: Path, query: Query, answer: Answer) -> None:
    """Keep an answer; a crash leaves the old file or the new one.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    data: dict[str, Any] = {
        "format": _FORMAT,
        "query": query.as_dict(),
        "database_version": answer.database_version,
        "fetched": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "material_ids": [document.get("material_id") for document in answer.documents],
        "entries": [
            {"checksum": fingerprint(document), "document": document} for document in answer.documents
        ],
    }
    try:
        write_json(path, data | {"checksum": _checksum(data)})
    except OSError as error:
        raise UserError(
            f"{SOURCE}: the answer cannot be kept in {path} ({error.strerror}); choose another folder with "
            "`cache`"
        ) from error


def _document(path: Path, number: int, entry: Any) -> dict[str, Any]:
    document = entry.get("document") if isinstance(entry, dict) else None
    if not isinstance(document, dict):
        raise DamagedCacheError(f"{path}: entry {number} holds no document")
    if entry.get("checksum") != fingerprint(document):
        raise DamagedCacheError(
            f"{path}: entry {number} ({document.get('material_id', 'without material id')}) does not match "
            "its "
            "checksum"
        )
    return document


def _checksum(data: dict[str, Any]) -> str:
    """Checksum of everything but the documents, which have their own."""
    head = {key: value for key, value in data.items() if key not in ("entries", "checksum")}
    return fingerprint([head, [entry["checksum"] for entry in data["entries"]]])
