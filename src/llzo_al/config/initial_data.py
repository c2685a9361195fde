"""Sources of the first training set."""

from __future__ import annotations

from collections.abc import Iterable
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


def _images_apart(box_length_A: float, distance_max_A: float) -> Iterable[Finding]:
    if box_length_A <= 2 * distance_max_A:
        yield (
            ("box_length_A",),
            f"is {box_length_A:g}; must be more than twice distance_max_A ({distance_max_A:g})",
        )


def _copies_differ(rattled_copies: int, rattle_std_A: float) -> Iterable[Finding]:
    if rattled_copies and not rattle_std_A:
        yield ("rattle_std_A",), "is 0; copies that are not displaced are identical: set rattled_copies to 0"


class Dimers(Section):
    """Two atoms at a range of distances, for every pair of elements."""

    rules: ClassVar[tuple[Rule, ...]] = (
        smaller("distance_min_A", "distance_max_A"),
        Rule(("box_length_A", "distance_max_A"), _images_apart),
    )

    kind: Literal["dimers"]
    """Two isolated atoms in a periodic box."""
    pairs: Annotated[list[str], Field(min_length=1)] | None = None
    """Pairs such as `Li-O`; by default every pair of the campaign's elements, like pairs included."""
    distance_min_A: Positive = 1.0
    """Shortest distance (angstrom). The default range is that of You et al. (2024)."""
    distance_max_A: Positive = 4.0
    """Longest distance (angstrom)."""
    points: Annotated[int, Field(ge=2)] = 13
    """Distances per pair, evenly spaced, both ends included."""
    box_length_A: Positive = 20.0
    """Edge of the cubic box (angstrom); at least the longest distance plus twice the labeller's cutoff keeps
    the images apart."""


class Crystals(Section):
    """Crystals from their published symmetry and positions, scaled and rattled."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("structures"),
        all_different("scale_factors"),
        Rule(("rattled_copies", "rattle_std_A"), _copies_differ),
    )

    kind: Literal["crystals"]
    """Built-in crystals or structure files."""
    structures: Annotated[list[str], Field(min_length=1)]
    """Built-in names (`t-LLZO`, `Li2O`, `La2O3`, `ZrO2`) or paths of files that ASE reads, relative to the
    campaign file."""
    primitive: bool = False
    """Use the primitive instead of the conventional cell (t-LLZO: 96 instead of 192 atoms)."""
    supercell: Repeats = [1, 1, 1]
    """Repetitions along the three lattice vectors."""
    scale_factors: Annotated[list[Annotated[float, Field(ge=0.5, le=2)]], Field(min_length=1)] = [
        0.96,
        0.98,
        1.0,
        1.02,
        1.04,
    ]
    """Linear scale factors of the lattice constants."""
    rattled_copies: Annotated[int, Field(ge=0)] = 2
    """Copies with random displacements for each scale factor, besides the undisplaced one."""
    rattle_std_A: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Standard deviation of each Cartesian displacement (angstrom)."""


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


Source = Annotated[Dimers | Crystals | ReferenceMD, Field(discriminator="kind")]
