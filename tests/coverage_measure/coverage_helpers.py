"""Small sets of environments and frames for the tests of coverage."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from llzo_al.config.coverage import Coverage, Descriptor
from llzo_al.coverage.environments import Environments
from llzo_al.dataset.frames import Frame, Provenance

ELEMENTS = ("Li", "La", "Zr", "O")
QUICK = Descriptor(cutoff_A=4.0, n_max=4, l_max=3)
SETTINGS = Coverage(bins=10)


def frame_of(atoms: Atoms, group: str = "test") -> Frame:
    return Frame.from_atoms(atoms, Provenance(source="test", kind="test", group=group))


def oxide(seed: int, displacement: float = 0.1) -> Atoms:
    """A rattled cubic cell of Li2O, 12 atoms."""
    atoms = bulk("Li2O", "fluorite", a=4.62, cubic=True)
    atoms.set_chemical_symbols(["O" if s == "Li" and n % 3 == 0 else "Li" for n, s in enumerate(["Li"] * 12)])
    generator = np.random.default_rng(seed)
    atoms.positions += generator.normal(scale=displacement, size=(len(atoms), 3))
    return atoms


def oxides(seeds: range, displacement: float = 0.1) -> list[Frame]:
    return [frame_of(oxide(seed, displacement)) for seed in seeds]


def one_element(values, frames=None) -> Environments:
    """Environments of one element; by default each of a frame of its own."""
    values = np.asarray(values, dtype=np.float32)
    return Environments.from_arrays({"Li": values}, {"Li": range(len(values)) if frames is None else frames})


def cloud(seed: int, n_frames: int = 40, per_frame: int = 10, centre: float = 0.0) -> Environments:
    """Random environments of two elements with five correlated features."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(5, 5))
    values = {}
    for symbol, count in (("Li", per_frame), ("O", per_frame // 2)):
        values[symbol] = centre + generator.normal(size=(n_frames * count, 5)) @ mixing
    return Environments.from_arrays(
        values, {s: np.repeat(np.arange(n_frames), len(v) // n_frames) for s, v in values.items()}
    )
