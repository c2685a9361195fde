"""Crystals that come with the program, from their published symmetry and positions."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.io.formats import UnknownFileTypeError
from ase.spacegroup import crystal

from llzo_al.errors import UserError

READ_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, OSError),
    *(RuntimeError, StopIteration, TypeError, ValueError, UnknownFileTypeError),
)
"""What ASE's readers raise on a file that is not what its name promises."""


@dataclass(frozen=True, kw_only=True)
class PublishedCrystal:
    """A crystal as a paper gives it.

    Attributes
    ----------
    reference
        The paper, and what of these numbers was compared with which other source.
    space_group
        Number in the International Tables.
    origin_choice
        1 or 2, as ASE's `setting`.
    lattice
        a, b, c in angstrom and alpha, beta, gamma in degrees.
    sites
        Element and fractional coordinates of each site of the asymmetric unit.
    partial_sites
        Label, element, fractional coordinates and occupancy of each site that is occupied in part.
    """

    reference: str
    space_group: int
    origin_choice: int = 1
    lattice: tuple[float, float, float, float, float, float]
    sites: tuple[tuple[str, tuple[float, float, float]], ...]
    partial_sites: tuple[tuple[str, str, tuple[float, float, float], float], ...] = ()


CRYSTALS: dict[str, PublishedCrystal] = {
    "t-LLZO": PublishedCrystal(
        reference=(
            "Tetragonal Li7La3Zr2O12: J. Awaka, N. Kijima, H. Hayakawa, J. Akimoto, J. Solid State Chem. "
            "182, 2046 (2009). The numbers were not compared with the paper itself. They give its "
            "composition, 192 atoms, and a shortest distance of 1.89 angstrom; the crystal as relaxed with "
            "PBE in the Materials Project's settings (a = 13.236, c = 12.702 angstrom) has the same sites, "
            "with positions that differ by 0.03 angstrom (root mean square; at most 0.06)."
        ),
        space_group=142,
        origin_choice=2,
        lattice=(13.134, 13.134, 12.663, 90, 90, 90),
        sites=(
            ("La", (0, 0.25, 0.125)),
            ("La", (0.1272, 0, 0.25)),
            ("Zr", (0, 0, 0)),
            ("Li", (0, 0.25, 0.375)),
            ("Li", (0.1813, 0.4313, 0.125)),
            ("Li", (0.0796, 0.0863, 0.8099)),
            ("O", (-0.0335, 0.0545, 0.1529)),
            ("O", (0.0536, 0.8525, 0.5335)),
            ("O", (0.1498, 0.0272, 0.4458)),
        ),
    ),
    "c-LLZO": PublishedCrystal(
        reference=(
            "Cubic Li7La3Zr2O12: J. Awaka, A. Takashima, K. Kataoka, N. Kijima, Y. Idemoto, J. Akimoto, "
            "Chem. Lett. 40, 60 (2011), single-crystal X-ray diffraction. Lattice constant and positions are "
            "those of the file that was deposited (ICSD 422259, CCDC 1733933). The occupancies were not "
            "compared with the paper; they give 56.1 Li for the 56 that neutrality asks for. Neutron "
            "diffraction at 1273 K has the same sites within 0.1 angstrom (Y. Chen, E. Rangasamy, C. Liang, "
            "K. An, Chem. Mater. 27, 5491 (2015), ICSD 238685)."
        ),
        space_group=230,
        lattice=(12.9827, 12.9827, 12.9827, 90, 90, 90),
        sites=(
            ("La", (0.125, 0, 0.25)),
            ("Zr", (0, 0, 0)),
            ("O", (0.96837, 0.0538, 0.1501)),
        ),
        partial_sites=(
            ("24d", "Li", (0.375, 0, 0.25), 0.94),
            ("96h", "Li", (0.0959, 0.6922, 0.5731), 0.349),
        ),
    ),
    "Li": PublishedCrystal(
        reference=(
            "Body-centred lithium; all positions are fixed by symmetry. The lattice constant is the usual "
            "3.510 angstrom of room temperature (M. R. Nadler, C. P. Kempter, Anal. Chem. 31, 2109 (1959)); "
            "handbooks' density of 0.534 g/cm3 at 20 degrees Celsius is 3.508 angstrom."
        ),
        space_group=229,
        lattice=(3.510, 3.510, 3.510, 90, 90, 90),
        sites=(("Li", (0, 0, 0)),),
    ),
    "Li2O": PublishedCrystal(
        reference=(
            "Antifluorite; all positions are fixed by symmetry. The lattice constant is the usual 4.619 "
            "angstrom of room temperature (E. Zintl, A. Harder, B. Dauth, Z. Elektrochem. 40, 588 (1934)); "
            "handbooks' density of 2.013 g/cm3 is 4.620 angstrom."
        ),
        space_group=225,
        lattice=(4.619, 4.619, 4.619, 90, 90, 90),
        sites=(("Li", (0.25, 0.25, 0.25)), ("O", (0, 0, 0))),
    ),
    "La2O3": PublishedCrystal(
        reference=(
            "A-type: P. Aldebert, J. P. Traverse, Mater. Res. Bull. 14, 303 (1979). Space group, occupied "
            "sites and reference agree with AFLOW's prototype A2B3_hP5_164_d_ad; the four numbers were not "
            "compared with the paper itself."
        ),
        space_group=164,
        lattice=(3.9381, 3.9381, 6.1361, 90, 90, 120),
        sites=(("La", (1 / 3, 2 / 3, 0.24543)), ("O", (0, 0, 0)), ("O", (1 / 3, 2 / 3, 0.64713))),
    ),
    "ZrO2": PublishedCrystal(
        reference=(
            "Baddeleyite (monoclinic): C. J. Howard, R. J. Hill, B. E. Reichert, Acta Cryst. B 44, 116 "
            "(1988). All numbers agree with AFLOW's prototype A2B_mP12_14_2e_e (baddeleyite, C43) as "
            "pymatgen carries it."
        ),
        space_group=14,
        lattice=(5.1505, 5.2116, 5.3173, 90, 99.23, 90),
        sites=(
            ("Zr", (0.2754, 0.0395, 0.2083)),
            ("O", (0.0700, 0.3317, 0.3447)),
            ("O", (0.4496, 0.7569, 0.4792)),
        ),
    ),
}


