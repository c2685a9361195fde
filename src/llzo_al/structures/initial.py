"""Initial data: dimers, scaled and rattled crystals, and the trajectories that the reference shall run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data import Crystals, Dimers, ReferenceMD
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure


@dataclass(frozen=True, kw_only=True)
class MDRun:
    """A trajectory that a labeller shall run with its own forces.

    Attributes
    ----------
    frame
        Where it starts.
    group
        Name of the trajectory, shared by its snapshots ("reference_md/t-LLZO/900K/0").
    kind
        Kind of structure for the reports.
    temperature_K
        Target temperature.
    steps
        Steps after equilibration.
    equilibration_steps
        Steps before the first snapshot's interval starts.
    snapshot_steps
        Steps between snapshots.
    timestep_fs
        Timestep.
    thermostat_time_fs
        Relaxation time of the thermostat.
    seed
        Seed of the velocities and of a stochastic thermostat.
    """

    frame: Frame
    group: str
    kind: str
    temperature_K: float
    steps: int
    equilibration_steps: int
    snapshot_steps: int
    timestep_fs: float
    thermostat_time_fs: float
    seed: int

    @property
    def n_snapshots(self) -> int:
        """Snapshots that the run gives: the first one interval after equilibration."""
        return self.steps // self.snapshot_steps

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, up to its last snapshot."""
        return self.equilibration_steps + self.n_snapshots * self.snapshot_steps

    def snapshot(self, frame: Frame, step: int, index: int) -> Frame:
        """`frame`, visited at `step` of the whole run, as the run's snapshot number `index`."""
        provenance = Provenance(
            source="reference_md",
            kind=self.kind,
            group=self.group,
            frame=index,
            temperature_K=self.temperature_K,
            details={"step": step, "timestep_fs": self.timestep_fs},
        )
        return Frame(
            symbols=frame.symbols,
            positions_A=frame.positions_A,
            cell_A=frame.cell_A,
            periodic=frame.periodic,
            charge=frame.charge,
            multiplicity=frame.multiplicity,
            provenance=provenance,
        )


def dimer_frames(source: Dimers, elements: Sequence[str]) -> list[Frame]:
    """Two atoms in the middle of a cubic box, for each pair and distance.

    Parameters
    ----------
    source
        The campaign file's section.
    elements
        Elements of the campaign, for the default pairs.

    Raises
    ------
    UserError
        If a pair is not two of the campaign's elements, or is listed twice.
    """
    frames = []
    distances_A = np.linspace(source.distance_min_A, source.distance_max_A, source.points)
    for first, second in _pairs(source, elements):
        for index, distance_A in enumerate(distances_A):
            frames.append(_dimer(first, second, float(distance_A), source.box_length_A, index))
    return frames


def _pairs(source: Dimers, elements: Sequence[str]) -> list[tuple[str, str]]:
    if source.pairs is None:
        return list(combinations_with_replacement(elements, 2))
    pairs: list[tuple[str, str]] = []
    for text in source.pairs:
        parts = text.split("-")
        if len(parts) != 2 or not set(parts) <= set(elements):
            raise UserError(
                f"initial_data (dimers): pair {text!r} is not two of the campaign's elements "
                f"({', '.join(elements)}) with a hyphen between, such as {elements[0]}-{elements[-1]}"
            )
        first, second = sorted(parts, key=list(elements).index)
        if (first, second) in pairs:
            raise UserError(f"initial_data (dimers): pair {text!r} is listed twice")
        pairs.append((first, second))
    return pairs


def _dimer(first: str, second: str, distance_A: float, box_length_A: float, index: int) -> Frame:
    centre = np.full(3, box_length_A / 2)
    half = np.array([distance_A / 2, 0.0, 0.0])
    return Frame(
        symbols=(first, second),
        positions_A=np.array([centre - half, centre + half]),
        cell_A=np.eye(3) * box_length_A,
        provenance=Provenance(
            source="dimers",
            kind=f"dimer {first}-{second}",
            group=f"dimers/{first}-{second}/{index:02d}",
            details={"distance_A": round(distance_A, 6)},
        ),
    )


