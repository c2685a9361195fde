"""Reader of vasprun.xml that keeps what a killed run has finished."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.dataset.frames import FloatArray
from llzo_al.labelling.vasp.outcar import species_of
from llzo_al.labelling.vasp.outputs import IonicStep, ParsedRun, is_converged, virial_eV

_BLOCK = 1 << 20
_OVERLAP = 64
_BANDS = re.compile(rb"<(eigenvalues|dos|projected)\b[^>]*>")
_KEPT_WHOLE = frozenset({"incar", "parameters", "atominfo", "calculation", "kpoints", "generator"})


def read_vasprun(path: Path) -> ParsedRun:
    """Read a ``vasprun.xml``, whole or broken off; what is beyond the break is not there.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    parts: dict[str, ET.Element] = {}
    calculations: list[ET.Element] = []
    complete = True
    try:
        for element in _sections(path):
            if element.tag == "calculation":
                calculations.append(_slim(element))
            else:
                parts.setdefault(element.tag, element)
    except ET.ParseError:
        complete = False
    parameters = _tags(parts.get("parameters"))
    incar = _tags(parts.get("incar"))
    symbols, species, titles = _atoms(parts.get("atominfo"))
    nelm = _last(parameters, "NELM", _last(incar, "NELM", 60))
    ediff_eV = _last(parameters, "EDIFF", _last(incar, "EDIFF", 1e-4))
    steps = [
        step
        for element in calculations
        if (step := _ionic_step(element, len(symbols), int(nelm), float(ediff_eV))) is not None
    ]
    return ParsedRun(
        source=path.name,
        version=_version(parts.get("generator")),
        symbols=symbols,
        incar=incar,
        parameters=parameters,
        kpoints=_divisions(parts.get("kpoints")),
        gamma_centred=_holds_gamma(parts.get("kpoints")),
        potcar_titles=titles,
        species=species,
        steps=tuple(steps),
        complete=complete and len(steps) == len(calculations),
    )


def _sections(path: Path) -> Iterator[ET.Element]:
    """The sections that are read, each when it is whole; what else there is, is dropped as it comes."""
    parser: Any = ET.XMLPullParser(("start", "end"))
    state = _State()
    for text in _without_bands(path):
        parser.feed(text)
        yield from state.wanted(parser.read_events())
    parser.close()


class _State:
    """Which section a parser is in."""

    def __init__(self) -> None:
        self._root: ET.Element | None = None
        self._inside: str | None = None

    def wanted(self, events: Iterator[Any]) -> Iterator[ET.Element]:
        """Whole sections among the elements that have begun and ended."""
        for event, element in events:
            if event == "start":
                if self._root is None:
                    self._root = element
                elif self._inside is None and element.tag in _KEPT_WHOLE:
                    self._inside = element.tag
            elif self._inside is None:
                element.clear()
            elif element.tag == self._inside:
                self._inside = None
                yield element
                if self._root is not None:
                    self._root.clear()


def _without_bands(path: Path) -> Iterator[bytes]:
    """A file's text without bands and densities, which are most of it and which nothing here asks for.

    An archive that was cut ends where it was cut.
    """
    from monty.io import zopen

    rest, closing = b"", b""
    with zopen(path, "rb") as handle:
        while block := _read(handle):
            rest += block
            while True:
                if closing:
                    end = rest.find(closing)
                    if end < 0:
                        rest = rest[-_OVERLAP:]
                        break
                    rest, closing = rest[end + len(closing) :], b""
                found = _BANDS.search(rest)
                if found is None:
                    yield rest[:-_OVERLAP]
                    rest = rest[-_OVERLAP:]
                    break
                yield rest[: found.start()]
                rest, closing = rest[found.end() :], b"</" + found[1] + b">"
    if not closing:
        yield rest


def _read(handle: Any) -> bytes:
    try:
        return bytes(handle.read(_BLOCK))
    except EOFError:
        return b""
    except zlib.error as error:
        raise OSError(f"{handle.name}: the archive is damaged ({error})") from error


def _slim(calculation: ET.Element) -> ET.Element:
    """A calculation without the bands and densities that nothing here asks for."""
    for tag in ("eigenvalues", "dos", "projected", "dielectricfunction", "born_charges"):
        for element in calculation.findall(tag):
            calculation.remove(element)
    return calculation


