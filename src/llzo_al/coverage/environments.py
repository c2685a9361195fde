"""Descriptors of atomic environments, sorted by element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llzo_al.errors import StageError

Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]


CHUNK = 1 << 16
"""Environments that a set hands out at once."""


class EnvironmentSet(Protocol):
    """What coverage asks of a set of environments, in memory (`Environments`) or on disk."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols."""
        ...

    @property
    def n_features(self) -> int:
        """Number of features of a descriptor."""
        ...

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        ...

    def count(self, symbol: str) -> int:
        """Number of environments of one element."""
        ...

    def frames(self, symbol: str) -> IntArray:
        """Frame of each environment of one element, shape (n,)."""
        ...

    def chunks(self, symbol: str) -> Iterator[Float32Array]:
        """Descriptors of one element's environments in their order, some at a time, shape (n, n_features)."""
        ...

    def rows(self, symbol: str, numbers: IntArray) -> Float32Array:
        """Descriptors of some of one element's environments, by their ascending numbers."""
        ...


@dataclass(frozen=True, kw_only=True)
class Environments:
    """Descriptors of the environments of a set of frames, by element.

    Every element of `elements` has an entry in `values` and `frame_index`, with no rows where the set
    holds no atom of it.

    Attributes
    ----------
    elements
        Chemical symbols.
    values
        Descriptors of each element's environments, shape (n_environments, n_features) each.
    frame_index
        Frame that each environment belongs to, from 0, shape (n_environments,) each.
    n_frames
        Number of frames, those without any environment included.
    """

    elements: tuple[str, ...]
    values: Mapping[str, Float32Array]
    frame_index: Mapping[str, IntArray]
    n_frames: int

    def __post_init__(self) -> None:
        if set(self.values) != set(self.elements) or set(self.frame_index) != set(self.elements):
            raise ValueError("values and frame_index need exactly one entry for each element")
        widths = set()
        for symbol in self.elements:
            values, frames = self.values[symbol], self.frame_index[symbol]
            if values.ndim != 2 or frames.shape != (len(values),):
                raise ValueError(
                    f"{symbol}: values have shape {values.shape} and frame_index {frames.shape}, "
                    "expected (n, n_features) and (n,)"
                )
            if len(frames) and not (frames.min() >= 0 and frames.max() < self.n_frames):
                raise ValueError(f"{symbol}: frame_index leaves 0 to {self.n_frames - 1}")
            widths.add(values.shape[1])
        if len(widths) > 1:
            raise ValueError(f"elements have different numbers of features: {sorted(widths)}")

    @classmethod
    def from_arrays(cls, values: Mapping[str, ArrayLike], frame_index: Mapping[str, Any]) -> Environments:
        """Environments of plain arrays, one entry of each argument for each element."""
        frames = {symbol: np.asarray(index, dtype=np.int64) for symbol, index in frame_index.items()}
        return cls(
            elements=tuple(values),
            values={symbol: np.asarray(rows, dtype=np.float32) for symbol, rows in values.items()},
            frame_index=frames,
            n_frames=1 + max((int(index.max()) for index in frames.values() if len(index)), default=-1),
        )

    @property
    def n_features(self) -> int:
        """Number of features of a descriptor."""
        return self.values[self.elements[0]].shape[1] if self.elements else 0

    @property
    def n_environments(self) -> int:
        """Number of environments of all elements."""
        return sum(len(values) for values in self.values.values())

    def count(self, symbol: str) -> int:
        """Number of environments of one element, 0 for one that the set does not know."""
        return len(self.values[symbol]) if symbol in self.values else 0

    def frames(self, symbol: str) -> IntArray:
        """Frame of each environment of one element, shape (n,)."""
        return self.frame_index[symbol]

    def chunks(self, symbol: str) -> Iterator[Float32Array]:
        """Descriptors of one element's environments in their order, some at a time, shape (n, n_features)."""
        values = self.values[symbol]
        for start in range(0, len(values), CHUNK):
            yield values[start : start + CHUNK]

    def rows(self, symbol: str, numbers: IntArray) -> Float32Array:
        """Descriptors of some of one element's environments, by their ascending numbers."""
        return self.values[symbol][numbers]

    def subset(self, frames: Sequence[int] | IntArray) -> Environments:
        """Environments of the given frames only, renumbered in the order given.

        Raises
        ------
        ValueError
            If a frame is named twice or does not exist.
        """
        wanted = np.asarray(frames, dtype=np.int64)
        if len(np.unique(wanted)) != len(wanted):
            raise ValueError("a frame is named twice")
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.n_frames):
            raise ValueError(f"a frame is not among 0 to {self.n_frames - 1}")
        number = np.full(self.n_frames, -1, dtype=np.int64)
        number[wanted] = np.arange(len(wanted))
        values, index = {}, {}
        for symbol in self.elements:
            new = number[self.frame_index[symbol]]
            kept = new >= 0
            values[symbol] = self.values[symbol][kept]
            index[symbol] = new[kept]
        return Environments(elements=self.elements, values=values, frame_index=index, n_frames=len(wanted))


