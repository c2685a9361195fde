"""What the tests of the VASP labeller share: POTCARs that are none, small frames, the stand-in as VASP's
command."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from llzo_al.config.labelling import VASP, ClassicalReference
from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.labelling.base import make_labeller
from vasp_standin.potcars import dummy_potcar
from vasp_standin.standin_runs import COMMAND

ELEMENTS = ("Li", "La", "Zr", "O")
STANDIN = shlex.join(COMMAND)


def make_potcars(root: Path, folder: str = "POT_GGA_PAW_PBE_54", date: str = "01Jan2000") -> Path:
    """A directory for PMG_VASP_PSP_DIR."""
    place = root / folder
    place.mkdir(parents=True, exist_ok=True)
    for symbol in ("Li", "Li_sv", "La", "Zr_sv", "O"):
        (place / f"POTCAR.{symbol}").write_text(dummy_potcar(symbol, date), encoding="utf-8")
    return root


def settings(**given: Any) -> VASP:
    """Section `labelling` with the stand-in as command."""
    return VASP(**{"engine": "vasp", "command": STANDIN, "min_free_MB": 1.0, "timeout_s": 120.0, **given})


def labeller(**given: Any) -> Any:
    """A VASP labeller for Li, La, Zr and O."""
    return make_labeller(settings(**given), ELEMENTS)


def oxide(seed: int = 1, *, left_handed: bool = False) -> Atoms:
    """Rattled Li2O, 12 atoms, in an order that no POSCAR has."""
    atoms = bulk("Li2O", "fluorite", a=4.62, cubic=True)
    atoms.rattle(0.05, seed=seed)
    if left_handed:
        atoms.set_cell(np.array(atoms.cell)[[1, 0, 2]])
    return atoms[np.random.default_rng(seed).permutation(len(atoms))]


def frame_of(atoms: Atoms, **given: Any) -> Frame:
    """Its frame."""
    return Frame(
        symbols=tuple(atoms.get_chemical_symbols()),
        positions_A=atoms.positions,
        cell_A=np.array(atoms.cell),
        periodic=tuple(bool(flag) for flag in atoms.pbc),
        provenance=Provenance(source="test", kind="Li2O", group="test"),
        **given,
    )


def reference_of(frames: list[Frame], directory: Path) -> list[Label | LabelFailure]:
    """What the stand-in's calculator says when it is asked directly."""
    made = make_labeller(ClassicalReference(engine="classical_reference"), ELEMENTS)
    return [label for _, label in sorted(made.label(frames, directory))]
