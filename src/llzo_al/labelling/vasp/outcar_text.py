"""Pieces, tables and numbers of an OUTCAR's text."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llzo_al.dataset.frames import FloatArray

STEP_END = "free  energy   TOTEN"
"""What stands in the last line of an ionic step."""

_BLOCK = 1 << 22
_CYCLE_ENERGY = "free energy    TOTEN"
_ITERATION = re.compile(r"Iteration\s*\d+\(\s*(\d+)\s*\)")


def segments(path: Path) -> Iterator[str]:
    """Pieces of a file that each end with an ionic step, and the rest.

    An archive that was cut ends where it was cut.
    """
    from monty.io import zopen

    text = ""
    with zopen(path, "rt", encoding="utf-8", errors="replace") as handle:
        while True:
            try:
                block = str(handle.read(_BLOCK))
            except EOFError:
                break
            except zlib.error as error:
                raise OSError(f"{path}: the archive is damaged ({error})") from error
            if not block:
                break
            text += block
            begin = 0
            while (found := text.find(STEP_END, begin)) >= 0:
                end = text.find("\n", found)
                if end < 0:
                    break
                yield text[begin : end + 1]
                begin = end + 1
            text = text[begin:]
    yield text


def cycle(text: str) -> tuple[int, tuple[float, ...] | None]:
    """Electronic steps of an ionic step, and the last change of the energy where every step tells it."""
    last = _ITERATION.match(text, max(text.rfind("Iteration"), 0))
    steps = 0 if last is None else int(last[1])
    if steps == 0 or text.count(_CYCLE_ENERGY) != steps:
        return steps, None
    final = text.rfind(_CYCLE_ENERGY)
    before = text.rfind(_CYCLE_ENERGY, 0, final)
    if before < 0:
        return steps, ()
    first, second = (
        number(text[place : place + 80].partition("=")[2].split()[0]) for place in (before, final)
    )
    return steps, (second - first,)


def stress_kB(text: str) -> FloatArray | None:
    """Stress, shape (3, 3), of ``in kB  XX YY ZZ XY YZ ZX``."""
    found = text.rfind("in kB")
    if found < 0:
        return None
    line = text[found + 5 : text.find("\n", found)]
    if "*" in line:
        return np.full((3, 3), np.nan)
    words = line.replace("-", " -").split()
    if len(words) != 6:
        return None
    xx, yy, zz, xy, yz, zx = (number(word) for word in words)
    return np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])


def mesh(header: str) -> tuple[tuple[int, int, int] | None, bool | None]:
    """Divisions of the k-point mesh and whether it holds Gamma, from the irreducible points that are listed.

    The point (1/N1, 1/N2, 1/N3) of a mesh, or one that symmetry makes of it, is always among them.
    """
    count = re.search(r"Found\s+(\d+)\s+irreducible k-points", header)
    if count is None:
        return None, None
    points = table(header, header.find("Following reciprocal coordinates"), skip=2, shape=(int(count[1]), 4))
    if points is None:
        return None, None
    gamma = bool((np.abs(points[:, :3]).max(axis=1) < 1e-6).any())
    divisions = []
    for coordinates in np.abs(points[:, :3]).T:
        smallest = coordinates[coordinates > 1e-6].min(initial=1.0)
        divisions.append(max(1, round(1.0 / smallest)) if gamma else max(1, round(0.5 / smallest)))
    return (divisions[0], divisions[1], divisions[2]), gamma


def table(text: str, title: int, *, skip: int, shape: tuple[int, int]) -> FloatArray | None:
    """The table `skip` lines below the one that holds place `title`; None if it is not there in full."""
    n_rows, n_columns = shape
    begin = title
    for _ in range(skip):
        begin = text.find("\n", begin) + 1 if begin >= 0 else -1
        if begin <= 0:
            return None
    if n_rows == 0 or begin < 0:
        return None
    lines = text[begin : begin + 200 * n_rows].split("\n", n_rows)
    if len(lines) <= n_rows:  # the last row must have been ended
        return None
    # Numbers that did not fit their fields are rows of asterisks without blanks between them.
    lines = ["nan " * n_columns if "*" in line else line for line in lines[:n_rows]]
    words = " ".join(lines).split()
    if len(words) != n_rows * n_columns:
        words = " ".join(lines).replace("-", " -").split()
    if len(words) != n_rows * n_columns:
        return None
    return np.array([number(word) for word in words]).reshape(shape)


def number(word: str) -> float:
    """A number; not a number where VASP could not print one."""
    try:
        return float(word)
    except ValueError:
        return float("nan")
