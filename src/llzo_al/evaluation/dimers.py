"""Curves of dimers: what the reference says of two atoms at a range of distances, and what a model does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from llzo_al.dataset.records import Record
from llzo_al.errors import EngineError
from llzo_al.process import engine_environment, run_child

Use = Literal["training", "held-out", "excluded"]
"""What a labelled dimer is used for; "excluded": its forces are above the force cap."""

GRID_POINTS = 60
"""Distances at which a model's own curve is drawn."""


@dataclass(frozen=True, kw_only=True)
class DimerLabels:
    """Labelled dimers of one pair, charge, multiplicity and box, by growing distance.

    Attributes
    ----------
    symbols
        The two elements.
    charge, multiplicity
        As in the frames.
    cell_A
        The box, three rows.
    distances_A
        Distances, length n.
    energies_eV
        Total energies, length n.
    forces_eV_per_A
        Force along the axis, length n: positive where the atoms repel each other.
    uses
        What each is used for.
    """

    symbols: tuple[str, str]
    charge: int
    multiplicity: int | None
    cell_A: tuple[tuple[float, float, float], ...]
    distances_A: tuple[float, ...]
    energies_eV: tuple[float, ...]
    forces_eV_per_A: tuple[float, ...]
    uses: tuple[Use, ...]

    @property
    def grid_A(self) -> tuple[float, ...]:
        """Evenly spaced distances from the first to the last labelled one."""
        return tuple(np.linspace(self.distances_A[0], self.distances_A[-1], GRID_POINTS).tolist())


def labelled_dimers(records: Iterable[Record], *, force_cap_eV_per_A: float) -> list[DimerLabels]:
    """Labelled frames of two atoms that a `dimers` source made, pair by pair.

    Parameters
    ----------
    records
        Any records; others than labelled dimers are passed over.
    force_cap_eV_per_A
        Limit of `dataset.force_cap_eV_per_A`.
    """
    pairs: dict[tuple[Any, ...], list[tuple[float, float, float, Use]]] = {}
    for record in records:
        frame, label = record.frame, record.label
        if label is None or frame.provenance.source != "dimers" or frame.n_atoms != 2:
            continue
        axis = frame.to_atoms().get_distance(0, 1, mic=True, vector=True)
        distance_A = float(np.linalg.norm(axis))
        force = float((label.forces_eV_per_A[1] - label.forces_eV_per_A[0]) @ axis) / (2 * distance_A)
        beyond = (record.max_force_eV_per_A or 0.0) > force_cap_eV_per_A
        use: Use = "excluded" if beyond else "held-out" if record.split == "held-out" else "training"
        cell = tuple(tuple(row) for row in frame.cell_A.tolist())
        key = (frame.symbols, frame.charge, frame.multiplicity, cell)
        pairs.setdefault(key, []).append((distance_A, label.energy_eV, force, use))
    return [_of_pair(key, points) for key, points in pairs.items()]


def _of_pair(key: tuple[Any, ...], points: list[tuple[float, float, float, Use]]) -> DimerLabels:
    symbols, charge, multiplicity, cell_A = key
    ordered = sorted(points)
    return DimerLabels(
        symbols=symbols,
        charge=charge,
        multiplicity=multiplicity,
        cell_A=cell_A,
        distances_A=tuple(point[0] for point in ordered),
        energies_eV=tuple(point[1] for point in ordered),
        forces_eV_per_A=tuple(point[2] for point in ordered),
        uses=tuple(point[3] for point in ordered),
    )


def compare_dimers(
    models: Sequence[Path], labelled: Sequence[DimerLabels], directory: Path, *, threads: int = 1
) -> list[dict[str, Any]]:
    """Curves of several models beside the labels, in a child process that has DeePMD-kit in it.

    Parameters
    ----------
    models
        Frozen models; the first one's errors are told.
    labelled
        From `labelled_dimers`.
    directory
        Working directory.
    threads
        Cores.

    Returns
    -------
    list of dict
        For each of `labelled` the fields of `llzo_al.reporting.facts.DimerCurve`. Energies are relative to
        the label at the longest distance.

    Raises
    ------
    EngineError
        If the child fails.
    """
    answer = run_child(
        "llzo_al.evaluation.dimers_child",
        {
            "models": [str(model.resolve()) for model in models],
            "pairs": [
                {
                    "symbols": list(each.symbols),
                    "cell_A": [list(row) for row in each.cell_A],
                    "distances_A": [*each.distances_A, *each.grid_A],
                }
                for each in labelled
            ],
        },
        directory=directory,
        environment=engine_environment(threads=threads),
    )
    predictions = answer["models"]
    if len(predictions) != len(models) or any(len(each) != len(labelled) for each in predictions):
        raise EngineError(f"{directory}: another number of curves of dimers than asked for")
    return [
        _curve(each, [of_model[number] for of_model in predictions]) for number, each in enumerate(labelled)
    ]


def _curve(labels: DimerLabels, predicted: Sequence[dict[str, list[float]]]) -> dict[str, Any]:
    count = len(labels.distances_A)
    used = [number for number, use in enumerate(labels.uses) if use != "excluded"]
    origin_eV = labels.energies_eV[-1]
    first = predicted[0]
    return {
        "pair": "-".join(labels.symbols),
        "charge": labels.charge,
        "multiplicity": labels.multiplicity,
        "distances_A": list(labels.distances_A),
        "energies_eV": [energy - origin_eV for energy in labels.energies_eV],
        "forces_eV_per_A": list(labels.forces_eV_per_A),
        "uses": list(labels.uses),
        "model_distances_A": list(labels.grid_A),
        "model_energies_eV": [
            [energy - origin_eV for energy in each["energies_eV"][count:]] for each in predicted
        ],
        "energy_rmse_eV": _rmse(first["energies_eV"], labels.energies_eV, used),
        "force_rmse_eV_per_A": _rmse(first["forces_eV_per_A"], labels.forces_eV_per_A, used),
    }


def _rmse(predicted: Sequence[float], reference: Sequence[float], used: Sequence[int]) -> float | None:
    """Root-mean-square difference at the places `used`; None without any."""
    if not used:
        return None
    squares = [(predicted[number] - reference[number]) ** 2 for number in used]
    return float(np.sqrt(np.mean(squares)))


def as_key(labelled: Sequence[DimerLabels]) -> list[dict[str, Any]]:
    """What a comparison depends on besides the models, JSON-serialisable."""
    return [asdict(each) for each in labelled]
