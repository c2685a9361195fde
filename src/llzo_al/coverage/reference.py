"""Frames of reference: what makes coverages of several iterations comparable, kept in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.pca import PrincipalSpace
from llzo_al.errors import StageError
from llzo_al.files import replacing

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ReferenceFrame:
    """A fixed frame of reference of one element.

    Attributes
    ----------
    space
        Standardisation and principal components.
    low, high
        Edges of the cells along each component, shape (n_components,).
    residual_limit
        Largest residual of a training environment; infinite without a check.
    """

    space: PrincipalSpace
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    residual_limit: float

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All numbers that it consists of, by name."""
        space = {field.name: np.asarray(getattr(self.space, field.name)) for field in fields(self.space)}
        return {**space, "low": self.low, "high": self.high, "residual_limit": np.array(self.residual_limit)}


def frame_fingerprint(frames: Mapping[str, ReferenceFrame]) -> str:
    """Hash (hex) of all numbers of the elements' frames: equal only where figures compare."""
    digest = hashlib.sha256()
    for symbol in sorted(frames):
        for name, array in sorted(frames[symbol].arrays().items()):
            digest.update(f"{symbol} {name} {array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write_frames(path: Path, frames: Mapping[str, ReferenceFrame]) -> None:
    """Keep the elements' frames in a ``.npz`` file, which is replaced as a whole."""
    arrays = {
        f"{symbol}/{name}": array
        for symbol, frame in frames.items()
        for name, array in frame.arrays().items()
    }
    with replacing(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, version=np.array(_VERSION), **arrays)  # type: ignore[arg-type]


def read_frames(path: Path) -> dict[str, ReferenceFrame]:
    """The elements' frames from a file of `write_frames`, for `assess_coverage`'s argument `fixed`.

    Raises
    ------
    StageError
        If the file is of another version.
    """
    with np.load(path, allow_pickle=False) as data:
        if "version" not in data.files or int(data["version"]) != _VERSION:
            raise StageError(f"{path}: no frames of reference of version {_VERSION}; measure again")
        symbols = dict.fromkeys(name.split("/")[0] for name in data.files if "/" in name)
        return {
            symbol: _frame({n.split("/")[1]: data[n] for n in data.files if n.startswith(f"{symbol}/")})
            for symbol in symbols
        }


def _frame(arrays: dict[str, NDArray[np.generic]]) -> ReferenceFrame:
    space = {field.name: arrays[field.name] for field in fields(PrincipalSpace)}
    return ReferenceFrame(
        space=PrincipalSpace(**{**space, "n_fitted": int(arrays["n_fitted"])}),  # type: ignore[arg-type]
        low=np.asarray(arrays["low"], dtype=np.float64),
        high=np.asarray(arrays["high"], dtype=np.float64),
        residual_limit=float(arrays["residual_limit"]),
    )
