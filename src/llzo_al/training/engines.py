"""DeePMD-kit's commands in this process, the same code as its command line. For child processes only.

Paths are relative to the working directory, as for the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from llzo_al.training.backends import MODEL_SUFFIX, Backend
from llzo_al.training.checkpoints import Checkpoint

CPU = "CPU"
INPUT = "input.json"
RESOLVED_INPUT = "out.json"


class Engine(Protocol):
    """What a backend does for a training.

    Attributes
    ----------
    repeats_line
        Whether a restarted training writes the learning curve's line of the step that it continues at again.
    """

    repeats_line: bool

    def device(self) -> str:
        """Name of the GPU that it computes on, or `CPU`."""

    def is_readable(self, checkpoint: Checkpoint) -> bool:
        """Whether every part of the checkpoint can be read."""

    def train(
        self, *, restart: Checkpoint | None, init_model: str | None, min_distance_A: float | None
    ) -> None:
        """``dp train``: restarted, or started from another training's checkpoint, or from scratch.

        Parameters
        ----------
        restart
            Checkpoint to continue from.
        init_model
            Checkpoint (as the command line takes it) whose weights are the start.
        min_distance_A
            Shortest distance in the training data, known beforehand together with the neighbour counts; None
            has DeePMD-kit go through the data for both.
        """

    def freeze(self, checkpoint: Checkpoint, output: str) -> Path:
        """``dp freeze``."""

    def compress(self, frozen: Path, output: str) -> Path:
        """``dp compress``."""


def make_engine(backend: Backend) -> Engine:
    """Import the framework and return its commands."""
    if backend == "tensorflow":
        return TensorFlowEngine()
    return PyTorchEngine() if backend == "pytorch" else PyTorchExportableEngine()


class TensorFlowEngine:
    """``dp --tf``."""

    repeats_line = True

    def __init__(self) -> None:
        from deepmd.tf.entrypoints import main

        self._main = main.main

    def device(self) -> str:
        """The first GPU that TensorFlow sees."""
        from deepmd.tf.env import tf

        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:
            return CPU
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))

    def is_readable(self, checkpoint: Checkpoint) -> bool:
        """Read every variable (with its checksum) and the graph's definition."""
        from deepmd.tf.env import tf
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            reader = tf.train.load_checkpoint(str(checkpoint.path))
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
            meta = checkpoint.path.with_name(checkpoint.path.name + ".meta").read_bytes()
            graph = tf.MetaGraphDef()
            graph.ParseFromString(meta)
        except (OSError, ValueError, tf.errors.OpError, DecodeError):
            return False
        return bool(graph.graph_def.node)

    def train(
        self, *, restart: Checkpoint | None, init_model: str | None, min_distance_A: float | None
    ) -> None:
        """``dp --tf train``; a known shortest distance goes into the graph where the command would put it."""
        from deepmd.main import parse_args
        from deepmd.tf.common import clear_session
        from deepmd.tf.entrypoints import train_dp
        from deepmd.tf.env import GLOBAL_ENER_FLOAT_PRECISION, tf

        clear_session()
        if min_distance_A is not None:
            tf.constant(min_distance_A, name="train_attr/min_nbor_dist", dtype=GLOBAL_ENER_FLOAT_PRECISION)
        arguments = train_arguments(
            "--tf", restart=restart, init_model=init_model, skip_neighbor_stat=min_distance_A is not None
        )
        train_dp(**vars(parse_args(arguments)))

    def freeze(self, checkpoint: Checkpoint, output: str) -> Path:
        """``dp --tf freeze``."""
        path = Path(output + MODEL_SUFFIX["tensorflow"])
        self._main(["--tf", "freeze", "-c", str(checkpoint.path), "-o", str(path)])
        return path

    def compress(self, frozen: Path, output: str) -> Path:
        """``dp --tf compress``."""
        path = Path(output + MODEL_SUFFIX["tensorflow"])
        self._main(["--tf", "compress", "-i", str(frozen), "-o", str(path), "-t", INPUT])
        return path


class PyTorchEngine:
    """``dp --pt``."""

    repeats_line = True
    flag = "--pt"
    suffix = MODEL_SUFFIX["pytorch"]

    def __init__(self) -> None:
        self._main = self._entry()

    def _entry(self) -> Callable[[list[str]], None]:
        from deepmd.pt.entrypoints import main

        entry: Callable[[list[str]], None] = main.main
        return entry

    def device(self) -> str:
        """The device that DeePMD-kit chose."""
        import torch
        from deepmd.pt.utils.env import DEVICE

        return torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else CPU

    def is_readable(self, checkpoint: Checkpoint) -> bool:
        """Load the file."""
        import pickle

        import torch

        try:
            torch.load(checkpoint.path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError):
            return False
        return True

    def train(
        self, *, restart: Checkpoint | None, init_model: str | None, min_distance_A: float | None
    ) -> None:
        """``dp train``."""
        self._main(
            train_arguments(
                self.flag,
                restart=restart,
                init_model=init_model,
                skip_neighbor_stat=min_distance_A is not None,
            )
        )

    def freeze(self, checkpoint: Checkpoint, output: str) -> Path:
        """``dp freeze``; some model families choose the ``.pt2`` format by themselves."""
        path = Path(output + self.suffix)
        self._main([self.flag, "freeze", "-c", str(checkpoint.path), "-o", str(path)])
        exported = path.with_suffix(".pt2")
        return exported if not path.exists() and exported.exists() else path

    def compress(self, frozen: Path, output: str) -> Path:
        """``dp compress``."""
        path = Path(output + self.suffix)
        self._main([self.flag, "compress", "-i", str(frozen), "-o", str(path), "-t", INPUT])
        return path


class PyTorchExportableEngine(PyTorchEngine):
    """``dp --pt-expt``, which freezes into a model that a C++ compiler translated."""

    repeats_line = False
    flag = "--pt-expt"
    suffix = MODEL_SUFFIX["pytorch-exportable"]

    def _entry(self) -> Callable[[list[str]], None]:
        from deepmd.pt_expt.entrypoints import main

        entry: Callable[[list[str]], None] = main.main
        return entry


def train_arguments(
    flag: str, *, restart: Checkpoint | None, init_model: str | None, skip_neighbor_stat: bool
) -> list[str]:
    """Arguments of ``dp train``."""
    arguments = [flag, "train", INPUT, "-o", RESOLVED_INPUT]
    if restart is not None:
        arguments += ["--restart", str(restart.path)]
    elif init_model is not None:
        arguments += ["--init-model", init_model]
    if skip_neighbor_stat:
        arguments.append("--skip-neighbor-stat")
    return arguments
