"""Child process that evaluates a DeePMD-kit model's descriptor; see `llzo_al.coverage.deepmd`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.errors import EngineError
from llzo_al.process import child_main


def work(spec: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Write the descriptors of each ``frame-N.npz`` to ``values-N.npy``, shape (n_atoms, n_features)."""
    from deepmd.infer import DeepPot

    potential = DeepPot(spec["model"])
    type_map = list(potential.get_type_map())
    for number in range(spec["n_frames"]):
        with np.load(directory / f"frame-{number}.npz", allow_pickle=False) as frame:
            symbols = [str(symbol) for symbol in frame["symbols"]]
            positions, cell = frame["positions_A"], frame["cell_A"]
        unknown = sorted(set(symbols) - set(type_map))
        if unknown:
            raise EngineError(
                f"{spec['model']}: the model knows {', '.join(type_map)}, but frame {number} holds "
                f"{', '.join(unknown)}"
            )
        values = potential.eval_descriptor(
            positions.reshape(1, -1),
            cell.reshape(1, 9) if cell.size else None,
            [type_map.index(symbol) for symbol in symbols],
        )
        np.save(directory / f"values-{number}.npy", np.asarray(values[0], dtype=np.float32))
    return {"n_frames": spec["n_frames"]}


if __name__ == "__main__":
    child_main(work)
