"""Data that exists already."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Positive, Rule, Section, Share, all_different


class ExistingData(Section):
    """Structures, and labels of the campaign's own level of theory, from files of other programs."""

    rules: ClassVar[tuple[Rule, ...]] = (all_different("paths"), all_different("type_map"))

    kind: Literal["existing_data"]
    """Frames of files that dpdata or ASE read: DeePMD-kit's npy, raw and mixed systems, OUTCAR, vasprun.xml,
    Quantum ESPRESSO, CP2K, extended XYZ, ASE trajectories and others. They are checked before they enter."""
    paths: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    """Files, folders or patterns such as `runs/*/OUTCAR`, relative to the campaign file. In a folder
    everything that is recognised is read, subfolders included."""
    format: Annotated[str, Field(min_length=1)] = "auto"
    """Format of the files: by default recognised from name and content; otherwise a name of dpdata's, such as
    `vasp/outcar` or `deepmd/npy/mixed`, or of ASE's after `ase/`, such as `ase/espresso-out`."""
    type_map: Annotated[list[str], Field(min_length=1)] | None = None
    """Elements of the type numbers, for DeePMD-kit systems that have no `type_map.raw`."""
    same_level_of_theory: bool = False
    """The labels of the files were made with the very settings of `labelling`: method, setups, cutoffs,
    k-points, smearing. Only then do they enter, as the campaign's own. By default the structures are
    labelled anew."""
    every: Count = 1
    """Take one of this many frames of each file, the first included."""
    energy_unit: Literal["eV", "hartree", "rydberg", "kcal_mol", "kJ_mol"] | None = None
    """Unit of the files' energies. Readers of programs' own outputs give electronvolts; for other files
    that is assumed too, and refused where energies and forces contradict each other."""
    length_unit: Literal["angstrom", "bohr", "nm"] | None = None
    """Unit of the files' lengths; by default angstrom, refused where distances look like another unit's."""
    force_unit: (
        Annotated[str, Field(pattern=r"^(eV|hartree|rydberg|kcal_mol|kJ_mol)/(angstrom|bohr|nm)$")] | None
    ) = None
    """Unit of the files' forces, such as `hartree/bohr`; by default that of the energies over that of the
    lengths."""
    missing_virials: Literal["refuse", "keep"] = "refuse"
    """What to do with labels of periodic frames that lack the virial, where virials are trained
    (`training.virial_prefactors`): refuse the data, or keep them for energies and forces only."""
    outliers: Literal["refuse", "drop", "keep"] = "refuse"
    """What to do with frames beyond the limits below: refuse the data and name them, go on without them,
    or keep them. Numbers that are not finite are never kept."""
    energy_z_max: Positive = 12.0
    """Largest robust z-score (distance from the median in units of 1.4826 times the median absolute
    deviation) of the energy per atom, after a robust linear fit to the composition."""
    force_z_max: Positive = 8.0
    """Largest robust z-score of the logarithm of the largest force on an atom; only large forces count."""
    force_max_eV_per_A: Positive = 100.0
    """Largest force on an atom (eV/angstrom)."""
    distance_min_fraction: Share = 0.4
    """Shortest distance of two atoms, as a fraction of the sum of their covalent radii."""
    group_by: Literal["file", "block", "frame"] = "file"
    """Frames that share a split, training or held-out: those of one file and composition (a trajectory),
    blocks of consecutive frames of these, or each frame by itself, which only independent structures
    allow."""
    block_frames: Count = 50
    """Frames of a block, counted in the file, where `group_by` is `block`."""
