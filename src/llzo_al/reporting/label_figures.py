"""Figures of the labels: energies by composition, forces and pressures."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from llzo_al.reporting.figures import COLOURS, STYLE, as_svg
from llzo_al.reporting.labels import DistributionFacts, LabelCheckFacts

_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")

MOST_COMPOSITIONS = 12
"""Compositions that the figure of the energies shows, those with the most frames."""

MOST_POINTS = 400
"""Frames that it shows of each."""


def labels_figure(checks: LabelCheckFacts | None) -> str | None:
    """Energy residuals by composition, and histograms of forces and pressures; None without labels."""
    if checks is None or checks.forces_eV_per_A is None:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(2.0, 1.0, 1.0))
        _energies(left, checks)
        _histogram(middle, checks.forces_eV_per_A, "force on an atom (eV/Å)", log=True)
        _histogram(right, checks.pressures_GPa, "pressure (GPa)", log=False)
        return as_svg(figure, "labels", "Energies by composition, forces and pressures of the labels")


def _energies(axes: Axes, checks: LabelCheckFacts) -> None:
    shown = checks.compositions[:MOST_COMPOSITIONS]
    for place, composition in enumerate(shown):
        residuals = [residual for index, residual in checks.energies if index == place]
        step = max(1, -(-len(residuals) // MOST_POINTS))
        values = sorted(residuals)[::step]
        spread = np.linspace(-0.28, 0.28, len(values)) if len(values) > 1 else np.zeros(1)
        order = np.argsort((np.arange(len(values)) * 0.6180339887) % 1.0)
        axes.plot(
            place + spread[order],
            values,
            linestyle="",
            marker=".",
            markersize=3.0,
            color=COLOURS[place % len(COLOURS)],
        )
        axes.plot(
            [place - 0.35, place + 0.35], [composition.residual_meV_per_atom] * 2, color="black", lw=1.2
        )
    axes.set_xticks(range(len(shown)), [each.formula for each in shown], rotation=35, ha="right")
    axes.set_ylabel("energy − linear fit (meV/atom)")


def _histogram(axes: Axes, values: DistributionFacts | None, label: str, *, log: bool) -> None:
    axes.set_xlabel(label)
    axes.set_ylabel("count")
    if values is None:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center")
        return
    axes.stairs(values.counts, values.edges, fill=True, color=COLOURS[0], alpha=0.75)
    axes.set_yscale("symlog", linthresh=10)
    axes.yaxis.set_major_formatter(_PLAIN)
    axes.yaxis.set_minor_formatter(NullFormatter())
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(_PLAIN)
        axes.xaxis.set_minor_formatter(NullFormatter())
