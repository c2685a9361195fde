"""How fast coverage is measured and with how much memory: 10^5, 10^6 and 10^7 environments of 480 features.

Run it from the repository's root, on an otherwise idle machine with room for the largest set
(10^7 environments: 21 GB, removed again as soon as it is measured):

    python tests/benchmarks/bench_coverage.py [--sizes 100000 1000000] [--per-frame] [--folder DIR]

The environments are those of a hidden process with `--latent` dimensions of falling width, of which about 40
principal components hold 95 % of the variance, as many as of SOAP on hot LLZO; planes, and with them the
time, go with the square of their number. A tenth as many training environments come with each set. Both are
written in chunks to disk first; that is not timed. Each set is measured in a process of its own, whose peak
memory is told as the system counts it (pages of mapped files included). On a busy machine the processor's
time says more than the wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.cache import FrameValues
from llzo_al.coverage.stored import StoredEnvironments, write_environments

ATOMS = {"Li": 56, "La": 24, "Zr": 16, "O": 96}
"""Atoms of each element in a frame, as in t-LLZO."""
TRAJECTORIES = 20
_FRAMES_AT_ONCE = 100


def main() -> None:
    """Measure each size, print a table, and keep the figures if asked to."""
    arguments = _arguments()
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.measure, arguments)))
        return
    rows = []
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(prefix="bench-coverage-", dir=arguments.folder) as folder:
            started = time.perf_counter()
            write_sets(Path(folder), size, arguments)
            print(f"{size:.0e}: written in {time.perf_counter() - started:.0f} s", file=sys.stderr)
            for processes in arguments.processes:
                rows.append(in_child(Path(folder), processes, per_frame=arguments.per_frame))
                print(json.dumps(rows[-1]), file=sys.stderr)
    print(table(rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--features", type=int, default=480)
    parser.add_argument("--latent", type=int, default=80, help="hidden dimensions")
    parser.add_argument("--decay", type=float, default=26.0, help="dimensions over which their width falls")
    parser.add_argument("--processes", type=int, nargs="+", default=[1])
    parser.add_argument("--per-frame", action="store_true", help="what is missing in each frame, too")
    parser.add_argument("--folder", type=Path, help="where the sets are written")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_sets(folder: Path, size: int, arguments: argparse.Namespace) -> None:
    """Write the visited set and a training set a tenth as large."""
    frames = max(round(size / sum(ATOMS.values())), 20)
    for name, count, seed in (("visited", frames, 1), ("training", max(frames // 10, 2), 2)):
        process = Process(arguments.features, arguments.latent, arguments.decay, seed)
        write_environments(folder / name, list(ATOMS), process.frames(count))


class Process:
    """Descriptors made of few hidden coordinates and a little noise; trajectories have their own centres.

    Parameters
    ----------
    features, latent
        Numbers of features and of hidden coordinates.
    decay
        Coordinate k has a width of exp(-k / decay).
    seed
        Seed of the coordinates; how they make features is always the same.
    """

    def __init__(self, features: int, latent: int, decay: float, seed: int) -> None:
        model = np.random.default_rng(0)
        self._mixing = {s: model.normal(size=(latent, features)).astype(np.float32) for s in ATOMS}
        self._noise = 0.05 * model.normal(size=(_FRAMES_AT_ONCE * max(ATOMS.values()), features)).astype("f4")
        self._width = np.exp(-np.arange(latent, dtype=np.float32) / decay)
        self._generator = np.random.default_rng(seed)

    def frames(self, count: int) -> Iterator[FrameValues]:
        """Descriptors of each frame by element."""
        centre = np.zeros_like(self._width)
        for start in range(0, count, _FRAMES_AT_ONCE):
            if start * TRAJECTORIES // count != (start - _FRAMES_AT_ONCE) * TRAJECTORIES // count:
                centre = 0.2 * self._normal(len(self._width))
            blocks = {symbol: self._block(symbol, atoms, centre) for symbol, atoms in ATOMS.items()}
            for number in range(min(_FRAMES_AT_ONCE, count - start)):
                yield {s: block[number * ATOMS[s] : (number + 1) * ATOMS[s]] for s, block in blocks.items()}

    def _normal(self, *shape: int) -> NDArray[np.float32]:
        return self._generator.standard_normal(shape, dtype=np.float32)

    def _block(self, symbol: str, atoms: int, centre: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = _FRAMES_AT_ONCE * atoms
        hidden = (np.tanh(self._normal(rows, len(centre))) + centre) * self._width
        block = hidden @ self._mixing[symbol]
        block += np.roll(self._noise[:rows], int(self._generator.integers(rows)), axis=0)
        return np.asarray(block, dtype=np.float32)


def in_child(folder: Path, processes: int, *, per_frame: bool) -> dict[str, Any]:
    """Measure in a new process."""
    command = [sys.executable, __file__, "--measure", str(folder), "--processes", str(processes)]
    command += ["--per-frame"] if per_frame else []
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(child.stdout.splitlines()[-1]))


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the coverage of the sets in a folder."""
    training, visited = (StoredEnvironments.open(folder / name) for name in ("training", "visited"))
    before = _peak_MB(resource.RUSAGE_SELF)
    wall, used = time.perf_counter(), _processor_s()
    more = {} if arguments.processes == [1] else {"processes": arguments.processes[0]}
    report = assess_coverage(
        training,
        visited,
        Coverage(),
        trajectories=np.arange(visited.n_frames) * TRAJECTORIES // visited.n_frames,
        per_frame=arguments.per_frame,
        **more,
    )
    wall, used = time.perf_counter() - wall, _processor_s() - used
    count = sum(visited.counts)
    return {
        "environments": count,
        "training": sum(training.counts),
        "features": visited.n_features,
        "components": {element.symbol: element.n_components for element in report.elements},
        "processes": arguments.processes[0],
        "wall_s": wall,
        "processor_s": used,
        "peak_MB": _peak_MB(resource.RUSAGE_SELF),
        "peak_of_a_worker_MB": _peak_MB(resource.RUSAGE_CHILDREN),
        "before_MB": before,
        "coverage": report.pooled.coverage,
        "ratio": report.pooled.ratio,
        "pairs_of_frame_and_cell": len(report.frames.uncovered_cells.cells) if report.frames else 0,
        "load": os.getloadavg()[0],
    }


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_MB(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def table(rows: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| environments | training | components | processes | wall, s | processor, s "
        "| 10^6 environments in 10 s | peak memory of a process, MB | load |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        components = row["components"].values()
        lines.append(
            f"| {row['environments']:,} | {row['training']:,} | {min(components)} to {max(components)} "
            f"| {row['processes']} | {row['wall_s']:.1f} | {row['processor_s']:.1f} "
            f"| {10 * row['environments'] / row['wall_s'] / 1e6:.2f} | {_largest_MB(row):.0f} "
            f"| {row['load']:.1f} |"
        )
    return "\n".join(lines)


def _largest_MB(row: dict[str, Any]) -> float:
    """Peak memory of the process that measured, or of the largest of them."""
    return float(row["peak_MB" if row["processes"] == 1 else "peak_of_a_worker_MB"])


if __name__ == "__main__":
    main()
