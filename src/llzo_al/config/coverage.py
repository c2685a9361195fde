"""How the coverage of what MD visits is measured."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, CutoffA, Positive, Rule, Section

LOW_CEILING = 0.5
"""Below this split-half ceiling the visited set is too small for its cells: a ratio to it means little."""


class Descriptor(Section):
    """Description of an atom's environment."""

    kind: Literal["soap", "deepmd"] = "soap"
    """`soap` (dscribe): the same in every iteration, whatever the model. `deepmd`: the descriptor of the
    committee's first model, which changes with every training; the keys below are for SOAP only."""
    cutoff_A: CutoffA = 6.0
    """Radius of an environment (angstrom)."""
    n_max: Annotated[int, Field(ge=1, le=16)] = 6
    """Radial basis functions."""
    l_max: Annotated[int, Field(ge=0, le=12)] = 4
    """Largest degree of the spherical harmonics."""
    sigma_A: Positive = 0.5
    """Width of the Gaussians on the atoms (angstrom)."""
    compression: Literal["crossover", "mu1nu1", "off"] = "crossover"
    """Compression of the power spectrum; all of these tell elements apart."""


class Coverage(Section):
    """PCA coverage of You et al. (2024), Eqs. 2 to 6 and the subspace check, and what calibrates it."""

    rules: ClassVar[tuple[Rule, ...]] = ()

    descriptor: Descriptor = Descriptor()
    """Description of an atom's environment."""
    bins: Annotated[int, Field(ge=2, le=2000)] | Literal["auto"] = 20
    """Cells along each axis of a plane (N), or `auto`: for each element the finest of 5, 10, 20, 40 and 80 at
    which the split-half ceiling is still 0.8 or more (5, if none is)."""
    fitted_on: Literal["training", "visited", "both"] = "training"
    """Environments that standardise the features and that the PCA is fitted on."""
    edges: Literal["common", "training", "visited"] = "common"
    """Range that the cells divide along each component: that of both sets together, or that of one of them.
    What lies beyond the range shares no cell with what lies within it."""
    elements: Literal["separate", "together"] = "separate"
    """`separate`: a space of its own for each element, pooled by the numbers of environments. `together`: one
    space for the environments of all elements."""
    variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of the variance that the kept components hold."""
    max_components: Annotated[int, Field(ge=2)] | None = None
    """Largest number of components, whatever the variance; by default as many as the variance asks for."""
    subspace_check: bool = True
    """Count an environment as uncovered where more of it lies outside the kept components than of any
    training environment. The paper's measure has no such check; set this to `false` for exactly that."""
    fit_environments_max: Annotated[int, Field(ge=10)] = 200000
    """Largest number of environments of one element that the PCA is fitted on (a seeded sample beyond it).
    All are counted."""
    bootstrap_samples: Annotated[int, Field(ge=0)] = 200
    """Resamplings of the visited trajectories behind the intervals; 0 for none."""
    neighbour_sample: Count = 2000
    """Largest number of environments of one element whose nearest training neighbour is looked for in the
    full reduced space."""
