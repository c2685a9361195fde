"""Figure of a finished campaign for the documentation: coverage, errors, seconds of the labels.

    python tests/benchmarks/plot_campaign.py CAMPAIGN_DIR FIGURE.svg

Reads ``report/report.json`` (run `llzo-al report CAMPAIGN_DIR` first) and the label store; prints the same
numbers as a Markdown table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.dataset.store import LabelStore


def all_md(iteration: dict[str, Any], quantity: str) -> float:
    value = iteration["errors"]["held_out"].get("all MD", {}).get(quantity)
    return float("nan") if value is None else float(value)


def label_seconds(campaign_dir: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for record in LabelStore(campaign_dir / "dataset" / "labels.sqlite").records(labelled=True):
        name = f"{record.frame.provenance.source}, {record.frame.n_atoms} atoms"
        found.setdefault(name, []).append(record.label.wall_s)
    return found


def table(facts: dict[str, Any], seconds: dict[str, list[float]]) -> str:
    lines = [
        "| iteration | coverage | ratio | energy (meV/atom) | force (meV/angstrom) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for iteration in facts["iterations"]:
        pooled = iteration["coverage"]["pooled"]
        lines.append(
            f"| {iteration['iteration']} | {pooled['coverage']:.3f} | {pooled['ratio']:.3f} | "
            f"{all_md(iteration, 'energy_rmse_meV_per_atom'):.1f} | "
            f"{all_md(iteration, 'force_rmse_meV_per_A'):.0f} |"
        )
    lines += [
        "",
        "| labels of | number | seconds, median | least | most |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in sorted(seconds.items()):
        lines.append(
            f"| {name} | {len(values)} | {np.median(values):.0f} | {min(values):.0f} | {max(values):.0f} |"
        )
    return "\n".join(lines)


def figure(facts: dict[str, Any], seconds: dict[str, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    plot, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    iterations = facts["iterations"]
    numbers = [iteration["iteration"] for iteration in iterations]
    limits = facts["thresholds"]
    axes[0].plot(numbers, [each["coverage"]["pooled"]["ratio"] for each in iterations], "o-")
    axes[0].axhline(limits["coverage_ratio"], color="grey", linestyle="--")
    axes[0].set(xlabel="iteration", ylabel="coverage / ceiling", ylim=(0, 1.05))
    axes[1].plot(numbers, [all_md(each, "force_rmse_meV_per_A") for each in iterations], "o-")
    axes[1].axhline(limits["force_rmse_meV_per_A"], color="grey", linestyle="--")
    axes[1].set(xlabel="iteration", ylabel="force RMSE, held-out MD (meV/Å)", ylim=(0, None))
    for axis in axes[:2]:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = sorted(seconds)
    axes[2].boxplot([seconds[name] for name in names], orientation="horizontal")
    axes[2].set_yticks(range(1, len(names) + 1), names)
    axes[2].set(xlabel="seconds per label", xlim=(0, None))
    plot.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("campaign_dir", type=Path)
    parser.add_argument("figure", type=Path)
    arguments = parser.parse_args()
    facts = json.loads((arguments.campaign_dir / "report" / "report.json").read_text(encoding="utf-8"))
    seconds = label_seconds(arguments.campaign_dir)
    figure(facts, seconds, arguments.figure)
    print(f"{facts['status']}: {'; '.join(facts['reasons'])}\n\n{table(facts, seconds)}")


if __name__ == "__main__":
    main()
