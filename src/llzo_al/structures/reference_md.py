"""Trajectories that the reference runs with its own forces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llzo_al.config.initial_data import ReferenceMD
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.structures.library import load_structure
from llzo_al.structures.names import cell_name, kind_of, seeds


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
                group = f"reference_md/{cell_name(source, name)}/{temperature_K:g}K/{replica}"
                provenance = Provenance(
                    source="reference_md", kind=kind_of(name), group=group, temperature_K=temperature_K
                )
                run_seed = seeds(seed, "reference_md", cell_name(source, name), temperature_K, replica)
                runs.append(
                    MDRun(
                        frame=Frame.from_atoms(atoms, provenance),
                        group=group,
                        kind=kind_of(name),
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
