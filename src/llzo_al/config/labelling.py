"""Who computes energies, forces and virials."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from llzo_al.config.base import Count, CutoffA, Positive, Section


class ClassicalReference(Section):
    """Classical Li-La-Zr-O reference: Buckingham pairs and damped-shifted Coulomb, through LAMMPS.

    It stands for a reference where there is none better; it is never DFT.
    """

    engine: Literal["classical_reference"]
    """The classical Li-La-Zr-O Buckingham-Coulomb reference."""
    cutoff_A: CutoffA = 6.0
    """Cutoff of the Buckingham and of the Coulomb part (angstrom)."""
    damping_per_A: Positive = 0.3
    """Damping alpha of the damped-shifted-force Coulomb sum (1/angstrom)."""
    frames_per_job: Count = 64
    """Frames that one job labels."""


class ASECalculator(Section):
    """Any ASE calculator, named by its import path."""

    engine: Literal["ase"]
    """An ASE calculator."""
    calculator: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*[.:][A-Za-z_]\w*$")]
    """Import path of the calculator's class or factory, such as `ase.calculators.emt.EMT`."""
    parameters: dict[str, Any] = {}
    """Keyword arguments of the calculator that change its physics; part of each label's identity."""
    run_parameters: dict[str, Any] = {}
    """Keyword arguments that do not change the physics (commands, directories, parallelism); not part of a
    label's identity."""
    version: str | None = None
    """Version of the code, setups or model behind the calculator; part of each label's identity."""
    virials: bool = True
    """Ask the calculator for stress where the frame is periodic."""
    threads: Count = 1
    """Cores that one labelling job uses."""
    timeout_s: Positive = 86400.0
    """Time limit of one label (seconds)."""
    frames_per_job: Count = 8
    """Frames that one job labels, one after the other."""


Labelling = Annotated[ClassicalReference | ASECalculator, Field(discriminator="engine")]


class Dataset(Section):
    """How labels enter the data set."""

    held_out_share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Share of every source and of every iteration that is never trained on: whole trajectories, chosen
    with the campaign's seed, at least one where a source has two or more."""
    force_cap_eV_per_A: Positive = 50.0
    """Frames with a larger force component norm on any atom stay stored but are not used."""
