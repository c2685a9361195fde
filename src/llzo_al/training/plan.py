"""What a training will do: its data, its input, and the checkpoint that it starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.config.training import Training
from llzo_al.errors import StageError
from llzo_al.evaluation.systems import LabelledSystem, read_system
from llzo_al.files import file_hash, fingerprint, read_json
from llzo_al.training.backends import Backend
from llzo_al.training.checkpoints import find_checkpoints
from llzo_al.training.engines import RESOLVED_INPUT
from llzo_al.training.inputs import (
    AUTO,
    SystemSize,
    check_backend,
    check_input,
    make_input,
    neighbor_descriptor,
)
from llzo_al.training.lcurve import LabelScale
from llzo_al.training.neighbors import Neighbors, count_neighbors

KEY_FILE = "training.json"
_NO_NEIGHBOR_A = 100.0
"""DeePMD-kit's own value of the shortest distance in data without neighbours (angstrom)."""


@dataclass(frozen=True, kw_only=True)
class TrainInputs:
    """What one training depends on.

    Attributes
    ----------
    training_systems
        ``deepmd/npy`` systems to train on, one for each composition, absolute paths.
    test_systems
        Held-out systems for each kind of structure.
    settings
        The campaign file's `training` section.
    elements
        The model's type map.
    steps
        Training steps.
    seed
        Seed of the networks' weights and of the order of the batches.
    init_model
        Directory of a finished training to start from; None starts from scratch.
    threads
        Cores that the training may use.
    """

    training_systems: tuple[Path, ...]
    test_systems: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    settings: Training
    elements: tuple[str, ...]
    steps: int
    seed: int
    init_model: Path | None = None
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the child process is to do.

    Attributes
    ----------
    data
        DeePMD-kit's input.
    init_model
        Checkpoint of a warm start, None for a start from scratch.
    min_distance_A
        Shortest distance in the training data (angstrom); None where DeePMD-kit counts neighbours itself.
    scale
        The largest labels of the training data.
    key
        Hash of all that decides the result; a killed training with the same one is continued.
    notes
        What a person should know.
    """

    data: dict[str, Any]
    init_model: Path | None
    min_distance_A: float | None
    scale: LabelScale
    key: str
    notes: tuple[str, ...]


def make_plan(inputs: TrainInputs, backend: Backend) -> Plan:
    """Read the data, generate and check the input, and decide how the training starts.

    Raises
    ------
    UserError
        If DeePMD-kit refuses the input.
    StageError
        If there is no data, a system cannot be read, or the previous model of a warm start is damaged.
    """
    systems = [read_system(path) for path in inputs.training_systems]
    if not systems:
        raise StageError("training: there is no system to train on; the data set is empty")
    draft = partial(
        make_input,
        inputs.settings,
        elements=inputs.elements,
        systems=[
            SystemSize(path=system.path, n_frames=system.n_frames, n_atoms=system.n_atoms)
            for system in systems
        ],
        steps=inputs.steps,
        seed=inputs.seed,
    )
    checked = check_input(draft())
    check_backend(checked, backend)
    descriptor = neighbor_descriptor(checked)
    neighbors = None
    if descriptor is not None:
        neighbors = count_neighbors(systems, elements=inputs.elements, cutoff_A=descriptor["rcut"])
    counted = neighbors is not None and descriptor is not None and descriptor["sel"] == AUTO
    data = draft(selection=neighbors.selection if neighbors is not None and counted else None)
    notes = [] if counted else _check_room(descriptor, neighbors, inputs.elements)
    init_model = None
    if inputs.init_model is not None:
        start = _warm_start(inputs.init_model, backend, draft, neighbors if counted else None)
        if isinstance(start, str):
            notes.append(f"not started from the previous model: {start}")
        else:
            init_model, data = start
    return Plan(
        data=data,
        init_model=init_model,
        min_distance_A=None if neighbors is None else min(neighbors.min_distance_A, _NO_NEIGHBOR_A),
        scale=_label_scale(systems),
        key=_key(data, systems, backend, init_model),
        notes=tuple(notes),
    )


def _label_scale(systems: Sequence[LabelledSystem]) -> LabelScale:
    return LabelScale(
        energy_eV_per_atom=max(
            float(np.abs(system.energies_eV).max(initial=0.0)) / system.n_atoms for system in systems
        ),
        force_eV_per_A=max(float(np.abs(system.forces_eV_per_A).max(initial=0.0)) for system in systems),
    )


def _check_room(
    descriptor: Mapping[str, Any] | None, neighbors: Neighbors | None, elements: Sequence[str]
) -> list[str]:
    """A note where the given numbers of neighbours are smaller than those in the data."""
    if descriptor is None or neighbors is None or neighbors.fits(descriptor["sel"]):
        return []
    return [
        f"training.neighbors: atoms have up to {list(neighbors.most)} neighbours of {', '.join(elements)}, "
        f"more than the {descriptor['sel']} that are given; the farthest are left out"
    ]


def _warm_start(
    directory: Path,
    backend: Backend,
    draft: Callable[..., dict[str, Any]],
    neighbors: Neighbors | None,
) -> tuple[Path, dict[str, Any]] | str:
    """Checkpoint to start from and the input that fits it, or why that is not possible.

    Parameters
    ----------
    directory
        Of the previous training.
    backend
        Of this training.
    draft
        Makes the input from `selection` and `warm_start`.
    neighbors
        Neighbours in the data, where the room for them is not given by the user.

    Raises
    ------
    StageError
        If the directory holds no finished training.
    """
    if not (directory / KEY_FILE).exists():
        raise StageError(f"{directory}: holds no finished training ({KEY_FILE} is missing); train it again")
    before = read_json(directory / KEY_FILE)["backend"]
    if before != backend:
        return f"it was trained with {before}, this one is with {backend}"
    previous = read_json(directory / RESOLVED_INPUT)["model"]
    selection = None
    if neighbors is not None:
        room = neighbor_descriptor({"model": previous})
        if room is None or not neighbors.fits(room["sel"]):
            return f"its room for neighbours is too small for the data ({list(neighbors.most)})"
        selection = room["sel"]
    data = draft(selection=selection, warm_start=True)
    if _without_seeds(check_input(data)["model"]) != _without_seeds(previous):
        return "its network has other settings"
    checkpoints = find_checkpoints(directory, backend)
    if not checkpoints:
        raise StageError(f"{directory}: the finished training's checkpoint is missing; train it again")
    return checkpoints[0].path.resolve(), data


def _without_seeds(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _without_seeds(value) for key, value in node.items() if key != "seed"}
    if isinstance(node, list):
        return [_without_seeds(value) for value in node]
    return node


def _key(
    data: Mapping[str, Any], systems: Sequence[LabelledSystem], backend: Backend, init_model: Path | None
) -> str:
    """Hash of the input and the data's content; paths leave it alone, so a moved campaign goes on."""
    training = dict(data["training"])
    training["training_data"] = {
        name: value for name, value in training["training_data"].items() if name != "systems"
    }
    contents = hashlib.sha256()
    for system in systems:
        contents.update(repr((system.symbols, system.periodic, system.virials_eV is None)).encode())
        for array in (system.positions_A, system.cells_A, system.energies_eV, system.forces_eV_per_A):
            contents.update(np.ascontiguousarray(array).tobytes())
        if system.virials_eV is not None:
            contents.update(system.virials_eV.tobytes())
    return fingerprint(
        {
            "input": {**data, "training": training},
            "data": contents.hexdigest(),
            "backend": backend,
            "init_model": _checkpoint_hash(init_model) if init_model is not None else None,
        }
    )


def _checkpoint_hash(path: Path) -> str:
    """Hash of a checkpoint's content; TensorFlow's index holds the checksums of its data."""
    index = path.with_name(path.name + ".index")
    return file_hash(index if index.exists() else path)
