"""Planes of a crystal: the cell along them, where it can be cut, and which cuts make equivalent surfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError
from llzo_al.structures.library import quiet_spglib
from llzo_al.structures.models.distances import pair

Indices = tuple[int, int, int]

_SAME_HEIGHT = 1e-3
_PLANE_WIDTH_A = 0.1
"""Atoms within this height are one plane, which is not cut."""
_SYMPREC_A = 1e-2


@dataclass(frozen=True)
class Planes:
    """A crystal's cell with its first two vectors in a lattice plane.

    Attributes
    ----------
    cell
        The crystal in that cell. Fractional heights are along the third vector.
    terminations
        Fractional heights between atomic planes, where the crystal can be cut.
    """

    cell: Atoms
    terminations: tuple[float, ...]

    @cached_property
    def height_A(self) -> float:
        """Repeat along the normal of the plane."""
        return float(self.cell.get_volume() / self.area_A2)

    @cached_property
    def area_A2(self) -> float:
        """Area of the cell in the plane."""
        return float(np.linalg.norm(np.cross(self.cell.cell[0], self.cell.cell[1])))

    @cached_property
    def heights(self) -> FloatArray:
        """Fractional height of each atom, 0 to 1."""
        return np.asarray(self.cell.get_scaled_positions(wrap=True)[:, 2])

    @cached_property
    def mirrors(self) -> tuple[float, ...]:
        """Sums s for which a symmetry of the crystal takes height z to s - z."""
        from pymatgen.io.ase import AseAtomsAdaptor
        from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

        with quiet_spglib():
            structure = AseAtomsAdaptor.get_structure(self.cell)
            operations = SpacegroupAnalyzer(structure, symprec=_SYMPREC_A).get_symmetry_operations()
        sums = [
            float(operation.translation_vector[2]) % 1.0
            for operation in operations
            if np.allclose(operation.rotation_matrix[2], [0, 0, -1], atol=1e-6)
        ]
        return tuple(sorted({round(each, 4) % 1.0 for each in sums}))

    def bonds_cut(self, bonds_A: Mapping[str, float]) -> dict[float, int]:
        """For each termination the bonds that it cuts, in the cell's area."""
        if not bonds_A:
            return dict.fromkeys(self.terminations, 0)
        first, second, vectors, lengths = neighbor_list("ijDd", self.cell, max(bonds_A.values()))
        symbols = self.cell.get_chemical_symbols()
        longest = {pair(*text.split("-")): length for text, length in bonds_A.items()}
        is_bond = np.array(
            [
                length <= longest.get(pair(symbols[i], symbols[j]), 0.0)
                for i, j, length in zip(first, second, lengths, strict=True)
            ],
            dtype=bool,
        )
        rise = (vectors @ np.linalg.inv(np.array(self.cell.cell)))[:, 2]
        start = self.heights[first]
        low, high = np.minimum(start, start + rise)[is_bond], np.maximum(start, start + rise)[is_bond]
        # Each bond is listed from both of its ends.
        return {
            cut: int((np.floor(high - cut) - np.floor(low - cut)).sum()) // 2 for cut in self.terminations
        }

    def opposite_cuts(self, bottom: float, *, symmetric: bool) -> list[float]:
        """Cuts above `bottom`, between 0 and 1 higher, that end a slab: equivalent ones, or whole repeats."""
        if not symmetric:
            return [bottom + 1.0]
        tops = [bottom + (mirror - 2 * bottom) % 1.0 for mirror in self.mirrors]
        return [top + 1.0 if top - bottom < _SAME_HEIGHT else top for top in tops]

    def slab(self, bottom: float, top: float) -> Atoms:
        """The atoms between two heights, above the origin, with the cell's third vector along the normal."""
        repeats = int(np.ceil(top - bottom)) + 1
        scaled = self.cell.get_scaled_positions(wrap=True)
        scaled[:, 2] = (scaled[:, 2] - bottom) % 1.0
        stacked = np.concatenate([scaled + np.array([0, 0, layer]) for layer in range(repeats)])
        kept = stacked[:, 2] < top - bottom
        symbols = np.tile(np.array(self.cell.get_chemical_symbols()), repeats)[kept]
        # Turned so that the first vector is along x and the plane is xy; the third is replaced by its height.
        cell, _ = self.cell.cell.standard_form()
        positions = stacked[kept] @ np.array(cell)
        straight = np.array(cell)
        straight[2] = [0.0, 0.0, max(float(np.ptp(positions[:, 2])) if kept.any() else 0.0, 1.0)]
        atoms = Atoms(symbols.tolist(), positions=positions, cell=straight, pbc=[True, True, False])
        atoms.wrap()
        return atoms


