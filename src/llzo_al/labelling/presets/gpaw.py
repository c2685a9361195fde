"""GPAW: projector-augmented waves with plane waves or atomic orbitals."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from llzo_al.labelling.presets.common import (
    NotConverged,
    NotSupported,
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
    *("xc", "mode", "kpts", "occupations", "setups", "basis", "charge", "spinpol", "symmetry", "convergence"),
    *("hund", "magmoms", "external", "background_charge", "gpts", "h", "nbands", "experimental"),
}
"""GPAW's parameters that the section's own keys decide, or that change the result."""


def check(settings: Mapping[str, Any], run: Run) -> None:  # noqa: ARG001 - as all presets
    """Import GPAW and look for the setups' directory.

    Raises
    ------
    Refused
        If GPAW cannot be imported, or a run parameter changes the physics.
    """
    refuse_physics(run, PHYSICS, "GPAW")
    try:
        gpaw = importlib.import_module("gpaw")
        importlib.import_module("_gpaw")
    except ImportError as error:
        raise Refused(
            "engine",
            f"GPAW cannot be imported ({error}). It is built from source: sudo apt-get install g++ libxc-dev "
            "libopenblas-dev, then CC=g++ python -m pip install gpaw",
        ) from error
    if not gpaw.setup_paths:
        raise Refused(
            "engine",
            "GPAW has no PAW setups: python -m pip install gpaw-data, or name their directory in "
            "GPAW_SETUP_PATH",
        )


def parameters(settings: Mapping[str, Any], atoms: Atoms) -> dict[str, Any]:
    """GPAW's physical parameters for one frame."""
    spin = has_spin(atoms, settings)
    occupations = {"name": "fermi-dirac", "width": settings["smearing_eV"]}
    if spin and multiplicity_of(atoms) is not None:
        occupations["fixmagmom"] = True
    chosen: dict[str, Any] = {
        "xc": settings["xc"],
        "kpts": {
            "size": k_mesh(atoms, spacing_per_A=settings["kspacing_per_A"], gap_A=settings["vacuum_gap_A"]),
            "gamma": True,
        },
        "occupations": occupations,
        "spinpol": spin,
        "charge": charge_of(atoms),
        # A frame's own symmetry would make its numbers depend on how exactly it is symmetric.
        "symmetry": {"point_group": False},
        "convergence": {
            "energy": settings["energy_tolerance_eV_per_electron"],
            "density": settings["density_tolerance"],
            "eigenstates": settings["eigenstate_tolerance_eV2"],
        },
        "mode": {"name": "pw", "ecut": settings["cutoff_eV"]},
    }
    if settings["mode"] == "lcao":
        chosen["mode"] = "lcao"
        chosen["basis"] = settings["basis"]
        # The grid that carries plane waves of this cutoff, h = pi / sqrt(2 E) in atomic units.
        chosen["h"] = float(np.pi / np.sqrt(2 * settings["cutoff_eV"] / Hartree) * Bohr)
    if settings["setups"]:
        chosen["setups"] = dict(settings["setups"])
    return chosen


def build(settings: Mapping[str, Any], atoms: Atoms, run: Run) -> Any:
    """GPAW for one frame; its log is ``gpaw.txt`` in the run's directory."""
    from gpaw import GPAW

    refuse_physics(run, PHYSICS, "GPAW")
    if settings["mode"] == "pw" and not atoms.pbc.all():
        raise NotSupported("GPAW's plane waves need a frame that is periodic in three directions")
    if has_spin(atoms, settings):
        atoms.set_initial_magnetic_moments(initial_moments_muB(atoms, settings))
    run.directory.mkdir(parents=True, exist_ok=True)
    return GPAW(
        **parameters(settings, atoms),
        **{
            "maxiter": settings["max_iterations"],
            "txt": str(run.directory / "gpaw.txt"),
            **run.parameters,
        },
    )


def verify(calculator: Any, run: Run) -> None:
    """Make sure that the self-consistent cycle has converged.

    Raises
    ------
    NotConverged
        If it has not.
    """
    log = run.directory / "gpaw.txt"
    if log.exists() and "Did not converge" in log.read_text(encoding="utf-8", errors="replace"):
        raise NotConverged(f"GPAW's own log says that it did not converge: {log}")
    del calculator
