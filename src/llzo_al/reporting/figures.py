"""The report's figures, as SVG that can be put into a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from llzo_al.reporting.facts import ALL, ALL_MD, CampaignFacts, IterationFacts, KindErrors
from llzo_al.reporting.summary import kinds

Series = Sequence[tuple[float, float | None]]
"""Points (x, y); y is None where nothing is known."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#5B5B5B")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E6EA",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "text.parse_math": False,
}
_THRESHOLD: Any = {"color": "#B00020", "linestyle": (0, (5, 3)), "linewidth": 1.2, "zorder": 1}


def coverage_figure(facts: CampaignFacts) -> str | None:
    """Ratio to the ceiling, and coverage with its ceiling, by iteration; None without coverage."""
    iterations = [item for item in facts.iterations if item.coverage is not None]
    if not iterations:
        return None
    elements = list(dict.fromkeys(name for item in iterations for name in _elements(item)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for index, name in enumerate(elements):
            _line(left, _element_series(iterations, name, "ratio"), index, name)
            _line(right, _element_series(iterations, name, "coverage"), index, name)
            _dotted(right, _element_series(iterations, name, "ceiling"), index)
        _line(left, _pooled_series(iterations, "ratio"), None, "pooled")
        _line(right, _pooled_series(iterations, "coverage"), None, "pooled")
        _dotted(right, _pooled_series(iterations, "ceiling"), None)
        _limit(left, facts.thresholds.coverage_ratio)
        _iteration_axis(left, iterations, "coverage / ceiling")
        _iteration_axis(right, iterations, "coverage (dotted: ceiling)")
        left.legend(ncols=2)
        return as_svg(figure, "coverage", "Coverage by iteration and element, with its ceiling")


def errors_figure(facts: CampaignFacts) -> str | None:
    """Held-out force and energy errors by iteration and kind; None without any."""
    names = kinds(facts)
    if not names:
        return None
    if ALL_MD in names:  # what is compared with the threshold; a pool with the dimers says little
        names = [name for name in names if name != ALL]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, value in (
            (left, lambda kind: kind.force_rmse_meV_per_A),
            (right, lambda kind: kind.energy_rmse_meV_per_atom),
        ):
            for index, name in enumerate(names):
                _line(axes, _error_series(facts, name, value), None if name in (ALL_MD, ALL) else index, name)
            _logarithmic(axes)
        _limit(left, facts.thresholds.force_rmse_meV_per_A)
        _limit(right, facts.thresholds.energy_rmse_meV_per_atom)
        _iteration_axis(left, facts.iterations, "force RMSE (meV/Å)", final=facts.final is not None)
        _iteration_axis(right, facts.iterations, "energy RMSE (meV/atom)", final=facts.final is not None)
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(names) + 1, 4)
        )
        return as_svg(figure, "errors", "Force and energy errors on held-out frames by iteration and kind")


def frames_figure(facts: CampaignFacts) -> str | None:
    """Frames in the data set, and the committee's deviation, by iteration; None without both."""
    counted = [(item.iteration, item.labels) for item in facts.iterations if item.labels is not None]
    deviating = [item for item in facts.iterations if item.deviation is not None]
    if not counted and not deviating:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        bottom = [0.0] * len(counted)
        for index, name in enumerate(("training", "held_out", "audit", "excluded", "failed")):
            heights = [float(getattr(labels, name)) for _, labels in counted]
            numbers = [float(number) for number, _ in counted]
            left.bar(numbers, heights, 0.6, bottom, color=COLOURS[index], label=name.replace("_", "-"))
            bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
        _iteration_axis(left, facts.iterations, "frames")
        left.legend(ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))
        for index, name in enumerate(("max_eV_per_A", "mean_eV_per_A", "median_eV_per_A")):
            series = [(float(item.iteration), getattr(item.deviation, name)) for item in deviating]
            _line(right, series, index, name.split("_")[0])
        _logarithmic(right)
        _iteration_axis(right, facts.iterations, "committee deviation (eV/Å)")
        right.legend(ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))
        return as_svg(
            figure, "frames", "Frames in the data set, and deviation of the committee, by iteration"
        )


def times_figure(facts: CampaignFacts) -> str | None:
    """Wall time of each stage by iteration, stacked; None without times."""
    timed = [item for item in facts.iterations if item.times]
    stages = list(dict.fromkeys(name for item in timed for name in item.times))
    longest = max((sum(_seconds(item, name) for name in stages) for item in timed), default=0.0)
    if longest <= 0:
        return None
    unit, seconds = ("h", 3600.0) if longest > 7200 else ("min", 60.0) if longest > 120 else ("s", 1.0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 1.5 + 0.28 * len(timed)), layout="constrained")
        axes = figure.subplots()
        left = [0.0] * len(timed)
        for index, name in enumerate(stages):
            widths = [_seconds(item, name) / seconds for item in timed]
            places = [float(item.iteration) for item in timed]
            colour = COLOURS[index % len(COLOURS)]
            axes.barh(places, widths, 0.65, left, color=colour, edgecolor="white", label=name)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.invert_yaxis()
        axes.set_ylabel("iteration")
        axes.set_xlabel(f"wall time, summed over tasks ({unit})")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", ncols=min(len(stages), 6))
        return as_svg(figure, "times", "Wall time of each stage by iteration")


