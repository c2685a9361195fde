"""How many structure models of each kind are made in a second, and with how much memory.

Run it from the repository's root, on an otherwise idle machine:

    python tests/benchmarks/bench_models.py [--json FILE]

Each kind is made once before it is timed, with few structures, so that imports and the library do not
count. Both wall time and the processor's time are told: on a busy machine only the second says something. The
peak memory is that of the whole process, after each kind. The table is in Markdown.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from llzo_al.config.initial_data import Source
from llzo_al.dataset.frames import Frame
from llzo_al.structures.sources import SourceContext, source_frames

CONTEXT = SourceContext(elements=("Li", "La", "Zr", "O", "Al", "Ta"), base=Path(), seed=1)

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "orderings of c-LLZO, 10 of 500 samples": (
        {"kind": "orderings", "orderings": 1, "samples": 1},
        {"kind": "orderings"},
    ),
    "the same, each with 99 displaced copies": (
        {"kind": "orderings", "orderings": 1, "samples": 1},
        {"kind": "orderings", "rattled_copies": 99},
    ),
    "variants of t-LLZO, 2 or 4 Li2O removed": (
        {"kind": "variants", "lithium_changes": [-2], "copies": 1},
        {"kind": "variants", "lithium_changes": [-4, -8], "copies": 200},
    ),
    "variants of t-LLZO, 1 or 2 Li2O inserted": (
        {"kind": "variants", "lithium_changes": [2], "copies": 1},
        {"kind": "variants", "lithium_changes": [2, 4], "copies": 10},
    ),
    "variants of c-LLZO, 2 Al on 24d": (
        {"kind": "variants", "lithium_changes": [-2], "copies": 1, "structures": ["c-LLZO"]},
        {
            "kind": "variants",
            "lithium_changes": [0],
            "copies": 200,
            "structures": ["c-LLZO"],
            "substitutions": [{"element": "Al", "replaces": "Li", "count": 2, "site": "24d"}],
        },
    ),
    "slabs of t-LLZO (100), (001), (110), (111), 4 each": (
        {"kind": "slabs", "structures": ["Li2O"]},
        {
            "kind": "slabs",
            "miller_indices": [[1, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]],
            "terminations": 4,
        },
    ),
    "amorphous boxes, 192 atoms, 4.5 and 5.1 g/cm3": (
        {"kind": "amorphous", "copies": 1, "n_atoms": 24},
        {"kind": "amorphous", "copies": 10, "densities_g_per_cm3": [4.5, 5.1]},
    ),
    "blocks of a random box of 5184 atoms, 64": (
        {"kind": "blocks", "structure": "t-LLZO", "divisions": [1, 1, 2]},
        {"kind": "blocks", "melt": {}},
    ),
    "blocks of a crystal of 5184 atoms, 64": (
        {"kind": "blocks", "structure": "t-LLZO", "divisions": [1, 1, 2]},
        {"kind": "blocks", "structure": "t-LLZO", "parent_supercell": [3, 3, 3]},
    ),
    "interfaces of LLZO and Li up to 400 square angstrom, 4": (
        {"kind": "interfaces", "max_area_A2": 180.0},
        {"kind": "interfaces", "matches": 4, "vacuum_A": 10.0},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print("| structures | number | atoms at most | per second | per processor second | peak (MiB) |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = []
    for name, (warm, timed) in CASES.items():
        row = _measure(name, warm, timed)
        rows.append(row)
        print(
            f"| {name} | {row['frames']:,} | {row['atoms_max']:,} | {row['per_wall_s']:.1f} | "
            f"{row['per_cpu_s']:.1f} | {row['peak_MiB']:.0f} |",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def _measure(name: str, warm: dict[str, Any], timed: dict[str, Any]) -> dict[str, Any]:
    for _ in _frames(warm):
        pass
    wall, cpu = time.perf_counter(), time.process_time()
    number, atoms_max = 0, 0
    for frame in _frames(timed):
        number += 1
        atoms_max = max(atoms_max, frame.n_atoms)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "name": name,
        "frames": number,
        "atoms_max": atoms_max,
        "per_wall_s": number / wall,
        "per_cpu_s": number / cpu,
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _frames(values: dict[str, Any]) -> Iterator[Frame]:
    return source_frames(TypeAdapter(Source).validate_python(values), CONTEXT)


if __name__ == "__main__":
    main()
