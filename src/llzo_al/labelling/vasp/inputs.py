"""VASP's input files, as a pymatgen input set with the papers' settings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar
from pymatgen.io.vasp.sets import VaspInputSet

from llzo_al.config.labelling import VASP
from llzo_al.dataset.frames import FloatArray, Frame
from llzo_al.errors import UserError
from llzo_al.labelling.presets.common import k_mesh, vacuum_along
from llzo_al.labelling.vasp.potcars import potcar_symbols, read_potcar
from llzo_al.labelling.vasp.settings import STATIC, all_tags


@dataclass
class PaperSet(VaspInputSet):
    """Input set of pymatgen with a Gamma-centred mesh that is given by its divisions.

    Attributes
    ----------
    mesh
        The divisions.
    """

    mesh: tuple[int, int, int] = (1, 1, 1)

    @property
    def kpoints_updates(self) -> Kpoints:
        """The mesh, written out."""
        return Kpoints.gamma_automatic(self.mesh)


@dataclass(frozen=True, kw_only=True)
class VaspInputs:
    """The input of one run, before it is written.

    Attributes
    ----------
    incar
        Tags, upper case.
    kpoints, poscar, potcar
        Text of the files.
    mesh
        Divisions of the k-point mesh.
    order
        Indices of the frame's atoms in the order of POSCAR.
    right_handed
        Whether POSCAR holds the frame's lattice vectors themselves, or, for a left-handed cell, which VASP
        refuses, their negatives: the same lattice, and atoms at the same places.
    titles
        POTCAR titles of the species in the order of POSCAR.
    """

    incar: Mapping[str, Any]
    kpoints: str
    poscar: str
    potcar: str
    mesh: tuple[int, int, int]
    order: tuple[int, ...]
    right_handed: bool
    titles: tuple[str, ...]

    @property
    def gamma_only(self) -> bool:
        """Whether the Gamma point is the only one."""
        return self.mesh == (1, 1, 1)

    @cached_property
    def incar_text(self) -> str:
        """INCAR."""
        return str(Incar(dict(self.incar)))

    def write(self, directory: Path) -> None:
        """Write INCAR, KPOINTS, POSCAR and POTCAR into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("INCAR", self.incar_text),
            ("KPOINTS", self.kpoints),
            ("POSCAR", self.poscar),
            ("POTCAR", self.potcar),
        ):
            (directory / name).write_text(text, encoding="utf-8")

    def in_frame_order(self, values: FloatArray) -> FloatArray:
        """Rows for the atoms in POSCAR's order, put into the frame's order."""
        ordered = np.empty_like(values)
        ordered[list(self.order)] = values
        return ordered


def make_inputs(
    frame: Frame,
    settings: VASP,
    elements: Sequence[str],
    *,
    motion: Mapping[str, Any] = STATIC,
    extra: Mapping[str, Any] | None = None,
) -> VaspInputs:
    """The input of one frame.

    Parameters
    ----------
    frame
        What to compute; a cell is needed even where it is not periodic.
    settings
        Section `labelling` of the campaign file.
    elements
        Elements of the campaign.
    motion
        How the atoms move.
    extra
        INCAR tags over the campaign file's.

    Raises
    ------
    UserError
        If a POTCAR is missing, or the frame holds an element that the campaign does not list.
    ValueError
        If the frame has no cell.
    """
    order = _order(frame, elements)
    structure, right_handed = _structure(frame, order)
    mesh = mesh_of(frame, settings)
    symbols = potcar_symbols(settings, elements)
    species = list(dict.fromkeys(frame.symbols[index] for index in order))
    potcars = {element: read_potcar(symbols[element], settings.functional) for element in species}
    tags = all_tags(settings, extra)
    own = {**motion, **_electrons(frame, {element: each.n_electrons for element, each in potcars.items()})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's advice on smearing, meant for other campaigns
        made = PaperSet(
            structure=structure,
            config_dict={
                "INCAR": {**tags, "MAGMOM": dict(settings.magnetic_moments_muB)},
                "POTCAR": symbols,
                "POTCAR_FUNCTIONAL": settings.functional,
            },
            user_incar_settings=own,  # what stands here is kept even where pymatgen holds it for idle
            sort_structure=False,
            validate_magmom=False,
            mesh=mesh,
        )
        incar, kpoints = made.incar, made.kpoints
        poscar = Poscar(structure, comment=frame.provenance.kind or "structure")
    if tags["ISPIN"] != 2:
        incar.pop("MAGMOM", None)
    return VaspInputs(
        incar=dict(incar),
        kpoints=str(kpoints),
        poscar=poscar.get_str(significant_figures=12),
        potcar="".join(potcar.text for potcar in potcars.values()),
        mesh=mesh,
        order=tuple(order),
        right_handed=right_handed,
        titles=tuple(potcar.title for potcar in potcars.values()),
    )


def _order(frame: Frame, elements: Sequence[str]) -> list[int]:
    foreign = sorted(set(frame.symbols) - set(elements))
    if foreign:
        raise UserError(
            f"a frame of {frame.provenance.kind} holds {', '.join(foreign)}; `elements` of the campaign "
            f"lists {', '.join(elements)}"
        )
    return sorted(range(frame.n_atoms), key=lambda index: elements.index(frame.symbols[index]))


def mesh_of(frame: Frame, settings: VASP) -> tuple[int, int, int]:
    """Divisions of the frame's Gamma-centred mesh; 1 along vacuum."""
    atoms, gap_A = frame.to_atoms(), settings.vacuum_gap_A
    if settings.kpoints_mesh is None:
        return k_mesh(atoms, spacing_per_A=settings.spacing_per_A, gap_A=gap_A)
    vacuum = vacuum_along(atoms, gap_A)
    counts = [1 if empty else n for n, empty in zip(settings.kpoints_mesh, vacuum, strict=True)]
    return counts[0], counts[1], counts[2]


def _electrons(frame: Frame, n_electrons: Mapping[str, float]) -> dict[str, Any]:
    """NELECT of a charged frame, NUPDOWN of one with a given multiplicity."""
    tags: dict[str, Any] = {}
    if frame.charge:
        tags["NELECT"] = sum(n_electrons[symbol] for symbol in frame.symbols) - frame.charge
    if frame.multiplicity is not None:
        tags["NUPDOWN"] = frame.multiplicity - 1
    return tags


def _structure(frame: Frame, order: Sequence[int]) -> tuple[Structure, bool]:
    volume_A3 = float(np.linalg.det(frame.cell_A))
    if abs(volume_A3) < 1e-3:
        raise ValueError("VASP needs a cell; put the frame into a box")
    right_handed = volume_A3 > 0
    properties: dict[str, Any] = {}
    if frame.multiplicity is not None:
        properties["magmom"] = [(frame.multiplicity - 1) / frame.n_atoms] * frame.n_atoms
    structure = Structure(
        Lattice(frame.cell_A if right_handed else -frame.cell_A),
        [frame.symbols[index] for index in order],
        frame.positions_A[list(order)],
        coords_are_cartesian=True,
        site_properties=properties,
    )
    return structure, right_handed
