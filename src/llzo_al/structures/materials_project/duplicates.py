"""Which materials are the same structure but for a scale factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llzo_al.structures.materials_project.materials import Material


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Materials of one structure.

    Attributes
    ----------
    kept
        The one that stands for them: first by `Material.rank`.
    others
        The rest, each with its root-mean-square displacement from `kept`, in units of the cube root of the
        volume per atom.
    """

    kept: Material
    others: tuple[tuple[Material, float], ...] = ()


def clusters(
    materials: Sequence[Material],
    *,
    length_tolerance: float,
    site_tolerance: float,
    angle_tolerance_deg: float,
) -> list[Cluster]:
    """Materials grouped by pymatgen's StructureMatcher, whatever the order in which they are given.

    Cells are reduced to primitive ones and scaled to the same volume before they are compared.

    Parameters
    ----------
    materials
        Different materials.
    length_tolerance, site_tolerance, angle_tolerance_deg
        As `ltol`, `stol` and `angle_tol` of `pymatgen.analysis.structure_matcher.StructureMatcher`.

    Returns
    -------
    list of Cluster
        Sorted by formula, then by the rank of the one that is kept.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor

    matcher = StructureMatcher(
        ltol=length_tolerance,
        stol=site_tolerance,
        angle_tol=angle_tolerance_deg,
        primitive_cell=True,
        scale=True,
    )
    ordered = sorted(materials, key=lambda material: (material.formula, material.rank))
    structures = [AseAtomsAdaptor.get_structure(material.atoms) for material in ordered]
    of_structure = {id(structure): material for structure, material in zip(structures, ordered, strict=True)}
    found = []
    for first, *rest in matcher.group_structures(structures):
        others = []
        for other in rest:
            distances = matcher.get_rms_dist(first, other)
            others.append((of_structure[id(other)], float(distances[0]) if distances else float("nan")))
        found.append(Cluster(kept=of_structure[id(first)], others=tuple(others)))
    return sorted(found, key=lambda cluster: (cluster.kept.formula, cluster.kept.rank))
