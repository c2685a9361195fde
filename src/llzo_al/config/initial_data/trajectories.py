"""Trajectories that exist already."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Rule, Section, TemperatureK, all_different


class Trajectories(Section):
    """Snapshots of trajectories that were run elsewhere."""

    rules: ClassVar[tuple[Rule, ...]] = (all_different("files"),)

    kind: Literal["trajectories"]
    """Files of molecular dynamics: VASP's XDATCAR, OUTCAR or vasprun.xml, ASE's .traj, or extended XYZ; all
    but .traj may be packed by gzip, bzip2 or xz."""
    files: Annotated[list[str], Field(min_length=1)]
    """Files, or patterns such as `runs/*/XDATCAR`, relative to the campaign file. Each file is one
    trajectory, and stays in one split as a whole: give two or more, so that one can be held out."""
    format: Literal["xdatcar", "outcar", "vasprun", "traj", "extxyz"] | None = None
    """What the files are; by default their names tell (`XDATCAR*`, `OUTCAR*`, `*.xml`, `*.traj`, `*.extxyz`,
    `*.xyz`)."""
    structure: str | None = None
    """Kind of structure for the reports; by default the file's name, or its folder's where the name is
    VASP's."""
    temperature_K: TemperatureK | None = None
    """Temperature of the dynamics for the reports (kelvin)."""
    equilibration_frames: Annotated[int, Field(ge=0)] = 0
    """Frames of the start of each file that are dropped."""
    stride: Count | Literal["auto"] = "auto"
    """Frames from one snapshot to the next. `auto`: as many as the integrated autocorrelation time of the
    potential energy justifies, or, in files without energies, that of sums over the pairs of each two
    elements."""
    fallback_stride: Count = 10
    """With `auto`: the stride where a file is too short for an estimate, which the provenance of the
    snapshots then says."""
    skip_incomplete: bool = False
    """Go on with the whole frames of a file that breaks off; by default such a file stops the campaign."""
    same_level_of_theory: bool = False
    """The files' energies, forces and stresses come from the same code with the same settings as the
    campaign's labels, pseudopotentials and k-points included: take them as labels. Nothing checks that. By
    default the structures alone are taken, and labelled. Frames whose electrons did not converge are
    labelled again in any case."""