def builtin_names() -> list[str]:
    """Names of the crystals that come with the program."""
    return list(CRYSTALS)


@contextmanager
def quiet_spglib() -> Iterator[None]:
    """Leave out what spglib announces whenever pymatgen calls it: a change of how it reports errors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING", category=DeprecationWarning)
        yield


def load_structure(
    name: str,
    *,
    base: Path,
    primitive: bool = False,
    supercell: Sequence[int] = (1, 1, 1),
    frame: int = -1,
) -> Atoms:
    """A built-in crystal, or a structure file.

    A built-in crystal with partly occupied sites (`c-LLZO`) is one ordering of them, always the same: that of
    the lowest electrostatic energy of some random ones (`llzo_al.structures.models.orderings`).

    Parameters
    ----------
    name
        Built-in name (see `builtin_names`) or path of a file that ASE reads, relative to `base`; of a file
        with several structures the last one.
    base
        Folder that relative paths start from.
    primitive
        Reduce to the primitive cell.
    supercell
        Repetitions along the three lattice vectors, after the reduction.
    frame
        Which structure of a file with several; -1 is the last.

    Returns
    -------
    Atoms
        Structure without calculator, constraints or velocities, in the crystal's own order of atoms.

    Raises
    ------
    UserError
        If the name is unknown, the file cannot be read, or it does not have what is asked of it.
    """
    repeats = [int(number) for number in supercell]
    if len(repeats) != 3 or min(repeats) < 1:
        raise UserError(f"supercell {list(supercell)}: expected three positive whole numbers")
    if name in CRYSTALS and CRYSTALS[name].partial_sites:
        return _ordered(name, primitive).repeat(repeats)
    atoms = _published(CRYSTALS[name]) if name in CRYSTALS else _from_file(name, base, frame)
    if primitive:
        atoms = _primitive(atoms, name)
    if repeats != [1, 1, 1]:
        atoms = atoms.repeat(repeats)
    return atoms


@cache
def _ordered(name: str, primitive: bool) -> Atoms:
    from llzo_al.structures.models.orderings import builtin_ordering

    return _plain(builtin_ordering(name, primitive=primitive))


def _published(entry: PublishedCrystal) -> Atoms:
    atoms = crystal(
        [element for element, _ in entry.sites],
        [position for _, position in entry.sites],
        spacegroup=entry.space_group,
        setting=entry.origin_choice,
        cellpar=list(entry.lattice),
    )
    return _plain(atoms)


def _plain(atoms: Atoms) -> Atoms:
    """Symbols, positions, cell and periodicity only."""
    return Atoms(
        symbols=atoms.get_chemical_symbols(),
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=atoms.pbc,
    )


def _from_file(name: str, base: Path, frame: int) -> Atoms:
    path = base / name
    if not path.is_file():
        close = difflib.get_close_matches(name, builtin_names(), n=1, cutoff=0.5)
        lowered = {known.lower(): known for known in builtin_names()}
        guess = lowered.get(name.lower()) or (close[0] if close else None)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise UserError(
            f"structure {name!r}: neither a built-in crystal ({', '.join(builtin_names())}) nor a file: "
            f"{path} does not exist.{hint}"
        )
    try:
        atoms = read(path, index=frame)
    except READ_ERRORS as error:
        raise UserError(
            f"structure file {path}: ASE cannot read it ({type(error).__name__}: {error}); "
            "expected a format that ASE knows, such as POSCAR, CIF or extended XYZ"
        ) from error
    if len(atoms) == 0:
        raise UserError(f"structure file {path}: it holds no atom")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(np.array(atoms.cell)).all()):
        raise UserError(f"structure file {path}: positions or cell hold a number that is not finite")
    return _plain(atoms)


def _primitive(atoms: Atoms, name: str) -> Atoms:
    """Primitive cell by spglib, through pymatgen; symmetry is found within 0.001 angstrom."""
    if not atoms.pbc.all():
        raise UserError(
            f"structure {name!r}: only a crystal, periodic in three directions, has a primitive cell"
        )
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = AseAtomsAdaptor.get_structure(atoms)
    with quiet_spglib():
        reduced = SpacegroupAnalyzer(structure, symprec=1e-3).find_primitive()
    if reduced is None:
        raise UserError(
            f"structure {name!r}: spglib finds no symmetry in it; use the cell as it is (primitive: false)"
        )
    return _plain(AseAtomsAdaptor.get_atoms(reduced))
