"""Environments described in a second by one core: SOAP with each compression, and a DeePMD-kit model.

Run it from the repository's root:

    python tests/benchmarks/bench_descriptors.py [--model graph.pb] [--frames 40] [--json FILE]

The frames are rattled copies of tetragonal LLZO, 192 atoms. SOAP is timed frame by frame after a first frame,
DeePMD-kit as a stage calls it: in a child process with one thread, whose start is told separately, as the
difference of a call with one frame. Rates are by the processor's time (of this process and its children), so
that other work on the machine counts little; wall times stand beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# One core is what is measured; libraries read these when they are loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402

from llzo_al.config.coverage import Descriptor  # noqa: E402
from llzo_al.coverage.deepmd import DeepmdDescriber  # noqa: E402
from llzo_al.coverage.descriptors import Describer, SoapDescriber  # noqa: E402
from llzo_al.dataset.frames import Frame, Provenance  # noqa: E402
from llzo_al.structures.library import load_structure  # noqa: E402

ELEMENTS = ("Li", "La", "Zr", "O")


def main() -> None:
    """Time each kind, print a table, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="frozen model; without one only SOAP is timed")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    frames = rattled(arguments.frames + 1)
    rows = [
        timed(f"SOAP, {kind}", SoapDescriber(Descriptor(compression=kind), ELEMENTS), frames)
        for kind in ("crossover", "mu1nu1", "off")
    ]
    if arguments.model is not None:
        rows.append(timed("DeePMD-kit model", DeepmdDescriber(arguments.model, ELEMENTS, threads=1), frames))
    print(table(rows))
    print(f"load {os.getloadavg()[0]:.1f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1))


def rattled(count: int) -> list[Frame]:
    """Rattled copies of tetragonal LLZO."""
    perfect = load_structure("t-LLZO", base=Path())
    frames = []
    for seed in range(count):
        atoms = perfect.copy()
        atoms.positions += np.random.default_rng(seed).normal(scale=0.1, size=atoms.positions.shape)
        provenance = Provenance(source="benchmark", kind="t-LLZO", group=f"benchmark/{seed}")
        frames.append(Frame.from_atoms(atoms, provenance))
    return frames


def timed(name: str, describer: Describer, frames: Sequence[Frame]) -> dict[str, Any]:
    """Cost of the first frame, and of the others."""
    start_wall, start_used, _ = cost(lambda: list(describer.describe(frames[:1])))
    wall, used, values = cost(lambda: list(describer.describe(frames[1:])))
    if isinstance(describer, DeepmdDescriber):  # every call starts a process
        wall, used = wall - start_wall, used - start_used
    environments = sum(len(block) for frame in values for block in frame.values())
    return {
        "kind": name,
        "features": values[0]["O"].shape[1],
        "environments": environments,
        "per_processor_s": environments / used,
        "per_wall_s": environments / wall,
        "first_frame_s": start_wall,
    }


def cost(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall time, processor's time of this process and its children, and what the call gave."""
    wall, used = time.perf_counter(), _used_s()
    result = call()
    return time.perf_counter() - wall, _used_s() - used, result


def _used_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| descriptor | features | environments per core and second | per second of wall time "
        "| first frame, s |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['kind']} | {row['features']} | {row['per_processor_s']:,.0f} | {row['per_wall_s']:,.0f} "
            f"| {row['first_frame_s']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
