"""Which DeePMD-kit backends are installed, and which one trains. Imports no framework."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from typing import Literal, get_args

from llzo_al.errors import UserError
from llzo_al.install import install_command

Backend = Literal["tensorflow", "pytorch", "pytorch-exportable"]
MODEL_SUFFIX: dict[Backend, str] = {"tensorflow": ".pb", "pytorch": ".pth", "pytorch-exportable": ".pt2"}

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
"""Environment variable that says which GPUs a process may use."""

_MODULES: dict[Backend, str] = {
    "tensorflow": "tensorflow",
    "pytorch": "torch",
    "pytorch-exportable": "torch",
}
_EXTRAS: dict[Backend, str] = {"tensorflow": "cpu", "pytorch": "torch", "pytorch-exportable": "torch"}


def available_backends() -> tuple[Backend, ...]:
    """Backends of DeePMD-kit that are installed, found without importing them."""
    if importlib.util.find_spec("deepmd") is None:
        return ()
    return tuple(name for name, module in _MODULES.items() if importlib.util.find_spec(module) is not None)


def visible_gpus() -> tuple[str, ...]:
    """CUDA devices that a child process will see, each a value for ``CUDA_VISIBLE_DEVICES``."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        answer = subprocess.run(
            [command, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    present = tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())
    chosen = os.environ.get(VISIBLE_GPUS)
    if chosen is None or not present:
        return present
    return tuple(item.strip() for item in chosen.split(",") if item.strip() not in ("", "-1"))


def choose_backend(setting: str, *, begun: Backend | None = None) -> Backend:
    """Backend for `training.backend`: the named one, or for "auto" PyTorch with a GPU and TensorFlow without.

    Parameters
    ----------
    setting
        The campaign file's word.
    begun
        Backend of the checkpoint to go on from. "auto" keeps to it where it is installed: a node of another
        kind would otherwise begin anew what the first one left.

    Raises
    ------
    UserError
        If the named backend, or for "auto" any, is not installed, with the command that installs it.
    """
    installed = available_backends()
    if setting == "auto":
        if not installed:
            raise UserError(
                "training.backend: no backend of DeePMD-kit is installed; install TensorFlow for CPUs with "
                f"{_install('tensorflow')}, or PyTorch with CUDA with {_install('pytorch')}"
            )
        if begun in installed:
            return begun
        if "pytorch" in installed and ("tensorflow" not in installed or visible_gpus()):
            return "pytorch"
        return "tensorflow"
    for name in get_args(Backend):
        if name != setting:
            continue
        if name not in installed:
            raise UserError(
                f"training.backend: {name} is not installed; install it with {_install(name)}, or choose "
                f"another (installed: {', '.join(installed) or 'none'})"
            )
        if name == "pytorch-exportable" and shutil.which(os.environ.get("CXX", "g++")) is None:
            raise UserError(
                "training.backend: pytorch-exportable compiles its models and finds no C++ compiler; install "
                "g++, name one in CXX, or use pytorch"
            )
        backend: Backend = name
        return backend
    raise UserError(f"training.backend: {setting!r} is none of auto, {', '.join(get_args(Backend))}")


def _install(backend: Backend) -> str:
    return install_command(_EXTRAS[backend])
