"""How the coverage of what MD visits is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llzo_al.config.base import Count, CutoffA, Positive, Section


class Descriptor(Section):
    """Model-independent description of an atom's environment: SOAP (dscribe)."""

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
    """PCA coverage of You et al. (2024), Eqs. 2 to 6, and its ceiling."""

    descriptor: Descriptor = Descriptor()
    """Description of an atom's environment."""
    bins: Annotated[int, Field(ge=2)] = 20
    """Cells along each axis of a plane (N)."""
    variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of the variance that the kept components hold."""
    max_components: Annotated[int, Field(ge=2)] | None = None
    """Largest number of components, whatever the variance; by default as many as the variance asks for."""
    environments_max: Count = 200000
    """Largest number of environments of one element used from each side (a seeded sample beyond it)."""
