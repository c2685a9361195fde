"""A real DeePMD-kit committee, trained for a moment on a trajectory of the classical reference."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from exploration_cases import COMMITTEE_ELEMENTS, classical_run, start_frame
from llzo_al.config.training import Training
from llzo_al.exploration.md import TRAJECTORY, read_trajectory, run_md
from llzo_al.training.train import TrainInputs, train_model


def write_system(directory: Path, frames) -> None:
    """Frames of one trajectory as a ``deepmd/npy`` system."""
    data = directory / "set.000"
    data.mkdir(parents=True)
    types = [str(COMMITTEE_ELEMENTS.index(symbol)) for symbol in frames[0].frame.symbols]
    (directory / "type.raw").write_text("\n".join(types) + "\n")
    (directory / "type_map.raw").write_text("\n".join(COMMITTEE_ELEMENTS) + "\n")
    rows = {
        "coord": [md.frame.positions_A for md in frames],
        "box": [md.frame.cell_A for md in frames],
        "force": [md.forces_eV_per_A for md in frames],
        "virial": [md.virial_eV for md in frames],
    }
    for name, arrays in rows.items():
        np.save(data / f"{name}.npy", np.array(arrays).reshape(len(frames), -1))
    np.save(data / "energy.npy", np.array([md.energy_eV for md in frames]))


def train_committee(directory: Path) -> None:
    """Train two models for Li and O below `directory`, and name their files in ``models.json``."""
    run_md(classical_run(start_frame(rattle_A=0.1), temperature_K=900.0), directory / "md")
    write_system(directory / "system", read_trajectory(directory / "md" / TRAJECTORY))
    settings = Training(
        backend="tensorflow",
        rcut_A=4.0,
        embedding_neurons=[4, 8],
        axis_neurons=4,
        fitting_neurons=[16, 16],
        learning_rate=0.01,
        compress=False,
    )

    def train(index: int) -> Path:
        inputs = TrainInputs(
            training_systems=(directory / "system",),
            settings=settings,
            elements=COMMITTEE_ELEMENTS,
            steps=100,
            seed=index + 1,
        )
        return directory / f"model-{index}" / train_model(inputs, directory / f"model-{index}").model

    with ThreadPoolExecutor(2) as pool:
        models = [str(path.relative_to(directory)) for path in pool.map(train, range(2))]
    (directory / "models.json").write_text(json.dumps(models))
