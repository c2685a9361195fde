"""What a campaign file refers to outside itself: structures and the campaign directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llzo_al.config.base import Finding, KeyPath
from llzo_al.errors import UserError


def campaign_directory(name: str, directory: str | None, base: Path) -> Path:
    """Absolute path of the campaign directory.

    Parameters
    ----------
    name, directory
        Keys of the campaign file.
    base
        Directory of the campaign file.
    """
    return (base / Path(directory).expanduser() if directory is not None else base / name).resolve()


def directory_findings(values: Mapping[str, Any], base: Path) -> list[Finding]:
    """Whether the campaign directory can be one."""
    if "name" not in values or "directory" not in values:
        return []
    directory = values["directory"]
    key: KeyPath = ("name",) if directory is None else ("directory",)
    if directory is not None and "$" in directory:
        return [(key, f"{directory!r} given; environment variables are not expanded, write the path itself")]
    target = campaign_directory(values["name"], directory, base)
    if target == base or target in base.parents:
        return [(key, f"{target} holds the campaign file itself; choose a directory of its own inside it")]
    if target.exists() and not target.is_dir():
        return [(key, f"the campaign directory would be {target}, which is a file; choose another name")]
    return []


def label_store_path(label_store: str, base: Path) -> Path:
    """Absolute path of `dataset.label_store`, the label store that campaigns share, of a file in `base`."""
    return (base / Path(label_store).expanduser()).resolve()


def label_store_findings(values: Mapping[str, Any], base: Path) -> list[Finding]:
    """Whether the shared label store can be one."""
    given = values.get("dataset", {}).get("label_store")
    if given is None:
        return []
    key: KeyPath = ("dataset", "label_store")
    if "$" in given:
        return [(key, f"{given!r} given; environment variables are not expanded, write the path itself")]
    path = label_store_path(given, base)
    if path.is_dir():
        return [(key, f"{path} is a directory; name a file in it, such as {given.rstrip('/')}/labels.sqlite")]
    if path.name == "labels.sqlite" and (path.parent.parent / "campaign.json").exists():
        return [
            (
                key,
                f"{path} is a campaign's own store, which holds its splits too; name another file, the same "
                "in all campaigns that share labels (it is made if it is not there)",
            )
        ]
    return []


def structure_findings(values: Mapping[str, Any], base: Path) -> list[Finding]:
    """Whether the structures exist, can be read, and hold only the campaign's elements."""
    from ase.data import atomic_numbers

    elements = values.get("elements")
    if elements is not None and not set(elements) <= set(atomic_numbers):
        elements = None
    findings: list[Finding] = []
    for path, names, section in _structure_lists(values):
        for index, name in enumerate(names):
            here: KeyPath = (*path, index)
            findings += [(here, message) for message in _wrong_with(name, section, elements, base)]
    return findings


def _structure_lists(
    values: Mapping[str, Any],
) -> Iterable[tuple[KeyPath, Sequence[str], Mapping[str, Any]]]:
    for number, source in enumerate(values.get("initial_data", ())):
        if "structures" in source:
            yield ("initial_data", number, "structures"), source["structures"], source
    exploration = values.get("exploration", {})
    if "structures" in exploration:
        yield ("exploration", "structures"), exploration["structures"], exploration


def _wrong_with(
    name: str, section: Mapping[str, Any], elements: Sequence[str] | None, base: Path
) -> Iterable[str]:
    from llzo_al.structures.library import load_structure

    try:
        atoms = load_structure(name, base=base, primitive=section.get("primitive", False))
    except UserError as error:
        yield str(error)
        return
    foreign = sorted(set(atoms.get_chemical_symbols()) - set(elements or atoms.get_chemical_symbols()))
    if foreign:
        known = ", ".join(elements or ())
        yield f"{name} holds {', '.join(foreign)}, outside the type map; `elements` lists {known}"
