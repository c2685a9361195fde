"""Training of the committee with DeePMD-kit."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, CutoffA, NotNegative, Positive, Rule, Section, at_most, smaller

LearningRate = Annotated[float, Field(gt=0, le=1)]
Prefactors = Annotated[list[NotNegative], Field(min_length=2, max_length=2)]


class Training(Section):
    """DeePMD-kit training of the committee; the defaults are the papers' se_e2_a network."""

    rules: ClassVar[tuple[Rule, ...]] = (
        smaller("rcut_smooth_A", "rcut_A"),
        at_most("learning_rate_end", "learning_rate"),
        at_most("learning_rate_end", "warm_start_learning_rate"),
        at_most("warm_start_learning_rate_end", "warm_start_learning_rate"),
    )

    backend: Literal["auto", "tensorflow", "pytorch", "pytorch-exportable"] = "auto"
    """Backend of DeePMD-kit; `auto` takes PyTorch where it finds a GPU and TensorFlow otherwise, and keeps to
    the backend of the checkpoint where a training goes on from one. `pytorch-exportable` freezes into `.pt2`,
    which takes a C++ compiler and, for the default descriptor, `type_one_side: true`. DeePMD-kit's others are
    not offered: LAMMPS cannot run a committee of their models (docs/benchmarks.md, Backends)."""
    committee_size: Annotated[int, Field(ge=2, le=16)] = 4
    """Models that differ in their seed only."""
    steps: Count = 400000
    """Training steps in each iteration."""
    final_steps: Count | None = None
    """Steps of the final training; by default twice `steps`."""
    warm_start: bool = False
    """Start each iteration from the previous iteration's model instead of from scratch."""
    warm_start_steps: Count | None = None
    """Training steps of an iteration that starts warm; by default `steps`."""
    warm_start_learning_rate: LearningRate = 5e-4
    """Learning rate at the start of a warm-started training."""
    warm_start_learning_rate_end: LearningRate | None = None
    """Learning rate at the end of a warm-started training, the final one included; by default
    `learning_rate_end`."""
    warm_start_energy_prefactors: Prefactors | None = None
    """Prefactors of the energy in the loss of a warm-started training, at its start and end; by default
    `energy_prefactors`. A model that starts with good forces can afford to look at energies more."""
    rcut_A: CutoffA = 6.0
    """Cutoff of the descriptor (angstrom)."""
    rcut_smooth_A: Positive = 0.5
    """Where the descriptor's smoothing starts (angstrom)."""
    neighbors: Annotated[list[Count], Field(min_length=1)] | Literal["auto"] = "auto"
    """Largest number of neighbours of each element within the cutoff, in the order of `elements`. `auto`
    counts them in the training data and leaves some room, as DeePMD-kit's own rule does (with a descriptor
    of another kind in `overrides`, DeePMD-kit counts); a warm start keeps the previous model's room."""
    embedding_neurons: Annotated[list[Count], Field(min_length=1)] = [10, 20, 40]
    """Layers of the embedding net."""
    axis_neurons: Count = 16
    """Size of the embedding's submatrix."""
    fitting_neurons: Annotated[list[Count], Field(min_length=1)] = [120, 120, 120]
    """Layers of the fitting net."""
    learning_rate: LearningRate = 1e-3
    """Learning rate at the start."""
    learning_rate_end: LearningRate = 1e-7
    """Learning rate at the end (exponential decay)."""
    batch_size: Count | Literal["auto"] = 1
    """Frames per step; `auto` is DeePMD-kit's own rule of at least 32 atoms."""
    sampling: Literal["atoms", "frames"] = "atoms"
    """How often a frame is drawn: in proportion to its number of atoms, so that every labelled atom counts
    the same and dimers do not crowd out the crystals; or every frame alike, as DeePMD-kit does by itself."""
    energy_prefactors: Prefactors = [0.02, 1.0]
    """Weight of the energies in the loss at the start and at the end."""
    force_prefactors: Prefactors = [1000.0, 1.0]
    """Weight of the forces in the loss at the start and at the end."""
    virial_prefactors: Prefactors = [0.0, 0.0]
    """Weight of the virials in the loss at the start and at the end; zeros leave them out (and NPT with
    them)."""
    checkpoint_steps: Count | None = None
    """Steps between checkpoints; by default a tenth of the training, at most 10,000."""
    compress: bool = True
    """Compress the frozen model where the backend can."""
    overrides: dict[str, Any] = {}
    """Anything of DeePMD-kit's input file, merged over what is generated; checked by DeePMD-kit before a
    step is run."""

    @property
    def steps_when_warm(self) -> int:
        """Training steps of an iteration that starts from the previous iteration's model."""
        return self.steps if self.warm_start_steps is None else self.warm_start_steps

    @property
    def trains_virials(self) -> bool:
        """Whether the loss holds the virials."""
        return any(self.virial_prefactors)
