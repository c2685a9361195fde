"""Small labelled systems and settings with which a real training takes seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.config.training import Training
from llzo_al.training.backends import MODEL_SUFFIX, Backend, available_backends, choose_backend
from llzo_al.training.inputs import merge
from llzo_al.training.train import TrainInputs

ELEMENTS = ("Li", "O")
BACKEND: Backend = choose_backend(os.environ.get("LLZO_AL_BACKEND", available_backends()[0]))
"""What the trainings of the tests use; the variable names another one that is installed."""
SUFFIX = MODEL_SUFFIX[BACKEND]
SMALL = {
    "backend": BACKEND,
    "rcut_A": 4.0,
    "embedding_neurons": [4, 8],
    "axis_neurons": 4,
    "fitting_neurons": [8, 8],
    "compress": False,
}
_ONE_SIDE = {"model": {"descriptor": {"type_one_side": True}}}
_NEEDED = _ONE_SIDE if BACKEND == "pytorch-exportable" else {}


def write_system(
    path: Path,
    symbols: list[str],
    *,
    n_frames: int,
    seed: int,
    type_map: tuple[str, ...] = ELEMENTS,
    virials: bool = False,
) -> Path:
    """Atoms tied to their sites by springs, with energies, forces and virials of those springs."""
    rng = np.random.default_rng(seed)
    n_atoms = len(symbols)
    sites = np.stack(np.meshgrid([0, 2.2], [0, 2.2], [0, 2.2]), axis=-1).reshape(-1, 3)[:n_atoms]
    displacements = rng.normal(0, 0.15, (n_frames, n_atoms, 3))
    forces = -3.0 * displacements
    part = path / "set.000"
    part.mkdir(parents=True)
    (path / "type.raw").write_text("\n".join(str(type_map.index(symbol)) for symbol in symbols))
    (path / "type_map.raw").write_text("\n".join(type_map))
    np.save(part / "coord.npy", (sites + displacements).reshape(n_frames, -1))
    np.save(part / "box.npy", np.tile(np.diag([9.0, 9.0, 9.0]).ravel(), (n_frames, 1)))
    np.save(part / "energy.npy", 1.5 * np.square(displacements).sum(axis=(1, 2)) - 4.0 * n_atoms)
    np.save(part / "force.npy", forces.reshape(n_frames, -1))
    if virials:
        virial = -np.einsum("fai,faj->fij", displacements, forces)
        np.save(part / "virial.npy", virial.reshape(n_frames, 9))
    return path


def small_settings(**changes: Any) -> Training:
    """A network that trains in no time."""
    overrides = merge(_NEEDED, changes.pop("overrides", {}))
    return Training(**(SMALL | changes), overrides=overrides)


def small_inputs(directory: Path, **changes: Any) -> TrainInputs:
    """Two systems to train on and two test sets, one in another order of elements, written to `directory`."""
    data = directory / "data"
    if not data.exists():
        write_system(data / "Li2O2", ["Li", "Li", "O", "O"], n_frames=6, seed=1)
        write_system(data / "LiO", ["Li", "O"], n_frames=4, seed=2)
        write_system(data / "test-Li2O2", ["Li", "Li", "O", "O"], n_frames=3, seed=3, virials=True)
        write_system(data / "test-LiO", ["Li", "O"], n_frames=2, seed=4)
        write_system(data / "test-turned", ["O", "Li", "O"], n_frames=2, seed=5, type_map=("O", "Li"))
    values: dict[str, Any] = {
        "training_systems": (data / "Li2O2", data / "LiO"),
        "test_systems": {
            "crystals": (data / "test-Li2O2", data / "test-turned"),
            "dimers": (data / "test-LiO",),
            "nothing": (),
        },
        "settings": small_settings(),
        "elements": ELEMENTS,
        "steps": 40,
        "seed": 11,
    }
    return TrainInputs(**(values | changes))
