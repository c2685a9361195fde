"""Names, kinds and seeds of what the sources make."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np


class _Cell(Protocol):
    """Settings that choose the cell of a crystal."""

    @property
    def primitive(self) -> bool: ...

    @property
    def supercell(self) -> Sequence[int]: ...


def cell_name(source: _Cell, name: str) -> str:
    """Structure and cell ("t-LLZO.primitive.2x1x1"): two cells of a crystal share no group."""
    parts = [name]
    if source.primitive:
        parts.append("primitive")
    if max(source.supercell) > 1:
        parts.append("x".join(str(number) for number in source.supercell))
    return ".".join(parts)


def kind_of(name: str) -> str:
    """Kind of structure for the reports: the built-in name, or a file's name without folder and suffix."""
    return Path(name).stem


def seeds(seed: int, *what: object) -> np.random.SeedSequence:
    """Seeds for one thing: of the campaign's seed and the thing's name only."""
    digest = hashlib.sha256("\n".join(repr(item) for item in what).encode()).digest()
    return np.random.SeedSequence([seed, *np.frombuffer(digest, dtype=np.uint32).tolist()])
