"""The command that runs VASP here, and what can be known of it before it runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llzo_al.config.labelling import VASP
from llzo_al.config.labelling.vasp_tags import canonical_tags
from llzo_al.errors import UserError

WORKER_VARIABLE = "LLZO_AL_{name}"
"""Environment variable of an entry of the worker's ``env``, its name in capitals."""

_WORKERS = re.compile(r"^>>(\w+)<<$")
_RANKS = re.compile(r"^(?:-n|-np|--ntasks)$")
_RANKS_JOINED = re.compile(r"^(?:-n|-np|--ntasks=|-n=)(\d+)$")


def worker_environment(env: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables by which a worker's ``env`` reaches its labelling jobs."""
    return {
        WORKER_VARIABLE.format(name=name.upper()): str(value)
        for name, value in env.items()
        if re.fullmatch(r"\w+", name)
    }


def resolve_command(command: str, key: str) -> list[str]:
    """Words of a command of the campaign file, with the worker's own and the environment's values put in.

    Parameters
    ----------
    command
        What the campaign file says; ``>>name<<`` is the worker's.
    key
        Its key under `labelling`.

    Raises
    ------
    UserError
        If the worker has no such entry, or the command cannot be split into words.
    """
    worker = _WORKERS.match(command.strip())
    if worker:
        variable = WORKER_VARIABLE.format(name=worker[1].upper())
        found = os.environ.get(variable)
        if not found:
            raise UserError(
                f"labelling.{key}: {command} is the machine's own, and this one has none: set the "
                f"environment variable {variable}, or `{worker[1]}` under `env` of a FireWorks worker file "
                "(`llzo-al worker --fworker FILE`), or write the command itself into the campaign file"
            )
        command = found
    try:
        words = shlex.split(os.path.expandvars(command))
    except ValueError as error:
        raise UserError(f"labelling.{key}: {command!r} cannot be split into words ({error})") from error
    if not words:
        raise UserError(f"labelling.{key}: {command!r} is empty")
    return words


def commands(settings: VASP) -> tuple[list[str], list[str]]:
    """Commands for frames with a mesh and for frames with the Gamma point only.

    Raises
    ------
    UserError
        If one of them cannot be resolved.
    """
    command = resolve_command(settings.command, "command")
    if settings.gamma_command is None:
        return command, command
    return command, resolve_command(settings.gamma_command, "gamma_command")


def check_executable(words: Sequence[str], key: str) -> None:
    """Whether what a command starts is there: the launcher, and the word that looks like VASP.

    Raises
    ------
    UserError
        If one of them is not.
    """
    for word in dict.fromkeys([words[0], *(each for each in words[1:] if _looks_like_vasp(each))]):
        if shutil.which(word) is not None:
            continue
        path = Path(word)
        if word is not words[0] and path.is_file() and path.suffix:  # a script that the launcher reads
            continue
        why = "is not executable (chmod +x)" if path.is_file() else "is not there, or not on PATH"
        raise UserError(
            f"labelling.{key}: {word} of the command `{shlex.join(words)}` {why}; load VASP's module, or "
            "correct the command"
        )


def _looks_like_vasp(word: str) -> bool:
    return Path(word).name.lower().startswith("vasp") and "=" not in word


def ranks(words: Sequence[str]) -> int | None:
    """Number of processes that a command's launcher is told to start, None if it is not told."""
    for word, following in zip(words, (*words[1:], ""), strict=False):
        joined = _RANKS_JOINED.match(word)
        if joined:
            return int(joined[1])
        if _RANKS.match(word) and following.isdigit():
            return int(following)
    return None


def check_parallel(settings: VASP, words: Sequence[str]) -> None:
    """Whether KPAR, NCORE and NPAR fit the number of processes, where the command tells it.

    Raises
    ------
    UserError
        If they do not.
    """
    total = ranks(words)
    for where, given in (
        ("incar", settings.incar),
        *((f"retry_incar[{number}]", tags) for number, tags in enumerate(settings.retry_incar)),
    ):
        tags = canonical_tags({**settings.incar, **given})
        kpar, ncore, npar = (int(tags.get(name) or 1) for name in ("KPAR", "NCORE", "NPAR"))
        if "NCORE" in tags and "NPAR" in tags and ncore > 1:
            raise UserError(
                f"labelling.{where}: NCORE and NPAR are two ways to say the same; keep one of them"
            )
        if total is None:
            continue
        for name, value, of in (
            ("KPAR", kpar, total),
            ("NCORE", ncore, total // kpar),
            ("NPAR", npar, total // kpar),
        ):
            if value > 1 and (of % value or value > of):
                raise UserError(
                    f"labelling.{where}.{name}: is {value}, which does not divide the {of} processes "
                    + (
                        f"of `{shlex.join(words)}`"
                        if of == total
                        else f"that KPAR = {kpar} leaves to a group"
                    )
                )
    if total is not None and settings.threads is not None and settings.threads < total:
        raise UserError(
            f"labelling.threads: is {settings.threads}, but `{shlex.join(words)}` starts {total} processes; "
            "jobs would be started for which there are no cores"
        )
