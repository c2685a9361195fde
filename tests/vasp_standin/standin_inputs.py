"""INCAR, KPOINTS, POSCAR and POTCAR as VASP reads them, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SICK = """ -----------------------------------------------------------------------------
|                                                                             |
|     EEEEEEE  RRRRRR   RRRRRR   OOOOOOO  RRRRRR      ###     ###     ###     |
|                                                                             |
|  {message:<73}  |
|                                                                             |
|       ---->  I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----       |
|                                                                             |
 -----------------------------------------------------------------------------"""

OVERLAP_A = 0.6
CLOSE_A = 1.0
_DEFAULT_KSPACING_PER_A = 0.5


class Refused(Exception):
    """VASP would stop; the message is what it would print."""


def sick(message: str) -> Refused:
    """A refusal in VASP's box."""
    return Refused(SICK.format(message=message))


@dataclass(frozen=True, kw_only=True)
class Potcar:
    """What the stand-in needs of one POTCAR."""

    title: str
    element: str
    enmax_eV: float | None
    zval: float
    mass_u: float


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The four files, read and found acceptable.

    Attributes
    ----------
    incar
        The tags given, with the types that pymatgen knows them by.
    title, symbols, counts
        Of POSCAR; the symbols are POTCAR's, as in VASP.
    cell_A, positions_A, velocities_A_per_fs
        Shapes (3, 3), (n_atoms, 3) and (n_atoms, 3) or None.
    warnings
        What VASP prints before it goes on regardless.
    """

    incar: dict[str, Any]
    title: str
    symbols: tuple[str, ...]
    counts: tuple[int, ...]
    cell_A: np.ndarray
    positions_A: np.ndarray
    velocities_A_per_fs: np.ndarray | None
    potcars: tuple[Potcar, ...]
    mesh: tuple[int, int, int]
    gamma_centred: bool
    encut_eV: float
    nelect: float
    warnings: tuple[str, ...]

    @property
    def atoms(self) -> list[str]:
        """Symbol of each atom."""
        return [s for s, n in zip(self.symbols, self.counts, strict=True) for _ in range(n)]

    def tag(self, name: str, default: Any) -> Any:
        """Value of an INCAR tag, or VASP's default."""
        return self.incar.get(name, default)


def read_inputs(folder: Path) -> Inputs:
    """Read the four files of `folder`.

    Raises
    ------
    Refused
        If VASP would stop over them.
    """
    incar = read_incar(_text(folder, "INCAR", " No INCAR found, STOPPING"))
    poscar = _text(folder, "POSCAR", "forrtl: severe (29): file not found, unit 14, file POSCAR")
    title, names, counts, cell, positions, velocities = read_poscar(poscar)
    potcars = read_potcars(_text(folder, "POTCAR", " ERROR: could not open POTCAR: no such file"))
    warnings = _check_species(names, counts, potcars)
    n_atoms = sum(counts)
    _check_cell(cell)
    warnings += _check_distances(cell, positions)
    _check_magmom(incar, n_atoms)
    mesh, gamma = _mesh(folder, incar, cell)
    if incar.get("ISMEAR", 1) in (-5, -4) and np.prod(mesh) < 4:
        raise sick("Tetrahedron method fails (number of k-points < 4)")
    enmax = [potcar.enmax_eV for potcar in potcars]
    if "ENCUT" in incar:
        encut = float(incar["ENCUT"])
    elif None in enmax:
        raise sick("ENCUT: no default cutoff energy (ENMAX) on POTCAR and none in INCAR")
    else:
        encut = max(value for value in enmax if value is not None)
    if not 50 <= encut <= 5000:
        raise sick(f"ENCUT = {encut:g} eV makes no sense")
    neutral = sum(p.zval * n for p, n in zip(potcars, counts, strict=True))
    nelect = float(incar.get("NELECT", neutral))
    if nelect <= 0 or nelect > 2 * bands(neutral, n_atoms, incar):
        raise sick(f"NELECT = {nelect:.4f}: number of bands is not sufficient to hold all electrons")
    return Inputs(
        incar=incar,
        title=title,
        symbols=tuple(p.element for p in potcars),
        counts=tuple(counts),
        cell_A=cell,
        positions_A=positions,
        velocities_A_per_fs=velocities,
        potcars=tuple(potcars),
        mesh=mesh,
        gamma_centred=gamma,
        encut_eV=encut,
        nelect=nelect,
        warnings=tuple(warnings),
    )


def bands(neutral_electrons: float, n_atoms: int, incar: dict[str, Any]) -> int:
    """NBANDS: as given, or half the electrons and half an orbital for each atom."""
    return int(incar.get("NBANDS", int(neutral_electrons / 2 + n_atoms / 2) + 2))


