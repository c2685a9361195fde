"""Molecular dynamics with the forces of the reference itself."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import (
    Count,
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


class ReferenceMD(Section):
    """Snapshots of molecular dynamics that the reference itself runs."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("structures"),
        all_different("temperatures_K"),
        whole_multiple("snapshot_interval_fs", "timestep_fs"),
        fits_in("snapshot_interval_fs", "duration_ps"),
        smaller("timestep_fs", "thermostat_time_fs"),
    )

    kind: Literal["reference_md"]
    """Molecular dynamics with the labeller's own forces (with a DFT calculator: ab initio MD)."""
    structures: Annotated[list[str], Field(min_length=1)]
    """Built-in crystal names or structure files, as for `crystals`."""
    primitive: bool = False
    """Use the primitive instead of the conventional cell."""
    supercell: Repeats = [1, 1, 1]
    """Repetitions along the three lattice vectors."""
    temperatures_K: Temperatures
    """One NVT trajectory for each structure and temperature (kelvin)."""
    replicas: Count = 1
    """Trajectories with different initial velocities for each structure and temperature."""
    duration_ps: Positive = 1.0
    """Length of a trajectory after equilibration (picoseconds)."""
    equilibration_ps: NotNegative = 0.2
    """Length of the start that is dropped (picoseconds)."""
    timestep_fs: TimestepFs = 1.0
    """Timestep (femtoseconds)."""
    snapshot_interval_fs: Positive = 100.0
    """Time between the snapshots that are labelled (femtoseconds)."""
    thermostat_time_fs: Positive = 100.0
    """Relaxation time of the thermostat (femtoseconds)."""
