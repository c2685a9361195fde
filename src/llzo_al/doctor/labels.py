"""Probes of the first-principles engines and of what they need; none is needed for the quickstart."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from llzo_al.doctor.check import Check, broken, find_executable, missing, ok, run_executable

ELEMENTS = ("Li", "La", "Zr", "O")
MP_KEY_LENGTH = 32


def vasp() -> Check:
    """VASP's executable; it is not run, since without input it does nothing that could be looked at."""
    name = "VASP"
    if os.environ.get("LLZO_AL_VASP_CMD"):
        return _vasp_command(name)
    found = [
        path
        for command in ("vasp_std", "vasp_gam", "vasp_ncl", "vasp")
        if (path := find_executable((command,)))
    ]
    if not found:
        return missing(
            name,
            "no vasp_std, vasp_gam, vasp_ncl or vasp on PATH",
            "put VASP on PATH if you have a licence for it",
        )
    return ok(name, f"{', '.join(found)} (found, not run)")


def _vasp_command(name: str) -> Check:
    """The command that jobs on this machine would take for ``>>vasp_cmd<<``."""
    from llzo_al.errors import UserError
    from llzo_al.labelling.vasp.command import check_executable, resolve_command

    try:
        words = resolve_command(">>vasp_cmd<<", "command")
        check_executable(words, "command")
    except UserError as error:
        return broken(name, f"LLZO_AL_VASP_CMD: {error}", "correct LLZO_AL_VASP_CMD, or load VASP's module")
    return ok(name, f"{' '.join(words)} (LLZO_AL_VASP_CMD; found, not run)")


def potcars() -> Check:
    """Directory of VASP's pseudopotentials, as pymatgen is told of it."""
    from pymatgen.core import SETTINGS
    from pymatgen.io.vasp.inputs import PotcarSingle

    name = "VASP pseudopotentials"
    configure = "set PMG_VASP_PSP_DIR, in the environment or with `pmg config --add PMG_VASP_PSP_DIR DIR`"
    if not SETTINGS.get("PMG_VASP_PSP_DIR"):
        return missing(name, "no directory configured", configure)
    directory = Path(str(SETTINGS["PMG_VASP_PSP_DIR"]))
    if not directory.is_dir():
        return broken(name, f"{directory} is not a directory", configure)
    sets = {}
    for folder in sorted({str(folder) for folder in PotcarSingle.functional_dir.values()}):
        if (directory / folder).is_dir():
            sets[folder] = [element for element in ELEMENTS if not _has_potcar(directory / folder, element)]
    if not sets:
        return broken(
            name,
            f"{directory} holds no set that pymatgen knows (such as POT_GGA_PAW_PBE_54)",
            "make one from VASP's archives with `pmg config -p EXTRACTED DIR`",
        )
    complete = [folder for folder, lacking in sets.items() if not lacking]
    if not complete:
        told = "; ".join(f"{folder} lacks {', '.join(lacking)}" for folder, lacking in sets.items())
        return broken(name, f"{directory}: {told}", "add the POTCARs that are lacking")
    return ok(name, f"{directory}: {', '.join(complete)}")


def _has_potcar(folder: Path, element: str) -> bool:
    """Whether there is a POTCAR of `element`, of any variant (`Li`, `Li_sv`)."""
    pattern = re.compile(rf"(POTCAR\.)?{element}(_\w+)?(\.gz|\.bz2)?$")
    return any(pattern.match(entry.name) for entry in folder.iterdir())


def gpaw() -> Check:
    """GPAW, and its PAW setups of the campaign's elements."""
    name = "GPAW"
    if find_spec("gpaw") is None:
        return missing(
            name,
            "not installed",
            "CC=g++ python -m pip install gpaw (needs g++, libxc-dev and libopenblas-dev or their likes)",
        )
    import gpaw as module

    if find_spec("_gpaw") is None:
        return broken(
            name,
            f"GPAW {module.__version__} without its compiled part",
            "CC=g++ python -m pip install --force-reinstall --no-deps gpaw",
        )
    folders = [Path(str(path)) for path in module.setup_paths]
    lacking = [
        element for element in ELEMENTS if not any(any(path.glob(f"{element}.PBE*")) for path in folders)
    ]
    if lacking:
        return broken(
            name,
            f"GPAW {module.__version__} without PBE setups for {', '.join(lacking)}",
            "python -m pip install gpaw-data, or name their directory in GPAW_SETUP_PATH",
        )
    return ok(name, f"GPAW {module.__version__}, PBE setups for {', '.join(ELEMENTS)}")


def _executable(title: str, names: tuple[str, ...], arguments: tuple[str, ...], pattern: str) -> Check:
    """An engine that prints its version when it is run with `arguments` and no input."""
    path = find_executable(names)
    if path is None:
        return missing(
            title, f"no {' or '.join(names)} on PATH", f"install {title} if you want labels from it"
        )
    code, output = run_executable(path, *arguments)
    match = re.search(pattern, output)
    if match is None:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        told = lines[-1] if lines else "it printed nothing"
        return broken(
            title, f"{path} does not tell its version (exit code {code}): {told}", f"reinstall {title}"
        )
    return ok(title, f"version {match[1]} ({path})")


cp2k: Callable[[], Check] = partial(
    _executable,
    "CP2K",
    ("cp2k", "cp2k.psmp", "cp2k.ssmp", "cp2k.popt"),
    ("--version",),
    r"CP2K version (\S+)",
)
quantum_espresso: Callable[[], Check] = partial(
    _executable, "Quantum ESPRESSO", ("pw.x",), (), r"Program PWSCF v\.?\s*(\S+)"
)
abinit: Callable[[], Check] = partial(_executable, "ABINIT", ("abinit",), ("--version",), r"(\d+\.\d+[.\d]*)")


def materials_project() -> Check:
    """The key of the Materials Project: whether there is one of the right form, never which."""
    from pymatgen.core import SETTINGS

    name = "Materials Project key"
    how = "get one from the Materials Project's API page and set MP_API_KEY in the environment"
    for place, key in (
        ("MP_API_KEY", os.environ.get("MP_API_KEY")),
        ("PMG_MAPI_KEY", SETTINGS.get("PMG_MAPI_KEY")),
    ):
        if key:
            if len(str(key)) != MP_KEY_LENGTH:
                return broken(name, f"{place} has {len(str(key))} characters, expected {MP_KEY_LENGTH}", how)
            return ok(name, f"configured ({place}; not tried)")
    return missing(name, "not configured", how)
