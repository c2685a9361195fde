"""Environments described in a second by one core: SOAP with each compression, and a DeePMD-kit model.

Run it from the repository's root:

    python tests/benchmarks/bench_descriptors.py [--model graph.pb] [--frames 40] [--json FILE]

The frames are rattled copies of tetragonal LLZO, 192 atoms. Each kind is timed frame by frame after a first
frame. The model's descriptor is evaluated in this process as the stage's child process does it; what it costs
to start such a child and describe one frame is told as the time of the first frame. Rates are by the
processor's time, so that other work on the machine counts little; wall times stand beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# One core is what is measured; libraries read these when they are loaded.
for _name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "DP_INTRA_OP_PARALLELISM_THREADS",
    "DP_INTER_OP_PARALLELISM_THREADS",
):
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
        soap(f"SOAP, {kind}", SoapDescriber(Descriptor(compression=kind), ELEMENTS), frames)
        for kind in ("crossover", "mu1nu1", "off")
    ]
    if arguments.model is not None:
        rows.append(model_descriptor(arguments.model, frames))
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


def soap(name: str, describer: Describer, frames: Sequence[Frame]) -> dict[str, Any]:
    """Cost of the first frame, and of the others."""
    first_s, _, _ = cost(lambda: list(describer.describe(frames[:1])))
    wall, used, values = cost(lambda: list(describer.describe(frames[1:])))
    return row(name, values[0]["O"].shape[1], frames, wall, used, first_s)


def model_descriptor(model: Path, frames: Sequence[Frame]) -> dict[str, Any]:
    """The same of a DeePMD-kit model."""
    from deepmd.infer import DeepPot

    first_s, _, _ = cost(lambda: list(DeepmdDescriber(model, ELEMENTS, threads=1).describe(frames[:1])))
    potential = DeepPot(str(model))
    type_map = list(potential.get_type_map())

    def evaluate(some: Sequence[Frame]) -> list[Any]:
        return [
            potential.eval_descriptor(
                one.positions_A.reshape(1, -1),
                one.cell_A.reshape(1, 9),
                [type_map.index(symbol) for symbol in one.symbols],
            )
            for one in some
        ]

    evaluate(frames[:1])
    wall, used, values = cost(lambda: evaluate(frames[1:]))
    return row("DeePMD-kit model", values[0].shape[-1], frames, wall, used, first_s)


def row(
    name: str, features: int, frames: Sequence[Frame], wall: float, used: float, first_s: float
) -> dict[str, Any]:
    """Figures of one kind; the first frame is not among those that were timed."""
    environments = sum(len(one.symbols) for one in frames[1:])
    return {
        "kind": name,
        "features": features,
        "environments": environments,
        "per_processor_s": environments / used,
        "per_wall_s": environments / wall,
        "first_frame_s": first_s,
    }


def cost(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall time, this process's processor time, and what the call gave."""
    wall, used = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - used, result


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| descriptor | features | environments per core and second | per second of wall time "
        "| first frame, s |",
        "|---|---|---|---|---|",
    ]
    for one in rows:
        lines.append(
            f"| {one['kind']} | {one['features']} | {one['per_processor_s']:,.0f} | {one['per_wall_s']:,.0f} "
            f"| {one['first_frame_s']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
