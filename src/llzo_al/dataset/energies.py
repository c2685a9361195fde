"""Energies of labels against their compositions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llzo_al.dataset.frames import FloatArray
from llzo_al.dataset.gathered import Gathered, Outlier
from llzo_al.dataset.statistics import MAD_TO_SIGMA, atomic_energies, deviation, robust_fit

ISOLATED = "dimers"
"""Source of frames that a composition says little about."""

FEWEST = 5
"""Frames of a composition below which none of them can stand out."""


@dataclass(frozen=True, kw_only=True)
class Composition:
    """Energies of the frames of one composition.

    Attributes
    ----------
    formula
        In Hill's order.
    n_frames, n_atoms
        Frames, and atoms of each.
    energy_eV_per_atom
        Median of the energy by the number of atoms.
    residual_meV_per_atom
        Median of what the linear fit to all compositions leaves.
    spread_meV_per_atom
        1.4826 x median absolute deviation about that.
    """

    formula: str
    n_frames: int
    n_atoms: int
    energy_eV_per_atom: float
    residual_meV_per_atom: float
    spread_meV_per_atom: float


@dataclass(frozen=True, kw_only=True)
class EnergyFit:
    """The linear fit of the energy to the composition, and what it leaves.

    Attributes
    ----------
    atomic_energies_eV
        Energy of each element.
    chosen
        Index of each fitted label among those gathered.
    residuals
        What the fit leaves (eV/atom), shape (n_chosen,).
    members
        Places (in `chosen`) of the labels of each composition, the composition with the most first.
    """

    atomic_energies_eV: dict[str, float]
    chosen: Sequence[int]
    residuals: FloatArray
    members: dict[str, list[int]]

    def points(self) -> tuple[tuple[int, float], ...]:
        """Composition (its place in `members`) and residual (meV/atom) of each label."""
        return tuple(
            (number, 1000 * float(self.residuals[place]))
            for number, places in enumerate(self.members.values())
            for place in places
        )


def fit_energies(gathered: Gathered) -> EnergyFit:
    """Fit the energies of all labels but dimers."""
    chosen = [index for index, source in enumerate(gathered.sources) if source != ISOLATED]
    if not chosen:
        return EnergyFit(atomic_energies_eV={}, chosen=(), residuals=np.zeros(0), members={})
    atomic, residuals = atomic_energies(
        [gathered.counts[index] for index in chosen], [gathered.energies_eV[index] for index in chosen]
    )
    members: dict[str, list[int]] = {}
    for place, index in enumerate(chosen):
        members.setdefault(gathered.formulas[index], []).append(place)
    ordered = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    return EnergyFit(atomic_energies_eV=atomic, chosen=chosen, residuals=residuals, members=dict(ordered))


def compositions(gathered: Gathered, fit: EnergyFit) -> tuple[Composition, ...]:
    """Energies by composition, the one with the most frames first."""
    found = []
    for formula, places in fit.members.items():
        indices = [fit.chosen[place] for place in places]
        n_atoms = sum(gathered.counts[indices[0]].values())
        energies = [gathered.energies_eV[index] / n_atoms for index in indices]
        found.append(
            Composition(
                formula=formula,
                n_frames=len(places),
                n_atoms=n_atoms,
                energy_eV_per_atom=float(np.median(energies)),
                residual_meV_per_atom=1000 * float(np.median(fit.residuals[places])),
                spread_meV_per_atom=1000 * MAD_TO_SIGMA * deviation(fit.residuals[places]),
            )
        )
    return tuple(found)


def energy_outliers(
    gathered: Gathered, fit: EnergyFit, *, z: float, least_eV_per_atom: float
) -> tuple[Outlier, ...]:
    """Labels whose energy is far from those of their composition at the same volume, the worst first.

    A high energy that forces or pressure explain does not stand out.

    Parameters
    ----------
    gathered, fit
        The labels, and their fit.
    z
        Robust standard deviations, of the composition or of all of them, whichever is larger.
    least_eV_per_atom
        The same as an energy; both must be passed.
    """
    within = np.zeros(len(fit.chosen))
    for places in fit.members.values():
        volumes = np.array([gathered.volumes[fit.chosen[place]] for place in places])
        within[places] = _without_volume(fit.residuals[places], volumes)
    several = {formula: places for formula, places in fit.members.items() if len(places) >= FEWEST}
    pooled = deviation(within[[place for places in several.values() for place in places]])
    found = []
    for formula, places in several.items():
        sigma = MAD_TO_SIGMA * max(pooled, deviation(within[places]))
        limit = max(z * sigma, least_eV_per_atom)
        indices = [fit.chosen[place] for place in places]
        for place, index in zip(places, indices, strict=True):
            value = float(within[place])
            if abs(value) > limit and not (value > 0 and _explained(gathered, indices, index)):
                found.append(
                    Outlier(
                        identity=gathered.identities[index],
                        kind=gathered.kinds[index],
                        value=1000 * value,
                        remark=f"{formula}: {1000 * value:+.0f} meV/atom from others of its volume; largest "
                        f"force {gathered.largest[index]:.2f} eV/Å",
                    )
                )
    return tuple(sorted(found, key=lambda each: -abs(each.value)))


def _without_volume(residuals: FloatArray, volumes: FloatArray) -> FloatArray:
    """Residuals of one composition less their median, or less a parabola in the volume where that varies.

    A frame without three others within 2 % of its volume has nothing to be compared with: it takes no part
    and gets 0.
    """
    near = (np.abs(volumes[:, None] / volumes - 1.0) < 0.02).sum(axis=1) > 3
    within = np.zeros(len(residuals))
    if not near.any():
        return within
    kept, strain = residuals[near], volumes[near] / volumes[near].mean() - 1.0
    if len(kept) < 8 or np.ptp(strain) < 0.01:
        within[near] = kept - np.median(kept)
    else:
        parabola = np.stack([np.ones_like(strain), strain, strain**2], axis=1)
        within[near] = robust_fit(parabola, kept)[1]
    return within


def _explained(gathered: Gathered, members: Sequence[int], index: int) -> bool:
    """Whether forces or pressure of a label are as far from those of its composition as its energy is."""
    usual = float(np.median([gathered.largest[member] for member in members]))
    if gathered.largest[index] > 3 * usual + 0.1:
        return True
    own = gathered.pressure_GPa(index)
    pressures = [gathered.pressure_GPa(member) for member in members]
    known = np.array([pressure for pressure in pressures if pressure is not None])
    if own is None:
        return False
    return bool(abs(own - float(np.median(known))) > 5.0 + 3 * deviation(known))
