"""Labelled frames in DeePMD-kit's ``deepmd/npy`` layout, read with numpy alone.

dpdata reads the same layout, but its import brings TensorFlow into the process; this is for where that must
not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llzo_al.errors import StageError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LabelledSystem:
    """Labelled frames of one composition.

    Attributes
    ----------
    path
        The system's directory.
    symbols
        Chemical symbols, length n_atoms.
    periodic
        Whether the frames are periodic.
    positions_A
        Shape (n_frames, n_atoms, 3), angstrom.
    cells_A
        Lattice vectors as rows, shape (n_frames, 3, 3), angstrom.
    energies_eV
        Shape (n_frames,).
    forces_eV_per_A
        Shape (n_frames, n_atoms, 3).
    virials_eV
        Shape (n_frames, 3, 3), or None where the system has none.
    """

    path: Path
    symbols: tuple[str, ...]
    periodic: bool
    positions_A: FloatArray
    cells_A: FloatArray
    energies_eV: FloatArray
    forces_eV_per_A: FloatArray
    virials_eV: FloatArray | None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.energies_eV)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of each frame."""
        return len(self.symbols)

    def types(self, elements: Sequence[str]) -> NDArray[np.int64]:
        """Index of each atom's element in `elements`, shape (n_atoms,).

        Raises
        ------
        StageError
            If an element is not among them.
        """
        missing = sorted(set(self.symbols) - set(elements))
        if missing:
            raise StageError(
                f"{self.path}: {', '.join(missing)} is not among the elements {', '.join(elements)}"
            )
        return np.array([elements.index(symbol) for symbol in self.symbols], dtype=np.int64)


def read_system(path: Path) -> LabelledSystem:
    """Read a ``deepmd/npy`` system, all its sets in order.

    Raises
    ------
    StageError
        If a file is missing, damaged, or of another shape than the system's number of atoms asks for.
    """
    try:
        types = np.loadtxt(path / "type.raw", dtype=np.int64, ndmin=1)
        type_map = (path / "type_map.raw").read_text(encoding="utf-8").split()
        sets = sorted(path.glob("set.*"))
        if not sets or types.size == 0 or types.min() < 0 or types.max() >= len(type_map):
            raise StageError(
                f"{path}: not a deepmd/npy system (sets: {len(sets)}, atoms: {types.size}, "
                f"elements: {len(type_map)}); export the data set again"
            )
        n_atoms = len(types)
        energies = _stack(sets, "energy", ())
        with_virials = all((item / "virial.npy").exists() for item in sets)
        system = LabelledSystem(
            path=path,
            symbols=tuple(type_map[index] for index in types),
            periodic=not (path / "nopbc").exists(),
            positions_A=_stack(sets, "coord", (n_atoms, 3)),
            cells_A=_stack(sets, "box", (3, 3)),
            energies_eV=energies,
            forces_eV_per_A=_stack(sets, "force", (n_atoms, 3)),
            virials_eV=_stack(sets, "virial", (3, 3)) if with_virials else None,
        )
    except (OSError, ValueError) as error:
        raise StageError(f"{path}: cannot be read as a deepmd/npy system ({error})") from error
    for name in ("positions_A", "cells_A", "forces_eV_per_A"):
        if len(getattr(system, name)) != len(energies):
            raise StageError(
                f"{path}: {len(getattr(system, name))} frames of {name}, expected {len(energies)}"
            )
    return system


def _stack(sets: Sequence[Path], name: str, shape: tuple[int, ...]) -> FloatArray:
    arrays = [np.load(item / f"{name}.npy", allow_pickle=False) for item in sets]
    return np.concatenate([array.reshape(len(array), *shape) for array in arrays]).astype(np.float64)
