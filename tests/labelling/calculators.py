"""Calculators that misbehave in ways that real ones do, on top of a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase.calculators.emt import EMT


class Fragile(EMT):
    """EMT that dies, hangs or fails where the first atom stands at a telling height (angstrom)."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        height = round(float(atoms.positions[0, 2]), 3)
        if height == 0.111:
            os.kill(os.getpid(), signal.SIGSEGV)
        if height == 0.222:
            time.sleep(600)
        if height == 0.333:
            raise RuntimeError("SCF did not converge in 60 iterations")
        if height == 0.444:
            self.results["forces"] = self.results["forces"] * np.nan


class Spawning(EMT):
    """EMT that starts a program of its own and waits for it."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("program.pid").write_text(str(program.pid))
        program.wait()


class Unstable(EMT):
    """EMT whose forces stop being numbers after some calls."""

    calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls > 60:
            self.results["forces"] = self.results["forces"] * np.nan


class Slow(EMT):
    """EMT that takes its time."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        time.sleep(0.015)
        super().calculate(atoms, properties, system_changes)


class EnergyOnly(EMT):
    """EMT without forces."""

    implemented_properties = ("energy",)


class FreeEnergy(EMT):
    """EMT with electronic entropy: its forces belong to `free_energy`."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results["free_energy"] = self.results["energy"] - 0.5


class WithoutStress(EMT):
    """EMT that has no stress."""

    implemented_properties = ("energy", "free_energy", "forces")


class Greedy(EMT):
    """EMT that takes too much memory, in three ways, where the first atom stands at a telling height."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        height = round(float(atoms.positions[0, 2]), 3)
        if height == 0.555:
            self._kept = np.ones(125_000_000)
            time.sleep(600)
        if height == 0.666:
            np.ones(2**55)
        if height == 0.777:
            print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
            os.abort()


class Patient(EMT):
    """EMT that converges only if it is given enough iterations."""

    def __init__(self, iterations=10, **parameters):
        super().__init__(**parameters)
        self.iterations = iterations

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if self.iterations < 100:
            raise RuntimeError(f"not converged after {self.iterations} iterations")


class Charged(EMT):
    """EMT whose energy tells the charge, the multiplicity and the magnetic moments that it was given."""

    def __init__(self, charge=0, multiplicity=1, **parameters):
        super().__init__(**parameters)
        self.told = 100.0 * charge + 10.0 * multiplicity

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = self.told + float(atoms.get_initial_magnetic_moments().sum())
        self.results["free_energy"] = self.results["energy"]
