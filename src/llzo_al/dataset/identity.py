"""What makes two frames, or two labels, the same.

The rule is versioned: an identity starts with ``v1-``, and a change of anything that is written down here
takes another number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llzo_al.dataset.frames import GRID_A, Frame
from llzo_al.errors import UserError
from llzo_al.files import fingerprint

VERSION = "v1"

_IntVector = tuple[int, int, int]


def structure_hash(frame: Frame) -> str:
    """Identity of a structure, version 1: ``"v1-"`` and 64 hexadecimal digits.

    It is the SHA-256 of this JSON, with sorted keys and without white space::

        {"format": "structure v1",
         "cell": [[i, i, i], [i, i, i], [i, i, i]],
         "periodic": [bool, bool, bool],
         "charge": int, "multiplicity": int or null,
         "atoms": [[symbol, i, i, i], ...]}

    All lengths are integers in units of 1e-6 angstrom (`llzo_al.dataset.frames.GRID_A`); the lattice
    vectors are the rows of the cell. Atoms are first rounded to that grid, then wrapped into the cell along
    the periodic vectors only, by whole lattice vectors and in exact integer arithmetic, then sorted.

    The order of rounding and wrapping is what makes an atom on the cell's face safe: noise is gone before
    0 and 1 are told apart, and the places where rounding itself could flip lie half-way between the points
    that a `Frame` can hold. So the hash is unchanged by a trip through POSCAR or extended XYZ, by a writer's
    own wrapping, and by the order of the atoms. It does change with rotation, with inversion
    (which is what pymatgen does to a left-handed cell on writing POSCAR), with the choice of another cell and
    with a shift of all atoms. Provenance takes no part.

    Parameters
    ----------
    frame
        The structure.

    Returns
    -------
    str
        The hash.

    Raises
    ------
    UserError
        If the periodic lattice vectors do not span a space.
    """
    return f"{VERSION}-" + fingerprint(
        {
            "format": f"structure {VERSION}",
            "cell": _on_grid(frame.cell_A),
            "periodic": [bool(flag) for flag in frame.periodic],
            "charge": int(frame.charge),
            "multiplicity": None if frame.multiplicity is None else int(frame.multiplicity),
            "atoms": sorted(_atoms(frame)),
        }
    )


def canonical_order(frame: Frame) -> list[int]:
    """Indices of the frame's atoms in the order in which `structure_hash` lists them.

    Two frames of one identity hold the same atoms in these two orders.
    """
    atoms = _atoms(frame)
    return sorted(range(frame.n_atoms), key=atoms.__getitem__)


def physics_hash(physics: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the settings that change a label's physics.

    A whole number hashes the same whether it is written ``6`` or ``6.0``, and a tuple the same as a list.

    Raises
    ------
    UserError
        If a value has no place in JSON, or is not finite.
    """
    return fingerprint(canonical(physics))


def label_identity(frame: Frame, physics: Mapping[str, Any]) -> str:
    """Identity of a label, version 1: ``"v1-"`` and 64 hexadecimal digits.

    It is the SHA-256 of ``{"format": "label v1", "structure": structure_hash(frame), "physics":
    physics_hash(physics)}`` as JSON with sorted keys and without white space. Paths, queues, machines and
    provenance take no part.

    Parameters
    ----------
    frame
        The structure.
    physics
        What determines the label besides the structure: method, its parameters, versions of setups.
        JSON-serialisable.
    """
    return _combine(structure_hash(frame), physics_hash(physics))


def label_identities(frames: Sequence[Frame], physics: Mapping[str, Any]) -> list[str]:
    """`label_identity` of many frames with the same physics."""
    settings = physics_hash(physics)
    return [_combine(structure_hash(frame), settings) for frame in frames]


def canonical(value: Any, path: str = "physics") -> Any:
    """`value` with one spelling of each number and sequence, ready for JSON.

    Raises
    ------
    UserError
        If something in it has no place in JSON, naming where.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if not math.isfinite(number):
            raise UserError(f"{path}: {number} is not a finite number")
        return int(number) if number.is_integer() else number
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UserError(f"{path}: the key {key!r} is not a string")
        return {key: canonical(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise UserError(
        f"{path}: a {type(value).__name__} cannot be part of a label's identity; use numbers, strings, "
        "lists and mappings"
    )


def _atoms(frame: Frame) -> list[tuple[str, int, int, int]]:
    """Symbol and wrapped grid position of each atom, in the frame's order."""
    positions = _on_grid(frame.positions_A)
    cell = _on_grid(frame.cell_A)
    vectors = [vector for vector, flag in zip(cell, frame.periodic, strict=True) if flag]
    wrapped = _wrap(positions, vectors)
    if wrapped is None:
        raise UserError(
            f"{frame.provenance.kind}, {frame.provenance.group}, frame {frame.provenance.frame}: the "
            "periodic lattice vectors are linearly dependent or zero; give a cell that spans a volume, or "
            "declare the frame as not periodic"
        )
    return [(symbol, *xyz) for symbol, xyz in zip(frame.symbols, wrapped, strict=True)]


def _combine(structure: str, settings: str) -> str:
    content = {"format": f"label {VERSION}", "structure": structure, "physics": settings}
    return f"{VERSION}-" + fingerprint(content)


def _on_grid(lengths_A: Any) -> list[_IntVector]:
    """Rows of `lengths_A`, shape (n, 3), in units of the grid."""
    return [(int(x), int(y), int(z)) for x, y, z in np.rint(np.asarray(lengths_A) / GRID_A)]


def _wrap(positions: list[_IntVector], vectors: list[_IntVector]) -> list[_IntVector] | None:
    """Positions moved by whole `vectors` into 0 <= coordinate < 1; None where these are dependent.

    Coordinates along k = 1, 2 or 3 vectors V (k, 3) are those of the orthogonal projection on their span,
    (V V^T)^-1 V p, so that a missing or odd non-periodic vector has no say.
    """
    if not vectors:
        return positions
    gram = [[_dot(a, b) for b in vectors] for a in vectors]
    determinant, adjugate = _adjugate(gram)
    if determinant <= 0:
        return None
    wrapped = []
    for position in positions:
        products = [_dot(vector, position) for vector in vectors]
        x, y, z = position
        for row, (a, b, c) in zip(adjugate, vectors, strict=True):
            shift = sum(m * p for m, p in zip(row, products, strict=True)) // determinant
            x, y, z = x - shift * a, y - shift * b, z - shift * c
        wrapped.append((x, y, z))
    return wrapped


def _dot(a: _IntVector, b: _IntVector) -> int:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _adjugate(matrix: list[list[int]]) -> tuple[int, list[list[int]]]:
    """Determinant and adjugate of a symmetric integer matrix of 1, 2 or 3 rows."""
    size = len(matrix)
    if size == 1:
        return matrix[0][0], [[1]]
    if size == 2:
        (a, b), (c, d) = matrix
        return a * d - b * c, [[d, -b], [-c, a]]
    (a, b, c), (d, e, f), (g, h, i) = matrix
    adjugate = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    return a * adjugate[0][0] + b * adjugate[1][0] + c * adjugate[2][0], adjugate
