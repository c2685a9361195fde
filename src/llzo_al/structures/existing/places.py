"""Which data sets a list of paths means, and in which formats they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llzo_al.errors import UserError
from llzo_al.files import file_hash

SOURCE = "existing_data"
"""Name of this source in messages and provenance."""

_HEAD_BYTES = 20_000
_ASE_SUFFIXES = {".traj", ".extxyz", ".xyz", ".db", ".cif"}
_UNLABELLED_NAMES = ("POSCAR", "CONTCAR", "XDATCAR")
_BY_CONTENT = (
    (b"Program PWSCF", "ase/espresso-out"),
    (b"CP2K|", "cp2k/output"),
    (b"<modeling>", "vasp/xml"),
    (b"Lattice=", "ase/extxyz"),
)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A file, or a folder that is one system of DeePMD-kit's.

    Attributes
    ----------
    path
        Where it is.
    name
        Its path relative to the campaign file.
    format
        Name of dpdata's, or of ASE's after ``ase/``.
    """

    path: Path
    name: str
    format: str

    @property
    def files(self) -> list[Path]:
        """The files that it consists of."""
        if self.path.is_file():
            return [self.path]
        return [path for path in sorted(self.path.rglob("*")) if path.is_file()]

    def checksum(self) -> str:
        """SHA-256 (hex) of the file, or of the names and contents of a folder's files."""
        if self.path.is_file():
            return file_hash(self.path)
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(f"{path.relative_to(self.path).as_posix()} {file_hash(path)}\n".encode())
        return digest.hexdigest()


def find_data(paths: Sequence[str], *, base: Path, format_name: str) -> list[DataSet]:
    """The data sets that paths, folders and patterns mean, each once, in the order of the list.

    Parameters
    ----------
    paths
        Of the campaign file.
    base
        Folder that relative paths start from.
    format_name
        A format for all of them, or "auto".

    Raises
    ------
    UserError
        If a path means nothing, or a format is not recognised.
    """
    found: dict[Path, DataSet] = {}
    for text in paths:
        places = _places(text, base, recognise=format_name == "auto")
        for path in places:
            if path not in found:
                name = Path(os.path.relpath(path, base)).as_posix()
                wanted = _recognised_by_ase(path) if format_name == "auto" else format_name
                found[path] = DataSet(path=path, name=name, format=wanted)
    return list(found.values())


def recognised(path: Path) -> str | None:
    """Format of a file or of a system's folder by its name and content; None if it is not known."""
    if path.is_dir():
        return _system_format(path)
    name = path.name
    if name.startswith("OUTCAR"):
        return "vasp/outcar"
    if name.startswith("vasprun") and path.suffix == ".xml":
        return "vasp/xml"
    if name.startswith(_UNLABELLED_NAMES):
        return "ase/vasp-xdatcar" if name.startswith("XDATCAR") else "ase/vasp"
    if path.suffix.lower() in _ASE_SUFFIXES:
        return (
            "ase/extxyz" if path.suffix.lower() in (".extxyz", ".xyz") else f"ase/{path.suffix[1:].lower()}"
        )
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    if head.lstrip().startswith(b"vasp."):
        return "vasp/outcar"
    return next((known for mark, known in _BY_CONTENT if mark in head), None)


def _recognised_by_ase(path: Path) -> str:
    """A format that `recognised` knows, or else the one that ASE takes the file for."""
    known = recognised(path)
    if known is not None:
        return known
    from ase.io.formats import UnknownFileTypeError, filetype

    try:
        return f"ase/{filetype(str(path), guess=False)}"
    except (OSError, UnknownFileTypeError, ValueError) as error:
        raise UserError(
            f"{SOURCE}: {path}: the format is not recognised; name it with `format` (one of dpdata's, or "
            "one of "
            "ASE's after `ase/`)"
        ) from error


def _places(text: str, base: Path, *, recognise: bool) -> list[Path]:
    path = base / Path(text).expanduser()
    if path.is_file() or (path.is_dir() and (_system_format(path) is not None or not recognise)):
        return [path]
    if path.is_dir():
        inside = list(_inside(path))
        if not inside:
            raise UserError(f"{SOURCE}: {path}: nothing in this folder is recognised as data; name the files")
        return inside
    if any(mark in text for mark in "*?["):
        root, pattern = (Path(path.anchor), str(path.relative_to(path.anchor)))
        matches = sorted(root.glob(pattern))
        found = [place for match in matches for place in _places(str(match), base, recognise=recognise)]
        if not found:
            raise UserError(f"{SOURCE}: {text}: no file matches this pattern in {base}")
        return found
    raise UserError(f"{SOURCE}: {path}: no such file or folder")


def _inside(folder: Path) -> Iterator[Path]:
    """Data below a folder; of one VASP run the OUTCAR, whose convergence is known, before the vasprun.xml."""
    entries = sorted(folder.iterdir())
    labelled = [
        path for path in entries if path.is_file() and recognised(path) in ("vasp/outcar", "vasp/xml")
    ]
    for path in entries:
        if path.is_dir():
            if _system_format(path) is not None:
                yield path
            else:
                yield from _inside(path)
        elif labelled:
            if path == labelled[0]:
                yield path
        elif path.stat().st_size and recognised(path) is not None:
            yield path


def _system_format(folder: Path) -> str | None:
    if not (folder / "type.raw").is_file():
        return None
    sets = sorted(folder.glob("set.*"))
    if sets:
        mixed = (sets[0] / "real_atom_types.npy").is_file()
        return "deepmd/npy/mixed" if mixed else "deepmd/npy"
    return "deepmd/raw" if (folder / "coord.raw").is_file() else None
