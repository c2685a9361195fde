r"""How far apart in time the frames of a trajectory are independent of one another.

With the integrated autocorrelation time of `llzo_al.timeseries`, N correlated samples weigh as much as
:math:`N / 2 \tau_\mathrm{int}` independent ones, so that a stride of :math:`2 \tau_\mathrm{int}` throws
nothing but repetition away. The estimate itself has the relative standard error
:math:`\sqrt{2 (2 M + 1) / N}` with the window M (Madras and Sokal, J. Stat. Phys. 50, 109 (1988)).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.dataset.frames import Frame
from llzo_al.timeseries import integrated_time

FloatArray = NDArray[np.float64]

LENGTHS_NEEDED = 50.0
"""A series must be so many autocorrelation times long for an estimate, whose standard error is then 65 % at
most."""
SAMPLES_NEEDED = 20
"""Fewer samples than this are no series."""
_PAIR_WIDTH_A = 1.5
_PAIR_REACH_A = 4.5


@dataclass(frozen=True, kw_only=True)
class Stride:
    """Every how many samples one is kept, and why.

    Attributes
    ----------
    stride
        Samples from one that is kept to the next.
    n_samples
        Samples that there were.
    time_samples
        Largest integrated autocorrelation time of the observables, in samples; None where there is none.
    relative_error
        Its relative standard error; None where there is no time.
    observable
        The observable that has it.
    estimated
        Whether the stride follows from it; otherwise it is the fallback.
    reason
        The whole in a sentence, for a person.
    """

    stride: int
    n_samples: int
    time_samples: float | None
    relative_error: float | None
    observable: str
    estimated: bool
    reason: str

    def kept(self) -> range:
        """Indices of the samples that are kept: the last of each interval, and one in any case."""
        first = max(min(self.stride, self.n_samples) - 1, 0)
        return range(first, self.n_samples, self.stride)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return asdict(self)


def choose_stride(series: Mapping[str, FloatArray], *, fallback: int) -> Stride:
    """The stride that the slowest of several observables asks for.

    Parameters
    ----------
    series
        Observables by name, each of shape (n_samples,), all at the same equal intervals.
    fallback
        Stride where the series are too short for an estimate.
    """
    n = min((len(values) for values in series.values()), default=0)
    if n < SAMPLES_NEEDED:
        return _fallback(fallback, n, f"{n} samples are too few for an autocorrelation time")
    times = {name: integrated_time(values) for name, values in series.items() if _varies(values)}
    if not times:
        return _fallback(fallback, n, f"nothing varies over {n} samples")
    slowest = max(times, key=lambda name: times[name][0])
    time, window = times[slowest]
    if math.isinf(time):
        return _fallback(fallback, n, f"the autocorrelation of the {slowest} does not decay", slowest)
    error = math.sqrt(2 * (2 * window + 1) / n)
    what = f"integrated autocorrelation time of the {slowest}: {time:.2g} samples"
    if n < LENGTHS_NEEDED * time:
        return _fallback(
            fallback,
            n,
            f"{what}, of which {n} samples are {n / time:.0f}; {LENGTHS_NEEDED:.0f} are needed to trust it",
            slowest,
            time,
            error,
        )
    return Stride(
        stride=math.ceil(2 * time - 1e-9),
        n_samples=n,
        time_samples=time,
        relative_error=error,
        observable=slowest,
        estimated=True,
        reason=what,
    )


def _varies(series: FloatArray) -> bool:
    spread = float(np.ptp(series))
    return spread > 1e-12 * max(1.0, float(np.abs(series).max()))


def _fallback(
    stride: int,
    n_samples: int,
    why: str,
    observable: str = "",
    time: float | None = None,
    error: float | None = None,
) -> Stride:
    return Stride(
        stride=max(stride, 1),
        n_samples=n_samples,
        time_samples=time,
        relative_error=error,
        observable=observable,
        estimated=False,
        reason=f"{why}; the stated stride is taken",
    )


def frame_observables(frames: Iterable[tuple[Frame, float | None]]) -> dict[str, FloatArray]:
    """What the autocorrelation of a trajectory is looked for in.

    Parameters
    ----------
    frames
        Frames in the order of time with their potential energies (eV), or None where unknown; taken one at a
        time.

    Returns
    -------
    dict
        The potential energy where all frames have one. Where none has: for each pair of elements the sum of
        exp(-(r / 1.5 angstrom)^2) over its pairs within 4.5 angstrom, which follows bond lengths and numbers
        of neighbours. Nothing where some have one.
    """
    energies: list[float] = []
    sums: list[dict[str, float]] = []
    for frame, energy in frames:
        if energy is None:
            sums.append(pair_sums(frame))
        else:
            energies.append(energy)
    if energies and not sums:
        return {"potential energy": np.array(energies)}
    if energies:
        return {}
    names = sorted({name for each in sums for name in each})
    return {f"{name} pair sum": np.array([each.get(name, 0.0) for each in sums]) for name in names}


def pair_sums(frame: Frame) -> dict[str, float]:
    """Sum of exp(-(r / 1.5 angstrom)^2) over the pairs of each two elements within 4.5 angstrom."""
    from ase.neighborlist import neighbor_list

    first, second, distances = neighbor_list("ijd", frame.to_atoms(), _PAIR_REACH_A)
    elements = sorted(set(frame.symbols))
    kinds = np.array([elements.index(symbol) for symbol in frame.symbols])
    weights = np.exp(-((distances / _PAIR_WIDTH_A) ** 2))
    low, high = np.sort([kinds[first], kinds[second]], axis=0)
    return {
        f"{elements[a]}-{elements[b]}": float(weights[(low == a) & (high == b)].sum())
        for a, b in combinations_with_replacement(range(len(elements)), 2)
    }
