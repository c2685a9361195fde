"""The descriptor of a DeePMD-kit model as a description of environments.

It is what the model itself sees of an environment, and it changes with every training: coverages by two
models do not compare unless both sets are described by one of them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llzo_al.coverage.cache import FrameValues
from llzo_al.dataset.frames import Frame
from llzo_al.files import fingerprint
from llzo_al.process import engine_environment, run_child

_CHILD = "llzo_al.coverage.deepmd_child"
_FRAMES_PER_CHILD = 2000


class DeepmdDescriber:
    """Descriptors by a frozen model of any of DeePMD-kit's backends, in a child process.

    Parameters
    ----------
    model
        The frozen model.
    elements
        All elements that may occur; the model's type map has to hold them.
    threads
        Cores that the child uses.
    """

    def __init__(self, model: Path, elements: Sequence[str], *, threads: int = 1) -> None:
        self._model = model.resolve()
        self._elements = tuple(elements)
        self._threads = threads

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that may occur."""
        return self._elements

    @property
    def key(self) -> str:
        """Fingerprint of the model's file and the elements."""
        with self._model.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return fingerprint({"model": digest, "elements": self._elements, "layout": 1})

    def describe(self, frames: Sequence[Frame]) -> Iterator[FrameValues]:
        """See `llzo_al.coverage.descriptors.Describer.describe`.

        Raises
        ------
        EngineError
            If the model does not know an element, or DeePMD-kit fails.
        """
        for start in range(0, len(frames), _FRAMES_PER_CHILD):
            yield from self._described(frames[start : start + _FRAMES_PER_CHILD])

    def _described(self, frames: Sequence[Frame]) -> Iterator[FrameValues]:
        with tempfile.TemporaryDirectory(prefix="llzo-al-descriptors-") as folder:
            place = Path(folder)
            for number, frame in enumerate(frames):
                np.savez(
                    place / f"frame-{number}.npz",
                    symbols=np.array(frame.symbols),
                    positions_A=frame.positions_A,
                    cell_A=frame.cell_A if any(frame.periodic) else np.zeros((0, 3)),
                )
            run_child(
                _CHILD,
                {"model": str(self._model), "n_frames": len(frames)},
                directory=place,
                environment=engine_environment(threads=self._threads),
            )
            for number, frame in enumerate(frames):
                values = np.load(place / f"values-{number}.npy")
                symbols = np.array(frame.symbols)
                yield {symbol: values[symbols == symbol] for symbol in self._elements}