def _ionic_step(calculation: ET.Element, n_atoms: int, nelm: int, ediff_eV: float) -> IonicStep | None:
    basis = calculation.find("structure/crystal/varray[@name='basis']")
    positions = calculation.find("structure/varray[@name='positions']")
    forces = calculation.find("varray[@name='forces']")
    energy = calculation.find("energy/i[@name='e_fr_energy']")
    if basis is None or positions is None or forces is None or energy is None:
        return None
    cell_A = _rows(basis)
    fractional, forces_eV_per_A = _rows(positions), _rows(forces)
    if fractional.shape != (n_atoms, 3) or forces_eV_per_A.shape != (n_atoms, 3) or cell_A.shape != (3, 3):
        return None
    stress = calculation.find("varray[@name='stress']")
    cycle = [_number(found.text) for found in calculation.findall("scstep/energy/i[@name='e_fr_energy']")]
    electronic_steps = len(calculation.findall("scstep"))
    changes_eV = tuple(np.diff(cycle)) if len(cycle) == electronic_steps else None
    return IonicStep(
        positions_A=fractional @ cell_A,
        cell_A=cell_A,
        energy_eV=_number(energy.text),
        forces_eV_per_A=forces_eV_per_A,
        virial_eV=None if stress is None else virial_eV(_rows(stress), cell_A),
        electronic_steps=electronic_steps,
        converged=is_converged(electronic_steps, nelm, changes_eV, ediff_eV),
        wall_s=_wall_s(calculation.find("time[@name='totalsc']")),
    )


def _wall_s(time: ET.Element | None) -> float:
    """The second of VASP's two times, the one of the clock."""
    words = [] if time is None else (time.text or "").split()
    seconds = _number(words[-1]) if words else 0.0
    return seconds if seconds == seconds else 0.0


def _rows(varray: ET.Element) -> FloatArray:
    """Rows of a varray; what VASP could not print is not a number."""
    text = [row.text or "" for row in varray]
    try:
        return np.array(" ".join(text).split(), dtype=np.float64).reshape(len(text), -1)
    except ValueError:
        return np.array([[_number(word) for word in row.split()] for row in text], dtype=np.float64)


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return float("nan")


def _tags(section: ET.Element | None) -> dict[str, Any]:
    """Tags of ``incar`` or ``parameters``; one that comes twice keeps its first value."""
    tags: dict[str, Any] = {}
    if section is None:
        return tags
    for element in section.iter():
        name = element.get("name")
        if name is None or element.tag not in ("i", "v"):
            continue
        value = _value(element)
        if value is not None:
            tags.setdefault(name.upper(), value)
    return tags


def _value(element: ET.Element) -> Any:
    kind = element.get("type", "float")
    text = (element.text or "").strip()
    if kind == "string":
        return text
    convert = {"int": _whole, "logical": _logical}.get(kind, _number)
    values = [convert(word) for word in text.split()]
    if element.tag == "v":
        return values
    return values[0] if values else None


def _whole(word: str) -> int | float:
    try:
        return int(word)
    except ValueError:
        return float("nan")


def _logical(word: str) -> bool:
    return word.strip(".").upper().startswith("T")


def _last(tags: dict[str, Any], name: str, default: float) -> float:
    value = tags.get(name, default)
    return value if isinstance(value, (int, float)) and value == value else default


def _atoms(atominfo: ET.Element | None) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Symbols of the atoms; symbols and POTCAR titles of the species."""
    if atominfo is None:
        return (), (), ()
    titles = [
        " ".join((row[-1].text or "").split()) for row in atominfo.findall("array[@name='atomtypes']/set/rc")
    ]
    # The column of symbols is cut in some versions ("r" for Zr), the title is not.
    species = [species_of(title) for title in titles]
    symbols = [
        species[int(row[1].text or "1") - 1] for row in atominfo.findall("array[@name='atoms']/set/rc")
    ]
    return tuple(symbols), tuple(species), tuple(titles)


def _version(generator: ET.Element | None) -> str:
    found = None if generator is None else generator.find("i[@name='version']")
    return "" if found is None else (found.text or "").strip()


def _divisions(kpoints: ET.Element | None) -> tuple[int, int, int] | None:
    found = None if kpoints is None else kpoints.find("generation/v[@name='divisions']")
    words = [] if found is None else (found.text or "").split()
    try:
        first, second, third = (int(word) for word in words)
    except ValueError:
        return None
    return first, second, third


def _holds_gamma(kpoints: ET.Element | None) -> bool | None:
    """Whether the Gamma point is among the k-points; None where they are not listed."""
    listed = None if kpoints is None else kpoints.find("varray[@name='kpointlist']")
    if listed is None or len(listed) == 0:
        return None
    return bool((np.abs(_rows(listed)).max(axis=1) < 1e-6).any())
