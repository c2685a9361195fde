"""Where ionic runs of VASP go on after a kill, a time limit or the end of a segment."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llzo_al.dataset.frames import FloatArray
from llzo_al.labelling.vasp.check import distance_A, shortest_A
from llzo_al.labelling.vasp.outputs import IonicStep

_SAME_A = 1e-5
_FAR_A = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where the next piece starts.

    Attributes
    ----------
    step
        Number of its first ionic step.
    poscar
        Text of its POSCAR, with velocities where there are some.
    """

    step: int
    poscar: str


def next_start(
    directory: Path,
    first: int,
    steps: Sequence[IonicStep],
    symbols: Sequence[str],
    *,
    timestep_fs: float | None,
) -> Start:
    """Where a run goes on whose last piece is in `directory`: at its CONTCAR.

    A CONTCAR that is missing or cut short is made good: for dynamics the last two structures are continued
    along a straight line, with the velocity that follows; a relaxation starts from its last structure.

    Parameters
    ----------
    directory
        Where the last piece ran.
    first
        Number of its first ionic step in the whole run.
    steps
        Its finished ionic steps, at least one.
    symbols
        Chemical symbols in the order of its POSCAR.
    timestep_fs
        Timestep of dynamics, None for a relaxation.
    """
    done, step = first + len(steps), steps[-1]
    contcar = _read_poscar(directory / "CONTCAR", len(symbols))
    if contcar is not None:
        positions_A, text = contcar
        off_A = distance_A(positions_A, step.positions_A, step.cell_A)
        if off_A < _SAME_A:  # not moved on yet: the step is taken again, so that its forces are known
            return Start(step=done - 1, poscar=text)
        if off_A < _FAR_A:
            return Start(step=done, poscar=text)
    _log.warning("%s: CONTCAR cannot be used; going on from the last ionic steps", directory)
    if timestep_fs is None or len(steps) < 2:
        return Start(step=done - 1, poscar=_poscar(symbols, step.positions_A, step.cell_A, None))
    moved_A = shortest_A(step.positions_A - steps[-2].positions_A, step.cell_A)
    poscar = _poscar(symbols, step.positions_A + moved_A, step.cell_A, moved_A / timestep_fs)
    return Start(step=done, poscar=poscar)


def _poscar(
    symbols: Sequence[str],
    positions_A: FloatArray,
    cell_A: FloatArray,
    velocities_A_per_fs: FloatArray | None,
) -> str:
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.vasp.inputs import Poscar

    structure = Structure(Lattice(cell_A), list(symbols), positions_A, coords_are_cartesian=True)
    velocities = None if velocities_A_per_fs is None else velocities_A_per_fs.tolist()
    made = Poscar(structure, comment="continued", velocities=velocities)
    return str(made.get_str(significant_figures=12))


def _read_poscar(path: Path, n_atoms: int) -> tuple[FloatArray, str] | None:
    """Cartesian positions (n_atoms, 3) and text of a CONTCAR; None if it is not whole."""
    from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar

    try:
        text = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            poscar = Poscar.from_str(text)
    except (OSError, ValueError, IndexError, KeyError, BadPoscarWarning):  # pymatgen raises its warning
        return None
    positions_A = np.array(poscar.structure.cart_coords)
    if positions_A.shape != (n_atoms, 3) or not np.isfinite(positions_A).all():
        return None
    return positions_A, text
