"""Errors of a trained DeePMD-kit model on labelled systems.

The framework is imported: for child processes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.errors import StageError
from llzo_al.evaluation.errors import ErrorSummary, pool, summarise
from llzo_al.evaluation.parity import Parity, join
from llzo_al.evaluation.systems import LabelledSystem, read_system


def evaluate_model(
    model: Path, test_systems: Mapping[str, Iterable[Path]], *, virials: bool = True
) -> tuple[dict[str, ErrorSummary], dict[str, Parity]]:
    """Errors of `model` for each kind of structure, and points for a parity plot.

    Parameters
    ----------
    model
        A frozen model of any backend.
    test_systems
        ``deepmd/npy`` systems of each kind; kinds without systems are left out.
    virials
        Compare virials where the systems have them.

    Raises
    ------
    StageError
        If a system cannot be read, holds an element that the model does not know, or the model predicts
        something that is not a number.
    """
    from deepmd.infer import DeepPot

    potential = DeepPot(str(model))
    errors, points = {}, {}
    for kind, paths in test_systems.items():
        tested = [_test(potential, read_system(path), virials=virials) for path in paths]
        if tested:
            errors[kind] = pool(summary for summary, _ in tested)
            points[kind] = join(parity for _, parity in tested)
    return errors, points


def _test(potential: Any, system: LabelledSystem, *, virials: bool) -> tuple[ErrorSummary, Parity]:
    """Errors and points of a loaded `DeepPot` on one system."""
    energies, forces, predicted_virials = potential.eval(
        system.positions_A.reshape(system.n_frames, -1),
        system.cells_A.reshape(system.n_frames, 9) if system.periodic else None,
        system.types(potential.get_type_map()).tolist(),
    )[:3]
    compare = virials and system.periodic and system.virials_eV is not None
    try:
        summary = summarise(
            energies_eV=energies.reshape(system.n_frames),
            reference_energies_eV=system.energies_eV,
            forces_eV_per_A=forces.reshape(system.n_frames, system.n_atoms, 3),
            reference_forces_eV_per_A=system.forces_eV_per_A,
            virials_eV=predicted_virials.reshape(system.n_frames, 3, 3) if compare else None,
            reference_virials_eV=system.virials_eV if compare else None,
        )
    except ValueError as error:
        raise StageError(f"{system.path}: {error}") from error
    return summary, Parity(
        energies_eV_per_atom=np.ravel(system.energies_eV) / system.n_atoms,
        predicted_energies_eV_per_atom=np.ravel(energies) / system.n_atoms,
        forces_eV_per_A=np.ravel(system.forces_eV_per_A),
        predicted_forces_eV_per_A=np.ravel(forces),
    )
