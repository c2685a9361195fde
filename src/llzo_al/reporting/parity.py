"""The report's parity plot: the finished potential's predictions against the labels of held-out frames."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from llzo_al.reporting.facts import CampaignFacts
from llzo_al.reporting.figures import COLOURS, STYLE, as_svg

_LINEAR_MEV = 10.0
"""Energy errors up to this size are drawn on a linear scale."""


def parity_figure(facts: CampaignFacts) -> str | None:
    """Forces against their labels, and errors of the energies; None without a finished potential's test."""
    points = sorted(facts.final.parity, key=lambda each: each.kind) if facts.final is not None else []
    if not points:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained", dpi=150)
        left, right = figure.subplots(1, 2)
        for number, one in enumerate(points):
            style = {"s": 7, "linewidths": 0, "alpha": 0.6, "color": COLOURS[number % len(COLOURS)]}
            forces, predicted = np.array(one.forces_eV_per_A), np.array(one.predicted_forces_eV_per_A)
            left.scatter(forces, predicted, rasterized=True, label=one.kind, **style)
            energies = np.array(one.energies_eV_per_atom)
            errors_meV = 1000 * (np.array(one.predicted_energies_eV_per_atom) - energies)
            right.scatter(energies, errors_meV, rasterized=True, **style)
        left.axline((0, 0), slope=1, color="#5B5B5B", linewidth=0.8, zorder=1)
        left.set_xlabel("labelled force component (eV/Å)")
        left.set_ylabel("predicted (eV/Å)")
        right.set_yscale("symlog", linthresh=_LINEAR_MEV)
        right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        right.yaxis.set_minor_formatter(NullFormatter())
        right.axhline(0, color="#5B5B5B", linewidth=0.8, zorder=1)
        for limit in (-_LINEAR_MEV, _LINEAR_MEV):
            right.axhline(limit, color="#5B5B5B", linewidth=0.8, linestyle=":", zorder=1)
        right.set_xlabel("labelled energy (eV/atom)")
        right.set_ylabel("predicted − labelled (meV/atom)")
        left.legend(markerscale=2, fontsize=7)
        return as_svg(figure, "parity", "Predicted forces and energy errors against the labels")
