"""FireWorks' settings files, and its worker files: what a machine gives to the tasks that run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monty.serialization import loadfn

from llzo_al.errors import UserError

LEAVES = "leaves_with"
"""Entry of the ``env`` of this program's workers: their exit code when a task was stopped in time."""

_OWN = ("gpu", "threads", LEAVES)
"""Entries of ``env`` that this program makes itself."""


def read_settings(path: Path, kind: str) -> Any:
    """What a file of FireWorks' settings holds, YAML or JSON.

    Raises
    ------
    UserError
        If it is missing or cannot be read.
    """
    try:
        return loadfn(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: the {kind} is missing") from error
    except Exception as error:  # monty's YAML and JSON readers share no base class
        raise UserError(f"{path}: cannot be read as YAML or JSON ({error})") from error


def worker_env(path: Path) -> dict[str, Any]:
    """``env`` of a FireWorks worker file, without entries that this program makes itself.

    The rest of the file is for FireWorks' own commands.

    Parameters
    ----------
    path
        The file, YAML or JSON.

    Raises
    ------
    UserError
        If it is missing, is no worker file, or an entry of its ``env`` is empty.
    """
    content = read_settings(path, "worker file")
    if not isinstance(content, dict) or "name" not in content or not {"category", "env"} & set(content):
        raise UserError(
            f"{path}: is not a FireWorks worker file: expected `name`, `category`, `query`, and under `env` "
            "what tasks get from this machine, such as vasp_cmd: srun -n 32 vasp_std"
        )
    env = content.get("env") or {}
    if not isinstance(env, dict) or not all(isinstance(name, str) for name in env):
        raise UserError(
            f"{path}: `env` is {env!r}, expected names with their values, such as "
            "vasp_cmd: srun -n 32 vasp_std"
        )
    empty = [name for name, value in env.items() if value in (None, "")]
    if empty:
        raise UserError(f"{path}: env.{empty[0]} is empty; give it a value, or remove the line")
    return {name: value for name, value in env.items() if name not in _OWN}