def read_incar(text: str) -> dict[str, Any]:
    """Tags of an INCAR; a later one of the same name is ignored, as in VASP."""
    known = _known_tags()
    tags: dict[str, Any] = {}
    for line in text.splitlines():
        for part in re.split(r"[#!]", line)[0].split(";"):
            if not part.strip():
                continue
            name, equals, value = part.partition("=")
            name = name.strip().upper()
            if not equals:
                if part.strip() and "SYSTEM" not in tags and not tags:
                    continue  # a title line
                raise Refused(f" Error reading item '{name[:20]}' from file INCAR.")
            if name not in known:
                # VASP itself passes over a tag it does not know; a test wants to hear of it.
                raise Refused(f" stand-in: unknown tag {name} in INCAR")
            tags.setdefault(name, _value(name, value.strip(), known[name]))
    return tags


def _known_tags() -> dict[str, Any]:
    """VASP's tags and their types, from pymatgen's list (read without importing pymatgen, for speed)."""
    spec = importlib.util.find_spec("pymatgen")
    for place in spec.submodule_search_locations if spec is not None else ():
        path = Path(place) / "io" / "vasp" / "incar_parameters.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
    raise SystemExit("stand-in: pymatgen's list of INCAR tags is not there")


def _value(name: str, text: str, about: dict[str, Any]) -> Any:
    for kind in about.get("type", "str").split(" | "):
        value = _as(kind, text)
        if value is not None:
            return value
    raise Refused(
        f" Error reading item '{name}' from file INCAR.\n Error code was IERR= 5. Found N=  0 data."
    )


def _as(kind: str, text: str) -> Any:
    """`text` as a value of that kind; None if it is none."""
    first = text.split()[0] if text.split() else ""
    if kind == "bool":
        match = re.match(r"\.?([TF])", first.upper())
        return None if match is None else match[1] == "T"
    if kind == "int":
        return int(first) if re.fullmatch(r"[+-]?\d+", first) else None
    if kind == "float":
        return _number(first)
    if kind == "list":
        values: list[Any] = []
        for item in text.split():
            count, star, value = item.partition("*")
            number = _number(value if star else item)
            if number is None:
                return None
            values += [number] * (int(count) if star else 1)
        return values or None
    return text or None


def _number(text: str) -> float | None:
    try:
        return float(re.sub(r"[dD](?=[+-]?\d)", "e", text))
    except ValueError:
        return None


def read_poscar(text: str) -> tuple[str, list[str], list[int], np.ndarray, np.ndarray, np.ndarray | None]:
    """Title, symbols, counts, cell, positions (angstrom) and velocities (angstrom/fs) of a POSCAR."""
    lines = text.splitlines()
    scale = lines[1].split() if len(lines) > 1 else []
    if len(scale) not in (1, 3) or any(_number(word) is None for word in scale):
        raise sick("ERROR: there must be 1 or 3 items on line 2 of POSCAR")
    try:
        cell = np.array([[float(word) for word in lines[i].split()[:3]] for i in (2, 3, 4)])
        factors = np.array([float(word) for word in scale])
        if len(scale) == 1 and factors[0] < 0:
            factors = np.array([(-factors[0] / abs(np.linalg.det(cell))) ** (1 / 3)])
        cell = cell * factors
        if lines[5].split()[0].isdigit():
            raise sick("POSCAR: the stand-in wants the species' names on line 6")
        names, counts = lines[5].split(), [int(word) for word in lines[6].split()]
        row = 7
        if lines[row].strip()[:1].upper() == "S":
            row += 1
        cartesian = lines[row].strip()[:1].upper() in ("C", "K")
        n_atoms = sum(counts)
        rows = [[float(word) for word in line.split()[:3]] for line in lines[row + 1 : row + 1 + n_atoms]]
        positions = np.array(rows).reshape(n_atoms, 3)
        positions = positions * factors if cartesian else positions @ cell
        velocities = _velocities(lines[row + 1 + n_atoms :], n_atoms, cell)
    except (ValueError, IndexError) as error:
        raise Refused(" forrtl: severe (59): list-directed I/O syntax error, unit 14, file POSCAR") from error
    names = [re.split(r"[_/]", name)[0] for name in names]
    if len(names) != len(counts):
        raise sick("POSCAR: the number of species and of counts differ")
    return lines[0], names, counts, cell, positions, velocities


def _velocities(lines: list[str], n_atoms: int, cell: np.ndarray) -> np.ndarray | None:
    """Velocities in angstrom/fs; None where none are given, or all are zero."""
    if len(lines) < n_atoms + 1:
        return None
    rows = [[float(word) for word in line.split()[:3]] for line in lines[1 : 1 + n_atoms]]
    velocities = np.array(rows).reshape(n_atoms, 3)
    if lines[0].strip()[:1].upper() == "D":
        velocities = velocities @ cell
    return velocities if velocities.any() else None


