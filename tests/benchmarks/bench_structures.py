"""Structures per second of each generator, and memory while very many structures go through the program.

    python tests/benchmarks/bench_structures.py speed [--kinds dimers crystals ...] [--seconds 20]
    python tests/benchmarks/bench_structures.py memory [--frames 100000]

`speed` makes structures of each kind of source that needs no network and no labeller, for at most so many
seconds, in this one process. `memory` makes so many displaced copies of Li2O (12 atoms) in three ways:
counted as `validate` does, through `prepare_initial_data` into a label store, and through
`llzo-al structures`; each in a process of its own, whose peak memory stands beside that of the same process
with 1,000 structures. Both print a table in Markdown.
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
from pathlib import Path

KINDS = {
    "dimers": ["points=1000"],
    "crystals": ["structures=[t-LLZO]", "rattled_copies=1000"],
    "crystals (strained)": ["structures=[t-LLZO]", "rattled_copies=0", "strained_copies=1000"],
    "orderings": [],
    "variants": ["lithium_changes=[-2, 2]", "copies=100"],
    "slabs": [],
    "amorphous": ["copies=100"],
    "blocks": ["structure=t-LLZO", "parent_supercell=[3, 3, 3]"],
    "interfaces": [],
}
"""Keys of each kind, besides the defaults."""

CAMPAIGN = """\
name: many
elements: [Li, O]
initial_data:
  - kind: crystals
    structures: [Li2O]
    scale_factors: [1.0]
    rattled_copies: {copies}
labelling: {{engine: classical_reference}}
exploration: {{structures: [Li2O], temperatures_K: [300, 400], duration_ps: 1}}
"""


def speed(kinds: list[str], seconds: float) -> None:
    from llzo_al.config.one_source import build_source
    from llzo_al.structures.sources import SourceContext, source_frames

    context = SourceContext(elements=("Li", "La", "Zr", "O"), base=Path.cwd(), seed=1)
    print("| kind | structures | atoms | seconds | per second |\n| --- | --- | --- | --- | --- |")
    for name in kinds:
        source = build_source(name.split()[0], KINDS[name])
        next(iter(source_frames(source, context)))  # imports and caches
        started = time.perf_counter()
        sizes = []
        for frame in source_frames(source, context):
            sizes.append(frame.n_atoms)
            if time.perf_counter() - started > seconds:
                break
        taken = time.perf_counter() - started
        atoms = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{sizes[0]}"
        rate = len(sizes) / taken
        print(f"| {name} | {len(sizes):,} | {atoms} | {taken:.2f} | {rate:,.1f} |", flush=True)


def through_the_store(frames: int, directory: Path) -> None:
    """Child: the initial data of a campaign."""
    from llzo_al.campaign.campaign import Campaign
    from llzo_al.campaign.initial import prepare_initial_data
    from llzo_al.config.load import load_campaign

    path = directory / "campaign.yaml"
    path.write_text(CAMPAIGN.format(copies=frames - 1), encoding="utf-8")
    loaded = load_campaign(path)
    campaign = Campaign.create(root=loaded.campaign_dir, config=loaded.config, campaign_file=path)
    started = time.perf_counter()
    made = len(prepare_initial_data(campaign).identities)
    tell(made, time.perf_counter() - started)


def through_the_command(frames: int, directory: Path) -> None:
    """Child: `llzo-al structures`."""
    from llzo_al.campaign.one_source import make_structures
    from llzo_al.config.one_source import build_source
    from llzo_al.structures.sources import SourceContext

    keys = ["structures=[Li2O]", "scale_factors=[1.0]", f"rattled_copies={frames - 1}"]
    context = SourceContext(elements=("Li", "O"), base=directory, seed=1)
    started = time.perf_counter()
    made = make_structures(build_source("crystals", keys), context, directory / "out")
    tell(made.summary.frames, time.perf_counter() - started)


def through_the_plan(frames: int, directory: Path) -> None:
    """Child: what `llzo-al validate` counts."""
    from llzo_al.config.load import load_campaign
    from llzo_al.config.plan import make_plan

    path = directory / "campaign.yaml"
    path.write_text(CAMPAIGN.format(copies=frames - 1), encoding="utf-8")
    started = time.perf_counter()
    tell(make_plan(load_campaign(path)).initial_labels, time.perf_counter() - started)


WAYS = {
    "validate": through_the_plan,
    "label store": through_the_store,
    "structures": through_the_command,
}


def tell(made: int, seconds: float) -> None:
    peak_MB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"made": made, "seconds": seconds, "peak_MB": peak_MB}))


def memory(frames: int) -> None:
    print("| way | structures | seconds | per second | peak (MB) |\n| --- | --- | --- | --- | --- |")
    for way in WAYS:
        for count in (1000, frames):
            with tempfile.TemporaryDirectory() as directory:
                child = subprocess.run(
                    [sys.executable, __file__, "child", way, str(count), directory],
                    check=True,
                    capture_output=True,
                    text=True,
                    env=os.environ,
                )
            values = json.loads(child.stdout.splitlines()[-1])
            rate = values["made"] / values["seconds"]
            print(
                f"| {way} | {values['made']:,} | {values['seconds']:.1f} | {rate:,.0f} | "
                f"{values['peak_MB']:.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    of_speed = parts.add_parser("speed")
    of_speed.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    of_speed.add_argument("--seconds", type=float, default=20.0)
    parts.add_parser("memory").add_argument("--frames", type=int, default=100_000)
    of_child = parts.add_parser("child")
    of_child.add_argument("way", choices=list(WAYS))
    of_child.add_argument("frames", type=int)
    of_child.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    if arguments.part == "speed":
        speed(arguments.kinds, arguments.seconds)
    elif arguments.part == "memory":
        memory(arguments.frames)
    else:
        WAYS[arguments.way](arguments.frames, arguments.directory)


if __name__ == "__main__":
    main()
