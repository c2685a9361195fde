"""Checkpoints that a training left behind, newest first, half-written ones left out."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from llzo_al.training.backends import Backend

PREFIX = "model.ckpt"
_PARTS: dict[Backend, tuple[str, ...]] = {
    "tensorflow": (".index", ".meta", ".data-00000-of-00001"),
    "pytorch": (".pt",),
    "pytorch-exportable": (".pt",),
}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint.

    Attributes
    ----------
    step
        Training steps done.
    path
        Prefix of its files (TensorFlow) or the file itself (PyTorch).
    """

    step: int
    path: Path


def find_checkpoints(directory: Path, backend: Backend) -> list[Checkpoint]:
    """Checkpoints whose files are all there, newest first.

    Whether they can be read is for the framework to say. The ``checkpoint`` file and the links without a step
    number are not relied on: a kill between the writing of a checkpoint's files leaves them pointing at half
    of one.
    """
    parts = _PARTS[backend]
    found = []
    for path in directory.glob(f"{PREFIX}-*{parts[0]}"):
        match = re.fullmatch(rf"({re.escape(PREFIX)}-(\d+)){re.escape(parts[0])}", path.name)
        if match is None:
            continue
        prefix = directory / match[1]
        if all(prefix.with_name(prefix.name + part).exists() for part in parts):
            target = prefix if backend == "tensorflow" else path
            found.append(Checkpoint(step=int(match[2]), path=target))
    return sorted(found, key=lambda checkpoint: checkpoint.step, reverse=True)


def remove_checkpoint(checkpoint: Checkpoint) -> None:
    """Delete the files of one checkpoint."""
    stem = checkpoint.path.name.removesuffix(".pt")
    for path in checkpoint.path.parent.glob(f"{stem}.*"):
        path.unlink()


def remove_training(directory: Path) -> None:
    """Delete everything that a training wrote into `directory`: checkpoints, curve, models."""
    for pattern in (
        f"{PREFIX}*",
        "checkpoint",
        "lcurve.out",
        "frozen_model.*",
        "compressed_model.*",
        "out.json",
    ):
        for path in directory.glob(pattern):
            path.unlink()
    shutil.rmtree(directory / "model-compression", ignore_errors=True)
