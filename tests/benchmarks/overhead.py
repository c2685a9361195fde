"""Wall time of a finished campaign against the time inside the engines' own loops on its critical path.

    python tests/benchmarks/overhead.py CAMPAIGN_DIR [--cores 2]

The critical path is: the slowest training of each committee, the MD runs shared out over the cores (sum
/ cores, at least the longest), descriptors and coverage, and labels. Framework start-up, freezing, testing,
polling and Python imports count as overhead. Figures come from the manifests that every stage leaves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def timings(directories: Iterable[Path], *parts: str) -> list[float]:
    found = []
    for directory in directories:
        path = directory / "manifest.json"
        if path.exists():
            values = read(path)["outputs"].get("timings", {})
            found.append(sum(values.get(part, 0.0) for part in parts))
    return found


def shared(seconds: list[float], cores: int) -> float:
    return max(sum(seconds) / cores, max(seconds, default=0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("campaign_dir", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    root, cores = arguments.campaign_dir, arguments.cores
    wall = sum(json.loads(line)["wall_s"] for line in (root / "logs/runs.jsonl").read_text().splitlines())
    jobs = [json.loads(line) for line in (root / "logs/label_jobs.jsonl").read_text().splitlines()]
    rows = []
    md = []
    for path in sorted(root.glob("initial/reference_md/*/result.json")):
        md.append(sum(value for name, value in read(path).get("timings", {}).items() if name == "engine_s"))
    rows.append(("initial reference MD", shared(md, cores)))
    rows.append(("all labels", shared([job["engine_s"] for job in jobs], cores)))
    for directory in sorted(root.glob("iterations/[0-9][0-9][0-9]")):
        name = f"iteration {int(directory.name)}"
        rows.append(
            (f"{name}: training", max(timings(directory.glob("train/model-*[0-9]"), "train_s"), default=0.0))
        )
        rows.append((f"{name}: MD", shared(timings(directory.glob("explore/run-*[0-9]"), "engine_s"), cores)))
        rows.append(
            (f"{name}: coverage", sum(timings([directory / "assess"], "descriptors_s", "coverage_s")))
        )
    rows.append(
        ("final training", max(timings(root.glob("final/train/model-*[0-9]"), "train_s"), default=0.0))
    )
    for name, seconds in rows:
        print(f"{name:32s} {seconds:8.1f} s")
    engines = sum(seconds for _, seconds in rows)
    print(f"{'engines, critical path':32s} {engines:8.1f} s")
    print(f"{'wall':32s} {wall:8.1f} s")
    print(f"{'wall / engines':32s} {wall / engines:8.2f}")


if __name__ == "__main__":
    main()
