"""Finished runs of VASP in folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llzo_al.errors import UserError
from llzo_al.files import file_hash, fingerprint
from llzo_al.labelling.vasp.outputs import SUFFIXES

_OUTPUT = re.compile(r"(?P<kind>vasprun|OUTCAR)", re.IGNORECASE)
_COMPRESSED = tuple(suffix for suffix in SUFFIXES if suffix)
_REMNANTS = ("OSZICAR", "vasp.out", "std_err.txt", "INCAR")


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """The files of one run.

    Attributes
    ----------
    directory
        Where they lie.
    vasprun, outcar
        The two outputs under whatever names; None if it is not there. A folder of a run that died before
        either has none.
    """

    directory: Path
    vasprun: Path | None = None
    outcar: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The outputs that are there."""
        return tuple(path for path in (self.vasprun, self.outcar) if path is not None)

    @property
    def name(self) -> str:
        """What reports call it."""
        return str(self.files[0] if self.files else self.directory)

    def checksum(self) -> str:
        """Hash of the files' contents, wherever they lie."""
        return fingerprint([file_hash(path) for path in self.files])

    @property
    def standard_names(self) -> bool:
        """Whether the outputs, compressed or not, are called as VASP calls them."""
        return {bare_name(path.name) for path in self.files} <= {"OUTCAR", "vasprun.xml"}


def find_runs(places: Iterable[Path]) -> Iterator[FoundRun]:
    """Runs in folders and files, each once, in the order of their names.

    Folders are searched with all that is in them for files whose names hold ``OUTCAR`` or ``vasprun``,
    compressed or not. Two in one folder whose names are otherwise alike are one run. A folder with other
    remnants of VASP but neither is a run that died.

    Raises
    ------
    UserError
        If a place is missing, or a file's name holds neither word.
    """
    seen: set[Path] = set()
    for place in places:
        if not place.exists():
            raise UserError(f"{place}: no such file or folder")
        if place.is_file():
            if _OUTPUT.search(place.name) is None:
                raise UserError(
                    f"{place}: is neither an OUTCAR nor a vasprun.xml by its name; name the folder that "
                    "holds them, or files whose names hold OUTCAR or vasprun"
                )
            found = list(_grouped(place.parent, [place.name]))
        else:
            found = list(_walk(place))
        for run in found:
            key = (run.files[0] if run.files else run.directory).resolve()
            if key not in seen:
                seen.add(key)
                yield run


def _walk(folder: Path) -> Iterator[FoundRun]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        directory = Path(where)
        outputs = [name for name in names if _OUTPUT.search(name) and (directory / name).is_file()]
        if outputs:
            yield from _grouped(directory, sorted(outputs))
        elif {bare_name(name) for name in names} & set(_REMNANTS):
            yield FoundRun(directory=directory)


def _grouped(directory: Path, names: Sequence[str]) -> Iterator[FoundRun]:
    """Runs of one folder: OUTCAR.relax1.gz and vasprun.xml.relax1.gz are one."""
    runs: dict[str, dict[str, Path]] = {}
    for name in names:
        match = _OUTPUT.search(name)
        if match is None:
            continue
        key = _OUTPUT.sub("", bare_name(name), count=1).replace(".xml", "", 1)
        kind = match["kind"].lower()
        runs.setdefault(key, {}).setdefault(kind, directory / name)
    for files in runs.values():
        yield FoundRun(directory=directory, vasprun=files.get("vasprun"), outcar=files.get("outcar"))


def bare_name(name: str) -> str:
    """A file's name without what compression added to it."""
    return name.removesuffix(next((suffix for suffix in _COMPRESSED if name.endswith(suffix)), ""))
