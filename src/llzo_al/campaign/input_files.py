"""Files that a campaign file names: what they held at the last run, so that a changed one is noticed.

Their contents decide the initial structures and where exploration starts, so the keys of those stages hold
their checksums. These are taken when a run starts and kept in the campaign directory: all tasks of a run
agree on them, and a finished campaign can be looked at where its input files are gone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from llzo_al.config.base import KeyPath, key_path
from llzo_al.config.campaign import CampaignConfig
from llzo_al.files import file_hash, fingerprint, read_json, write_json
from llzo_al.structures.library import builtin_names

NAMING_KEYS: Mapping[str, tuple[str, ...]] = {
    "amorphous": (),
    "blocks": ("structure",),
    "crystals": ("structures",),
    "dimers": (),
    "existing_data": ("paths",),
    "interfaces": ("substrate", "film"),
    "materials_project": ("folder",),
    "orderings": ("structure",),
    "reference_md": ("structures",),
    "slabs": ("structures",),
    "trajectories": ("files",),
    "variants": ("structures",),
}
"""Keys of each kind of source that name files, folders or patterns of files."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """What a key of the campaign file names, and what it held.

    Attributes
    ----------
    key
        The key ("initial_data[1].paths[0]").
    name
        Its value: a file, a folder or a pattern.
    stamp
        Hash of names, sizes and times of change; while it stays, the files are not read again.
    sha256
        Hash of the files' names and contents.
    """

    key: str
    name: str
    stamp: str
    sha256: str

    @property
    def section(self) -> str:
        """Section of the campaign file: "initial_data" or "exploration"."""
        return re.split(r"[.\[]", self.key, maxsplit=1)[0]


def look(config: CampaignConfig, base: Path, known: Sequence[InputFile] = ()) -> list[InputFile]:
    """Take the checksums of the files that a campaign file names.

    Parameters
    ----------
    config
        The campaign file.
    base
        Folder that relative paths start from.
    known
        Of the last run: what has not been touched since is not read again, and what is gone counts as
        unchanged.
    """
    before = {each.name: each for each in known}
    found = []
    for path, name in named_files(config):
        key, last = key_path(path), before.get(name)
        files = files_of(name, base)
        if files:
            stamp = _stamp(files)
            unchanged = last is not None and last.stamp == stamp
            sha256 = last.sha256 if last is not None and unchanged else _digest(files)
            found.append(InputFile(key=key, name=name, stamp=stamp, sha256=sha256))
        elif last is not None:
            found.append(InputFile(key=key, name=name, stamp=last.stamp, sha256=last.sha256))
    return found


def keep(path: Path, files: Sequence[InputFile]) -> None:
    """Write the checksums down."""
    write_json(path, [asdict(each) for each in files])


def kept(path: Path) -> list[InputFile]:
    """The checksums of the last run; none where it was of an earlier version."""
    return [InputFile(**each) for each in read_json(path)] if path.exists() else []


def changed_files(before: Iterable[InputFile], after: Iterable[InputFile]) -> list[InputFile]:
    """Those of `after` that have another content than under the same name before."""
    known = {each.name: each.sha256 for each in before}
    return [each for each in after if known.get(each.name, each.sha256) != each.sha256]


def named_files(config: CampaignConfig) -> Iterator[tuple[KeyPath, str]]:
    """Keys and names of all files, folders and patterns; not of built-in crystals."""
    sections: list[tuple[KeyPath, object, tuple[str, ...]]] = [
        (("initial_data", number), source, NAMING_KEYS[source.kind])
        for number, source in enumerate(config.initial_data)
    ]
    sections.append((("exploration",), config.exploration, ("structures",)))
    builtin = set(builtin_names())
    for place, section, keys in sections:
        for key in keys:
            value = getattr(section, key)
            if isinstance(value, str) and value not in builtin:
                yield (*place, key), value
            elif isinstance(value, list):
                for number, name in enumerate(value):
                    if name not in builtin:
                        yield (*place, key, number), name


def files_of(name: str, base: Path) -> list[Path]:
    """The files that a name of a file, a folder or a pattern leads to; none if there is nothing."""
    place = (base / Path(name).expanduser()).resolve()
    pattern = str(place.relative_to(place.anchor))
    matches = [place] if place.exists() else list(Path(place.anchor).glob(pattern))
    files: set[Path] = set()
    for match in matches:
        files.update([match] if match.is_file() else (path for path in match.rglob("*") if path.is_file()))
    return sorted(files)


def _stamp(files: Sequence[Path]) -> str:
    states = [(str(path), path.stat()) for path in files]
    return fingerprint([[name, state.st_size, state.st_mtime_ns] for name, state in states])


def _digest(files: Sequence[Path]) -> str:
    """Hash of names, relative to the folder that holds all of them, and contents."""
    folder = os.path.commonpath([path.parent for path in files])
    digest = hashlib.sha256()
    for path in files:
        state = path.stat()
        content = _content(path, state.st_size, state.st_mtime_ns)
        digest.update(f"{Path(os.path.relpath(path, folder)).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=100_000)
def _content(path: Path, _size: int, _changed_ns: int) -> str:
    return file_hash(path)
