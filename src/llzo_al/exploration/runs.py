"""The runs of one iteration's exploration: structures x temperatures x replicas."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llzo_al.config.exploration import Exploration
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure

RATTLE_A = 0.02
"""Standard deviation of the random displacements of the start frame (angstrom): a perfect crystal has
symmetric environments only, and the same ones in every run."""


@dataclass(frozen=True, kw_only=True)
class ExplorationRun:
    """One run of molecular dynamics that an iteration makes.

    Attributes
    ----------
    frame
        Where it starts; its provenance is that of the whole run.
    group
        Name of the trajectory ("exploration/003/t-LLZO/900K/0").
    kind
        Name of the structure.
    temperature_K
        Target temperature.
    replica
        Number among the runs of the same structure and temperature.
    seed
        Seed of the initial velocities, 1 to 2**31 - 1.
    steps, frame_interval_steps, restart_interval_steps
        Length, and steps between frames and between restart files; whole numbers of frame
        intervals all of them.
    equilibration_frames
        Frames at the start that are not assessed (those before `equilibration_ps`).
    """

    frame: Frame
    group: str
    kind: str
    temperature_K: float
    replica: int
    seed: int
    steps: int
    frame_interval_steps: int
    restart_interval_steps: int
    equilibration_frames: int

    @property
    def n_frames(self) -> int:
        """Frames of the whole trajectory, the start included."""
        return self.steps // self.frame_interval_steps + 1


def exploration_runs(settings: Exploration, *, base: Path, seed: int, iteration: int) -> list[ExplorationRun]:
    """All runs of one iteration.

    Seeds are hashes of the campaign's seed and of the run's group, so that a run keeps its seed when others
    are added or reordered, and has another one in the next iteration. The start frame is the structure with
    small random displacements (`RATTLE_A`).

    Parameters
    ----------
    settings
        The campaign file's `exploration`.
    base
        Folder that structure files are relative to.
    seed
        The campaign's seed.
    iteration
        Number of the iteration.

    Raises
    ------
    UserError
        If a structure is unknown, its file cannot be read, or it is not periodic in three directions.
    """
    runs = []
    for name in settings.structures:
        supercell = settings.supercells.get(name, settings.supercell)
        atoms = load_structure(name, base=base, primitive=settings.primitive, supercell=supercell)
        if not atoms.pbc.all():
            raise UserError(
                f"exploration.structures: {name!r} is not periodic in three directions; molecular dynamics "
                "needs a crystal, or a slab or cluster in a periodic box"
            )
        for temperature_K in settings.temperatures_K:
            for replica in range(settings.replicas):
                group = f"exploration/{iteration:03d}/{name}/{temperature_K:g}K/{replica}"
                start = Provenance(
                    source="exploration",
                    kind=name,
                    group=group,
                    iteration=iteration,
                    temperature_K=temperature_K,
                    reason="start",
                )
                rng = np.random.default_rng(_seed(seed, group, "start"))
                displaced = atoms.copy()
                displaced.positions += rng.normal(0.0, RATTLE_A, size=displaced.positions.shape)
                runs.append(
                    ExplorationRun(
                        frame=Frame.from_atoms(displaced, start),
                        group=group,
                        kind=name,
                        temperature_K=temperature_K,
                        replica=replica,
                        seed=_seed(seed, group, "velocities"),
                        **_lengths(settings),
                    )
                )
    return runs


def _lengths(settings: Exploration) -> dict[str, int]:
    """Lengths in steps. The run ends with its last whole frame interval, and has one at least."""
    interval = max(1, round(settings.frame_interval_fs / settings.timestep_fs))
    interval_fs = interval * settings.timestep_fs
    n_intervals = max(1, int(1000 * settings.duration_ps / interval_fs + 1e-9))
    restart_fs = settings.restart_interval_fs or 100 * settings.duration_ps
    restart_intervals = min(max(1, round(restart_fs / interval_fs)), n_intervals)
    return {
        "steps": n_intervals * interval,
        "frame_interval_steps": interval,
        "restart_interval_steps": restart_intervals * interval,
        "equilibration_frames": math.ceil(1000 * settings.equilibration_ps / interval_fs - 1e-9),
    }


def _seed(seed: int, group: str, purpose: str) -> int:
    """Seed between 1 and 2**31 - 1."""
    digest = hashlib.sha256(f"{seed}/{group}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**31 - 1) + 1
