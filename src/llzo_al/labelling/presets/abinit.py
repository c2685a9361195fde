"""ABINIT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase import Atoms

from llzo_al.labelling.presets.commands import check_command, check_files, pseudopotentials
from llzo_al.labelling.presets.common import (
    NotConverged,
    Refused,
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
        "ecut",
        "xc",
        "ixc",
        "kpts",
        "ngkpt",
        "shiftk",
        "nshiftk",
        "kptopt",
        "nsym",
        "smearing",
        "tsmear",
        "occopt",
    ),
    *(
        "tolvrs",
        "toldfe",
        "toldff",
        "tolrff",
        "pps",
        "pseudos",
        "nsppol",
        "cellcharge",
        "spinmagntarget",
        "spinat",
        "optstress",
    ),
}
"""Input variables that the section's own keys decide."""
OUTPUT = "abinit.log"
FUNCTIONALS = {"LDA": 7, "PBE": 11, "revPBE": 14, "RPBE": 15, "WC": 23, "PBEsol": -116133}
"""ABINIT's number (`ixc`) of each functional; a negative one names two of libxc."""
_KINDS = {".psp8": ("psp8", "{element}.psp8"), ".xml": ("pawxml", "{element}.paw.xml")}
"""Kind and name by which ASE looks for a file with this ending."""


def check(settings: Mapping[str, Any], run: Run) -> None:
    """Look for the command and the pseudopotentials.

    Raises
    ------
    Refused
        If one is missing or of an unknown kind.
    """
    refuse_physics(run, PHYSICS, "ABINIT")
    kinds = {Path(file).suffix for file in settings["pseudopotentials"].values()}
    if len(kinds) != 1 or not kinds <= set(_KINDS):
        raise Refused(
            "pseudopotentials",
            f"files end in {', '.join(sorted(kinds))}; expected one kind for all elements: .psp8 "
            "(norm-conserving) or .xml (PAW)",
        )
    if settings["xc"] not in FUNCTIONALS and "ixc" not in settings["parameters"]:
        raise Refused(
            "xc",
            f"{settings['xc']} given; known are {', '.join(FUNCTIONALS)}. For another functional give its "
            "number in ABINIT as `parameters: {ixc: ...}`",
        )
    if kinds == {".xml"} and "pawecutdg" not in settings["parameters"]:
        raise Refused(
            "parameters",
            "PAW needs the cutoff of its fine grid (eV), about twice `cutoff_eV`: `parameters: {pawecutdg: "
            f"{2 * settings['cutoff_eV']:g}}}`",
        )
    check_files(settings)
    check_command(settings["command"], "ABINIT")


def variables(settings: Mapping[str, Any], atoms: Atoms) -> dict[str, Any]:
    """Physical input variables for one frame, as ASE's calculator takes them (energies in eV)."""
    mesh = k_mesh(atoms, spacing_per_A=settings["kspacing_per_A"], gap_A=settings["vacuum_gap_A"])
    chosen: dict[str, Any] = {
        # ABINIT would take the functional of PAW files, whatever the campaign file says.
        "ixc": FUNCTIONALS.get(settings["xc"]),
        "ecut": settings["cutoff_eV"],
        # No symmetry: a frame's own would make its numbers depend on how exactly it is symmetric.
        "nsym": 1,
        "kptopt": 2,
        "ngkpt": list(mesh),
        "nshiftk": 1,
        "shiftk": [0.0, 0.0, 0.0],
        "tolvrs": settings["residual_tolerance_Ha2"],
        "optforces": 1,
        "optstress": 1 if settings["virials"] else 0,
        "cellcharge": charge_of(atoms),
        **settings["parameters"],
    }
    if settings["smearing_eV"]:
        chosen["smearing"] = ("gaussian", settings["smearing_eV"])
    multiplicity = multiplicity_of(atoms)
    if multiplicity is not None and has_spin(atoms, settings):
        chosen["spinmagntarget"] = float(multiplicity - 1)
    return chosen


def build(settings: Mapping[str, Any], atoms: Atoms, run: Run) -> Any:
    """ASE's calculator of ABINIT for one frame."""
    from ase.calculators.abinit import Abinit, AbinitProfile

    if has_spin(atoms, settings):
        atoms.set_initial_magnetic_moments(initial_moments_muB(atoms, settings))
    kind, folder = _linked(settings, atoms, run.directory / "pseudopotentials")
    return Abinit(
        profile=AbinitProfile(command=settings["command"], pp_paths=[str(folder)]),
        directory=run.directory,
        pps=kind,
        **variables(settings, atoms),
        **{"nstep": settings["max_iterations"], **run.parameters},
    )


def _linked(settings: Mapping[str, Any], atoms: Atoms, folder: Path) -> tuple[str, Path]:
    """Links to the pseudopotentials by the names that ASE looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(settings["pseudopotential_directory"]).expanduser().resolve()
    kind = ""
    for element, file in pseudopotentials(settings, atoms).items():
        kind, name = _KINDS[Path(file).suffix]
        link = folder / name.format(element=element)
        link.unlink(missing_ok=True)
        link.symlink_to(source / file)
    return kind, folder


def verify(calculator: Any, run: Run) -> None:  # noqa: ARG001 - as all presets
    """Make sure that the self-consistent cycle has converged.

    Raises
    ------
    NotConverged
        If ABINIT says that it has not.
    """
    path = run.directory / OUTPUT
    output = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if "ScfConvergenceWarning" in output or "was not enough SCF cycles to converge" in output:
        raise NotConverged(f"ABINIT: not enough SCF cycles to converge; see {path}")
