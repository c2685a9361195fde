"""A few numbers for each frame of existing data, and what they say of it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.initial_data.existing_data import ExistingData
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.dataset.identity import structure_hash
from llzo_al.errors import UserError
from llzo_al.structures.existing.consistency import WorkEnergy
from llzo_al.structures.existing.distances import closest, neighbour_fraction
from llzo_al.structures.existing.outliers import energy_scores, force_scores
from llzo_al.structures.existing.places import SOURCE, DataSet
from llzo_al.structures.existing.reading import Reading
from llzo_al.structures.existing.report import CHECKS

_SAMPLE_EVERY = 50
_SAME_ENERGY_EV_PER_ATOM = 1e-3
_SMALLEST_VOLUME_A3 = 1e-3


@dataclass(kw_only=True)
class Columns:
    """What is remembered of each frame: its hash and about a hundred bytes of numbers.

    Attributes
    ----------
    elements
        The campaign's elements.
    with_labels
        Whether labels enter, and so are looked at.
    fraction_limit
        Distances below this fraction of the sum of covalent radii are told exactly.
    data, frames_of
        The data sets, and how many frames of each were read.
    number_in_file, energy_eV_per_atom, max_force_eV_per_A, distance_A, fraction
        Of each frame: its number, energy per atom and largest force (NaN without a label), shortest distance,
        and that in units of covalent radii.
    shares
        Shares of the elements, n_elements numbers for each frame.
    unusable, no_label, no_virial
        Frames that are or lack this.
    duplicate
        Frames that are the same structure as an earlier one, and which.
    neighbour_fractions
        Median nearest distances of a sample of the frames.
    work_energy
        Changes of energy and work of the forces.
    """

    elements: tuple[str, ...]
    with_labels: bool
    fraction_limit: float
    data: list[DataSet] = field(default_factory=list)
    frames_of: list[int] = field(default_factory=list)
    number_in_file: array[int] = field(default_factory=lambda: array("l"))
    energy_eV_per_atom: array[float] = field(default_factory=lambda: array("d"))
    max_force_eV_per_A: array[float] = field(default_factory=lambda: array("d"))
    distance_A: array[float] = field(default_factory=lambda: array("d"))
    fraction: array[float] = field(default_factory=lambda: array("d"))
    shares: array[float] = field(default_factory=lambda: array("d"))
    unusable: list[int] = field(default_factory=list)
    duplicate: dict[int, int] = field(default_factory=dict)
    no_label: list[int] = field(default_factory=list)
    no_virial: list[int] = field(default_factory=list)
    neighbour_fractions: list[float] = field(default_factory=list)
    work_energy: WorkEnergy = field(default_factory=WorkEnergy)
    _first_seen: dict[bytes, int] = field(default_factory=dict)
    _first: Reading | None = None
    _previous: Reading | None = None

    @property
    def total(self) -> int:
        """Frames that were read."""
        return len(self.number_in_file)

    def begin(self, data: DataSet) -> None:
        """Frames that follow belong to `data`."""
        self.data.append(data)
        self.frames_of.append(0)
        self._first = self._previous = None

    def add(self, frame: Reading) -> None:
        """Look at one frame.

        Raises
        ------
        UserError
            If it holds an element that is not the campaign's.
        """
        self._check_elements(frame)
        number = self.total
        usable = _usable(frame)
        if not usable:
            self.unusable.append(number)
        near = closest(frame, limit=self.fraction_limit) if usable else None
        labelled = usable and frame.energy_eV is not None and frame.forces_eV_per_A is not None
        self.number_in_file.append(frame.index)
        self.frames_of[-1] += 1
        self.distance_A.append(np.inf if near is None else near.distance_A)
        self.fraction.append(np.inf if near is None else near.fraction)
        self.energy_eV_per_atom.append(
            float(frame.energy_eV or 0.0) / len(frame.symbols) if labelled else np.nan
        )
        self.max_force_eV_per_A.append(_max_force(frame) if labelled else np.nan)
        self.shares.extend(frame.symbols.count(symbol) / len(frame.symbols) for symbol in self.elements)
        if not labelled:
            self.no_label.append(number)
        elif frame.virial_eV is None and all(frame.periodic):
            self.no_virial.append(number)
        if usable:
            self._compare(frame, number)

    def _compare(self, frame: Reading, number: int) -> None:
        identity = bytes.fromhex(structure_hash(_bare(frame)).split("-", 1)[1])
        first = self._first_seen.setdefault(identity, number)
        if first != number:
            self.duplicate[number] = first
        if (self.frames_of[-1] - 1) % _SAMPLE_EVERY == 0:
            fraction = neighbour_fraction(frame)
            if fraction is not None:
                self.neighbour_fractions.append(fraction)
        if self._previous is not None:
            self.work_energy.add(self._previous, frame)
        if self._first is not None and self._first is not self._previous:
            self.work_energy.add(self._first, frame)
        self._first, self._previous = self._first or frame, frame

    def _check_elements(self, frame: Reading) -> None:
        foreign = sorted(set(frame.symbols) - set(self.elements))
        if foreign:
            raise UserError(
                f"{SOURCE}: {self.data[-1].path}, frame {frame.index}: holds {', '.join(foreign)}, outside "
                "the type "
                f"map; `elements` lists {', '.join(self.elements)}"
            )

    def flags(self, source: ExistingData) -> dict[str, NDArray[np.bool_]]:
        """For each of `CHECKS`, which frames it found; shape (n_frames,) each."""
        energies, forces = np.array(self.energy_eV_per_atom), np.array(self.max_force_eV_per_A)
        found = {name: np.zeros(self.total, dtype=bool) for name in CHECKS}
        found["unusable"][self.unusable] = True
        found["duplicate"][list(self.duplicate)] = True
        found["distance"] = np.array(self.fraction) < source.distance_min_fraction
        if self.with_labels:
            for number, first in self.duplicate.items():
                difference = abs(energies[number] - energies[first])
                found["contradictory"][number] = difference > _SAME_ENERGY_EV_PER_ATOM
            shares = np.array(self.shares).reshape(self.total, len(self.elements))
            found["energy"] = energy_scores(energies, shares) > source.energy_z_max
            found["force"] = (forces > source.force_max_eV_per_A) | (
                force_scores(forces) > source.force_z_max
            )
            found["no label"][self.no_label] = True
            found["no virial"][self.no_virial] = True
        return found

    def where(self, number: int) -> str:
        """Data set and frame of a number: "data.extxyz, frame 12"."""
        index = int(np.searchsorted(np.cumsum(self.frames_of), number, side="right"))
        return f"{self.data[index].name}, frame {self.number_in_file[number]}"

    def told(self, name: str, number: int) -> str:
        """What a check found, with its numbers."""
        where = self.where(number)
        if name in ("duplicate", "contradictory"):
            return f"{where}: {CHECKS[name]} ({self.where(self.duplicate[number])})"
        if name == "energy":
            return f"{where}: {self.energy_eV_per_atom[number]:.4f} eV/atom"
        if name == "force":
            return f"{where}: {self.max_force_eV_per_A[number]:.2f} eV/angstrom"
        if name == "distance":
            fraction = f"{self.fraction[number]:.2f} of the sum of covalent radii"
            return f"{where}: {self.distance_A[number]:.3f} angstrom, {fraction}"
        return f"{where}: {CHECKS[name]}"


def _usable(frame: Reading) -> bool:
    if not frame.finite or not frame.symbols:
        return False
    return not any(frame.periodic) or abs(float(np.linalg.det(frame.cell_A))) > _SMALLEST_VOLUME_A3


def _max_force(frame: Reading) -> float:
    return float(np.linalg.norm(np.asarray(frame.forces_eV_per_A), axis=1).max(initial=0.0))


def _bare(frame: Reading) -> Frame:
    return Frame(
        symbols=frame.symbols,
        positions_A=frame.positions_A,
        cell_A=frame.cell_A,
        periodic=frame.periodic,
        charge=frame.charge,
        multiplicity=frame.multiplicity,
        provenance=Provenance(source=SOURCE, kind="", group="", frame=frame.index),
    )