def concatenate(sets: Sequence[Environments]) -> Environments:
    """One set of the frames of all, in the order given.

    Raises
    ------
    ValueError
        If there is none, or if they differ in their elements or numbers of features.
    """
    if not sets:
        raise ValueError("nothing to concatenate")
    first = sets[0]
    for other in sets[1:]:
        if other.elements != first.elements or other.n_features != first.n_features:
            raise ValueError("the sets differ in their elements or numbers of features")
    offsets = np.concatenate(([0], np.cumsum([one.n_frames for one in sets])))
    return Environments(
        elements=first.elements,
        values={symbol: np.concatenate([one.values[symbol] for one in sets]) for symbol in first.elements},
        frame_index={
            symbol: np.concatenate(
                [one.frame_index[symbol] + offset for one, offset in zip(sets, offsets[:-1], strict=True)]
            )
            for symbol in first.elements
        },
        n_frames=int(offsets[-1]),
    )


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Standardisation of one element's features: subtract the mean, divide by the scale.

    Attributes
    ----------
    mean, scale
        Shape (n_features,) each; the scale is positive everywhere.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, values: ArrayLike) -> NDArray[np.float64]:
        """Standardised values, shape (n, n_features)."""
        return (np.asarray(values, dtype=np.float64) - self.mean) / self.scale


def fit_scalings(environments: EnvironmentSet) -> dict[str, Scaling]:
    """Standardisation of each element by the mean and standard deviation of its environments.

    A feature's scale is not taken to be smaller than a thousandth of the element's largest one, so that
    features that hardly vary do not drown the others. An element without environments is left as it is
    (mean 0, scale 1).
    """
    scalings = {}
    for symbol in environments.elements:
        count, mean, squares = _moments(environments, symbol)
        if not count:
            ones = np.ones(environments.n_features)
            scalings[symbol] = Scaling(mean=np.zeros_like(ones), scale=ones)
            continue
        deviation = np.sqrt(squares / count)
        largest = float(deviation.max(initial=0.0))
        floor = 1e-3 * largest if largest > 0 else 1.0
        scalings[symbol] = Scaling(mean=mean, scale=np.maximum(deviation, floor))
    return scalings


def _moments(
    environments: EnvironmentSet, symbol: str
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Number, mean and sum of squared deviations of an element's descriptors, combined chunk by chunk.

    Chan, Golub and LeVeque, Am. Stat. 37, 242 (1983).
    """
    count, mean, squares = 0, np.zeros(environments.n_features), np.zeros(environments.n_features)
    for chunk in environments.chunks(symbol):
        if not len(chunk):
            continue
        here = chunk.mean(axis=0, dtype=np.float64)
        squares += chunk.var(axis=0, dtype=np.float64) * len(chunk)
        total = count + len(chunk)
        squares += (here - mean) ** 2 * (count * len(chunk) / total)
        mean = mean + (here - mean) * (len(chunk) / total)
        count = total
    return count, mean, squares


def frame_means(environments: EnvironmentSet, scalings: Mapping[str, Scaling]) -> NDArray[np.float64]:
    """Mean descriptor of each frame: the standardised means of its elements, one after the other.

    An element that a frame does not hold enters with a descriptor of zeros, standardised as the others are,
    which lies far from that of any atom.

    Parameters
    ----------
    environments
        In memory or on disk.
    scalings
        Standardisation of each element; see `fit_scalings`.

    Returns
    -------
    numpy.ndarray
        Shape (n_frames, n_elements * n_features), in the order of the elements.
    """
    blocks = []
    for symbol in environments.elements:
        frames = environments.frames(symbol)
        sums, start = np.zeros((environments.n_frames, environments.n_features)), 0
        for chunk in environments.chunks(symbol):
            own = frames[start : start + len(chunk)]
            start += len(chunk)
            order = np.argsort(own, kind="stable")
            present, starts = np.unique(own[order], return_index=True)
            if len(present):
                sums[present] += np.add.reduceat(chunk[order].astype(np.float64), starts, axis=0)
        counts = np.bincount(frames, minlength=environments.n_frames)
        blocks.append(scalings[symbol].apply(sums / np.maximum(counts, 1)[:, None]))
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((environments.n_frames, 0))


def require_finite(environments: EnvironmentSet, name: str) -> None:
    """Refuse descriptors that are not finite.

    Raises
    ------
    StageError
        Naming the set, the element and the first frame concerned.
    """
    for symbol in environments.elements:
        bad = [~np.isfinite(values.sum(axis=1)) for values in environments.chunks(symbol)]
        if any(one.any() for one in bad):
            concerned = np.concatenate(bad)
            frames = np.unique(environments.frames(symbol)[concerned])
            raise StageError(
                f"{name} set: {int(concerned.sum())} descriptors of {symbol} are not finite, first in frame "
                f"{int(frames[0])} ({len(frames)} frames concerned); remove these frames"
            )
