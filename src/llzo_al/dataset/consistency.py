"""Whether labels fit together, as a scientist would look at them before training on them.

Nothing here knows the right answer: what stands out is told, and a person decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llzo_al.dataset.duplicates import Duplicate, differing_duplicates
from llzo_al.dataset.energies import Composition, compositions, energy_outliers, fit_energies
from llzo_al.dataset.gathered import Gathered, Outlier, gather
from llzo_al.dataset.records import Record
from llzo_al.dataset.statistics import Distribution, distribution

MD_SOURCES = ("reference_md", "trajectories", "exploration")


@dataclass(frozen=True, kw_only=True)
class CheckLimits:
    """Beyond what something stands out.

    Attributes
    ----------
    energy_z
        Robust standard deviations of a frame's energy from the others of its composition.
    energy_eV_per_atom
        The same as an energy; both must be passed.
    net_force_eV_per_A
        Norm of the sum of a frame's forces by its number of atoms.
    duplicate_eV_per_atom
        Difference of the energies of two frames that are the same structure.
    virial_asymmetry
        Largest difference of a virial and its transpose, relative to its largest component.
    """

    energy_z: float = 8.0
    energy_eV_per_atom: float = 0.05
    net_force_eV_per_A: float = 0.005
    duplicate_eV_per_atom: float = 0.002
    virial_asymmetry: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """What the checks found in labels of one physics.

    Attributes
    ----------
    n_labels
        Labels looked at.
    atomic_energies_eV
        Energy of each element in the linear fit of the energy to the composition; where compositions do not
        tell the elements apart, the shortest of the solutions.
    compositions
        Energies by composition, the most frames first.
    energies
        Composition (its place in `compositions`) and residual (meV/atom) of each frame but dimers.
    forces_eV_per_A
        Norms of the forces on all atoms.
    pressures_GPa, shears_GPa
        Of periodic frames with a virial: a third of its trace, and its largest component off the diagonal, by
        the volume.
    net_forces_eV_per_A
        Norm of the sum of each frame's forces by its number of atoms.
    energy_outliers, net_force_outliers, virial_outliers, still
        Frames that stand out, the worst first; `still` are those from molecular dynamics without any force.
    duplicates
        The same structure with different energies.
    n_without_virial
        Periodic frames without one.
    warnings
        What is suspicious, in sentences; empty if nothing is.
    """

    n_labels: int
    atomic_energies_eV: Mapping[str, float]
    compositions: tuple[Composition, ...]
    energies: tuple[tuple[int, float], ...]
    forces_eV_per_A: Distribution | None
    pressures_GPa: Distribution | None
    shears_GPa: Distribution | None
    net_forces_eV_per_A: Distribution | None
    energy_outliers: tuple[Outlier, ...]
    net_force_outliers: tuple[Outlier, ...]
    virial_outliers: tuple[Outlier, ...]
    still: tuple[Outlier, ...]
    duplicates: tuple[Duplicate, ...]
    n_without_virial: int
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return asdict(self)


def check_labels(records: Iterable[Record], limits: CheckLimits | None = None) -> Consistency:
    """Look at the labels of one physics.

    - *Energy against composition*: the energy by the number of atoms is fitted by a sum over the elements'
      fractions (least squares with Huber's loss, so that few bad labels do not bend it). A frame stands out
      if its residual is far from those of its composition at the same volume (a parabola), unless its energy
      is high and its forces or its pressure say why. Dimers take no part.
    - *Forces, stress*: distributions; molecular dynamics without any force, virials that are not symmetric,
      and pressures that rise with the volume (a wrong sign) stand out.
    - *Net force*: the forces on all atoms sum to zero where the energy does not change with a shift of all.
    - *Duplicates*: the same structure, up to a shift, a rotation and the order of atoms, with two energies.

    Parameters
    ----------
    records
        Labelled frames; those without a label are passed over.
    limits
        Beyond what something stands out.
    """
    limits = limits or CheckLimits()
    gathered = gather(records)
    fit = fit_energies(gathered)
    outliers = energy_outliers(gathered, fit, z=limits.energy_z, least_eV_per_atom=limits.energy_eV_per_atom)
    net_outliers = _worst(
        gathered, gathered.net, limits.net_force_eV_per_A, "net force by the number of atoms"
    )
    virial_outliers = _asymmetric(gathered, limits)
    still = tuple(
        Outlier(identity=identity, kind=kind, value=largest, remark="no force on any atom")
        for identity, kind, source, largest in zip(
            gathered.identities, gathered.kinds, gathered.sources, gathered.largest, strict=True
        )
        if source in MD_SOURCES and largest < 1e-8
    )
    duplicates = differing_duplicates(gathered.records, tolerance_eV_per_atom=limits.duplicate_eV_per_atom)
    stresses = [stress for stress in gathered.stresses_GPa if stress is not None]
    without = sum(
        flag and stress is None for flag, stress in zip(gathered.periodic, gathered.stresses_GPa, strict=True)
    )
    warnings = [
        *_told(outliers, "energies far from those of their composition", "meV/atom"),
        *_told(net_outliers, "net forces that do not vanish", "eV/Å by the number of atoms"),
        *_told(virial_outliers, "virials that are not symmetric", "relative"),
        *_told(still, "frames from molecular dynamics without any force", "eV/Å"),
        *_duplicates_told(duplicates),
        *_rising_pressures(gathered),
    ]
    if 0 < without < sum(gathered.periodic):
        warnings.append(f"{without} of {sum(gathered.periodic)} periodic frames have no virial")
    return Consistency(
        n_labels=len(gathered.identities),
        atomic_energies_eV=fit.atomic_energies_eV,
        compositions=compositions(gathered, fit),
        energies=fit.points(),
        forces_eV_per_A=distribution(np.concatenate(gathered.forces) if gathered.forces else [], log=True),
        pressures_GPa=distribution([float(np.trace(stress)) / 3 for stress in stresses]),
        shears_GPa=distribution([float(np.abs(np.triu(stress, 1)).max()) for stress in stresses]),
        net_forces_eV_per_A=distribution(gathered.net, log=True),
        energy_outliers=outliers,
        net_force_outliers=net_outliers,
        virial_outliers=virial_outliers,
        still=still,
        duplicates=duplicates,
        n_without_virial=without,
        warnings=tuple(warnings),
    )


def _worst(gathered: Gathered, values: Sequence[float], limit: float, what: str) -> tuple[Outlier, ...]:
    found = [
        Outlier(identity=identity, kind=kind, value=value, remark=f"{what} {value:.3g} > {limit:g}")
        for identity, kind, value in zip(gathered.identities, gathered.kinds, values, strict=True)
        if value > limit
    ]
    return tuple(sorted(found, key=lambda each: -each.value))


def _asymmetric(gathered: Gathered, limits: CheckLimits) -> tuple[Outlier, ...]:
    values = []
    for stress in gathered.stresses_GPa:
        scale = 0.0 if stress is None else float(np.abs(stress).max())
        difference = 0.0 if stress is None else float(np.abs(stress - stress.T).max())
        values.append(difference / scale if difference > 1e-3 and scale > 0 else 0.0)
    return _worst(gathered, values, limits.virial_asymmetry, "relative asymmetry")


def _rising_pressures(gathered: Gathered) -> list[str]:
    """Compositions whose pressure rises with the volume: the virial may have the wrong sign."""
    from scipy.stats import spearmanr

    groups: dict[str, list[tuple[float, float]]] = {}
    for index, formula in enumerate(gathered.formulas):
        pressure = gathered.pressure_GPa(index)
        if pressure is not None:
            groups.setdefault(formula, []).append((gathered.volumes[index], pressure))
    told = []
    for formula, points in sorted(groups.items()):
        volumes, pressures = np.array(points).T
        if len(points) < 5 or np.ptp(volumes) < 0.03 * volumes.mean() or np.ptp(pressures) == 0:
            continue
        correlation = float(spearmanr(volumes, pressures).statistic)
        if correlation > 0.5:
            told.append(
                f"{formula}: the pressure rises with the volume (rank correlation {correlation:.2f} over "
                f"{len(points)} frames); is the sign of the virial right?"
            )
    return told


def _told(outliers: Sequence[Outlier], what: str, unit: str) -> list[str]:
    if not outliers:
        return []
    worst = outliers[0]
    return [
        f"{len(outliers)} × {what}, the worst {worst.value:.3g} {unit} ({worst.identity[:12]}, {worst.kind})"
    ]


def _duplicates_told(duplicates: Sequence[Duplicate]) -> list[str]:
    if not duplicates:
        return []
    worst = duplicates[0]
    return [
        f"{len(duplicates)} × the same structure with different energies, the worst pair "
        f"{worst.difference_meV_per_atom:.3g} meV/atom apart ({worst.first[:12]} and {worst.second[:12]})"
    ]
