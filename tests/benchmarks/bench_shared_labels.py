"""What a shared label store and the consistency checks cost.

Run with ``python tests/benchmarks/bench_shared_labels.py [DIRECTORY]``: a minute. Prints milliseconds per
label on this machine's disk: storing in the campaign's store, depositing in a shared one, taking over from
it, claiming, and the checks for frames of 192 atoms.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from llzo_al.dataset.consistency import check_labels
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.dataset.shared import SharedLabels
from llzo_al.dataset.store import LabelStore

PHYSICS = {"engine": "benchmark"}
SYMBOLS = ("Li",) * 56 + ("La",) * 24 + ("Zr",) * 16 + ("O",) * 96
N = 200


def pair(number: int) -> tuple[Frame, Label]:
    """A random frame of 192 atoms and a label for it."""
    random = np.random.default_rng(number)
    forces = random.normal(size=(192, 3))
    frame = Frame(
        symbols=SYMBOLS,
        positions_A=random.uniform(0, 13, (192, 3)),
        cell_A=np.eye(3) * 13,
        provenance=Provenance(source="exploration", kind="t-LLZO", group=f"g{number}"),
    )
    stress = random.normal(size=(3, 3))
    label = Label(
        energy_eV=-1400.0 + random.normal(),
        forces_eV_per_A=forces - forces.mean(axis=0),
        virial_eV=stress + stress.T,
    )
    return frame, label


def timed(what: str, started: float, n: int = N) -> None:
    """Print milliseconds for each of `n`."""
    print(f"{what}: {1000 * (time.perf_counter() - started) / n:.2f} ms per label")


def main(place: Path) -> None:
    """Measure and print."""
    pairs = [pair(number) for number in range(N)]
    frames = [frame for frame, _ in pairs]
    own, other = LabelStore(place / "a" / "labels.sqlite"), LabelStore(place / "b" / "labels.sqlite")
    shared = SharedLabels(place / "shared.sqlite", PHYSICS)
    identities = own.request(frames, physics=PHYSICS, split="training")
    other.request(frames, physics=PHYSICS, split="training")
    started = time.perf_counter()
    for identity, (_, label) in zip(identities, pairs, strict=True):
        own.add_label(identity, label)
    timed("store in the campaign's own store", started)
    claims = shared.claims()
    started = time.perf_counter()
    for first in range(0, N, 8):
        claims.take(identities[first : first + 8])
        claims.release()
    timed("claim and release, jobs of 8", started)
    started = time.perf_counter()
    for frame, label in pairs[: N // 4]:
        shared.deposit([(frame, label)])
    timed("deposit in the shared store, one at a time", started, N // 4)
    started = time.perf_counter()
    shared.exchange(own)
    timed("deposit in the shared store, all at once", started, N - N // 4)
    started = time.perf_counter()
    shared.exchange(other)
    timed("take over from the shared store", started)
    started = time.perf_counter()
    shared.exchange(other)
    timed("find that there is nothing to exchange", started)
    records = list(own.records(physics=PHYSICS))
    started = time.perf_counter()
    checks = check_labels(records)
    timed("consistency checks", started)
    print(f"{checks.n_labels} labels checked, {len(checks.duplicates)} duplicates with different energies")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            main(Path(directory))