def crystal_frames(source: Crystals, *, base: Path, seed: int) -> list[Frame]:
    """Scaled crystals, each with rattled copies.

    A frame depends on the seed and on its own name, scale factor and copy number, not on what else is asked
    for: a longer list leaves the frames of the shorter one as they were.

    Parameters
    ----------
    source
        The campaign file's section.
    base
        Folder that structure files' paths start from.
    seed
        The campaign's seed.

    Raises
    ------
    UserError
        If a structure is unknown or unreadable.
    """
    frames = []
    for name in dict.fromkeys(source.structures):
        atoms = load_structure(name, base=base, primitive=source.primitive, supercell=source.supercell)
        for scale_factor in dict.fromkeys(source.scale_factors):
            for copy in range(source.rattled_copies + 1):
                frames.append(_scaled(atoms, source, name, scale_factor=scale_factor, copy=copy, seed=seed))
    return frames


def _scaled(atoms: Atoms, source: Crystals, name: str, *, scale_factor: float, copy: int, seed: int) -> Frame:
    cell = _cell(source, name)
    scaled = atoms.copy()
    scaled.set_cell(np.array(atoms.cell) * scale_factor, scale_atoms=True)
    if copy > 0:
        random = np.random.default_rng(_seeds(seed, "crystals", cell, scale_factor, copy))
        scaled.positions += random.normal(scale=source.rattle_std_A, size=scaled.positions.shape)
    return Frame.from_atoms(
        scaled,
        Provenance(
            source="crystals",
            kind=_kind(name),
            group=f"crystals/{cell}/{scale_factor:g}/{copy}",
            details={
                "scale_factor": scale_factor,
                "copy": copy,
                "rattle_std_A": source.rattle_std_A if copy > 0 else 0.0,
            },
        ),
    )


def reference_md_runs(source: ReferenceMD, *, base: Path, seed: int) -> list[MDRun]:
    """The trajectories of a `reference_md` section, one for each structure, temperature and replica.

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
    steps = round(1000 * source.duration_ps / source.timestep_fs)
    snapshot_steps = max(1, round(source.snapshot_interval_fs / source.timestep_fs))
    runs = []
    for name in dict.fromkeys(source.structures):
        atoms = load_structure(name, base=base, primitive=source.primitive, supercell=source.supercell)
        for temperature_K in dict.fromkeys(source.temperatures_K):
            for replica in range(source.replicas):
                group = f"reference_md/{_cell(source, name)}/{temperature_K:g}K/{replica}"
                provenance = Provenance(
                    source="reference_md", kind=_kind(name), group=group, temperature_K=temperature_K
                )
                run_seed = _seeds(seed, "reference_md", _cell(source, name), temperature_K, replica)
                runs.append(
                    MDRun(
                        frame=Frame.from_atoms(atoms, provenance),
                        group=group,
                        kind=_kind(name),
                        temperature_K=temperature_K,
                        steps=steps,
                        equilibration_steps=round(1000 * source.equilibration_ps / source.timestep_fs),
                        snapshot_steps=snapshot_steps,
                        timestep_fs=source.timestep_fs,
                        thermostat_time_fs=source.thermostat_time_fs,
                        # LAMMPS takes seeds from 1 up to 2^31 - 1.
                        seed=int(run_seed.generate_state(1)[0]) % (2**31 - 1) + 1,
                    )
                )
    return runs


def _cell(source: Crystals | ReferenceMD, name: str) -> str:
    """Structure and cell ("t-LLZO.primitive.2x1x1"): two cells of a crystal share no group."""
    parts = [name]
    if source.primitive:
        parts.append("primitive")
    if max(source.supercell) > 1:
        parts.append("x".join(str(number) for number in source.supercell))
    return ".".join(parts)


def _kind(name: str) -> str:
    """Kind of structure for the reports: the built-in name, or a file's name without folder and suffix."""
    return Path(name).stem


def _seeds(seed: int, *what: object) -> np.random.SeedSequence:
    """Seeds for one thing: of the campaign's seed and the thing's name only."""
    digest = hashlib.sha256("\n".join(repr(item) for item in what).encode()).digest()
    return np.random.SeedSequence([seed, *np.frombuffer(digest, dtype=np.uint32).tolist()])
