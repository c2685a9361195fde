"""Quantum ESPRESSO's pw.x."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.units import Ry

from llzo_al.labelling.presets.commands import check_command, check_files, pseudopotentials
from llzo_al.labelling.presets.common import (
    NotConverged,
    Run,
    charge_of,
    has_spin,
    initial_moments_muB,
    k_mesh,
    multiplicity_of,
    refuse_physics,
)

PHYSICS = {"input_data", "pseudopotentials", "kpts", "kspacing", "koffset"}
"""Parameters of ASE's calculator that the section's own keys decide; `electrons` is for mixing."""
OUTPUT = "espresso.pwo"
_SMEARING = {
    "fermi-dirac": "fd",
    "gaussian": "gaussian",
    "marzari-vanderbilt": "mv",
    "methfessel-paxton": "mp",
}


def check(settings: Mapping[str, Any], run: Run) -> None:
    """Look for the command and the pseudopotentials.

    Raises
    ------
    Refused
        If one is missing.
    """
    refuse_physics(run, PHYSICS, "Quantum ESPRESSO")
    check_files(settings)
    check_command(settings["command"], "Quantum ESPRESSO")


def namelists(settings: Mapping[str, Any], atoms: Atoms, run: Run) -> dict[str, dict[str, Any]]:
    """Namelists of pw.x for one frame; `run_parameters` may hold entries of ``control`` and ``electrons``."""
    cutoff_Ry = settings["cutoff_eV"] / Ry
    density_Ry = (settings["density_cutoff_eV"] or 4 * settings["cutoff_eV"]) / Ry
    system: dict[str, Any] = {
        "ecutwfc": cutoff_Ry,
        "ecutrho": density_Ry,
        # A frame's own symmetry would make its numbers depend on how exactly it is symmetric.
        "nosym": True,
        "nspin": 2 if has_spin(atoms, settings) else 1,
        "tot_charge": charge_of(atoms),
        # pw.x would take the functional of the pseudopotentials, whatever the campaign file says.
        "input_dft": settings["xc"],
    }
    if settings["smearing_eV"]:
        system |= {
            "occupations": "smearing",
            "smearing": _SMEARING[settings["smearing"]],
            "degauss": settings["smearing_eV"] / Ry,
        }
    multiplicity = multiplicity_of(atoms)
    if multiplicity is not None and system["nspin"] == 2:
        system["tot_magnetization"] = multiplicity - 1
    lists: dict[str, dict[str, Any]] = {
        "control": {
            "calculation": "scf",
            "tprnfor": True,
            "tstress": bool(settings["virials"]),
            "disk_io": "none",
            "outdir": str(run.directory / "scratch"),
        },
        "system": system,
        "electrons": {"conv_thr": settings["energy_tolerance_eV"] / Ry},
    }
    for source in (settings["input_data"], run.parameters):
        for name, entries in source.items():
            lists.setdefault(name, {}).update(entries)
    return lists


def build(settings: Mapping[str, Any], atoms: Atoms, run: Run) -> Any:
    """ASE's calculator of pw.x for one frame."""
    from ase.calculators.espresso import Espresso, EspressoProfile

    mesh = k_mesh(atoms, spacing_per_A=settings["kspacing_per_A"], gap_A=settings["vacuum_gap_A"])
    folder = Path(settings["pseudopotential_directory"]).expanduser().resolve()
    files = pseudopotentials(settings, atoms)
    if has_spin(atoms, settings):
        atoms.set_initial_magnetic_moments(_polarisations(atoms, settings, folder, files))
    return Espresso(
        profile=EspressoProfile(command=settings["command"], pseudo_dir=folder),
        directory=run.directory,
        input_data=namelists(settings, atoms, run),
        pseudopotentials=files,
        kpts=None if mesh == (1, 1, 1) else mesh,
        koffset=(0, 0, 0),
    )


def _polarisations(
    atoms: Atoms, settings: Mapping[str, Any], folder: Path, files: Mapping[str, str]
) -> list[float]:
    """Initial moment of each atom as pw.x wants it: as a share of the valence electrons, at most 0.9."""
    electrons = {element: _valence(folder / file) for element, file in files.items()}
    moments_muB = initial_moments_muB(atoms, settings)
    return [
        max(-0.9, min(0.9, moment / electrons[element]))
        for moment, element in zip(moments_muB, atoms.get_chemical_symbols(), strict=True)
    ]


def _valence(path: Path) -> float:
    """Valence electrons of a pseudopotential; 1 where the file does not tell."""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.search(r'z_valence\s*=\s*"\s*([\d.eE+-]+)|([\d.]+)\s+Z valence', text)
    return float(found[1] or found[2]) if found else 1.0


def verify(calculator: Any, run: Run) -> None:  # noqa: ARG001 - as all presets
    """Make sure that the self-consistent cycle has converged.

    Raises
    ------
    NotConverged
        If pw.x says that it has not.
    """
    path = run.directory / OUTPUT
    output = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if "convergence NOT achieved" in output:
        raise NotConverged(f"pw.x: convergence NOT achieved; see {path}")
