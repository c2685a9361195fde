"""What the presets that run a command share."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase import Atoms

from llzo_al.labelling.presets.common import NotSupported, Refused


def check_command(command: str, name: str) -> None:
    """Make sure that a command's program, and the one behind its parallel launcher, can be found.

    Raises
    ------
    Refused
        If the first word of the command is no program.
    """
    words = [word for word in shlex.split(command) if "=" not in word and word != "env"]
    if not words or shutil.which(words[0]) is None:
        first = words[0] if words else command
        raise Refused(
            "command",
            f"{command!r}: there is no program {first!r} on PATH; install {name}, load its module, or give "
            "the full path",
        )


def check_files(settings: Mapping[str, Any]) -> None:
    """Make sure that the pseudopotential files are there.

    Raises
    ------
    Refused
        If one is not.
    """
    folder = Path(settings["pseudopotential_directory"]).expanduser()
    for element, file in settings["pseudopotentials"].items():
        if not (folder / file).is_file():
            raise Refused(f"pseudopotentials.{element}", f"{folder / file} is no file")


def pseudopotentials(settings: Mapping[str, Any], atoms: Atoms) -> dict[str, str]:
    """File of each element of a frame.

    Raises
    ------
    NotSupported
        If an element has none.
    """
    files: dict[str, str] = {}
    for element in dict.fromkeys(atoms.get_chemical_symbols()):
        if element not in settings["pseudopotentials"]:
            raise NotSupported(f"labelling.pseudopotentials names no file for {element}")
        files[element] = settings["pseudopotentials"][element]
    return files
