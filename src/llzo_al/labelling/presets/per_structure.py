"""An ASE calculator that is made anew whenever anything but the positions changes."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from llzo_al.labelling.presets.common import Run

MODULES = {
    "gpaw": "llzo_al.labelling.presets.gpaw",
    "espresso": "llzo_al.labelling.presets.espresso",
    "cp2k": "llzo_al.labelling.presets.cp2k",
    "abinit": "llzo_al.labelling.presets.abinit",
    "universal_potential": "llzo_al.labelling.presets.universal",
}
"""Module of each preset, with ``check(settings, run)``, ``build(settings, atoms, run)`` and
``verify(calculator, run)``."""


class PerStructure(Calculator):
    """Builds a preset's calculator for each composition, cell, charge and spin, and hands the work to it.

    K-points and spins belong to the frame, not to the campaign. Along a trajectory of one cell the calculator
    stays, and goes on from the last step's wave functions.

    Parameters
    ----------
    preset
        Key of `MODULES`.
    settings
        Section `labelling` of the campaign file.
    run
        Directory and parameters that do not change the physics.

    Raises
    ------
    Refused
        If the code behind it is not there, or does not take what it is given.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, preset: str, settings: Mapping[str, Any], run: Run) -> None:
        super().__init__()
        self._module = importlib.import_module(MODULES[preset])
        self._settings = settings
        self._run = run
        self._inner: Any = None
        self._made_for: Any = None
        self._moments_muB = np.zeros(0)
        self._module.check(settings, run)

    @property
    def inner(self) -> Any:
        """The calculator that does the work; None before the first frame."""
        return self._inner

    def renew(self, run: Run) -> None:
        """Forget the calculator, so that the next frame does not start from the last one's wave functions."""
        self.close()
        self._run = run
        self.reset()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """See ASE's `Calculator.calculate`."""
        super().calculate(atoms, list(properties), list(system_changes))
        structure = self._fitting_structure()
        try:
            for name in dict.fromkeys(["energy", "free_energy", *properties]):
                with contextlib.suppress(PropertyNotImplementedError):
                    self.results[name] = self._inner.get_property(name, structure)
        finally:
            # What the code itself says of its convergence comes before any error in reading its numbers.
            self._module.verify(self._inner, self._run)

    def _fitting_structure(self) -> Atoms:
        """The present frame with its initial moments, and a calculator that fits it."""
        structure: Atoms = self.atoms.copy()
        wanted = (
            structure.get_chemical_symbols(),
            structure.cell.tolist(),
            structure.pbc.tolist(),
            structure.info.get("charge"),
            structure.info.get("multiplicity"),
        )
        if self._inner is None or wanted != self._made_for:
            self.close()
            self._inner = self._module.build(self._settings, structure, self._run)
            self._made_for = wanted
            self._moments_muB = structure.get_initial_magnetic_moments()
        elif self._moments_muB.any():
            structure.set_initial_magnetic_moments(self._moments_muB)
        return structure

    def close(self) -> None:
        """End the code's process where it has one; what it has computed stays."""
        close = getattr(self._inner, "close", None)
        if callable(close):
            with contextlib.suppress(AssertionError):  # of ASE's CP2K, on the exit code of the shell
                close()
        self._inner = None
