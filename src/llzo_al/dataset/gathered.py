"""What the checks of labels keep of each record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from ase.units import GPa

from llzo_al.dataset.frames import FloatArray
from llzo_al.dataset.records import Record, max_force


@dataclass(frozen=True, kw_only=True)
class Outlier:
    """A frame that stands out.

    Attributes
    ----------
    identity, kind
        Which.
    value
        Of what it was looked at for, in that check's unit.
    remark
        In words.
    """

    identity: str
    kind: str
    value: float
    remark: str


@dataclass
class Gathered:
    """Lists with an entry for each label.

    Energies are in eV and forces in eV/angstrom; volumes (cubic angstrom) and net forces are by the number of
    atoms.
    """

    identities: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    formulas: list[str] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)
    energies_eV: list[float] = field(default_factory=list)
    forces: list[FloatArray] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)
    net: list[float] = field(default_factory=list)
    volumes: list[float] = field(default_factory=list)
    stresses_GPa: list[FloatArray | None] = field(default_factory=list)
    periodic: list[bool] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Take in a record; one without a label is passed over."""
        if record.label is None:
            return
        frame, label = record.frame, record.label
        volume = abs(float(np.linalg.det(frame.cell_A)))
        self.identities.append(record.identity)
        self.kinds.append(frame.provenance.kind)
        self.sources.append(frame.provenance.source)
        self.counts.append({symbol: frame.symbols.count(symbol) for symbol in sorted(set(frame.symbols))})
        self.formulas.append(_formula(self.counts[-1]))
        self.energies_eV.append(label.energy_eV)
        self.forces.append(np.linalg.norm(label.forces_eV_per_A, axis=1))
        self.largest.append(max_force(label.forces_eV_per_A))
        self.net.append(float(np.linalg.norm(label.forces_eV_per_A.sum(axis=0))) / frame.n_atoms)
        self.volumes.append(volume / frame.n_atoms)
        virial = label.virial_eV
        self.stresses_GPa.append(None if virial is None or volume == 0 else virial / volume / GPa)
        self.periodic.append(all(frame.periodic))
        self.records.append(record)

    def pressure_GPa(self, index: int) -> float | None:
        """Pressure of a label, positive where the frame is compressed; None without a virial."""
        stress = self.stresses_GPa[index]
        return None if stress is None else float(np.trace(stress)) / 3


def gather(records: Iterable[Record]) -> Gathered:
    """Take in all labelled records."""
    gathered = Gathered()
    for record in records:
        gathered.add(record)
    return gathered


def _formula(count: Mapping[str, int]) -> str:
    from ase.formula import Formula

    return str(Formula.from_dict(dict(count)).format("hill"))
