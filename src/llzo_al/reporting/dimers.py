"""The report's figure of dimers: labelled curves against the finished potential's, pair by pair."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from llzo_al.reporting.facts import CampaignFacts, DimerCurve
from llzo_al.reporting.figures import COLOURS, STYLE, as_svg

_COLUMNS = 5
_MARGIN = 0.15
"""Space above and below the labels, as a share of their range."""


def dimers_figure(facts: CampaignFacts) -> str | None:
    """Energy by distance for each pair, one panel each; None without labelled dimers."""
    curves = facts.final.dimers if facts.final is not None else ()
    if not curves:
        return None
    rows = math.ceil(len(curves) / _COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.75 * _COLUMNS, 1.9 * rows + 0.3), layout="constrained")
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes, curve in zip(panels, curves, strict=False):
            _panel(axes, curve)
        for axes in panels[len(curves) :]:
            axes.set_visible(False)
        figure.supxlabel("distance (Å)", fontsize=9)
        figure.supylabel("energy (eV)", fontsize=9)
        return as_svg(figure, "dimers", "Energy of each pair by distance: labels and the finished potential")


def _panel(axes: Axes, curve: DimerCurve) -> None:
    for number, energies_eV in reversed(list(enumerate(curve.model_energies_eV))):
        axes.plot(
            curve.model_distances_A,
            [_number(energy) for energy in energies_eV],
            color=COLOURS[0] if number == 0 else COLOURS[5],
            linewidth=1.4 if number == 0 else 0.8,
        )
    styles = {"training": ("o", COLOURS[1]), "held-out": ("o", "none"), "excluded": ("x", COLOURS[1])}
    for use, (marker, face) in styles.items():
        chosen = [number for number, found in enumerate(curve.uses) if found == use]
        axes.scatter(
            [curve.distances_A[number] for number in chosen],
            [_number(curve.energies_eV[number]) for number in chosen],
            s=14,
            marker=marker,
            facecolors=face,
            edgecolors=None if marker == "x" else COLOURS[1],
            linewidths=1.0,
            zorder=3,
        )
    axes.set_ylim(*_range_eV(curve))
    axes.set_title(_title(curve), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _title(curve: DimerCurve) -> str:
    name = curve.pair
    if curve.charge:
        name += f" ({curve.charge:+d})"
    if curve.multiplicity is not None:
        name += f", 2S+1 = {curve.multiplicity}"
    errors = [
        f"{value:.2g} {unit}"
        for value, unit in ((curve.energy_rmse_eV, "eV"), (curve.force_rmse_eV_per_A, "eV/Å"))
        if value is not None
    ]
    return "\n".join([name, ", ".join(errors)])


def _range_eV(curve: DimerCurve) -> tuple[float, float]:
    """Range of the labels within the force cap (of all where there are none) and of the first model there."""
    labels = zip(curve.distances_A, curve.energies_eV, curve.uses, strict=True)
    within = [(distance, energy) for distance, energy, use in labels if use != "excluded"]
    shown = within or list(zip(curve.distances_A, curve.energies_eV, strict=True))
    values = [energy for _, energy in shown]
    for energies_eV in curve.model_energies_eV[:1]:
        start_A = min(distance for distance, _ in shown)
        curve_points = zip(curve.model_distances_A, energies_eV, strict=True)
        values += [energy for distance, energy in curve_points if distance >= start_A]
    return _widened([value for value in values if value is not None] or [0.0])


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _widened(values: Sequence[float]) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    margin = max(_MARGIN * (high - low), 0.05)
    return low - margin, high + margin
