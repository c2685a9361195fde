"""DeePMD-kit's input file: generated, merged with the overrides, and checked by DeePMD-kit itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llzo_al.config.training import Training
from llzo_al.errors import UserError
from llzo_al.training.checkpoints import PREFIX
from llzo_al.training.lcurve import LEARNING_CURVE

AUTO = "auto"
_DESCRIPTOR = "se_e2_a"

_OWNED = (
    ("model", "type_map"),
    ("model", "descriptor", "seed"),
    ("model", "fitting_net", "seed"),
    ("training", "seed"),
    ("training", "numb_steps"),
    ("training", "num_epoch"),
    ("training", "numb_epoch"),
    ("training", "training_data", "systems"),
    ("training", "training_data", "sys_probs"),
    ("training", "disp_file"),
    ("training", "disp_training"),
    ("training", "save_ckpt"),
    ("training", "save_dir"),
)
"""What the overrides may not touch: the committee differs by its seeds, and progress, divergence and
resumption rely on the rest."""


@dataclass(frozen=True, kw_only=True)
class SystemSize:
    """A ``deepmd/npy`` system and its size."""

    path: Path
    n_frames: int
    n_atoms: int


def make_input(
    settings: Training,
    *,
    elements: Sequence[str],
    systems: Sequence[SystemSize],
    steps: int,
    seed: int,
    selection: Sequence[int] | None = None,
    warm_start: bool = False,
) -> dict[str, Any]:
    """DeePMD-kit's input as a dictionary, `settings.overrides` merged over it.

    How often each system is drawn follows `training.sampling` (see `system_probabilities`). The learning
    rate falls in about a hundred stairs and reaches its end with the last step.

    Parameters
    ----------
    settings
        The campaign file's `training` section.
    elements
        The model's type map.
    systems
        The systems to train on.
    steps
        Training steps.
    seed
        Seed of the networks' weights and of the order of the batches.
    selection
        Room for neighbours of each element where `settings.neighbors` is "auto"; None leaves counting them to
        DeePMD-kit.
    warm_start
        Begin with `settings.warm_start_learning_rate` and end with `settings.warm_start_learning_rate_end`;
        `settings.warm_start_energy_prefactors` weigh the energies.

    Raises
    ------
    UserError
        If the overrides set a key that is the program's own.
    """
    _refuse_owned(settings.overrides)
    neighbors = settings.neighbors
    room: Any = list(neighbors) if neighbors != AUTO else list(selection) if selection is not None else AUTO
    start, stop = settings.learning_rate, settings.learning_rate_end
    if warm_start:
        start, stop = settings.warm_start_learning_rate, settings.warm_start_learning_rate_end or stop
    display, save = intervals(steps, settings.checkpoint_steps)
    generated: dict[str, Any] = {
        "model": {
            "type_map": list(elements),
            "descriptor": {
                "type": _DESCRIPTOR,
                "rcut": settings.rcut_A,
                "rcut_smth": settings.rcut_smooth_A,
                "sel": room,
                "neuron": list(settings.embedding_neurons),
                "axis_neuron": settings.axis_neurons,
            },
            "fitting_net": {"type": "ener", "neuron": list(settings.fitting_neurons)},
        },
        "learning_rate": {
            "type": "exp",
            "start_lr": start,
            "stop_lr": stop,
            "decay_steps": max(1, steps // 100),
        },
        "loss": {"type": "ener", **_prefactors(settings, warm_start=warm_start)},
        "training": {
            "training_data": {
                "systems": [str(system.path) for system in systems],
                "batch_size": settings.batch_size,
                "sys_probs": system_probabilities(systems, settings.sampling),
            },
            "numb_steps": steps,
            "seed": seed,
            "disp_file": LEARNING_CURVE,
            "disp_freq": display,
            "save_freq": save,
            "save_ckpt": PREFIX,
            "max_ckpt_keep": 2,
        },
    }
    merged = merge(generated, settings.overrides)
    if "auto_prob" in merged["training"]["training_data"]:
        merged["training"]["training_data"].pop("sys_probs", None)
    _seed_networks(merged, seed)
    return merged


def system_probabilities(systems: Sequence[SystemSize], sampling: Literal["atoms", "frames"]) -> list[float]:
    """Probability that a step draws from each system.

    Parameters
    ----------
    systems
        The training systems.
    sampling
        "atoms": in proportion to the atoms of all its frames, so that every labelled atom counts the same;
        "frames": in proportion to its frames, as DeePMD-kit's ``prob_sys_size``.
    """
    weights = [system.n_frames * (system.n_atoms if sampling == "atoms" else 1) for system in systems]
    return [weight / sum(weights) for weight in weights]


def intervals(steps: int, checkpoint_steps: int | None = None) -> tuple[int, int]:
    """Steps between lines of the learning curve and between checkpoints.

    The curve gets about fifty lines, and a line at least every thousand steps, since each costs more than
    half a training step. A checkpoint is only written with a line, so its interval is rounded to a multiple
    of the line's; by default it is a tenth of the training and at most 10,000 steps.
    """
    wanted = checkpoint_steps or min(max(steps // 10, 1), 10_000)
    display = max(1, min(steps // 50, 1000, wanted))
    return display, display * max(1, round(wanted / display))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` merged into `base`, mapping by mapping; neither is changed.

    A mapping that names another `type` than the generated one replaces it, since the two have other keys.
    """
    merged: dict[str, Any] = copy.deepcopy(dict(base))
    for key, value in over.items():
        old = merged.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and ("type" not in old or value.get("type", old["type"]) == old["type"])
        ):
            merged[key] = merge(old, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def check_input(data: Mapping[str, Any]) -> dict[str, Any]:
    """The input with DeePMD-kit's defaults, checked by DeePMD-kit's own rules; no framework is imported.

    Raises
    ------
    UserError
        If DeePMD-kit refuses it.
    """
    from dargs.dargs import ArgumentError
    from deepmd.utils.argcheck import normalize
    from deepmd.utils.compat import update_deepmd_input

    try:
        checked: dict[str, Any] = normalize(update_deepmd_input(copy.deepcopy(dict(data)), warning=False))
    except (ArgumentError, TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"training.overrides: DeePMD-kit refuses the input: {error}; correct the key, or leave it out to "
            "get the generated value"
        ) from error
    return checked


def check_settings(settings: Training, elements: Sequence[str]) -> None:
    """Have DeePMD-kit check what `settings` will become, before there are any data.

    Raises
    ------
    UserError
        If DeePMD-kit refuses it, or the overrides set a key that is the program's own.
    """
    system = SystemSize(path=Path("system"), n_frames=1, n_atoms=1)
    data = make_input(settings, elements=elements, systems=[system], steps=settings.steps, seed=1)
    check_backend(check_input(data), settings.backend)


def check_backend(data: Mapping[str, Any], backend: str) -> None:
    """Refuse what a backend cannot make a model of, before a step is run.

    Parameters
    ----------
    data
        What `check_input` returned.
    backend
        The backend; "auto" never chooses one that a network may be refused by.

    Raises
    ------
    UserError
        If the backend is PyTorch-exportable and the embedding has a net for each pair of elements: its code
        for that (as of DeePMD-kit 3.2.0) cannot be traced, so that the trained model could not be frozen.
    """
    descriptor = neighbor_descriptor(data)
    if backend == "pytorch-exportable" and descriptor is not None and not descriptor["type_one_side"]:
        raise UserError(
            "training.backend: pytorch-exportable cannot freeze a se_e2_a descriptor with an embedding net "
            "for each pair of elements; set type_one_side to true (overrides: {model: {descriptor: "
            "{type_one_side: true}}}), or use pytorch"
        )


def neighbor_descriptor(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The descriptor, if it is one that needs the largest number of neighbours of each element; else None."""
    descriptor = data["model"].get("descriptor")
    if not isinstance(descriptor, Mapping) or descriptor.get("type") not in (_DESCRIPTOR, "se_a"):
        return None
    return descriptor if isinstance(descriptor.get("sel"), list) or descriptor.get("sel") == AUTO else None


def _prefactors(settings: Training, *, warm_start: bool) -> dict[str, float]:
    energy = settings.warm_start_energy_prefactors if warm_start else None
    pairs = {
        "e": energy or settings.energy_prefactors,
        "f": settings.force_prefactors,
        "v": settings.virial_prefactors,
    }
    return {
        f"{end}_pref_{name}": value
        for name, values in pairs.items()
        for end, value in zip(("start", "limit"), values, strict=True)
    }


def _refuse_owned(overrides: Mapping[str, Any]) -> None:
    for path in _OWNED:
        node: Any = overrides
        for key in path:
            if not isinstance(node, Mapping) or key not in node:
                break
            node = node[key]
        else:
            raise UserError(
                f"training.overrides: {'.'.join(path)} is set by the campaign and cannot be overridden; "
                "remove it (steps, seed, elements and data have their own keys in the campaign file)"
            )


def _seed_networks(data: dict[str, Any], seed: int) -> None:
    """Give every network of the model its seed: the members of a committee differ by nothing else."""
    model = data["model"]
    if not isinstance(model, dict):
        return
    descriptor = model.get("descriptor")
    parts = [descriptor, model.get("fitting_net")]
    if isinstance(descriptor, dict) and isinstance(descriptor.get("list"), list):
        parts = [*descriptor["list"], model.get("fitting_net")]
    for part in parts:
        if isinstance(part, dict):
            part["seed"] = seed
