"""Energies and forces of dimers by models of DeePMD-kit, whose framework is imported here.

Run as ``python -m llzo_al.evaluation.dimers_child spec.json`` by `llzo_al.evaluation.dimers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.process import child_main


def work(spec: Mapping[str, Any], _: Path) -> dict[str, Any]:
    """Evaluate every pair with every model."""
    from deepmd.infer import DeepPot

    return {
        "models": [
            [_evaluate(potential, pair) for pair in spec["pairs"]]
            for potential in (DeepPot(model) for model in spec["models"])
        ]
    }


def _evaluate(potential: Any, pair: Mapping[str, Any]) -> dict[str, list[float]]:
    """Total energies and forces along the axis of one pair at all its distances."""
    distances_A = np.array(pair["distances_A"])
    cell_A = np.array(pair["cell_A"])
    elements = potential.get_type_map()
    positions_A = np.tile(cell_A.sum(axis=0) / 2, (len(distances_A), 2, 1))
    positions_A[:, 0, 0] -= distances_A / 2
    positions_A[:, 1, 0] += distances_A / 2
    energies, forces = potential.eval(
        positions_A.reshape(len(distances_A), 6),
        np.tile(cell_A.reshape(1, 9), (len(distances_A), 1)),
        [elements.index(symbol) for symbol in pair["symbols"]],
    )[:2]
    forces = forces.reshape(len(distances_A), 2, 3)
    return {
        "energies_eV": energies.reshape(-1).tolist(),
        "forces_eV_per_A": ((forces[:, 1, 0] - forces[:, 0, 0]) / 2).tolist(),
    }


if __name__ == "__main__":
    child_main(work)
