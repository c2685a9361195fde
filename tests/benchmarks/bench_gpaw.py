"""GPAW's seconds per label, through the labeller as a campaign uses it.

    python tests/benchmarks/bench_gpaw.py                   dimers, Li2O, ZrO2, La2O3 (some minutes)
    python tests/benchmarks/bench_gpaw.py --only t-LLZO     the 96-atom primitive cell of tetragonal LLZO

One core, PBE, Fermi-Dirac 0.1 eV, k-points from the spacing, forces and stress. Prints a Markdown table:
seconds of the calculation, of the whole job (child process, import of GPAW), its processor seconds (what it
would take on an idle core), SCF iterations, largest force.
"""

from __future__ import annotations

import argparse
import re
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from llzo_al.config.labelling import GPAW
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.labelling.base import make_labeller
from llzo_al.structures.library import load_structure


def dimer(symbols: str, distance_A: float) -> Atoms:
    return Atoms(symbols, [[0, 0, 0], [distance_A, 0, 0]], cell=[12.0] * 3, pbc=True)


def crystal(name: str, *, primitive: bool = False) -> Atoms:
    atoms = load_structure(name, base=Path(), primitive=primitive)
    atoms.rattle(0.05, seed=1)
    return atoms


CASES = {
    "Li-O dimer": (lambda: dimer("LiO", 1.7), 500.0, 0.25),
    "La-Zr dimer": (lambda: dimer("LaZr", 3.0), 500.0, 0.25),
    "Li2O primitive": (lambda: crystal("Li2O", primitive=True), 800.0, 0.5),
    "Li2O": (lambda: crystal("Li2O"), 500.0, 0.5),
    "ZrO2": (lambda: crystal("ZrO2"), 500.0, 0.5),
    "La2O3": (lambda: crystal("La2O3"), 500.0, 0.5),
    "t-LLZO": (lambda: crystal("t-LLZO", primitive=True), 400.0, 1.0),
}
"""Structure, cutoff (eV) and spacing of k-points (1/angstrom) of each case; t-LLZO gets Gamma only."""


def cpu_s() -> float:
    """Processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(name: str) -> str:
    make, cutoff_eV, spacing = CASES[name]
    atoms = make()
    settings = GPAW(
        engine="gpaw", cutoff_eV=cutoff_eV, kspacing_per_A=spacing, run_parameters={"txt": "bench.txt"}
    )
    labeller = make_labeller(settings, sorted(set(atoms.get_chemical_symbols())))
    frame = Frame.from_atoms(atoms, Provenance(source="bench", kind=name, group=name))
    with tempfile.TemporaryDirectory() as directory:
        started, before_s = time.perf_counter(), cpu_s()
        ((_, label),) = labeller.label([frame], Path(directory))
        whole_s = time.perf_counter() - started
        log = Path(directory) / "bench.txt"
        text = log.read_text(encoding="utf-8") if log.exists() else ""
    used_s = cpu_s() - before_s
    steps = ", ".join(re.findall(r"Converged in (\d+) steps", text))
    what = f"| {name} | {len(atoms)} | {cutoff_eV:g} | {spacing:g} "
    if not isinstance(label, Label):
        return f"{what}| {label.cause} | {whole_s:.1f} | {used_s:.1f} |  |  |"
    force = np.linalg.norm(label.forces_eV_per_A, axis=1).max()
    return f"{what}| {label.wall_s:.1f} | {whole_s:.1f} | {used_s:.1f} | {steps} | {force:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), help="cases to measure")
    chosen = parser.parse_args().only or [name for name in CASES if name != "t-LLZO"]
    print("| system | atoms | cutoff | k-spacing | label (s) | job (s) | CPU (s) | SCF steps | max force |")
    print("| --- " * 9 + "|")
    for name in chosen:
        print(measured(name), flush=True)


if __name__ == "__main__":
    main()
