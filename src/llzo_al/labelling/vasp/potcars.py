"""POTCARs: where they are, and what of them is part of a label's identity.

They are read without pymatgen, whose import and whose comparison with known POTCARs take seconds, since every
command that looks at a campaign needs to know its level of theory.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from llzo_al.config.labelling import VASP
from llzo_al.errors import UserError

FOLDERS: Mapping[str, str] = {
    "PBE_64": "POT_PAW_PBE_64",
    "PBE_54": "POT_GGA_PAW_PBE_54",
    "PBE_52": "POT_GGA_PAW_PBE_52",
    "PBE": "POT_GGA_PAW_PBE",
}
"""Folder of each family below ``PMG_VASP_PSP_DIR``, as pymatgen names them."""

MP_POTCARS: Mapping[str, str] = {"Li": "Li_sv", "La": "La", "Zr": "Zr_sv", "O": "O"}
"""POTCARs of the Materials Project's input sets."""

_SUFFIXES = ("", ".gz", ".bz2", ".xz")


@dataclass(frozen=True, kw_only=True)
class Potcar:
    """One element's POTCAR.

    Attributes
    ----------
    symbol
        Its name ("Li_sv").
    title
        TITEL, with single spaces.
    n_electrons
        ZVAL.
    text
        All of it.
    """

    symbol: str
    title: str
    n_electrons: float
    text: str

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of its text, whatever the line ends and the blanks before them."""
        lines = (line.rstrip() for line in self.text.strip().splitlines())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def potcar_symbols(settings: VASP, elements: Sequence[str]) -> dict[str, str]:
    """POTCAR of each element.

    Raises
    ------
    UserError
        If an element has none, or one of another element.
    """
    symbols = {}
    for element in elements:
        symbol = settings.potcar_symbols.get(element, MP_POTCARS.get(element))
        if symbol is None:
            raise UserError(
                f"labelling.potcar_symbols: no POTCAR is named for {element}; add a line such as "
                f"`{element}: {element}`"
            )
        if symbol.split("_")[0] != element:
            raise UserError(
                f"labelling.potcar_symbols.{element}: {symbol} is a POTCAR of another element; expected "
                f"{element}, or {element}_ and a suffix"
            )
        symbols[element] = symbol
    return symbols


def read_potcars(settings: VASP, elements: Sequence[str]) -> dict[str, Potcar]:
    """POTCAR of each element.

    Raises
    ------
    UserError
        If some are missing or cannot be read: all of them are named.
    """
    found, missing = {}, []
    for element, symbol in potcar_symbols(settings, elements).items():
        try:
            found[element] = read_potcar(symbol, settings.functional)
        except UserError as error:
            missing.append(str(error))
    if missing:
        raise UserError("\n".join(dict.fromkeys(missing)))
    return found


def read_potcar(symbol: str, functional: str) -> Potcar:
    """POTCAR `symbol` of the family `functional` below ``PMG_VASP_PSP_DIR``.

    Raises
    ------
    UserError
        If it is not there or is none.
    """
    return _read_potcar(symbol, functional, _directory())


def _directory() -> str:
    directory = os.environ.get("PMG_VASP_PSP_DIR")
    if not directory:
        from pymatgen.core import SETTINGS

        directory = SETTINGS.get("PMG_VASP_PSP_DIR")
    if not directory:
        raise UserError(
            "labelling.engine: vasp needs the directory of its POTCARs; set PMG_VASP_PSP_DIR, in the "
            "environment or with `pmg config --add PMG_VASP_PSP_DIR DIR`"
        )
    return str(directory)


@lru_cache(maxsize=64)
def _read_potcar(symbol: str, functional: str, directory: str) -> Potcar:
    from monty.io import zopen

    folder = Path(directory).expanduser() / FOLDERS[functional]
    places = [folder / f"POTCAR.{symbol}", folder / symbol / "POTCAR"]
    paths = [Path(f"{place}{suffix}") for place in places for suffix in _SUFFIXES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UserError(
            f"labelling.potcar_symbols: there is no POTCAR {symbol} of {functional}; looked for {places[0]} "
            f"and {places[1]}, also compressed (PMG_VASP_PSP_DIR is {directory})"
        )
    try:
        with zopen(path, "rt", encoding="utf-8", errors="replace") as handle:
            text = str(handle.read())
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    title = re.search(r"TITEL\s*=\s*(.+)", text)
    electrons = re.search(r"ZVAL\s*=\s*([\d.]+)", text)
    if title is None or electrons is None or "End of Dataset" not in text:
        raise UserError(f"{path}: is no whole POTCAR; it must hold TITEL, ZVAL and `End of Dataset`")
    return Potcar(
        symbol=symbol,
        title=" ".join(title[1].split()),
        n_electrons=float(electrons[1]),
        text=text if text.endswith("\n") else text + "\n",
    )
