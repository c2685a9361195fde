"""Pictures of the planes: which cells both sets hold, which only one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llzo_al.coverage.assess import ALL
from llzo_al.coverage.environments import EnvironmentSet
from llzo_al.coverage.grid import Grid
from llzo_al.coverage.pca import Projection
from llzo_al.coverage.reference import ReferenceFrame
from llzo_al.coverage.report import CoverageReport, ElementCoverage
from llzo_al.coverage.tally import tally_planes

EMPTY, ONLY_TRAINING, COVERED, UNCOVERED = range(4)
"""What a cell can be: held by no set, by training only, by both, by the visited set only."""

_COLOURS = {ONLY_TRAINING: "#D9D9D9", COVERED: "#1F77B4", UNCOVERED: "#D95F02"}
_WORDS = {ONLY_TRAINING: "not visited", COVERED: "covered", UNCOVERED: "uncovered"}
_COMPONENTS = 3
"""Leading components whose planes are drawn."""


@dataclass(frozen=True, kw_only=True)
class PlaneMap:
    """One plane of one element.

    Attributes
    ----------
    symbol
        The element.
    plane
        The two components, from 0.
    cells
        `EMPTY`, `ONLY_TRAINING`, `COVERED` or `UNCOVERED`, shape (bins, bins), first component first.
    edges
        Range along each of the two components.
    off_visited
        Share of the visited environments that are off the plane's space and in none of these cells.
    """

    symbol: str
    plane: tuple[int, int]
    cells: NDArray[np.int64]
    edges: tuple[tuple[float, float], tuple[float, float]]
    off_visited: float


def plane_maps(
    training: EnvironmentSet, visited: EnvironmentSet, report: CoverageReport, element: ElementCoverage
) -> list[PlaneMap]:
    """Maps of the planes of an element's leading components, in the report's own cells.

    Parameters
    ----------
    training, visited
        The sets that the report is of.
    report
        The report.
    element
        One of its elements.
    """
    frame: ReferenceFrame = report.frames_of_reference[element.symbol]
    symbols = visited.elements if element.symbol == ALL else (element.symbol,)
    leading = min(_COMPONENTS, frame.space.n_components)
    maps = []
    projections = [_projected(environments, symbols, frame, leading) for environments in (training, visited)]
    for first, second in combinations(range(leading), 2):
        axes = [first, second]
        grid = Grid(low=frame.low[axes], high=frame.high[axes], bins=element.bins)
        known, seen = (
            grid.locate(replace(projection, coordinates=projection.coordinates[:, axes]))
            for projection in projections
        )
        (tally,) = tally_planes(known, seen)
        held = np.zeros(2 * element.bins**2, dtype=bool)
        trained = np.zeros_like(held)
        held[tally.numbers[tally.visited > 0]] = True
        (mine,) = tally_planes(seen, known)
        trained[mine.numbers[mine.visited > 0]] = True
        inside = slice(0, element.bins**2)
        cells = np.select([held & trained, held, trained], [COVERED, UNCOVERED, ONLY_TRAINING], EMPTY)[inside]
        maps.append(
            PlaneMap(
                symbol=element.symbol,
                plane=(first, second),
                cells=cells.reshape(element.bins, element.bins),
                edges=(element.edges[first], element.edges[second]),
                off_visited=float(seen.layer.mean()),
            )
        )
    return maps


def _projected(
    environments: EnvironmentSet, symbols: Sequence[str], frame: ReferenceFrame, leading: int
) -> Projection:
    """The leading components of a set, of which only those are kept in memory."""
    parts = []
    for symbol in symbols:
        for chunk in environments.chunks(symbol):
            whole = frame.space.project(chunk)
            parts.append(
                replace(
                    whole,
                    coordinates=np.ascontiguousarray(whole.coordinates[:, :leading]),
                    off=whole.off | (whole.residual > frame.residual_limit),
                )
            )
    if not parts:
        nothing = np.zeros((0, environments.n_features), dtype=np.float32)
        whole = frame.space.project(nothing)
        parts.append(replace(whole, coordinates=whole.coordinates[:, :leading]))
    return Projection(
        coordinates=np.concatenate([part.coordinates for part in parts]),
        off=np.concatenate([part.off for part in parts]),
        residual=np.concatenate([part.residual for part in parts]),
        residual_share=np.concatenate([part.residual_share for part in parts]),
    )


def draw_planes(maps: Sequence[PlaneMap], element: ElementCoverage, path: Path, *, title: str = "") -> None:
    """Draw an element's planes side by side.

    Parameters
    ----------
    maps
        Of `plane_maps`.
    element
        The element's figures, for the title.
    path
        File to write; its suffix names the format.
    title
        Text before the figures.
    """
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    with mpl.rc_context({"font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(3.6 * len(maps), 3.9), layout="constrained")
        colours = ListedColormap(["white", *_COLOURS.values()])
        for axes, one in zip(np.atleast_1d(figure.subplots(1, len(maps))), maps, strict=True):
            (left, right), (bottom, top) = one.edges
            axes.imshow(
                one.cells.T,
                origin="lower",
                extent=(left, right, bottom, top),
                aspect="auto",
                cmap=colours,
                vmin=EMPTY,
                vmax=UNCOVERED,
                interpolation="nearest",
            )
            axes.set_xlabel(f"component {one.plane[0] + 1}")
            axes.set_ylabel(f"component {one.plane[1] + 1}")
        handles = [Patch(color=_COLOURS[state], label=_WORDS[state]) for state in _COLOURS]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
        ratio = "" if element.ratio is None else f", ceiling {element.ceiling:.2f}, ratio {element.ratio:.2f}"
        off = maps[0].off_visited
        outside = f"; {off:.0%} of the environments visited are off the space and in no cell" if off else ""
        figure.suptitle(
            f"{title}{element.symbol}: coverage {element.coverage:.2f}{ratio} "
            f"({element.bins} x {element.bins} cells, {element.n_planes} planes{outside})"
        )
        figure.savefig(path, dpi=150)
