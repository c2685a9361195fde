"""CP2K's Quickstep through its shell."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Mapping
from typing import Any

from ase import Atoms
from ase.units import kB

from llzo_al.labelling.presets.commands import check_command
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

PHYSICS = {
    *(
        "basis_set",
        "basis_set_file",
        "charge",
        "cutoff",
        "force_eval_method",
        "inp",
        "multiplicity",
        "uks",
        "xc",
    ),
    *("potential_file", "pseudo_potential", "stress_tensor", "poisson_solver"),
}
"""Parameters of ASE's calculator that the section's own keys decide."""
OUTPUT = "cp2k.out"


def check(settings: Mapping[str, Any], run: Run) -> None:
    """Look for the command.

    Raises
    ------
    Refused
        If it is missing.
    """
    refuse_physics(run, PHYSICS, "CP2K")
    check_command(settings["command"], "CP2K")


def template(settings: Mapping[str, Any], atoms: Atoms) -> str:
    """CP2K's input without cell and coordinates, which ASE adds."""
    mesh = k_mesh(atoms, spacing_per_A=settings["kspacing_per_A"], gap_A=settings["vacuum_gap_A"])
    files = "\n".join(f"    BASIS_SET_FILE_NAME {file}" for file in settings["basis_set_files"])
    kinds = "\n".join(
        _kind(settings, atoms, element) for element in dict.fromkeys(atoms.get_chemical_symbols())
    )
    points = ""
    if mesh != (1, 1, 1):
        lines = "\n".join(
            f"      KPOINT {x:.10f} {y:.10f} {z:.10f} {w:.10f}" for x, y, z, w in k_points(mesh)
        )
        points = f"    &KPOINTS\n      SCHEME GENERAL\n      UNITS B_VECTOR\n{lines}\n    &END KPOINTS\n"
    return f"""\
&FORCE_EVAL
  &DFT
{files}
{points}    &QS
      EPS_DEFAULT 1.0E-12
    &END QS
    &MGRID
      REL_CUTOFF [eV] {settings["cutoff_eV"] / 10:.6f}
    &END MGRID
    &SCF
      EPS_SCF {settings["scf_tolerance"]:g}
      ADDED_MOS 20
      &SMEAR ON
        METHOD FERMI_DIRAC
        ELECTRONIC_TEMPERATURE [K] {settings["smearing_eV"] / kB:.2f}
      &END SMEAR
      &MIXING
        METHOD DIRECT_P_MIXING
        ALPHA 0.3
      &END MIXING
    &END SCF
  &END DFT
  &SUBSYS
{kinds}
  &END SUBSYS
&END FORCE_EVAL
"""


def k_points(mesh: tuple[int, int, int]) -> list[tuple[float, float, float, float]]:
    """Points (reciprocal lattice vectors) and weights of a Gamma-centred mesh, one of each pair k and -k."""
    weights: dict[tuple[int, ...], int] = {}
    for point in itertools.product(*(range(count) for count in mesh)):
        opposite = tuple(-index % count for index, count in zip(point, mesh, strict=True))
        kept = min(point, opposite)
        weights[kept] = weights.get(kept, 0) + 1
    total = math.prod(mesh)
    return [(x / mesh[0], y / mesh[1], z / mesh[2], weight / total) for (x, y, z), weight in weights.items()]


def _kind(settings: Mapping[str, Any], atoms: Atoms, element: str) -> str:
    basis = settings["basis_sets"].get(element, "DZVP-MOLOPT-SR-GTH")
    potential = settings["potentials"].get(element, f"GTH-{settings['xc']}")
    moment = ""
    if has_spin(atoms, settings):
        first = atoms.get_chemical_symbols().index(element)
        moment = f"      MAGNETIZATION {initial_moments_muB(atoms, settings)[first]:.4f}\n"
    return f"    &KIND {element}\n      BASIS_SET {basis}\n      POTENTIAL {potential}\n{moment}    &END KIND"


def build(settings: Mapping[str, Any], atoms: Atoms, run: Run) -> Any:
    """ASE's calculator of CP2K's shell for one frame."""
    from ase.calculators.cp2k import CP2K

    run.directory.mkdir(parents=True, exist_ok=True)
    return CP2K(
        command=f"cd {_quoted(run)} && {settings['command']}",
        label="cp2k",
        inp=template(settings, atoms),
        basis_set=None,
        basis_set_file=None,
        potential_file=settings["potential_file"],
        pseudo_potential=None,
        xc=settings["xc"],
        cutoff=settings["cutoff_eV"],
        uks=has_spin(atoms, settings),
        charge=charge_of(atoms),
        multiplicity=multiplicity_of(atoms),
        stress_tensor=bool(settings["virials"]) and bool(atoms.pbc.all()),
        **{"max_scf": settings["max_iterations"], **run.parameters},
    )


def _quoted(run: Run) -> str:
    return shlex.quote(str(run.directory))


def verify(calculator: Any, run: Run) -> None:  # noqa: ARG001 - as all presets
    """Make sure that the self-consistent cycle has converged.

    Raises
    ------
    NotConverged
        If CP2K says that it has not.
    """
    path = run.directory / OUTPUT
    if path.exists() and "SCF run NOT converged" in path.read_text(encoding="utf-8", errors="replace"):
        raise NotConverged(f"CP2K: SCF run NOT converged; see {path}")
