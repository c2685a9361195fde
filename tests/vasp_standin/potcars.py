"""POTCARs for tests: the right form and nothing in it. They are not VASP's and describe no atom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FOLDERS = {"PBE_54": "POT_GGA_PAW_PBE_54", "PBE_64": "POT_PAW_PBE_64", "PBE": "POT_GGA_PAW_PBE"}
"""Folder of a functional under ``PMG_VASP_PSP_DIR``, as pymatgen names them."""

VALENCE = {
    # symbol: (ZVAL, ENMAX in eV, valence configuration, mass in u), rounded to tell them apart
    "Li": (1.0, 140.0, "s1p0", 7.010),
    "Li_sv": (3.0, 499.0, "1s2s2p", 7.010),
    "La": (11.0, 219.0, "5s5p6s5d", 138.900),
    "Zr": (4.0, 155.0, "4d5s", 91.224),
    "Zr_sv": (12.0, 230.0, "4s4p5s4d", 91.224),
    "O": (6.0, 400.0, "s2p4", 16.000),
    "O_s": (6.0, 283.0, "s2p4", 16.000),
}
"""What the dummies say of themselves; other symbols are not made."""


def dummy_potcar(symbol: str, date: str = "01Jan2000") -> str:
    """Text of one POTCAR that is none.

    Parameters
    ----------
    symbol
        Name of the setup ("Li_sv"), one of `VALENCE`.
    date
        Date in its title, by which versions of a setup differ.
    """
    zval, enmax_eV, configuration, mass = VALENCE[symbol]
    title = f"PAW_PBE {symbol} {date}"
    return f"""  {title}
   {zval:.14f}
 parameters from PSCTR are:
   VRHFIN ={symbol.partition("_")[0]}: {configuration}
   LEXCH  = PE
   EATOM  =   100.0000 eV,    7.3499 Ry

   TITEL  = {title}
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =     .000    partial core radius
   POMASS = {mass:8.3f}; ZVAL   = {zval:8.3f}    mass and valenz
   RCORE  =    1.500    outmost cutoff radius
   RWIGS  =    1.000; RWIGS  =     .529    wigner-seitz radius (au A)
   ENMAX  = {enmax_eV:8.3f}; ENMIN  = {0.75 * enmax_eV:8.3f} eV
   ICORE  =        2    local potential
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   = {2 * enmax_eV:8.3f}
   DEXC   =     .000
   RMAX   =    2.000    core radius for proj-oper
   RAUG   =    1.300    factor for augmentation sphere
   RDEP   =    1.500    radius for radial grids
   RDEPT  =    1.500    core radius for aug-charge

   Atomic configuration
    1 entries
     n  l   j            E        occ.
     1  0   .50       -10.0000   1.0000
   Description
     l       E           TYP  RCUT    TYP  RCUT
     0   -10.0000000     23  1.500
 END of PSCTR-controll parameters
 dummy for tests, not a POTCAR of VASP: it holds no potential
 local part
   1.00000000000000
  0.10000000E+01  0.10000000E+01  0.10000000E+01
 End of Dataset
"""


def write_dummy_potcars(folder: Path, symbols: Sequence[str], functional: str = "PBE_54") -> Path:
    """Write dummies in the layout of a ``PMG_VASP_PSP_DIR`` and return `folder`.

    Parameters
    ----------
    folder
        What ``PMG_VASP_PSP_DIR`` is to name.
    symbols
        Names of setups, of `VALENCE`.
    functional
        "PBE", "PBE_54" or "PBE_64".
    """
    directory = folder / FOLDERS[functional]
    directory.mkdir(parents=True, exist_ok=True)
    for symbol in symbols:
        (directory / f"POTCAR.{symbol}").write_text(dummy_potcar(symbol), encoding="utf-8")
    (folder / "README").write_text(
        "Dummies for tests. None of these is a POTCAR of VASP.\n", encoding="utf-8"
    )
    return folder