def learning_figure(facts: CampaignFacts) -> str | None:
    """Learning curves of force and energy errors; None without any."""
    curves = {name: points for name, points in facts.learning_curves.items() if points}
    if not curves:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for index, (name, points) in enumerate(curves.items()):
            forces = [(float(point.step), point.force_rmse_meV_per_A) for point in points]
            energies = [(float(point.step), point.energy_rmse_meV_per_atom) for point in points]
            _line(left, forces, index, name, marker="")
            _line(right, energies, index, name, marker="")
        for axes, label in ((left, "force RMSE (meV/Å)"), (right, "energy RMSE (meV/atom)")):
            _logarithmic(axes)
            axes.set_xlabel("training step")
            axes.set_ylabel(label)
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(curves), 4)
        )
        return as_svg(figure, "learning", "Learning curves on training batches")


def _elements(item: IterationFacts) -> list[str]:
    return list(item.coverage.elements) if item.coverage else []


def _element_series(iterations: Sequence[IterationFacts], element: str, name: str) -> Series:
    return [
        (float(item.iteration), getattr(item.coverage.elements[element], name))
        for item in iterations
        if item.coverage is not None and element in item.coverage.elements
    ]


def _pooled_series(iterations: Sequence[IterationFacts], name: str) -> Series:
    return [
        (float(item.iteration), getattr(item.coverage.pooled, name))
        for item in iterations
        if item.coverage is not None
    ]


def _error_series(facts: CampaignFacts, kind: str, value: Callable[[KindErrors], float | None]) -> Series:
    """Errors of one kind; the final model stands one place after the last iteration."""
    series = [
        (float(item.iteration), value(item.errors.held_out[kind]))
        for item in facts.iterations
        if kind in item.errors.held_out
    ]
    if facts.final is not None and kind in facts.final.errors.held_out:
        series.append((float(_final_place(facts.iterations)), value(facts.final.errors.held_out[kind])))
    return series


def _final_place(iterations: Sequence[IterationFacts]) -> int:
    return max((item.iteration for item in iterations), default=-1) + 1


def _seconds(item: IterationFacts, stage: str) -> float:
    time = item.times.get(stage)
    return time.wall_s or 0.0 if time else 0.0


def _line(axes: Axes, series: Series, index: int | None, label: str, marker: str | None = None) -> None:
    """One labelled line; without an index it is drawn as the sum of the others."""
    points = [(x, y) for x, y in series if y is not None]
    colour = "black" if index is None else COLOURS[index % len(COLOURS)]
    symbol = ("*" if index is None else _MARKERS[index % len(_MARKERS)]) if marker is None else marker
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=colour,
        marker=symbol,
        linewidth=1.9 if index is None else 1.1,
        label=label,
        zorder=3 if index is None else 2,
    )


def _dotted(axes: Axes, series: Series, index: int | None) -> None:
    points = [(x, y) for x, y in series if y is not None]
    colour = "black" if index is None else COLOURS[index % len(COLOURS)]
    axes.plot([x for x, _ in points], [y for _, y in points], color=colour, linestyle=":", linewidth=1.1)


def _limit(axes: Axes, value: float | None) -> None:
    if value is not None:
        axes.axhline(value, label="threshold", **_THRESHOLD)


def _logarithmic(axes: Axes) -> None:
    """Logarithmic y axis with plain numbers at 1, 2 and 5; left alone where no line is above zero."""
    if not any(float(y) > 0 for line in axes.lines for y in np.asarray(line.get_ydata())):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _iteration_axis(
    axes: Axes, iterations: Sequence[IterationFacts], label: str, *, final: bool = False
) -> None:
    axes.set_ylabel(label)
    axes.set_xlabel("iteration")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    numbers = [item.iteration for item in iterations]
    if final:
        place = _final_place(iterations)
        shown = numbers[:: max(1, len(numbers) // 6)]
        axes.set_xticks([*shown, place], [*map(str, shown), "final"])
        numbers = [*numbers, place]
    if numbers:
        axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)


def as_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element, its ids made unique by `name`."""
    text = io.StringIO()
    metadata: Any = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=metadata)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    drawn = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", drawn)
    return drawn.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
