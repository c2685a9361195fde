"""What a report says of the labels: whether they fit together, and how two methods differ."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Fact(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class CompositionFacts(_Fact):
    """Energies of the frames of one composition."""

    formula: str
    """In Hill's order."""
    n_frames: int
    """Frames."""
    n_atoms: int
    """Atoms of each."""
    energy_eV_per_atom: float
    """Median of the energy by the number of atoms."""
    residual_meV_per_atom: float
    """Median of what the linear fit of the energy to the composition leaves."""
    spread_meV_per_atom: float
    """Robust standard deviation about that."""


class OutlierFacts(_Fact):
    """A frame that stands out."""

    identity: str
    """Which."""
    kind: str
    """Kind of structure."""
    value: float
    """By how much."""
    remark: str
    """In words."""


class DistributionFacts(_Fact):
    """Quantiles of a quantity, and its histogram."""

    n: int
    """Values."""
    minimum: float
    """Smallest."""
    p05: float
    """5 % are below."""
    median: float
    """Half are below."""
    p95: float
    """95 % are below."""
    p99: float
    """99 % are below."""
    maximum: float
    """Largest."""
    edges: tuple[float, ...]
    """Edges of the histogram's cells."""
    counts: tuple[int, ...]
    """Values in each of them."""


class DuplicateFacts(_Fact):
    """One structure with two energies."""

    first: str
    """Identity of the one label."""
    second: str
    """Identity of the other."""
    difference_meV_per_atom: float
    """Difference of their energies."""


class ComparisonFacts(_Fact):
    """Two methods on the frames that both have labelled."""

    first: str
    """The one method."""
    second: str
    """The other."""
    n_frames: int
    """Common frames."""
    n_atoms: int
    """Atoms of all of them."""
    energy_shift_eV: dict[str, float]
    """Fitted difference of the zero of energy, by element."""
    energy_rmse_meV_per_atom: float
    """Difference of the energies after that shift."""
    force_rmse_meV_per_A: float
    """Difference of the components of the forces."""
    force_max_meV_per_A: float
    """The largest."""
    force_rms_meV_per_A: float
    """Of the first method's components."""
    stress_rmse_GPa: float | None = None
    """Difference of the components of the stress."""


class LabelCheckFacts(_Fact):
    """The consistency checks."""

    n_labels: int
    """Labels looked at."""
    atomic_energies_eV: dict[str, float] = {}
    """Energy of each element in the linear fit."""
    compositions: tuple[CompositionFacts, ...] = ()
    """Energies by composition."""
    energies: tuple[tuple[int, float], ...] = ()
    """Composition (its place above) and residual (meV/atom) of each frame."""
    forces_eV_per_A: DistributionFacts | None = None
    """Norms of the forces on all atoms."""
    pressures_GPa: DistributionFacts | None = None
    """Pressures of periodic frames."""
    shears_GPa: DistributionFacts | None = None
    """Their largest shear stresses."""
    net_forces_eV_per_A: DistributionFacts | None = None
    """Norms of each frame's sum of forces by its number of atoms."""
    energy_outliers: tuple[OutlierFacts, ...] = ()
    """Energies far from those of their composition (meV/atom)."""
    net_force_outliers: tuple[OutlierFacts, ...] = ()
    """Net forces that do not vanish (eV/Å by the number of atoms)."""
    virial_outliers: tuple[OutlierFacts, ...] = ()
    """Virials that are not symmetric."""
    still: tuple[OutlierFacts, ...] = ()
    """Frames from molecular dynamics without any force."""
    duplicates: tuple[DuplicateFacts, ...] = ()
    """Structures with two energies."""
    n_without_virial: int = 0
    """Periodic frames without a virial."""
    warnings: tuple[str, ...] = ()
    """What is suspicious, in sentences."""
    comparisons: tuple[ComparisonFacts, ...] = ()
    """Methods that have labelled the same frames."""

    @property
    def outliers(self) -> tuple[OutlierFacts, ...]:
        """All frames that stand out."""
        return (*self.energy_outliers, *self.net_force_outliers, *self.virial_outliers, *self.still)
