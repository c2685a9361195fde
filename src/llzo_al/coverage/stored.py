"""Environments on disk, for sets larger than the memory: written frame by frame, read some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llzo_al.coverage.cache import FrameValues
from llzo_al.coverage.environments import CHUNK, Float32Array, IntArray
from llzo_al.errors import StageError
from llzo_al.files import read_json, write_json

META = "environments.json"


@dataclass(frozen=True, kw_only=True)
class StoredEnvironments:
    """Environments in a folder: for each element a file of descriptors (float32) and one of frames (int64).

    It can be handed to `assess_coverage` like `Environments`.

    Attributes
    ----------
    folder
        Where the files are.
    elements
        Chemical symbols.
    n_features
        Features of a descriptor.
    n_frames
        Number of frames.
    counts
        Environments of each element, in the order of `elements`.
    """

    folder: Path
    elements: tuple[str, ...]
    n_features: int
    n_frames: int
    counts: tuple[int, ...]

    @classmethod
    def open(cls, folder: Path) -> StoredEnvironments:
        """Open what `write_environments` wrote.

        Raises
        ------
        StageError
            If it was not written to its end, or a file does not have the size that it should have.
        """
        if not (folder / META).exists():
            raise StageError(f"{folder}: no {META}; the environments were not written to their end")
        meta = read_json(folder / META)
        stored = cls(
            folder=folder,
            elements=tuple(meta["elements"]),
            n_features=int(meta["n_features"]),
            n_frames=int(meta["n_frames"]),
            counts=tuple(int(count) for count in meta["counts"]),
        )
        for symbol, count in zip(stored.elements, stored.counts, strict=True):
            files = {_values(folder, symbol): 4 * stored.n_features, _frames(folder, symbol): 8}
            for path, size in files.items():
                found = path.stat().st_size if path.exists() else 0
                if found != count * size:
                    raise StageError(f"{path}: {found} bytes, expected {count * size}; write the set again")
        return stored

    def count(self, symbol: str) -> int:
        """Number of environments of one element, 0 for one that the set does not know."""
        return dict(zip(self.elements, self.counts, strict=True)).get(symbol, 0)

    def frames(self, symbol: str) -> IntArray:
        """Frame of each environment of one element, shape (n,)."""
        return np.fromfile(_frames(self.folder, symbol), dtype=np.int64)

    def chunks(self, symbol: str) -> Iterator[Float32Array]:
        """Descriptors of one element's environments in their order, some at a time."""
        with _values(self.folder, symbol).open("rb") as file:
            while True:
                block = np.fromfile(file, dtype=np.float32, count=CHUNK * self.n_features)
                if not len(block):
                    return
                yield block.reshape(-1, self.n_features)

    def rows(self, symbol: str, numbers: IntArray) -> Float32Array:
        """Descriptors of some of one element's environments, by their ascending numbers."""
        if not self.count(symbol):
            return np.zeros((0, self.n_features), dtype=np.float32)
        shape = (self.count(symbol), self.n_features)
        table = np.memmap(_values(self.folder, symbol), dtype=np.float32, mode="r", shape=shape)
        return np.array(table[numbers])


def write_environments(
    folder: Path, elements: Sequence[str], frames: Iterable[FrameValues]
) -> StoredEnvironments:
    """Write descriptors frame by frame; only one frame's are in memory at a time.

    Parameters
    ----------
    folder
        Made if it is not there; what an earlier call left in it is replaced.
    elements
        Chemical symbols.
    frames
        For each frame the descriptors of each element's atoms, shape (n_atoms, n_features).
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).unlink(missing_ok=True)
    counts, n_features, number = dict.fromkeys(elements, 0), 0, -1
    values = {symbol: _values(folder, symbol).open("wb") for symbol in elements}
    index = {symbol: _frames(folder, symbol).open("wb") for symbol in elements}
    try:
        for number, frame in enumerate(frames):
            for symbol in elements:
                block = np.ascontiguousarray(frame[symbol], dtype=np.float32)
                n_features = block.shape[1]
                block.tofile(values[symbol])
                np.full(len(block), number, dtype=np.int64).tofile(index[symbol])
                counts[symbol] += len(block)
    finally:
        for file in (*values.values(), *index.values()):
            file.close()
    meta = {
        "elements": list(elements),
        "n_features": n_features,
        "n_frames": number + 1,
        "counts": list(counts.values()),
    }
    write_json(folder / META, meta)
    return StoredEnvironments.open(folder)


def _values(folder: Path, symbol: str) -> Path:
    return folder / f"{symbol}.f32"


def _frames(folder: Path, symbol: str) -> Path:
    return folder / f"{symbol}.frame"
