"""VASP's INCAR tags: which change the physics of a label, which do not, and which are set from elsewhere."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_NEUTRAL = """
    SYSTEM NWRITE LWAVE LCHARG LVTOT LVHAR LELF LAECHG LPARD LORBIT NEDOS EMIN EMAX LDOWNSAMPLE LH5
    LVACPOTAV ISTART ICHARG INIWAV IWAVPR ALGO IALGO LDIAG LSUBROT ISEARCH NELM NELMIN NELMDL TIME NSIM
    NBANDS WEIMIN EBREAK DEPER IMIX AMIX BMIX AMIX_MAG BMIX_MAG AMIN WC INIMIX MIXPRE MAXMIX MIXFIRST
    LMAXMIX NCORE NPAR KPAR LPLANE LSCALU LSCALAPACK LSCAAWARE LASYNC MAXMEM NBLK NTAUPAR NOMEGAPAR
    NCORE_IN_IMAGE1 NCCL_ENABLED ISYM SYMPREC
"""
NEUTRAL: frozenset[str] = frozenset(_NEUTRAL.split())
"""Tags that change how the self-consistent solution is found, where it is computed and what is written, but
not what it is. Symmetry (ISYM, SYMPREC) saves work on the same solution."""

_MOTION = """
    NSW IBRION ISIF POTIM EDIFFG NFREE IOPT MDALGO SMASS TEBEG TEEND LANGEVIN_GAMMA LANGEVIN_GAMMA_L PMASS
    RANDOM_SEED ANDERSEN_PROB NBLOCK KBLOCK APACO NPACO POMASS LBLUEOUT HITOLER
"""
MOTION: frozenset[str] = frozenset(_MOTION.split())
"""Tags that say how the atoms move: none of them changes the energy and forces of a given structure."""

SET_ELSEWHERE: Mapping[str, str] = {
    "KSPACING": "`kspacing_per_A`",
    "KGAMMA": "`kpoints_mesh` and `kspacing_per_A`, which are always centred at Gamma",
    "MAGMOM": "`magnetic_moments_muB`, and each frame's own multiplicity",
    "NUPDOWN": "each frame's own multiplicity",
    "NELECT": "each frame's own charge",
    "NSW": "the kind of run",
    "IBRION": "the kind of run",
    "ISIF": "the kind of run",
    "TEBEG": "the source's temperatures",
    "TEEND": "the source's temperatures",
    "RANDOM_SEED": "`seed`",
    "POTIM": "the source's timestep",
    "EDIFFG": "the source's force limit",
}
"""Tags that are not given under `incar`, and what they follow from."""

_ALIASES = {"ENMAX": "ENCUT"}


def known_tags() -> Mapping[str, Mapping[str, Any]]:
    """VASP's tags with their types, from pymatgen's list.

    It is read without importing pymatgen, which takes seconds.
    """
    spec = importlib.util.find_spec("pymatgen")
    for place in spec.submodule_search_locations or () if spec is not None else ():
        path = Path(place) / "io" / "vasp" / "incar_parameters.json"
        if path.exists():
            return _read(path)
    return {}


@cache
def _read(path: Path) -> Mapping[str, Mapping[str, Any]]:
    tags: dict[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return tags


def canonical_tags(tags: Mapping[str, Any]) -> dict[str, Any]:
    """`tags` in upper case, without aliases."""
    upper = {name.upper(): value for name, value in tags.items()}
    return {_ALIASES.get(name, name): value for name, value in upper.items()}


def changes_physics(tag: str) -> bool:
    """Whether a tag changes a label; one that nobody knows is taken to."""
    return tag.upper() not in NEUTRAL and tag.upper() not in MOTION


def value_fault(tag: str, value: Any) -> str:
    """What is wrong with a tag's value by pymatgen's list, or ""."""
    if isinstance(value, Mapping):
        return "is a mapping; expected a number, text, truth value or list"
    about = known_tags().get(tag.upper())
    if about is None:
        return ""
    kinds = str(about.get("type", "str")).split(" | ")
    fits = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "list": isinstance(value, list | int | float) and not isinstance(value, bool),
    }
    if not any(fits.get(kind, True) for kind in kinds):
        words = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
        return f"is {value!r}; expected {' or '.join(words.get(kind, 'a list') for kind in kinds)}"
    values = about.get("values")
    if values and not any(_same_word(value, each) for each in values):
        return f"is {value!r}; expected one of {', '.join(map(str, values))}"
    return ""


def _same_word(value: Any, allowed: Any) -> bool:
    if isinstance(value, str) and isinstance(allowed, str):
        return value.lower() == allowed.lower()
    return bool(value == allowed) and isinstance(value, bool) is isinstance(allowed, bool)
