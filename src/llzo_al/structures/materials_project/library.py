"""The materials of a section: from a folder, from what is kept on disk, or from the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from llzo_al.config.initial_data.materials_project import MaterialsProject
from llzo_al.errors import UserError
from llzo_al.structures.materials_project import cache, client
from llzo_al.structures.materials_project.duplicates import Cluster, clusters
from llzo_al.structures.materials_project.folder import folder_materials
from llzo_al.structures.materials_project.key import WAYS_OUT, find_key
from llzo_al.structures.materials_project.materials import Material, Skipped, materials_of
from llzo_al.structures.materials_project.query import (
    ENDPOINT,
    SOURCE,
    Answer,
    Query,
    chemical_systems,
    make_query,
)


@dataclass(frozen=True, kw_only=True)
class Library:
    """The materials of one section, and what happened to those that are not among them.

    Attributes
    ----------
    clusters
        One for each structure; without deduplication the others of a cluster are used too.
    skipped
        What was left out.
    database_version
        Version of the database; None for a folder.
    origin
        Where the materials came from, for the log: a folder, or the file that keeps the answer.
    notes
        What a person should know of how they were got.
    """

    clusters: tuple[Cluster, ...]
    skipped: tuple[Skipped, ...]
    database_version: str | None
    origin: str
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[Material, ...]:
        """One material of each structure."""
        return tuple(cluster.kept for cluster in self.clusters)

    @property
    def merged(self) -> list[dict[str, Any]]:
        """Which materials are the same structure as which, JSON-serialisable."""
        return [
            {"material_id": other.material_id, "same_as": cluster.kept.material_id, "rms_displacement": rms}
            for cluster in self.clusters
            for other, rms in cluster.others
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable report."""
        return {
            "database_version": self.database_version,
            "origin": self.origin,
            "material_ids": [material.material_id for material in self.kept],
            "merged": self.merged,
            "skipped": [{"name": item.name, "reason": item.reason} for item in self.skipped],
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The report for a person."""
        version = f", version {self.database_version}" if self.database_version else ""
        head = f"{SOURCE}: {len(self.clusters)} different structures ({self.origin}{version})"
        same = [f"{pair['material_id']} is the same structure as {pair['same_as']}" for pair in self.merged]
        left_out = [f"left out: {item.name}: {item.reason}" for item in self.skipped]
        return [head, *(f"{SOURCE}: {text}" for text in (*self.notes, *same, *left_out))]


def load_library(source: MaterialsProject, *, elements: Sequence[str], base: Path) -> Library:
    """Find the materials of a section; a second call for the same ones needs neither key nor network.

    The same question about files that have not changed since is answered from memory.

    Parameters
    ----------
    source
        The campaign file's section.
    elements
        The campaign's elements.
    base
        Folder that relative paths start from.

    Raises
    ------
    UserError
        If there is no way to the database and nothing is kept, the database does not answer as it should, a
        material cannot be used, or none is found.
    """
    section, files = source.model_dump_json(), _files(source, elements, base)
    stamps = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    if not stamps:
        return _load(section, tuple(elements), base)
    return _remembered(section, tuple(elements), base, stamps)


@lru_cache(maxsize=8)
def _remembered(
    section: str, elements: tuple[str, ...], base: Path, _stamps: tuple[tuple[str, int, int], ...]
) -> Library:
    return _load(section, elements, base)


def _files(source: MaterialsProject, elements: Sequence[str], base: Path) -> list[Path]:
    """Files that the materials are read from, as far as they are there."""
    if source.folder is None:
        query = make_query(source, elements)
        path = cache.cache_file(cache.cache_directory(source.cache, base), query)
        return [path] if path.is_file() else []
    folder = base / Path(source.folder).expanduser()
    return [path for path in sorted(folder.iterdir()) if path.is_file()] if folder.is_dir() else []


def _load(section: str, elements: tuple[str, ...], base: Path) -> Library:
    source = MaterialsProject.model_validate_json(section)
    if source.folder is not None:
        folder = base / Path(source.folder).expanduser()
        materials, skipped = folder_materials(
            folder,
            elements=elements,
            chemical_systems=chemical_systems(source.chemical_systems, elements),
            atoms_max=source.atoms_max,
            skip_incomplete=source.skip_incomplete,
        )
        return Library(
            clusters=tuple(_clusters(source, materials)),
            skipped=tuple(skipped),
            database_version=None,
            origin=f"files in {source.folder}",
        )
    query = make_query(source, elements)
    path = cache.cache_file(cache.cache_directory(source.cache, base), query)
    answer, notes = _answer(query, path, timeout_s=source.timeout_s)
    materials, skipped = materials_of(
        answer, query, elements=elements, skip_incomplete=source.skip_incomplete
    )
    return Library(
        clusters=tuple(_clusters(source, materials)),
        skipped=tuple(skipped),
        database_version=answer.database_version,
        origin=f"answer of {query.endpoint} kept in {path}",
        notes=(*notes, *_empty_systems(query, materials)),
    )


def obstacle(source: MaterialsProject, *, elements: Sequence[str], base: Path) -> str | None:
    """Why the materials of a section cannot be had here, found without asking for them; None if they can.

    Parameters
    ----------
    source, elements, base
        As for `load_library`.
    """
    if source.folder is not None:
        folder = base / Path(source.folder).expanduser()
        return None if folder.is_dir() else f"{SOURCE}: folder: {folder} is no folder"
    try:
        query = make_query(source, elements)
        path = cache.cache_file(cache.cache_directory(source.cache, base), query)
        kept, damage = _kept(path)
        if kept is not None:
            return None
        return _no_way(query, path, damage, timeout_s=source.timeout_s)
    except UserError as error:
        return str(error)


def _no_way(
    query: Query, path: Path, damage: cache.DamagedCacheError | None, *, timeout_s: float
) -> str | None:
    """Why a query cannot be asked; None if it can."""
    try:
        _needed_key(query, path)
    except UserError as error:
        return str(_not_again(damage, error))
    wrong = client.reachable(query.endpoint, timeout_s=timeout_s)
    return None if wrong is None else str(_not_again(damage, UserError(f"{SOURCE}: {wrong}; {WAYS_OUT}")))


def _kept(path: Path) -> tuple[Answer | None, cache.DamagedCacheError | None]:
    """The answer that is kept, or what is wrong with the file."""
    try:
        return cache.read_cache(path), None
    except cache.DamagedCacheError as error:
        return None, error


def _not_again(damage: cache.DamagedCacheError | None, error: UserError) -> UserError:
    """Why there is no answer, with what is wrong with the one that was kept."""
    if damage is None:
        return error
    return UserError(
        f"{SOURCE}: the answer kept on disk is damaged: {damage}; and it cannot be asked for again: {error}"
    )


def _answer(query: Query, path: Path, *, timeout_s: float) -> tuple[Answer, tuple[str, ...]]:
    """The answer that is kept, or else the database's own, which is then kept."""
    kept, damage = _kept(path)
    if kept is not None:
        return kept, ()
    try:
        answer = client.ask(query, key=_needed_key(query, path), timeout_s=timeout_s)
    except UserError as error:
        raise _not_again(damage, error) from None
    cache.write_cache(path, query, answer)
    if damage is None:
        return answer, ()
    return answer, (f"the answer kept on disk was damaged ({damage}) and was asked for again",)


def _needed_key(query: Query, path: Path) -> str | None:
    """The key; only a mirror may do without one."""
    key = find_key()
    if key is None and query.endpoint == ENDPOINT:
        raise UserError(
            f"{SOURCE}: there is no key of the Materials Project's API, and no answer to this search is "
            "kept yet "
            f"({path} does not exist or is damaged); {WAYS_OUT}"
        )
    return key


def _clusters(source: MaterialsProject, materials: Sequence[Material]) -> list[Cluster]:
    return clusters(
        materials,
        length_tolerance=source.match_length_tolerance,
        site_tolerance=source.match_site_tolerance,
        angle_tolerance_deg=source.match_angle_tolerance_deg,
    )


def _empty_systems(query: Query, materials: Sequence[Material]) -> tuple[str, ...]:
    found = {"-".join(sorted(set(material.atoms.get_chemical_symbols()))) for material in materials}
    empty = [name for name in query.chemical_systems if name not in found]
    return (f"no material of {', '.join(empty)}",) if empty else ()
