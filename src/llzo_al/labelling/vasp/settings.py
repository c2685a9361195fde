"""The papers' settings as INCAR tags, and what of a campaign's settings changes a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llzo_al.config.labelling import VASP
from llzo_al.config.labelling.vasp_tags import canonical_tags, changes_physics
from llzo_al.labelling.vasp.potcars import read_potcars

PAPERS: Mapping[str, Any] = {
    "GGA": "PE",
    "ENCUT": 500,
    "PREC": "Accurate",
    "ISPIN": 2,
    "ISMEAR": 0,
    "SIGMA": 0.1,
    "EDIFF": 1e-4,
    "LREAL": False,
}
"""Settings that change a label: those of the papers (PBE, 500 eV, spins, Gaussian smearing of 0.1 eV, EDIFF
1e-4 eV); and, where they say nothing, what suits labels: PREC Accurate, for forces and stresses without
wrap-around errors, and projectors in reciprocal space, which are the same for a dimer and for a large
cell."""

WORKING: Mapping[str, Any] = {
    "ALGO": "Normal",
    "NELM": 200,
    "NELMIN": 4,
    "ISYM": 0,
    "ISTART": 0,
    "ICHARG": 2,
    "LWAVE": False,
    "LCHARG": False,
}
"""Settings that do not: a robust minimiser, no use of symmetry that rattled frames do not have, no large
files."""

STATIC: Mapping[str, Any] = {"IBRION": -1, "NSW": 0, "ISIF": 2}
"""One self-consistent cycle with forces and stress."""

DEFAULT_MOMENT_MUB = 0.6

_PHYSICS_FORMAT = 1


def all_tags(settings: VASP, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """INCAR tags that hold for every frame, with `extra` over the campaign file's."""
    return {**PAPERS, **WORKING, **canonical_tags(settings.incar), **canonical_tags(extra or {})}


def tags_of_attempt(settings: VASP, attempt: int) -> dict[str, Any]:
    """Tags that attempt number `attempt` (from 1) changes."""
    if attempt < 2 or not settings.retry_incar:
        return {}
    return canonical_tags(settings.retry_incar[min(attempt - 2, len(settings.retry_incar) - 1)])


def physics(
    settings: VASP, elements: Sequence[str], extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What of the settings changes a label; see `llzo_al.labelling.base.Labeller.physics`.

    INCAR tags that change the physics, the rule of the k-points, initial magnetic moments (of several
    self-consistent solutions they choose one), and titles and contents of the POTCARs. Never commands,
    parallelism, paths, or the version of VASP.

    Raises
    ------
    UserError
        If a POTCAR is missing: without it the level of theory is not known.
    """
    mesh: dict[str, Any] = {"vacuum_gap_A": settings.vacuum_gap_A, "centre": "gamma"}
    if settings.kpoints_mesh is not None:
        mesh["divisions"] = list(settings.kpoints_mesh)
    else:
        mesh["spacing_per_A"] = settings.spacing_per_A
    potcars = read_potcars(settings, sorted(elements))
    tags = {tag: value for tag, value in all_tags(settings, extra).items() if changes_physics(tag)}
    return {
        "format": _PHYSICS_FORMAT,
        "engine": "vasp",
        "incar": {
            tag: value.lower() if isinstance(value, str) else value for tag, value in sorted(tags.items())
        },
        "kpoints": mesh,
        "magnetic_moments_muB": {
            element: settings.magnetic_moments_muB.get(element, DEFAULT_MOMENT_MUB)
            for element in sorted(elements)
        },
        "potcars": {
            element: {"title": potcar.title, "sha256": potcar.sha256} for element, potcar in potcars.items()
        },
    }
