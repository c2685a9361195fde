"""Selection of frames to label and the rule that stops the loop."""

from __future__ import annotations

from typing import ClassVar, Literal

from llzo_al.config.base import Count, NotNegative, Positive, Rule, Section, Share, at_most, smaller


class Selection(Section):
    """Which visited frames are labelled next."""

    rules: ClassVar[tuple[Rule, ...]] = (smaller("deviation_low_eV_per_A", "deviation_high_eV_per_A"),)

    max_frames: Count = 50
    """Most frames labelled for training in an iteration."""
    deviation_low_eV_per_A: NotNegative = 0.05
    """Below this deviation of the committee a frame is labelled only for uncovered environments."""
    deviation_low_as_error_meV_per_A: Positive | None = None
    """The lower limit in units of the error itself, if given: as soon as the calibration of the iteration
    before predicts errors better than their mean, frames with a larger expected force error (root mean
    square) than this are labelled in place of those with a larger deviation."""
    deviation_high_eV_per_A: Positive = 2.0
    """Above this deviation a frame is taken for unphysical and not labelled."""
    duplicate_distance: NotNegative = 0.02
    """Two frames whose mean descriptors (standardised, root mean square over the features) are closer than
    this count as the same."""
    held_out_frames: Count = 4
    """Evenly spaced frames of an iteration's held-out trajectories that are labelled for the test."""
    energy_error_meV_per_atom: Positive = 5.0
    """A labelled frame goes to training if the model's energy was wrong by more than this ..."""
    force_error_meV_per_A: Positive = 150.0
    """... or its forces (root mean square) by more than this; otherwise it is kept for the audit."""
    relative_energy_error_percent: Positive | None = None
    """The papers' criterion (1 %), if given: a share of the total energy (percent), which depends on the
    zero of energy."""


class Stopping(Section):
    """When the campaign is converged: all of these at once."""

    rules: ClassVar[tuple[Rule, ...]] = (
        at_most("min_iterations", "max_iterations"),
        at_most("consecutive", "max_iterations"),
    )

    coverage_measure: Literal["ratio", "environment_ratio", "paper"] = "ratio"
    """What `coverage_ratio` or `paper_coverage` is a limit of. `ratio`: the share of the cells visited by one
    half of the visited frames that training covers, divided by the share that the other half covers (the
    ceiling). `environment_ratio`: the same with each cell weighted by the environments in it. `paper`: the
    bare share of cells of You et al. (2024), Eq. 6, whatever its ceiling; exactly theirs with
    `coverage.subspace_check: false`."""
    coverage_ratio: Share = 0.95
    """Smallest pooled ratio. Training's coverage and the ceiling are both measured on the same half of the
    visited frames, and no element counts for more than its ceiling, so that the ratio is not the quotient of
    the coverage and the ceiling that are printed beside it. A ratio to a ceiling below 0.5 never counts: too
    few environments were visited for so many cells."""
    paper_coverage: Share = 0.97
    """Smallest pooled coverage of all visited frames, with `coverage_measure: paper`."""
    far_share: Share = 1.0
    """Largest share of visited environments farther from training, in the full reduced space, than 95 % of
    the training environments are from other training frames; 0.05 is what training's own distribution
    gives."""
    energy_rmse_meV_per_atom: Positive = 5.0
    """Energy error on held-out MD frames."""
    force_rmse_meV_per_A: Positive = 150.0
    """Force error on held-out MD frames."""
    stable_runs_share: Share = 1.0
    """Smallest share of an iteration's exploration runs that reach their end: neither the guard ended them,
    nor did their task fail."""
    stuck_runs_share: Share = 1.0
    """Largest share of the exploration runs that may be stuck: no atom left its site, or fewer than five
    frames are independent. Stuck runs are always told; they score a high coverage."""
    consecutive: Count = 1
    """Iterations in a row that must meet all limits."""
    min_iterations: Count = 2
    """Iterations before the loop may stop."""
    max_iterations: Count = 20
    """Iterations after which the loop ends unconverged."""
