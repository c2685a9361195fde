"""Trajectories that the reference runs with its own forces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from llzo_al.config.initial_data import ReferenceMD
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.structures.library import load_structure
from llzo_al.structures.names import cell_name, kind_of, seeds


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of a trajectory: one target temperature, or a linear change between two.

    Attributes
    ----------
    steps
        Length.
    start_K, end_K
        Target temperatures of its start and its end.
    equilibration_steps
        Steps before the first snapshot's interval starts.
    snapshot_steps
        Steps between snapshots, the first one interval after equilibration; 0 for a stretch without any.
    """

    steps: int
    start_K: float
    end_K: float
    equilibration_steps: int = 0
    snapshot_steps: int = 0

    @property
    def snapshot_at(self) -> range:
        """Its own steps, from 1, that are snapshots."""
        if not self.snapshot_steps:
            return range(0)
        return range(self.equilibration_steps + self.snapshot_steps, self.steps + 1, self.snapshot_steps)

    def temperature_K(self, step: int) -> float:
        """Target temperature after `step` of its own steps."""
        return self.start_K + (self.end_K - self.start_K) * step / max(self.steps, 1)


@dataclass(frozen=True, kw_only=True)
class MDRun:
    """A trajectory that a labeller shall run with its own forces, at constant cell.

    Attributes
    ----------
    frame
        Where it starts.
    group
        Name of the trajectory, shared by its snapshots ("reference_md/t-LLZO/900K/0").
    kind
        Kind of structure for the reports.
    segments
        Temperature schedule, one stretch after the other: a single one of constant temperature, or the holds
        and the coolings of a melt-quench.
    timestep_fs
        Timestep.
    thermostat_time_fs
        Relaxation time of the thermostat.
    seed
        Seed of the velocities and of a stochastic thermostat, 1 to 2**31 - 1.
    parameters
        Settings of the labeller that hold for this trajectory only, over those of the labels. Where they
        change the physics, the snapshots are labelled again.
    relabel
        Whether the snapshots are labelled again in any case.
    fallback_steps
        Where the snapshots are samples of which the campaign keeps as many as their autocorrelation
        justifies: steps between those it keeps if there are too few to tell. None keeps them all.
    """

    frame: Frame
    group: str
    kind: str
    segments: tuple[Segment, ...]
    timestep_fs: float
    thermostat_time_fs: float
    seed: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    relabel: bool = False
    fallback_steps: int | None = None

    def __post_init__(self) -> None:
        if not self.segments:
            raise ValueError(f"{self.group}: a trajectory needs at least one segment")
        for before, after in pairwise(self.segments):
            if before.end_K != after.start_K:
                raise ValueError(
                    f"{self.group}: a segment ends at {before.end_K:g} K and the next one starts at "
                    f"{after.start_K:g} K"
                )

    @property
    def temperature_K(self) -> float:
        """Target temperature of the start: the one that the first velocities are drawn for."""
        return self.segments[0].start_K

    @property
    def starts(self) -> tuple[int, ...]:
        """Step of the whole run that each segment starts from."""
        return tuple(sum(each.steps for each in self.segments[:n]) for n in range(len(self.segments)))

    @property
    def snapshot_at(self) -> tuple[int, ...]:
        """Steps of the whole run that a labeller returns as snapshots, in the order of time."""
        return tuple(
            start + step
            for start, segment in zip(self.starts, self.segments, strict=True)
            for step in segment.snapshot_at
        )

    @property
    def n_snapshots(self) -> int:
        """Snapshots that enter the campaign; where autocorrelation decides: without an estimate."""
        counts = [len(each.snapshot_at) for each in self.segments if each.snapshot_steps]
        if self.fallback_steps is None:
            return sum(counts)
        strides = [self.fallback_stride(each) for each in self.segments if each.snapshot_steps]
        return sum(max(1, count // stride) for count, stride in zip(counts, strides, strict=True))

    def fallback_stride(self, segment: Segment) -> int:
        """Samples of a segment from one snapshot to the next where there is no estimate."""
        return max(1, round((self.fallback_steps or 0) / max(1, segment.snapshot_steps)))

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, up to its last snapshot."""
        return max(self.snapshot_at, default=0)

    @property
    def corners(self) -> tuple[tuple[int, float], ...]:
        """Steps of the whole run and target temperatures (kelvin) between which the target is linear."""
        ends = [
            (start + each.steps, each.end_K) for start, each in zip(self.starts, self.segments, strict=True)
        ]
        return ((0, self.segments[0].start_K), *ends)

    def segment_of(self, step: int) -> int:
        """Number of the segment in which `step` of the whole run ends."""
        for number, (start, segment) in enumerate(zip(self.starts, self.segments, strict=True)):
            if step <= start + segment.steps:
                return number
        return len(self.segments) - 1

    def temperature_at(self, step: int) -> float:
        """Target temperature (kelvin) after `step` of the whole run."""
        number = self.segment_of(step)
        return self.segments[number].temperature_K(step - self.starts[number])

    def snapshot(self, frame: Frame, step: int, index: int, **details: Any) -> Frame:
        """`frame`, visited at `step` of the whole run, as the run's snapshot number `index`.

        Parameters
        ----------
        frame
            The visited atoms.
        step, index
            Step of the whole run and number of the snapshot.
        **details
            Whatever else its provenance shall tell, JSON-serialisable. ``potential_energy_eV`` of the
            dynamics themselves is what an autocorrelation estimate looks at.
        """
        told: dict[str, Any] = {"step": step, "timestep_fs": self.timestep_fs, **details}
        if self.parameters:
            told["md_parameters"] = dict(self.parameters)
        provenance = Provenance(
            source="reference_md",
            kind=self.kind,
            group=self.group,
            frame=index,
            temperature_K=self.temperature_at(step),
            details=told,
        )
        return replace(frame, provenance=provenance)


def reference_md_runs(source: ReferenceMD, *, base: Path, seed: int) -> list[MDRun]:
    """The trajectories of a `reference_md` section.

    One for each structure, temperature and replica, or for each structure and replica of a melt-quench.

    Parameters
    ----------
    source
        The campaign file's section.
    base
        Folder that structure files' paths start from.
    seed
        The campaign's seed; each run's own seed follows from it and from the run's name.

    Raises
    ------
    UserError
        If a structure is unknown or unreadable.
    """
    runs = []
    for name in dict.fromkeys(source.structures):
        atoms = load_structure(name, base=base, primitive=source.primitive, supercell=source.supercell)
        cell = cell_name(source, name)
        for schedule, what, segments in _schedules(source):
            for replica in range(source.replicas):
                group = f"reference_md/{cell}/{schedule}/{replica}"
                provenance = Provenance(
                    source="reference_md", kind=kind_of(name), group=group, temperature_K=segments[0].start_K
                )
                run_seed = seeds(seed, "reference_md", cell, what, replica)
                runs.append(
                    MDRun(
                        frame=Frame.from_atoms(atoms, provenance),
                        group=group,
                        kind=kind_of(name),
                        segments=segments,
                        timestep_fs=source.timestep_fs,
                        thermostat_time_fs=source.thermostat_time_fs,
                        # LAMMPS takes seeds from 1 up to 2^31 - 1.
                        seed=int(run_seed.generate_state(1)[0]) % (2**31 - 1) + 1,
                        parameters=source.parameters or {},
                        relabel=source.labels == "relabel",
                        fallback_steps=_fallback_steps(source),
                    )
                )
    return runs


def _schedules(source: ReferenceMD) -> list[tuple[str, object, tuple[Segment, ...]]]:
    """Name, what its seed depends on, and segments of each temperature schedule."""
    temperatures = list(dict.fromkeys(source.temperatures_K))
    if source.schedule == "isothermal":
        return [
            (f"{each:g}K", each, (_hold(source, each, source.equilibration_ps),)) for each in temperatures
        ]
    segments = [_hold(source, temperatures[0], source.melt_time_ps)]
    for hotter_K, cooler_K in pairwise(temperatures):
        cooling_ps = (hotter_K - cooler_K) / source.cooling_K_per_ps
        segments.append(Segment(steps=max(1, _steps(source, cooling_ps)), start_K=hotter_K, end_K=cooler_K))
        segments.append(_hold(source, cooler_K, source.equilibration_ps))
    name = f"melt-quench-{temperatures[0]:g}-{temperatures[-1]:g}K"
    return [(name, ("melt_quench", *temperatures), tuple(segments))]


def _hold(source: ReferenceMD, temperature_K: float, equilibration_ps: float) -> Segment:
    """A stretch of constant temperature that ends with its last snapshot."""
    interval_fs = source.sampling_interval_fs if source.decorrelated else float(source.snapshot_interval_fs)
    interval = max(1, round(interval_fs / source.timestep_fs))
    equilibration = _steps(source, equilibration_ps)
    count = _steps(source, source.duration_ps) // interval
    return Segment(
        steps=equilibration + count * interval,
        start_K=temperature_K,
        end_K=temperature_K,
        equilibration_steps=equilibration,
        snapshot_steps=interval,
    )


def _fallback_steps(source: ReferenceMD) -> int | None:
    if not source.decorrelated:
        return None
    return max(1, round(source.fallback_interval_fs / source.timestep_fs))


def _steps(source: ReferenceMD, duration_ps: float) -> int:
    return round(1000 * duration_ps / source.timestep_fs)
