"""Frames of the Materials Project's crystals, and their relaxations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.materials_project import MaterialsProject
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError
from llzo_al.structures.deform import deformed
from llzo_al.structures.library import quiet_spglib
from llzo_al.structures.materials_project.library import Library, load_library
from llzo_al.structures.materials_project.materials import Material
from llzo_al.structures.materials_project.query import SOURCE
from llzo_al.structures.relaxation import RelaxationRun

GROUP_WIDTH = 0.02
"""Copies of one crystal whose linear scale factors fall into the same interval of this width share a
split, so that no held-out frame has a near-duplicate among the training frames."""


def material_frames(
    source: MaterialsProject, *, elements: Sequence[str], base: Path, seed: int
) -> Iterator[Frame]:
    """Scaled, displaced and strained copies of each material, one at a time.

    A frame depends on the seed and on its own material, factor and copy, not on which other materials there
    are. Copies of one material that are close in scale share a group; with `relax` all of a material do, the
    frames of its relaxation included.

    Parameters
    ----------
    source, elements, base
        As for `llzo_al.structures.materials_project.library.load_library`.
    seed
        The campaign's seed.

    Raises
    ------
    UserError
        As `llzo_al.structures.materials_project.library.load_library`.
    """
    library = load_library(source, elements=elements, base=base)
    for material, same_as in _used(source, library):
        atoms = prepared_cell(source, material)
        name = _cell_name(source, material)
        for copy, _, details in deformed(atoms, source, name=name, seed=seed):
            length_factor = details.get("scale_factor") or details["volume_factor"] ** (1 / 3)
            group = _group(source, same_as, _cell_name(source, same_as), length_factor)
            yield Frame.from_atoms(copy, _provenance(library, material, same_as, group, details))


def material_relaxations(
    source: MaterialsProject, *, elements: Sequence[str], base: Path
) -> list[RelaxationRun]:
    """Relaxations of each material with the labeller's own forces; none unless the section says `relax`.

    Parameters
    ----------
    source, elements, base
        As for `material_frames`.
    """
    if not source.relax:
        return []
    library = load_library(source, elements=elements, base=base)
    runs = []
    for material, same_as in _used(source, library):
        atoms = prepared_cell(source, material).repeat(source.supercell)
        group = _group(source, same_as, _cell_name(source, same_as), 1.0)
        provenance = _provenance(library, material, same_as, group, {})
        runs.append(
            RelaxationRun(
                frame=Frame.from_atoms(atoms, provenance),
                group=group,
                kind=provenance.kind,
                fmax_eV_per_A=source.relax_fmax_eV_per_A,
                steps_max=source.relax_steps_max,
                cell=source.relax_cell,
                keep_every=source.relax_keep_every,
            )
        )
    return runs


def prepared_cell(source: MaterialsProject, material: Material) -> Atoms:
    """The cell that copies of a material are made of, before `supercell`.

    Raises
    ------
    UserError
        If no symmetry is found where a primitive or conventional cell is asked for.
    """
    atoms = _standard_cell(material, source.cell)
    if source.length_min_A <= 0:
        return atoms
    heights_A = 1 / np.linalg.norm(np.linalg.inv(np.array(atoms.cell)), axis=0)
    repeats = np.maximum(1, np.ceil(source.length_min_A / heights_A - 1e-9)).astype(int)
    return atoms.repeat(repeats.tolist())


def _standard_cell(material: Material, cell: str) -> Atoms:
    if cell == "as_given":
        return material.atoms
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = AseAtomsAdaptor.get_structure(material.atoms)
    with quiet_spglib():
        try:
            analyzer = SpacegroupAnalyzer(structure)
            found = (
                analyzer.get_primitive_standard_structure()
                if cell == "primitive"
                else analyzer.get_conventional_standard_structure()
            )
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"{SOURCE}: {material.material_id}: spglib finds no {cell} cell ({error}); use cell: as_given"
            ) from error
    atoms = AseAtomsAdaptor.get_atoms(found)
    return Atoms(
        symbols=atoms.get_chemical_symbols(), positions=atoms.positions, cell=np.array(atoms.cell), pbc=True
    )


def _used(source: MaterialsProject, library: Library) -> Iterator[tuple[Material, Material]]:
    """Materials to make frames of, each with the one that stands for its structure."""
    for cluster in library.clusters:
        yield cluster.kept, cluster.kept
        if not source.deduplicate:
            yield from ((other, cluster.kept) for other, _ in cluster.others)


def _cell_name(source: MaterialsProject, material: Material) -> str:
    parts = [material.material_id]
    if source.cell != "as_given":
        parts.append(source.cell)
    if source.length_min_A > 0:
        parts.append(f"{source.length_min_A:g}A")
    if max(source.supercell) > 1:
        parts.append("x".join(str(number) for number in source.supercell))
    return ".".join(parts)


def _group(source: MaterialsProject, same_as: Material, cell_name: str, length_factor: float) -> str:
    if source.relax:
        return f"{SOURCE}/{same_as.material_id}"
    interval = round(length_factor / GROUP_WIDTH) * GROUP_WIDTH
    return f"{SOURCE}/{cell_name}/{interval:.2f}"


def _provenance(
    library: Library, material: Material, same_as: Material, group: str, details: dict[str, Any]
) -> Provenance:
    known: dict[str, Any] = {"material_id": material.material_id, **material.properties}
    if library.database_version is not None:
        known["database_version"] = library.database_version
    return Provenance(
        source=SOURCE,
        kind=f"{same_as.formula} {same_as.material_id}",
        group=group,
        details=known | details,
    )
