"""A picture of structures that were made: distances, densities and compositions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from llzo_al.files import replacing
from llzo_al.structures.summary import KindSummary, Summary

_MOST_KINDS = 8
_MOST_COMPOSITIONS = 12
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#5B5B5B")
_STYLE: dict[Any, Any] = {"font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False}


def draw_overview(summary: Summary, path: Path, *, title: str) -> None:
    """Draw shortest distances, densities and compositions by kind into a PNG file.

    Dimers are drawn as their distances, pair by pair.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    dimers = all(kind.atoms_max <= 2 for kind in summary.kinds.values())
    with mpl.rc_context(_STYLE):
        if dimers:
            figure = Figure(figsize=(7.0, 1.4 + 0.28 * len(summary.kinds)), layout="constrained")
            _strips(figure.subplots(), summary)
        else:
            figure = Figure(figsize=(11.0, 3.8), layout="constrained")
            left, middle, right = figure.subplots(1, 3)
            kinds = _largest(summary)
            _histogram(left, {name: list(kind.shortest_A) for name, kind in kinds.items()})
            left.set_xlabel("shortest distance (Å)")
            _histogram(middle, {name: list(kind.densities_g_per_cm3) for name, kind in kinds.items()})
            middle.set_xlabel("density (g/cm³)")
            _compositions(right, summary)
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
        figure.suptitle(title, fontsize=10)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)


def _largest(summary: Summary) -> dict[str, KindSummary]:
    """The kinds with the most structures; the others as one."""
    ranked = sorted(summary.kinds.items(), key=lambda item: -item[1].frames)
    if len(ranked) <= _MOST_KINDS:
        return dict(summary.kinds)
    kept, rest = ranked[: _MOST_KINDS - 1], ranked[_MOST_KINDS - 1 :]
    others = KindSummary()
    for _, kind in rest:
        others.frames += kind.frames
        others.shortest_A.extend(kind.shortest_A)
        others.densities_g_per_cm3.extend(kind.densities_g_per_cm3)
    return {**dict(kept), f"{len(rest)} other kinds": others}


def _strips(axes: Any, summary: Summary) -> None:
    names = list(summary.kinds)
    for place, kind in enumerate(summary.kinds.values()):
        axes.plot(kind.shortest_A, [place] * len(kind.shortest_A), "|", color=_COLOURS[0], markersize=9)
    axes.set_yticks(range(len(names)), [name.removeprefix("dimer ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("distance (Å)")
    axes.grid(axis="x", color="#E3E6EA")
    axes.set_axisbelow(True)


def _histogram(axes: Any, values: dict[str, list[float]]) -> None:
    everything = [value for each in values.values() for value in each]
    low, high = (min(everything), max(everything)) if everything else (0.0, 1.0)
    span = (low - 0.05, high + 0.05) if high - low < 0.05 else (low, high)
    axes.hist(
        list(values.values()),
        bins=30,
        range=span,
        stacked=True,
        label=list(values),
        color=_COLOURS[: len(values)],
    )
    axes.set_ylabel("structures")
    axes.yaxis.get_major_locator().set_params(integer=True)
    if not everything:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "mostly empty boxes", ha="center", transform=axes.transAxes)


def _compositions(axes: Any, summary: Summary) -> None:
    counts: Counter[str] = Counter()
    for kind in summary.kinds.values():
        counts.update(kind.compositions)
    shown = counts.most_common(_MOST_COMPOSITIONS)
    if len(counts) > len(shown):
        rest = counts.total() - sum(count for _, count in shown)
        shown.append((f"{len(counts) - len(shown)} others", rest))
    axes.barh([name for name, _ in shown], [count for _, count in shown], color=_COLOURS[7])
    axes.invert_yaxis()
    axes.set_xlabel("structures by composition")
    axes.xaxis.get_major_locator().set_params(integer=True)
