"""Molecular dynamics with the forces of the reference itself."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

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
    number,
    smaller,
    whole_multiple,
)

_MELT_TIME_PS = 5.0
_COOLING_K_PER_PS = 200.0


def _interval_in_steps(snapshot_interval_fs: float | str, timestep_fs: float) -> Iterable[Finding]:
    if not isinstance(snapshot_interval_fs, str):
        yield from whole_multiple("snapshot_interval_fs", "timestep_fs").find(
            snapshot_interval_fs, timestep_fs
        )


def _interval_in_run(snapshot_interval_fs: float | str, duration_ps: float) -> Iterable[Finding]:
    if not isinstance(snapshot_interval_fs, str):
        yield from fits_in("snapshot_interval_fs", "duration_ps").find(snapshot_interval_fs, duration_ps)


def _samples_in_run(
    snapshot_interval_fs: float | str, sampling_interval_fs: float, timestep_fs: float, duration_ps: float
) -> Iterable[Finding]:
    if snapshot_interval_fs == "auto":
        yield from whole_multiple("sampling_interval_fs", "timestep_fs").find(
            sampling_interval_fs, timestep_fs
        )
        yield from fits_in("sampling_interval_fs", "duration_ps").find(sampling_interval_fs, duration_ps)


def _fallback_of_samples(
    snapshot_interval_fs: float | str, fallback_interval_fs: float, sampling_interval_fs: float
) -> Iterable[Finding]:
    if snapshot_interval_fs == "auto":
        yield from whole_multiple("fallback_interval_fs", "sampling_interval_fs").find(
            fallback_interval_fs, sampling_interval_fs
        )


def _falling(schedule: str, temperatures_K: list[float]) -> Iterable[Finding]:
    if schedule != "melt_quench":
        return
    if len(temperatures_K) < 2:
        yield (
            ("temperatures_K",),
            "names one temperature; a melt-quench needs the melt's and at least one below it",
        )
    for index, (hotter_K, cooler_K) in enumerate(pairwise(temperatures_K), 1):
        if cooler_K >= hotter_K:
            yield (
                ("temperatures_K", index),
                f"is {number(cooler_K)} after {number(hotter_K)}; a melt-quench cools, so that each "
                "temperature must be lower than the one before",
            )


def _only_melt_quench(
    schedule: str, melt_ps: float | None, cooling_rate_K_per_ps: float | None
) -> Iterable[Finding]:
    for key, value in (("melt_ps", melt_ps), ("cooling_rate_K_per_ps", cooling_rate_K_per_ps)):
        if value is not None and schedule != "melt_quench":
            yield (key,), "belongs to `schedule: melt_quench`; remove it, or set the schedule"


class ReferenceMD(Section):
    """Snapshots of molecular dynamics that the reference itself runs."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("structures"),
        all_different("temperatures_K"),
        Rule(("snapshot_interval_fs", "timestep_fs"), _interval_in_steps),
        Rule(("snapshot_interval_fs", "duration_ps"), _interval_in_run),
        Rule(("snapshot_interval_fs", "sampling_interval_fs", "timestep_fs", "duration_ps"), _samples_in_run),
        Rule(("snapshot_interval_fs", "fallback_interval_fs", "sampling_interval_fs"), _fallback_of_samples),
        Rule(("schedule", "temperatures_K"), _falling),
        Rule(("schedule", "melt_ps", "cooling_rate_K_per_ps"), _only_melt_quench),
        smaller("timestep_fs", "thermostat_time_fs"),
    )

    kind: Literal["reference_md"]
    """Molecular dynamics with the labeller's own forces (with a DFT labeller: ab initio MD), at constant
    cell."""
    structures: Annotated[list[str], Field(min_length=1)]
    """Built-in crystal names or structure files, as for `crystals`; a file may hold anything, an amorphous
    box included."""
    primitive: bool = False
    """Use the primitive instead of the conventional cell."""
    supercell: Repeats = [1, 1, 1]
    """Repetitions along the three lattice vectors."""
    schedule: Literal["isothermal", "melt_quench"] = "isothermal"
    """`isothermal`: one trajectory for each temperature. `melt_quench`: one trajectory that melts at the
    first temperature, cools at a constant rate from each temperature to the next, and stays at each for
    `equilibration_ps` and `duration_ps`."""
    temperatures_K: Temperatures
    """Temperatures of the snapshots (kelvin). You et al. (2024) took crystals at [400, 800, 1200, 1600]; and
    melt-quench snapshots at [3000, 2000, 1000, 500, 300]."""
    replicas: Count = 1
    """Trajectories with different initial velocities for each structure and temperature (or melt-quench)."""
    duration_ps: Positive = 1.0
    """Time at each temperature from which snapshots are taken, after equilibration (picoseconds)."""
    equilibration_ps: NotNegative = 0.2
    """Time before it that is dropped (picoseconds); for the melt itself `melt_ps` holds."""
    melt_ps: NotNegative | None = None
    """Melt-quench: time at the first temperature that is dropped (picoseconds); by default 5."""
    cooling_rate_K_per_ps: Positive | None = None
    """Melt-quench: cooling between the temperatures (kelvin per picosecond), by default 200. No snapshots are
    taken while it cools."""
    timestep_fs: TimestepFs = 1.0
    """Timestep (femtoseconds)."""
    snapshot_interval_fs: Positive | Literal["auto"] = 100.0
    """Time between the snapshots that are labelled (femtoseconds). `auto`: every `sampling_interval_fs` a
    sample is kept, and of the samples at each temperature so many become snapshots as their integrated
    autocorrelation time justifies."""
    sampling_interval_fs: Positive = 10.0
    """With `auto`: time between the samples (femtoseconds)."""
    fallback_interval_fs: Positive = 100.0
    """With `auto`: time between the snapshots where the trajectory is too short for an estimate, which the
    provenance of the snapshots then says (femtoseconds)."""
    thermostat_time_fs: Positive = 100.0
    """Relaxation time of the thermostat (femtoseconds)."""
    labels: Literal["reuse", "relabel"] = "reuse"
    """`reuse`: what the dynamics computed at a snapshot is its label where they ran with the settings of the
    labels and the engine gives it; otherwise, and always with `relabel`, snapshots are labelled like any
    other frame."""
    parameters: dict[str, Any] | None = None
    """Parameters of the labeller that hold for these dynamics only, over those under `labelling` (a lower
    cutoff energy, fewer k-points); snapshots of dynamics with other physics than the labels' are labelled
    again."""

    @property
    def decorrelated(self) -> bool:
        """Whether autocorrelation decides which samples become snapshots."""
        return self.snapshot_interval_fs == "auto"

    @property
    def melt_time_ps(self) -> float:
        """Time at the first temperature of a melt-quench that is dropped."""
        return _MELT_TIME_PS if self.melt_ps is None else self.melt_ps

    @property
    def cooling_K_per_ps(self) -> float:
        """Cooling rate of a melt-quench."""
        return _COOLING_K_PER_PS if self.cooling_rate_K_per_ps is None else self.cooling_rate_K_per_ps
