"""Files that are either whole or absent: atomic writing, hashing, and finished-stage manifests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llzo_al import __version__
from llzo_al.errors import StageError

MANIFEST = "manifest.json"
_PARTIAL_KEY = "inputs.json"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` when the block ends, and is deleted if it fails.

    A reader, or a crash, sees the old file or the new one, which is on disk when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_atomic(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_directory(directory: Path) -> None:
    """Make renames inside `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, data: Any) -> None:
    """Write `data` as indented JSON, atomically."""
    write_atomic(path, json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one is named in the error.

    Raises
    ------
    StageError
        If the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StageError(f"{path}: the file is missing") from error
    except (OSError, ValueError) as error:
        raise StageError(
            f"{path}: cannot be read as JSON ({error}); remove the file and run again"
        ) from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a log of JSON objects; none if it is missing; one that a crash cut short is passed over."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines


def fingerprint(data: Any) -> str:
    """SHA-256 (hex) of `data` written as canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def finished(directory: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Outputs of the stage that finished in `directory` with the inputs `key`, or None."""
    if not (directory / MANIFEST).exists():
        return None
    manifest = read_manifest(directory)
    if manifest.get("inputs_hash") != fingerprint(key):
        return None
    outputs: dict[str, Any] = manifest["outputs"]
    return outputs


def read_manifest(directory: Path) -> dict[str, Any]:
    """Manifest of the stage that finished in `directory`, whatever its inputs were.

    Raises
    ------
    StageError
        If there is none, or it is damaged.
    """
    path = directory / MANIFEST
    manifest = read_json(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("outputs"), dict):
        raise StageError(f"{path}: is no manifest of a finished stage; remove the file and run again")
    return manifest


def run_stage(
    directory: Path,
    *,
    stage: str,
    key: Mapping[str, Any],
    compute: Callable[[Path], Mapping[str, Any]],
) -> dict[str, Any]:
    """Run a stage once per set of inputs.

    The work happens in ``<directory>.partial``, where an interrupted run of the same inputs finds its own
    checkpoints; a finished one is renamed to `directory` together with its manifest. A directory that was
    finished with other inputs is kept beside it as ``<directory>.superseded-N``.

    Parameters
    ----------
    directory
        Where the finished stage lives.
    stage
        Name of the stage, for the manifest.
    key
        Everything that the result depends on, JSON-serialisable, free of absolute paths.
    compute
        Called with the working directory; returns JSON-serialisable outputs (file names relative to it).

    Returns
    -------
    dict
        The outputs, from this run or from the manifest of an earlier one.
    """
    known = finished(directory, key)
    if known is not None:
        return known
    partial = directory.with_name(directory.name + ".partial")
    unmoved = finished(partial, key)
    if unmoved is not None:  # stopped between its last write and the renaming
        _publish(partial, directory)
        return unmoved
    wanted = fingerprint(key)
    marker = partial / _PARTIAL_KEY
    if partial.exists() and (not marker.exists() or read_json(marker).get("inputs_hash") != wanted):
        marker.unlink(missing_ok=True)  # first: what is half removed must not pass for anyone's work
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_json(marker, {"inputs_hash": wanted, "inputs": dict(key)})
    started = time.time()
    outputs = dict(compute(partial))
    write_json(
        partial / MANIFEST,
        {
            "stage": stage,
            "inputs_hash": wanted,
            "inputs": dict(key),
            "outputs": outputs,
            "started": started,
            "wall_s": time.time() - started,
            "versions": {"llzo-al": __version__},
        },
    )
    _publish(partial, directory)
    return outputs


def _publish(partial: Path, directory: Path) -> None:
    if directory.exists():
        set_aside(directory)
    partial.rename(directory)
    sync_directory(directory.parent)


def set_aside(directory: Path) -> Path:
    """Rename `directory` to the first free ``<directory>.superseded-N`` and return it."""
    number = 1
    while (target := directory.with_name(f"{directory.name}.superseded-{number}")).exists():
        number += 1
    directory.rename(target)
    return target
