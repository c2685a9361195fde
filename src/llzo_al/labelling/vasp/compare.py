"""Comparing VASP's settings: what was asked for, and what it ran with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llzo_al.config.labelling.vasp_tags import canonical_tags, changes_physics


def changed_tags(asked: Mapping[str, Any], now: Mapping[str, Any], where: str) -> Iterator[str]:
    """Tags of two INCARs that differ and change the physics, a sentence each."""
    before, after = canonical_tags(asked), canonical_tags(now)
    for tag in sorted({*before, *after}):
        if changes_physics(tag) and not same_value(before.get(tag), after.get(tag)):
            yield (
                f"{tag} in {where} is {after.get(tag, 'not given')}, asked for {before.get(tag, 'not given')}"
            )


def changed_files(incar: Mapping[str, Any], incar_text: str, kpoints: str, directory: Path) -> Iterator[str]:
    """What the files in `directory` change of the physics of an INCAR (tags and text) and a KPOINTS."""
    incar_path, kpoints_path = directory / "INCAR", directory / "KPOINTS"
    if incar_path.is_file():
        text = incar_path.read_text(encoding="utf-8", errors="replace")
        if text != incar_text:
            from pymatgen.io.vasp.inputs import Incar

            yield from changed_tags(incar, dict(Incar.from_str(text)), "INCAR")
    if kpoints_path.is_file() and mesh_lines(kpoints_path.read_text(encoding="utf-8")) != mesh_lines(kpoints):
        yield "KPOINTS was changed"


def mesh_lines(text: str) -> list[str]:
    """KPOINTS without its comment."""
    return [" ".join(line.split()).lower() for line in text.splitlines()[1:] if line.strip()]


def same_value(asked: Any, found: Any) -> bool:
    """Whether two values of a tag mean the same; VASP cuts words and digits when it repeats them."""
    if isinstance(asked, str) and isinstance(found, str):
        first, second = asked.strip().lower(), found.strip().lower()
        cut = bool(first and second) and (first.startswith(second) or second.startswith(first))
        return first == second or cut
    if isinstance(asked, bool) or isinstance(found, bool):
        return _truth(asked) is not None and _truth(asked) == _truth(found)
    if isinstance(asked, int | float) and isinstance(found, int | float):
        return bool(abs(asked - found) <= 1e-6 * abs(asked) + 1e-8)
    if isinstance(asked, list | tuple) and isinstance(found, list | tuple):
        return len(asked) == len(found) and all(map(same_value, asked, found))
    return bool(asked == found)


def _truth(value: Any) -> bool | None:
    """A truth value as VASP takes it: LREAL = Auto and On count as true."""
    if isinstance(value, str):
        first = value.strip(". ").upper()[:1]
        return {"T": True, "A": True, "O": True, "F": False}.get(first)
    return bool(value) if isinstance(value, bool | int) else None
