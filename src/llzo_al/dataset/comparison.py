"""The same frames labelled by two methods, compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase.units import GPa

from llzo_al.dataset.identity import canonical_order, structure_hash
from llzo_al.dataset.records import Record
from llzo_al.dataset.statistics import atomic_energies


@dataclass(frozen=True, kw_only=True)
class MethodComparison:
    """Differences of two methods on the frames that both have labelled.

    Attributes
    ----------
    first, second
        The methods.
    n_frames, n_atoms
        Common frames, and atoms of all of them.
    energy_shift_eV
        Energy of each element by which the second method's zero differs from the first's: fitted, since every
        code and every set of pseudopotentials has its own zero.
    energy_rmse_meV_per_atom
        Of the energies by the number of atoms, after that shift.
    force_rmse_meV_per_A, force_max_meV_per_A
        Of the components of the forces, and the largest.
    force_rms_meV_per_A
        Of the first method's components, to compare with.
    stress_rmse_GPa
        Of the components of the stress where both have one; None if there is none.
    """

    first: str
    second: str
    n_frames: int
    n_atoms: int
    energy_shift_eV: Mapping[str, float]
    energy_rmse_meV_per_atom: float
    force_rmse_meV_per_A: float
    force_max_meV_per_A: float
    force_rms_meV_per_A: float
    stress_rmse_GPa: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return asdict(self)


def compare_methods(
    first: Iterable[Record], second: Iterable[Record], *, names: tuple[str, str]
) -> MethodComparison | None:
    """Compare two sets of labelled records on the structures that both hold; None if there is no such.

    Parameters
    ----------
    first, second
        Records of one physics each; the order of atoms may differ.
    names
        What to call the two methods.
    """
    known = {structure_hash(record.frame): record for record in first if record.label is not None}
    pairs = []
    for record in second:
        key = structure_hash(record.frame)
        if record.label is not None and key in known:
            pairs.append((known.pop(key), record))
    if not pairs:
        return None
    forces, references, stresses, energies, counts = [], [], [], [], []
    for one, other in pairs:
        if one.label is None or other.label is None:
            continue
        mine = one.label.forces_eV_per_A[canonical_order(one.frame)]
        references.append(mine.ravel())
        forces.append((other.label.forces_eV_per_A[canonical_order(other.frame)] - mine).ravel())
        energies.append(other.label.energy_eV - one.label.energy_eV)
        counts.append({symbol: one.frame.symbols.count(symbol) for symbol in sorted(set(one.frame.symbols))})
        if one.label.virial_eV is not None and other.label.virial_eV is not None:
            volume = abs(float(np.linalg.det(one.frame.cell_A)))
            stresses.append((other.label.virial_eV - one.label.virial_eV).ravel() / volume / GPa)
    shift, residuals = atomic_energies(counts, energies)
    difference = np.concatenate(forces)
    return MethodComparison(
        first=names[0],
        second=names[1],
        n_frames=len(pairs),
        n_atoms=sum(record.frame.n_atoms for record, _ in pairs),
        energy_shift_eV=shift,
        energy_rmse_meV_per_atom=1000 * _rms(residuals),
        force_rmse_meV_per_A=1000 * _rms(difference),
        force_max_meV_per_A=1000 * float(np.abs(difference).max()),
        force_rms_meV_per_A=1000 * _rms(np.concatenate(references)),
        stress_rmse_GPa=_rms(np.concatenate(stresses)) if stresses else None,
    )


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
