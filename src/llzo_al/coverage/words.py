"""How the figures of a report were made, and what makes them worth less than they look, in words."""

from __future__ import annotations

from collections.abc import Sequence

from llzo_al.config.coverage import LOW_CEILING, Coverage
from llzo_al.coverage.environments import EnvironmentSet
from llzo_al.coverage.measure import AUTO_CEILING
from llzo_al.coverage.neighbours import QUANTILE
from llzo_al.coverage.report import ElementCoverage, PooledCoverage
from llzo_al.coverage.resampling import REPEATS

_FEW_CELLS_SHARE = 0.1
_SENSITIVE = 0.15
"""Difference of the ratio between half and twice the number of bins from which it is worth a warning."""
_FAR = 2.0
"""Times the expected share of far environments from which it is worth a warning."""


def statements(settings: Coverage, *, trajectories_given: bool) -> tuple[str, ...]:
    """How the figures were made, in words."""
    at_most = "" if settings.max_components is None else f" and at most {settings.max_components}"
    fitted = {
        "training": "the training set's environments",
        "visited": "the visited environments",
        "both": "the environments of both sets",
    }[settings.fitted_on]
    edges = {
        "common": "the common range of training and visited environments",
        "training": "the range of the training environments",
        "visited": "the range of the visited environments",
    }[settings.edges]
    if settings.bins == "auto":
        cells = (
            "N x N cells in each plane of two principal components, N for each element the finest of 5, 10, "
            f"20, 40 and 80 at which the ceiling is {AUTO_CEILING:g} or more"
        )
    else:
        cells = f"{settings.bins} x {settings.bins} cells in each plane of two principal components"
    scope = (
        "one space for all elements together: " if settings.elements == "together" else "for each element "
    )
    subspace = (
        " So does one of which more lies outside the components than of any training environment, also in a "
        "space fitted without that."
        if settings.subspace_check
        else ""
    )
    resampled = (
        "Intervals: 95 % of the figures when whole trajectories are drawn again with replacement, centred on "
        "the figure; the ceiling is held."
        if trajectories_given
        else "Intervals: as if each frame were a trajectory of its own, since trajectories were not given; "
        "too narrow where frames are correlated."
    )
    return (
        f"Coverage: {cells}; cells that both sets hold / cells that the visited set holds, averaged over the "
        "planes (You et al. 2024, Eqs. 2 to 6). Environment-weighted: the share of visited environments in "
        "such cells.",
        f"Fit: {scope}the columns are standardised and the PCA is fitted on {fitted}; components up to "
        f"{settings.variance:.0%} of the variance, at least 2{at_most}. An environment that differs in a "
        f"feature that is constant there counts as uncovered in every plane.{subspace}",
        f"Edges: the cells divide {edges} along each component.",
        "Pooling: elements are weighted by their number of visited environments.",
        "Ceiling: coverage of a random half of the visited frames by the other half, mean over "
        f"{REPEATS // 2} splits taken both ways, in the same planes and cells. Ratio: the training set's "
        "coverage of the same halves divided "
        "by it; in the pooled ratio no element counts for more than its ceiling.",
        "Unseen mass: the share of further MD that would fall into cells not visited yet, from cells visited "
        "once (Good 1953), and from cells that one or two trajectories visited (Chao and Jost 2012).",
        resampled,
        "Full space: share of visited environments farther from the nearest training one than "
        f"{QUANTILE:.0%} of the training environments are from other training frames, on samples.",
    )


def warnings(
    training: EnvironmentSet,
    visited: EnvironmentSet,
    elements: Sequence[ElementCoverage],
    pooled: PooledCoverage,
    settings: Coverage,
) -> tuple[str, ...]:
    """What makes single figures worth less than they look, in words."""
    told = []
    for symbol in training.elements:
        if training.count(symbol) and not visited.count(symbol):
            told.append(f"{symbol}: the visited set holds none; not counted.")
    for element in elements:
        told += [f"{element.symbol}: {words}" for words in _element_warnings(element)]
    if pooled.ratio is not None and pooled.ceiling is not None and pooled.ceiling < LOW_CEILING:
        told.append(
            f"pooled: the ceiling is only {pooled.ceiling:.2f}: the ratio of {pooled.ratio:.2f} means little."
        )
    if pooled.unseen_mass_between_trajectories is None:
        told.append("the visited set is one trajectory: no interval, no estimate of what another would add.")
    short = [element for element in elements if element.variance_kept < settings.variance - 1e-9]
    if short:
        shares = ", ".join(f"{element.symbol} {element.variance_kept:.2f}" for element in short)
        told.append(
            f"the {settings.max_components} components that max_components allows hold less than "
            f"{settings.variance:g} of the variance: {shares}."
        )
    return tuple(told)


def _element_warnings(element: ElementCoverage) -> list[str]:
    told = []
    cells = element.bins**2
    mean_cells = element.cells_visited / element.n_planes
    if not element.n_training_environments:
        told.append("the training set holds none: coverage 0, in a space fitted on the visited set.")
    elif all(low == high for low, high in element.edges):
        told.append(
            "all training environments are alike: a visited one is covered only if it equals them, and the "
            "figures say nothing more."
        )
    if element.ceiling is None:
        told.append("a single visited environment cannot be split: no ceiling and no ratio.")
    elif element.ceiling < LOW_CEILING:
        told.append(
            f"the ceiling is only {element.ceiling:.2f}: {element.n_visited_environments} visited "
            f"environments are too few for {cells} cells, and the ratio means little; use fewer bins or "
            "longer runs."
        )
    if mean_cells < _FEW_CELLS_SHARE * cells and element.n_visited_environments > cells:
        told.append(
            f"visited environments fill {mean_cells:.1f} of {cells} cells in the mean plane: the training "
            "set's range is much wider, and the cells are coarse; use more bins."
        )
    around = [
        one for one in element.by_bins if one.bins in (element.bins // 2, element.bins, 2 * element.bins)
    ]
    ratios = [min(one.ratio, 1.0) for one in around if one.ratio is not None]
    if ratios and max(ratios) - min(ratios) > _SENSITIVE:
        by_bins = ", ".join(f"{one.ratio:.2f} with {one.bins}" for one in around if one.ratio is not None)
        told.append(f"the ratio depends on the number of bins: {by_bins}.")
    near = element.neighbours
    expected = 1 - QUANTILE
    if near is not None and near.far_share - 2 * near.far_share_error > _FAR * expected:
        told.append(
            f"{near.far_share:.0%} (± {near.far_share_error:.0%}) of the visited environments lie farther "
            f"from the nearest training environment than {QUANTILE:.0%} of the training ones do; "
            f"{expected:.0%} would be expected."
            + (
                " The planes may hide a hole."
                if element.environment_coverage > 1 - near.far_share / 2
                else ""
            )
        )
    return told
