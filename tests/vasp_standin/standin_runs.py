"""Folders of inputs for the stand-in, one run of it, and many at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from vasp_standin.potcars import dummy_potcar

HERE = Path(__file__).resolve().parent
COMMAND = (sys.executable, str(HERE / "vasp_std.py"))
"""What stands for VASP's executable."""

STATIC = {
    "ENCUT": 500,
    "KSPACING": 0.5,
    "ISPIN": 2,
    "ISMEAR": 0,
    "SIGMA": 0.1,
    "EDIFF": "1E-4",
    "NSW": 0,
    "GGA": "PE",
    "LREAL": ".FALSE.",
}
"""INCAR of a static run."""

SETUPS = {"Li": "Li_sv", "La": "La", "Zr": "Zr_sv", "O": "O"}


def lithium_oxide(rattle: int = 0, scale: float = 1.0) -> Atoms:
    """Primitive cell of Li2O, moved at random where `rattle` is not 0."""
    half = 2.31 * scale
    atoms = Atoms(
        "Li2O",
        scaled_positions=[[0.25, 0.25, 0.25], [0.75, 0.75, 0.75], [0, 0, 0]],
        cell=[[0, half, half], [half, 0, half], [half, half, 0]],
        pbc=True,
    )
    if rattle:
        atoms.positions += np.random.default_rng(rattle).normal(scale=0.08, size=(3, 3))
    return atoms


def write_inputs(folder: Path, atoms: Atoms, incar: Mapping[str, Any] | None = None) -> Path:
    """Write INCAR, POSCAR and POTCAR for atoms that are sorted by species; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = atoms.get_chemical_symbols()
    species = list(dict.fromkeys(symbols))
    tags = {**STATIC, **(incar or {})}
    (folder / "INCAR").write_text("".join(f"{key} = {value}\n" for key, value in tags.items()))
    lines = [atoms.get_chemical_formula(), "1.0"]
    lines += [" ".join(f"{x:.12f}" for x in row) for row in np.array(atoms.cell)]
    lines += [" ".join(species), " ".join(str(symbols.count(name)) for name in species), "Direct"]
    lines += [" ".join(f"{x:.12f}" for x in row) for row in atoms.get_scaled_positions(wrap=False)]
    (folder / "POSCAR").write_text("\n".join(lines) + "\n")
    (folder / "POTCAR").write_text("".join(dummy_potcar(SETUPS[name]) for name in species))
    return folder


def run_standin(
    folder: Path, fault: str = "", *, timeout_s: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Run the stand-in once in `folder`, with its words in vasp.out and std_err.txt as custodian has them."""
    environment = {**os.environ, "LLZO_STANDIN_FAULT": fault}
    with (folder / "vasp.out").open("wb") as out, (folder / "std_err.txt").open("wb") as err:
        return subprocess.run(
            COMMAND, cwd=folder, env=environment, stdout=out, stderr=err, timeout=timeout_s, check=False
        )


def run_many(folders: Sequence[Path], faults: Sequence[str] = (), *, limit_s: float = 1.0) -> list[int]:
    """Run the stand-in in each folder from one Python process, which saves the start of each.

    Returns
    -------
    list of int
        Exit code of each run, negative for a signal; -9 for one that hangs and was killed after `limit_s`.
    """
    jobs = [
        [str(folder), fault] for folder, fault in zip(folders, faults or [""] * len(folders), strict=True)
    ]
    done = subprocess.run(
        [sys.executable, str(HERE / "standin_many.py")],
        input=json.dumps({"jobs": jobs, "limit_s": limit_s}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    codes: list[int] = json.loads(done.stdout.splitlines()[-1])
    return codes
