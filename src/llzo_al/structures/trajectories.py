"""Snapshots of trajectories that were run elsewhere."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.trajectories import Trajectories
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.errors import UserError
from llzo_al.structures.autocorrelation import Stride, choose_stride, frame_observables
from llzo_al.structures.trajectory_files import (
    FileFormat,
    TrajectoryError,
    Visited,
    guess_format,
    read_frames,
)

_VOLUME_MIN_A3 = 1e-3
_log = logging.getLogger(__name__)


def trajectory_frames(
    source: Trajectories, *, elements: Sequence[str], base: Path
) -> Iterator[tuple[Frame, Label | None]]:
    """Snapshots of each file, one at a time, with the labels that the section lets them bring along.

    Parameters
    ----------
    source
        The campaign file's section.
    elements
        Elements of the campaign.
    base
        Folder that relative paths start from.

    Raises
    ------
    UserError
        If a file is missing, unreadable, cut short, or holds something that the campaign cannot use; the
        message names the file and the frame.
    """
    for name, path in _files(source, base):
        yield from _TrajectoryFile(source, name, path, elements).snapshots()


class _TrajectoryFile:
    """One file of a section."""

    def __init__(self, source: Trajectories, name: str, path: Path, elements: Sequence[str]) -> None:
        self._source = source
        self._name = name
        self._path = path
        self._elements = elements
        self._format = _format(source, path)

    def snapshots(self) -> Iterator[tuple[Frame, Label | None]]:
        """Snapshots at the section's stride, or at the one that autocorrelation justifies."""
        choice = self._choose() if self._source.stride == "auto" else None
        stride = choice.stride if choice is not None else int(self._source.stride)
        wanted = None if choice is None else set(choice.kept())
        count = unconverged = 0
        for number, visited in self._frames():
            after = number - self._source.equilibration_frames
            if after not in wanted if wanted is not None else after % stride != stride - 1:
                continue
            details: dict[str, Any] = {"file": self._name, "index": number}
            if choice is not None:
                details["autocorrelation"] = {"estimated": choice.estimated, "reason": choice.reason}
            unconverged += not visited.converged
            yield self._frame(visited.atoms, count, details), self._label(number, visited)
            count += 1
        if unconverged and self._source.same_level_of_theory:
            _log.warning(
                "%s: %d snapshots whose electrons did not converge are labelled again",
                self._name,
                unconverged,
            )
        if not count:
            raise self._error(
                f"gives no snapshot after equilibration_frames ({self._source.equilibration_frames}) at a "
                f"stride of {stride}; lower one of them"
            )

    def _choose(self) -> Stride:
        fallback = self._source.fallback_stride

        def observed(with_energies: bool) -> Any:
            return frame_observables(
                (self._frame(visited.atoms, 0, {}), visited.energy_eV if with_energies else None)
                for _, visited in self._frames()
            )

        choice = choose_stride(observed(True) or observed(False), fallback=fallback)
        _log.info("%s: %s", self._name, choice.reason)
        return choice

    def _frames(self) -> Iterator[tuple[int, Visited]]:
        """Checked frames after equilibration with their numbers in the file, from 0."""
        number = -1
        try:
            for number, visited in enumerate(read_frames(self._path, self._format)):
                if number >= self._source.equilibration_frames:
                    self._check(number, visited.atoms)
                    yield number, visited
        except TrajectoryError as error:
            if not self._source.skip_incomplete or number < 0:
                hint = (
                    "; to go on with the whole frames before, set skip_incomplete: true"
                    if number >= 0
                    else ""
                )
                raise self._error(f"as {self._format}: {error}{hint}") from error
            _log.warning("%s: %s; going on with the %d frames before", self._name, error, number + 1)

    def _check(self, number: int, atoms: Atoms) -> None:
        foreign = sorted(set(atoms.get_chemical_symbols()) - set(self._elements))
        if foreign:
            raise self._error(
                f"frame {number} holds {', '.join(foreign)}, the campaign's elements are "
                f"{', '.join(self._elements)}; remove the file, or add them under elements"
            )
        if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
            raise self._error(f"frame {number} has positions or a cell that are not finite")
        if abs(atoms.get_volume() if atoms.cell.rank == 3 else 0.0) < _VOLUME_MIN_A3:
            raise self._error(
                f"frame {number} has no cell with a volume; give the three lattice vectors (extended XYZ: "
                'Lattice="...")'
            )

    def _frame(self, atoms: Atoms, index: int, details: dict[str, Any]) -> Frame:
        """A snapshot, its atoms wrapped into the cell, where dynamics may have led them out of it."""
        plain = Atoms(
            symbols=atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc
        )
        plain.wrap()
        return Frame.from_atoms(
            plain,
            Provenance(
                source="trajectories",
                kind=self._kind(),
                group=f"trajectories/{self._name}",
                frame=index,
                temperature_K=self._source.temperature_K,
                details=details,
            ),
        )

    def _label(self, number: int, visited: Visited) -> Label | None:
        if not self._source.same_level_of_theory or not visited.converged:
            return None
        energy_eV, forces, stress = visited.energy_eV, visited.array("forces"), visited.array("stress")
        if energy_eV is None or forces is None:
            missing = "energy" if energy_eV is None else "forces"
            raise self._error(
                f"frame {number} has no {missing}, which same_level_of_theory promises as labels; set it to "
                "false, or give a file that has them (OUTCAR, vasprun.xml)"
            )
        virial_eV = None if stress is None else -stress * visited.atoms.get_volume()
        if not (np.isfinite(energy_eV) and np.isfinite(forces).all()):
            raise self._error(f"frame {number} has an energy or forces that are not finite")
        return Label(energy_eV=energy_eV, forces_eV_per_A=forces, virial_eV=virial_eV)

    def _kind(self) -> str:
        if self._source.structure is not None:
            return self._source.structure
        named = self._path.parent if self._format in ("xdatcar", "outcar", "vasprun") else self._path
        return named.name.split(".")[0] or self._path.name

    def _error(self, what: str) -> UserError:
        return UserError(f"trajectory {self._path}: {what}")


def _files(source: Trajectories, base: Path) -> list[tuple[str, Path]]:
    """Files by the name that the section leads to, in the order of the section."""
    found: dict[str, Path] = {}
    for pattern in source.files:
        matches = sorted(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207 - sorted, relative
        if not matches:
            raise UserError(
                f"initial_data (trajectories): files: {pattern!r} matches nothing in {base.resolve()}; give "
                "paths relative to the campaign file"
            )
        for name in matches:
            if not (base / name).is_file():
                raise UserError(f"initial_data (trajectories): files: {base / name} is not a file")
            found.setdefault(name, base / name)
    return list(found.items())


def _format(source: Trajectories, path: Path) -> FileFormat:
    if source.format is not None:
        return source.format
    guess = guess_format(path)
    if guess is None:
        raise UserError(
            f"trajectory {path}: its name does not tell what it is; set format to xdatcar, outcar, vasprun, "
            "traj or extxyz"
        )
    return guess
