"""Coherent interfaces of two crystals, such as LLZO and lithium metal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.interfaces import Interfaces
from llzo_al.dataset.frames import FloatArray, Frame
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models.charges import counts_of, formula, ionic_charges_e, require_elements
from llzo_al.structures.models.copies import model_frames
from llzo_al.structures.models.matching import Match, lattice_matches
from llzo_al.structures.models.planes import Planes, crystal_planes
from llzo_al.structures.names import kind_of


def interface_frames(
    source: Interfaces, elements: Sequence[str], *, base: Path, seed: int
) -> Iterator[Frame]:
    """Interfaces of a substrate and a film strained to fit it, one at a time.

    Parameters
    ----------
    source, elements, base, seed
        As for `llzo_al.structures.models.frames.model_source_frames`.

    Raises
    ------
    UserError
        If a structure is unknown, no lattice matches, or an interface has too many atoms.
    """
    name = (
        f"{source.substrate}({''.join(map(str, source.substrate_miller))})-"
        f"{source.film}({''.join(map(str, source.film_miller))})"
    )
    where = f"initial_data (interfaces): {name}"
    substrate = _planes(source.substrate, source.substrate_miller, elements, base, where)
    film = _planes(source.film, source.film_miller, elements, base, where)
    matches = lattice_matches(
        np.array(film.cell.cell)[:2],
        np.array(substrate.cell.cell)[:2],
        max_area_A2=source.max_area_A2,
        max_mismatch=source.max_mismatch,
        where=where,
    )
    cut = substrate.bonds_cut(source.bonds_A)
    bottoms = sorted(substrate.terminations, key=lambda each: (cut[each], each))[: source.terminations]
    for match in matches[: source.matches]:
        for bottom in bottoms:
            atoms, details = build_interface(substrate, film, match, bottom, source, where)
            details["substrate_bonds_cut"] = 2 * cut[bottom]
            yield from model_frames(
                atoms,
                source,
                name=f"{name}/{match.area_A2:.2f}.{1e4 * match.mismatch:.0f}/{bottom:.4f}",
                structure_kind=f"interface {kind_of(source.substrate)} | {kind_of(source.film)}",
                details=details,
                seed=seed,
            )


def _planes(name: str, miller: Sequence[int], elements: Sequence[str], base: Path, where: str) -> Planes:
    atoms = load_structure(name, base=base)
    require_elements(atoms.get_chemical_symbols(), elements, where=f"{where}: {name}")
    return crystal_planes(atoms, miller, where=f"{where}: {name}")


def build_interface(
    substrate: Planes, film: Planes, match: Match, bottom: float, source: Interfaces, where: str
) -> tuple[Atoms, dict[str, Any]]:
    """Join a substrate and a film in a cell of a lattice match, through pymatgen's interface builder.

    Parameters
    ----------
    substrate, film
        The two crystals' planes.
    match
        The lattice match.
    bottom
        Where the substrate is cut.
    source
        Thicknesses, gap and vacuum.
    where
        Names the source in an error.

    Returns
    -------
    tuple
        The interface, the substrate's atoms first, and what is known of it.

    Raises
    ------
    UserError
        If it has too many atoms.
    """
    from pymatgen.core.interface import Interface

    lower = _supercell(substrate, bottom, source.substrate_thickness_A, match.substrate_vectors_A)
    upper = _supercell(film, film.terminations[0], source.film_thickness_A, match.film_vectors_A)
    if len(lower) + len(upper) > source.max_atoms:
        raise UserError(
            f"{where}: the interface of {match.area_A2:.1f} square angstrom has {len(lower) + len(upper)} "
            f"atoms, more than max_atoms ({source.max_atoms}); lower max_area_A2 or the thicknesses, or "
            "raise max_atoms"
        )
    # Without vacuum the film's other side meets the substrate's next image: it gets the same gap.
    over_film_A = source.gap_A if source.vacuum_A is None else source.vacuum_A
    interface = Interface.from_slabs(
        substrate_slab=_structure(lower),
        film_slab=_structure(upper),
        gap=source.gap_A,
        vacuum_over_film=over_film_A,
    )
    order = [*interface.substrate_indices, *interface.film_indices]
    atoms = Atoms(
        [interface[place].specie.symbol for place in order],
        scaled_positions=interface.frac_coords[order],
        cell=interface.lattice.matrix,
        pbc=True,
    )
    atoms.wrap()
    return atoms, _details(lower, upper, match, source, where)


def _details(lower: Atoms, upper: Atoms, match: Match, source: Interfaces, where: str) -> dict[str, Any]:
    symbols = [part.get_chemical_symbols() for part in (lower, upper)]
    return {
        "area_A2": round(match.area_A2, 3),
        "mismatch": round(match.mismatch, 5),
        "film_strain": [round(float(each), 5) for each in _film_strain(match)],
        "gap_A": source.gap_A,
        "vacuum_A": 0.0 if source.vacuum_A is None else source.vacuum_A,
        "substrate_atoms": len(lower),
        "film_atoms": len(upper),
        "substrate_thickness_A": round(float(np.ptp(lower.positions[:, 2])), 3),
        "film_thickness_A": round(float(np.ptp(upper.positions[:, 2])), 3),
        # Each crystal by itself: lithium metal has no formal charge.
        "formal_charge_e": sum(int(ionic_charges_e(each, where=where).sum()) for each in symbols),
        "composition": formula(counts_of(sorted(symbols[0] + symbols[1]))),
    }


def _supercell(planes: Planes, bottom: float, thickness_A: float, vectors_A: FloatArray) -> Atoms:
    """A slab of whole repeats of the crystal in the cell of a match, its normal along z."""
    repeats = 1
    slab = planes.slab(bottom, bottom + repeats)
    while np.ptp(slab.positions[:, 2]) < thickness_A - 1e-6:
        repeats += 1
        slab = planes.slab(bottom, bottom + repeats)
    plane = np.array(planes.cell.cell)[:2]
    numbers = np.eye(3, dtype=int)
    numbers[:2, :2] = np.round(vectors_A @ np.linalg.pinv(plane)).astype(int)
    from ase.build import make_supercell

    slab.cell[2] = [0.0, 0.0, float(np.ptp(slab.positions[:, 2])) + 10.0]
    large = make_supercell(slab, numbers)
    turned, rotation = large.cell.standard_form()
    large.positions = large.positions @ rotation.T
    large.set_cell(turned)
    large.pbc = True
    large.wrap(pbc=[True, True, False])
    return large


def _structure(atoms: Atoms) -> Any:
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_structure(atoms)


def _film_strain(match: Match) -> FloatArray:
    """Relative change of the film's two lengths and of its angle."""
    shapes = []
    for vectors in (match.film_vectors_A, match.substrate_vectors_A):
        lengths = np.linalg.norm(vectors, axis=1)
        angle = np.arctan2(np.linalg.norm(np.cross(*vectors)), vectors[0] @ vectors[1])
        shapes.append([*lengths, angle])
    return np.asarray(np.array(shapes[1]) / np.array(shapes[0]) - 1)