def read_potcars(text: str) -> list[Potcar]:
    """The POTCARs that a POTCAR file is made of."""
    potcars = []
    for block in re.split(r"End of Dataset[^\n]*\n?", text):
        if not block.strip():
            continue
        title = re.search(r"TITEL\s*=\s*(.+)", block)
        element = re.search(r"VRHFIN\s*=\s*([A-Z][a-z]?)", block)
        zval = re.search(r"ZVAL\s*=\s*([\d.]+)", block)
        mass = re.search(r"POMASS\s*=\s*([\d.]+)", block)
        enmax = re.search(r"ENMAX\s*=\s*([\d.]+)", block)
        if title is None or element is None or zval is None or mass is None:
            raise Refused(" Error reading POTCAR: PSCTR block is not complete")
        potcars.append(
            Potcar(
                title=title[1].strip(),
                element=element[1],
                enmax_eV=None if enmax is None else float(enmax[1]),
                zval=float(zval[1]),
                mass_u=float(mass[1]),
            )
        )
    if not potcars:
        raise Refused(" Error reading POTCAR: end of file")
    return potcars


def _check_species(names: list[str], counts: list[int], potcars: list[Potcar]) -> list[str]:
    """VASP stops over another number of species; over other names it warns and takes POTCAR's."""
    if len(potcars) != len(counts):
        raise sick(
            f"ERROR: number of potentials on File POTCAR incompatible with number of species: "
            f"{len(potcars)} {len(counts)}"
        )
    if names != [potcar.element for potcar in potcars]:
        return [
            " WARNING: type information on POSCAR and POTCAR are incompatible\n"
            " POTCAR overwrites the type information in POSCAR"
        ]
    return []


def _check_cell(cell: np.ndarray) -> None:
    volume = float(np.linalg.det(cell))
    if volume < -1e-6:
        raise Refused(
            " ERROR: the triple product of the basis vectors is negative exchange two basis vectors"
        )
    if volume < 1e-3:
        raise sick("VOLUME of the cell is zero")


def _check_distances(cell: np.ndarray, positions: np.ndarray) -> list[str]:
    """VASP warns of small distances; of overlapping atoms it dies in the first diagonalisation."""
    shortest = shortest_distance(cell, positions)
    if shortest < OVERLAP_A:
        raise Refused(
            " WARNING: the distance between some ions is very small\n"
            " LAPACK: Routine ZPOTRF failed!           1"
        )
    if shortest < CLOSE_A:
        return [" WARNING: the distance between some ions is very small\n I HOPE YOU KNOW WHAT YOU ARE DOING"]
    return []


def shortest_distance(cell: np.ndarray, positions: np.ndarray) -> float:
    """Shortest distance (angstrom) between two atoms, images included."""
    fractional = positions @ np.linalg.inv(cell)
    difference = fractional[:, None] - fractional[None]
    difference -= np.rint(difference)
    shifts = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
    shortest = np.inf
    for shift in shifts:
        distances = np.linalg.norm((difference + shift) @ cell, axis=2)
        if not shift.any():
            np.fill_diagonal(distances, np.inf)
        shortest = min(shortest, float(distances.min()))
    return shortest


def _check_magmom(incar: dict[str, Any], n_atoms: int) -> None:
    given = incar.get("MAGMOM")
    if given is None or incar.get("ISPIN", 1) != 2:
        return
    count = len(given) if isinstance(given, list) else 1
    if count != n_atoms:
        raise Refused(
            " Error reading item 'MAGMOM' from file INCAR.\n"
            f" Error code was IERR= 0. Found N= {count:4d} data."
        )


def _mesh(folder: Path, incar: dict[str, Any], cell: np.ndarray) -> tuple[tuple[int, int, int], bool]:
    """Divisions, and whether the mesh is centred at Gamma.

    A KPOINTS file wins over KSPACING; without either VASP takes a spacing of 0.5 per angstrom. The spacing
    includes the 2 pi.
    """
    path = folder / "KPOINTS"
    if path.exists() and path.read_text(encoding="utf-8").strip():
        return read_kpoints(path.read_text(encoding="utf-8"))
    spacing = float(incar.get("KSPACING", _DEFAULT_KSPACING_PER_A))
    if spacing <= 0:
        raise sick("KSPACING must be positive")
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell).T, axis=1)
    first, second, third = (max(1, int(np.ceil(length / spacing - 1e-9))) for length in lengths)
    return (first, second, third), bool(incar.get("KGAMMA", True))


def read_kpoints(text: str) -> tuple[tuple[int, int, int], bool]:
    """Divisions of an automatic mesh, and whether it is centred at Gamma."""
    lines = text.splitlines()
    for number, check in (
        (2, lambda line: int(line.split()[0]) == 0),
        (3, lambda line: line.split()[0][0] in "GgMm"),
    ):
        try:
            if not check(lines[number - 1]):
                raise Refused(" stand-in: only automatic meshes (0, then Gamma or Monkhorst-Pack)")
        except (IndexError, ValueError) as error:
            raise Refused(f" Error reading KPOINTS file\n the error occurred at line: {number}") from error
    try:
        first, second, third = (int(word) for word in lines[3].split()[:3])
    except (IndexError, ValueError) as error:
        raise Refused(" Error reading KPOINTS file\n the error occurred at line: 4") from error
    return (first, second, third), lines[2].split()[0][0] in "Gg"


def _text(folder: Path, name: str, missing: str) -> str:
    path = folder / name
    if not path.exists():
        raise Refused(missing)
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.strip():
        raise Refused(f" Error reading {name}: end of file")
    return text
