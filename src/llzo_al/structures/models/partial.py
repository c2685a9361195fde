"""Crystals with partly occupied sites, from the library or from a CIF file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal
from numpy.typing import NDArray

from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError
from llzo_al.structures.library import CRYSTALS, PublishedCrystal
from llzo_al.structures.models.charges import charge_imbalance_e, formal_charge_e


@dataclass(frozen=True, kw_only=True)
class PartialCrystal:
    """Every site of a cell once, also those that are occupied in part.

    Attributes
    ----------
    name
        For messages.
    atoms
        An atom on each site.
    labels
        Crystallographic site of each atom, such as "24d"; its element where it is occupied in full.
    occupancy
        Occupancy of each site, shape (n_sites,); 1 where it is occupied in full.
    """

    name: str
    atoms: Atoms
    labels: tuple[str, ...]
    occupancy: FloatArray

    @property
    def partial(self) -> NDArray[np.intp]:
        """Places of the sites that are occupied in part."""
        return np.flatnonzero(self.occupancy < 1)

    @property
    def ion(self) -> str:
        """The element on the partly occupied sites."""
        return str(self.atoms.symbols[self.partial[0]])

    def ions_wanted(self) -> int:
        """Number of ions on the partly occupied sites that makes the cell neutral.

        Raises
        ------
        UserError
            If no whole number between zero and the number of sites does.
        """
        where = f"structure {self.name!r}"
        fixed = [str(symbol) for symbol in self.atoms.symbols[self.occupancy >= 1]]
        charge = charge_imbalance_e(fixed, where=where)
        each = formal_charge_e(self.ion, where=where)
        ions, rest = divmod(-charge, each)
        if rest or not 0 < ions <= len(self.partial):
            raise UserError(
                f"{where}: cannot be charge-balanced: the fully occupied sites have a formal charge of "
                f"{charge:+d}, which {-charge / each:g} {self.ion} on {len(self.partial)} sites would have "
                "to balance; arrange within a larger cell, or correct the file"
            )
        return int(ions)

    def repeat(self, repeats: Sequence[int]) -> PartialCrystal:
        """The same crystal in a larger cell."""
        cells = int(np.prod(list(repeats)))
        return PartialCrystal(
            name=self.name,
            atoms=self.atoms.repeat(list(repeats)),
            labels=self.labels * cells,
            occupancy=np.tile(self.occupancy, cells),
        )


def partial_crystal(name: str, *, base: Path, primitive: bool = False) -> PartialCrystal:
    """A built-in crystal with partly occupied sites, or a CIF file of one.

    Parameters
    ----------
    name
        Built-in name, or path of a CIF file relative to `base`.
    base
        Folder that relative paths start from.
    primitive
        The primitive cell; built-in crystals only.

    Raises
    ------
    UserError
        If there is no such crystal, it is fully occupied, or more than one element is on such sites.
    """
    if name in CRYSTALS and not CRYSTALS[name].partial_sites:
        partial = ", ".join(key for key, entry in CRYSTALS.items() if entry.partial_sites)
        raise UserError(
            f"structure {name!r}: every site is occupied in full, there is nothing to arrange; with partly "
            f"occupied sites there are {partial} and CIF files; for this crystal use a source of kind "
            "crystals"
        )
    if name in CRYSTALS:
        return _published(name, CRYSTALS[name], primitive)
    if primitive:
        raise UserError(
            f"structure {name!r}: primitive: true is for built-in crystals; give the file in the cell that "
            "is wanted"
        )
    return _from_cif(name, base / name)


def _published(name: str, entry: PublishedCrystal, primitive: bool) -> PartialCrystal:
    full = [(element, element, position, 1.0) for element, position in entry.sites]
    sites = [*entry.partial_sites, *full]
    atoms = crystal(
        [element for _, element, _, _ in sites],
        [position for _, _, position, _ in sites],
        spacegroup=entry.space_group,
        setting=entry.origin_choice,
        cellpar=list(entry.lattice),
        primitive_cell=primitive,
    )
    kinds = atoms.arrays["spacegroup_kinds"]
    return PartialCrystal(
        name=name,
        atoms=Atoms(
            atoms.get_chemical_symbols(), positions=atoms.positions, cell=np.array(atoms.cell), pbc=True
        ),
        labels=tuple(sites[kind][0] for kind in kinds),
        occupancy=np.array([sites[kind][3] for kind in kinds]),
    )


def _from_cif(name: str, path: Path) -> PartialCrystal:
    from pymatgen.io.cif import CifParser

    if not path.is_file():
        raise UserError(f"structure {name!r}: neither a built-in crystal nor a file: {path} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = CifParser(path).parse_structures(primitive=False, check_occu=True)[0]
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"structure file {path}: pymatgen cannot read it as CIF ({type(error).__name__}: {error})"
        ) from error
    species = [dict(site.species.get_el_amt_dict()) for site in structure]
    mixed = next((each for each in species if len(each) > 1), None)
    if mixed is not None:
        raise UserError(
            f"structure file {path}: {' and '.join(mixed)} share a site; only sites that are empty in part "
            "can be arranged. Give one of them there, and the other as a substitution of a source of kind "
            "variants"
        )
    symbols = [next(iter(each)) for each in species]
    occupancy = np.array([next(iter(each.values())) for each in species])
    occupancy[occupancy > 1 - 1e-3] = 1.0
    ions = {symbol for symbol, share in zip(symbols, occupancy, strict=True) if share < 1}
    if len(ions) != 1:
        found = f"{' and '.join(sorted(ions))} are" if ions else "none is"
        raise UserError(
            f"structure file {path}: expected one element on partly occupied sites, {found} there"
        )
    atoms = Atoms(symbols, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True)
    labels = [
        str(site.label) if share < 1 else symbol
        for site, share, symbol in zip(structure, occupancy, symbols, strict=True)
    ]
    return PartialCrystal(name=name, atoms=atoms, labels=tuple(labels), occupancy=occupancy)
