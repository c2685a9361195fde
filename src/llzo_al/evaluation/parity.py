"""Predicted against labelled energies and force components: the points of a parity plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PARITY = "parity.npz"
"""File with the points of a training's held-out test, in the training's directory."""
MOST_POINTS = 2000
"""Energies and force components that are kept of each kind of structure; a seeded sample beyond."""
_KINDS = "kinds"


@dataclass(frozen=True, kw_only=True, eq=False)
class Parity:
    """Labels and predictions of some frames.

    Attributes
    ----------
    energies_eV_per_atom, predicted_energies_eV_per_atom
        Energy of each frame by its number of atoms, shape (n_frames,).
    forces_eV_per_A, predicted_forces_eV_per_A
        Force components, shape (n_components,).
    """

    energies_eV_per_atom: NDArray[np.float64]
    predicted_energies_eV_per_atom: NDArray[np.float64]
    forces_eV_per_A: NDArray[np.float64]
    predicted_forces_eV_per_A: NDArray[np.float64]


_NAMES = tuple(field.name for field in fields(Parity))


def join(parts: Iterable[Parity], *, most: int = MOST_POINTS) -> Parity:
    """All points of one kind of structure, a seeded sample of them where there are more than `most`."""
    every = list(parts)
    joined = {name: np.concatenate([getattr(part, name) for part in every]) for name in _NAMES}
    return Parity(**{name: _thinned(values, most) for name, values in joined.items()})


def write_parity(path: Path, kinds: Mapping[str, Parity]) -> None:
    """Write the points of each kind of structure as ``.npz``."""
    arrays = {
        f"{name}_{number}": getattr(parity, name)
        for number, parity in enumerate(kinds.values())
        for name in _NAMES
    }
    np.savez(path, **{_KINDS: np.array(json.dumps(list(kinds)))}, **arrays)  # type: ignore[arg-type]


def read_parity(path: Path) -> dict[str, Parity]:
    """What `write_parity` wrote; nothing where there is no such file."""
    if not path.exists():  # a training of an earlier version
        return {}
    with np.load(path, allow_pickle=False) as data:
        return {
            kind: Parity(**{name: data[f"{name}_{number}"] for name in _NAMES})
            for number, kind in enumerate(json.loads(str(data[_KINDS])))
        }


def _thinned(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    if len(values) <= most:
        return values
    # The same places for labels and predictions, whose numbers are equal.
    return values[np.sort(np.random.default_rng(len(values)).choice(len(values), size=most, replace=False))]