def crystal_planes(atoms: Atoms, miller: Sequence[int], *, where: str) -> Planes:
    """The smallest cell of a crystal with two vectors in a plane.

    Parameters
    ----------
    atoms
        The crystal in the cell that the Miller indices are of.
    miller
        Indices of the plane.
    where
        Names the source and its key in an error.

    Raises
    ------
    UserError
        If the structure is not periodic in three directions.
    """
    if not atoms.pbc.all():
        raise UserError(f"{where}: only a crystal, periodic in three directions, has lattice planes")
    from pymatgen.io.ase import AseAtomsAdaptor

    structure = AseAtomsAdaptor.get_structure(atoms)
    given = (int(miller[0]), int(miller[1]), int(miller[2]))
    # Whichever gives the smaller cell in the plane: pymatgen's choice of vectors is not always the smallest.
    candidates = [_planes(*each) for each in ((structure, given), _primitive(structure, given)) if each]
    return min(candidates, key=lambda planes: (round(planes.area_A2, 3), len(planes.cell)))


def _planes(structure: Any, indices: Indices) -> Planes:
    from pymatgen.core.surface import SlabGenerator

    with quiet_spglib():
        generator = SlabGenerator(
            structure, indices, min_slab_size=1, min_vacuum_size=1, primitive=False, center_slab=False
        )
    oriented = generator.oriented_unit_cell
    cell = Atoms(
        [site.specie.symbol for site in oriented],
        positions=oriented.cart_coords,
        cell=_shortest_in_plane(oriented.lattice.matrix),
        pbc=True,
    )
    terminations = generator.gen_possible_terminations(ftol=_PLANE_WIDTH_A)
    return Planes(cell, tuple(sorted(float(cut) % 1.0 for cut in terminations)))


def _shortest_in_plane(cell: FloatArray) -> FloatArray:
    """The same lattice with the two shortest vectors of its first plane (Gauss's reduction)."""
    first, second = cell[0], cell[1]
    for _ in range(100):
        second = second - round(float(first @ second / (first @ first))) * first
        if second @ second >= first @ first - 1e-9:
            break
        first, second = second, -first
    return np.array([first, second, cell[2]])


def _primitive(structure: Any, miller: Indices) -> tuple[Any, Indices] | None:
    """Primitive cell and the plane's indices in it; None if there is none that fits."""
    primitive = structure.get_primitive_structure(tolerance=0.01)
    ratio = np.linalg.det(structure.lattice.matrix) / np.linalg.det(primitive.lattice.matrix)
    # Rows: the primitive vectors in terms of the given ones, in fractions of the number of lattice points.
    turned = primitive.lattice.matrix @ np.linalg.inv(structure.lattice.matrix) * abs(ratio)
    if abs(ratio) < 1.5 or not np.allclose(turned, np.round(turned), atol=1e-3):
        return None
    indices = np.round(turned).astype(int) @ np.array(miller)
    reduced = indices // gcd(*(int(number) for number in indices))
    return primitive, (int(reduced[0]), int(reduced[1]), int(reduced[2]))
