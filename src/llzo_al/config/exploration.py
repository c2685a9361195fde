"""LAMMPS molecular dynamics with the committee."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import (
    Count,
    Finding,
    NotNegative,
    Positive,
    Repeats,
    Rule,
    Section,
    Temperatures,
    TimestepFs,
    all_different,
    fits_in,
    smaller,
    whole_multiple,
)


def _something_assessed(equilibration_ps: float, duration_ps: float) -> Iterable[Finding]:
    if equilibration_ps >= duration_ps:
        yield (
            ("equilibration_ps",),
            f"is {equilibration_ps:g}; must be shorter than the run (duration_ps is {duration_ps:g})",
        )


def _of_structures(supercells: Mapping[str, object], structures: Sequence[str]) -> Iterable[Finding]:
    for name in supercells:
        if name not in structures:
            yield (
                ("supercells", name),
                f"{name!r} is none of exploration.structures ({', '.join(structures)})",
            )


class Guard(Section):
    """When a run has left physics behind and ends."""

    min_distance_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Shortest allowed distance of two atoms as a fraction of the sum of their covalent radii
    (`ase.data.covalent_radii`)."""
    min_distances_A: dict[str, Positive] = {}
    """Shortest allowed distances of single pairs, such as `Li-O: 1.3` (angstrom), instead of the fraction."""
    max_temperature_factor: Annotated[float, Field(gt=1)] = 3.0
    """Largest instantaneous temperature as a multiple of the target."""
    max_force_deviation_eV_per_A: Positive = 5.0
    """Largest deviation of the committee's forces (eV/angstrom)."""


class Exploration(Section):
    """Molecular dynamics that looks for what the training set does not hold yet."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("structures"),
        Rule(("supercells", "structures"), _of_structures),
        all_different("temperatures_K"),
        whole_multiple("frame_interval_fs", "timestep_fs"),
        fits_in("frame_interval_fs", "duration_ps"),
        whole_multiple("restart_interval_fs", "timestep_fs"),
        fits_in("restart_interval_fs", "duration_ps"),
        Rule(("equilibration_ps", "duration_ps"), _something_assessed),
        smaller("timestep_fs", "thermostat_time_fs"),
        smaller("timestep_fs", "barostat_time_fs"),
    )

    structures: Annotated[list[str], Field(min_length=1)]
    """Built-in crystal names or structure files, as in `initial_data`."""
    primitive: bool = False
    """Use the primitive instead of the conventional cell."""
    supercell: Repeats = [1, 1, 1]
    """Repetitions along the three lattice vectors."""
    supercells: dict[str, Repeats] = {}
    """Repetitions of single structures, such as `Li2O: [2, 2, 2]`, in place of `supercell`."""
    temperatures_K: Temperatures
    """Target temperatures (kelvin); a run for each structure, temperature and replica."""
    replicas: Count = 1
    """Runs with different initial velocities for each structure and temperature."""
    ensemble: Literal["nvt", "npt"] = "nvt"
    """NVT, or NPT where virials are trained (Nose-Hoover chains)."""
    pressure_bar: float = 0.0
    """Target pressure of NPT (bar)."""
    duration_ps: Positive = 10.0
    """Length of each run (picoseconds)."""
    timestep_fs: TimestepFs = 1.0
    """Timestep (femtoseconds)."""
    frame_interval_fs: Positive = 50.0
    """Time between the frames that are kept, assessed and checked by the guard (femtoseconds)."""
    thermostat_time_fs: Positive = 100.0
    """Relaxation time of the thermostat (femtoseconds)."""
    barostat_time_fs: Positive = 1000.0
    """Relaxation time of the barostat (femtoseconds)."""
    restart_interval_fs: Positive | None = None
    """Time between restart files (femtoseconds); by default a tenth of the run."""
    equilibration_ps: NotNegative = 0.0
    """Length of the start whose frames are checked by the guard but not assessed (picoseconds)."""
    guard: Guard = Guard()
    """When a run has left physics behind and ends."""
