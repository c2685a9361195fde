"""What becomes of labels that fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from llzo_al.config.base import Count, Finding, NotNegative, Positive, Rule, Section, Share
from llzo_al.config.pairs import check_pair


class Attempts(Section):
    """How often a frame is given to the labeller, by the cause that it failed of last.

    Each attempt is a job of its own and is told its number; what a later one changes stands in `labelling`
    (such as `retry_parameters`), and never changes the physics. Without anything there it repeats the first.
    """

    not_converged: Count = 2
    """The self-consistent cycle ended at its limit."""
    crash: Count = 2
    """The engine died."""
    time_limit: Count = 2
    """The engine did not end in time."""
    out_of_memory: Count = 2
    """The engine ran out of memory."""
    truncated_output: Count = 2
    """The engine's output ends early."""
    empty_output: Count = 2
    """The engine left no output."""
    not_finite: Count = 1
    """Energy, forces or virial hold a number that is not finite."""
    absurd_forces: Count = 1
    """A force beyond `failures.max_force_eV_per_A`."""
    wrong_shape: Count = 1
    """The engine's result does not fit the frame."""
    settings_changed: Count = 1
    """The engine ran with other settings than were asked for."""
    input_refused: Count = 1
    """The engine refuses its input."""
    calculator_error: Count = 1
    """The calculator raised an exception."""

    def allowed(self, cause: str) -> int:
        """Attempts at a frame that failed of `cause`; one for a cause that is decided without the engine."""
        return int(getattr(self, cause.replace(" ", "_"), 1))


class Failures(Section):
    """Labels that fail: when a frame is refused, how often it is tried, and when the campaign stops.

    A frame that has failed for good is quarantined: it keeps its reason in the label store and what the
    engine left in `quarantine/` of the campaign directory, and stops nothing.
    """

    attempts: Attempts = Attempts()
    """How often a frame is given to the labeller, by the cause of its last failure."""
    min_success_share: Share = 0.5
    """Smallest share of the initial data's labels, and of each iteration's, that must succeed; with fewer the
    campaign stops and names the causes."""
    min_distance_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Frames with two atoms closer than this fraction of the sum of their covalent radii
    (`ase.data.covalent_radii`) are not given to the labeller (cause: atoms too close). Dimers always are:
    their short distances are meant."""
    min_distances_A: dict[str, NotNegative] = {}
    """Shortest distances of single pairs, such as `Li-O: 1.3` (angstrom), instead of the fraction."""
    max_force_eV_per_A: Positive = 1000.0
    """A label with a larger norm of the force on any atom is not believed and not stored (cause: absurd
    forces). Labels between `dataset.force_cap_eV_per_A` and this are right, but of no use: they are stored
    and left out of the data sets."""
    quarantine_limit_MB: NotNegative = 20.0
    """Most that is kept of the files of one failed attempt (10^6 bytes): the smallest files whole, of larger
    ones the end."""


def _cap_is_believed(cap_eV_per_A: float, failures: Mapping[str, Any]) -> Iterable[Finding]:
    limit = failures.get("max_force_eV_per_A")
    if limit is not None and cap_eV_per_A > limit:
        yield (
            ("failures", "max_force_eV_per_A"),
            f"is {limit:g}; must not be smaller than dataset.force_cap_eV_per_A ({cap_eV_per_A:g}), up to "
            "which forces are trained on",
        )


def _pairs_of_elements(elements: list[str], distances: Mapping[str, float]) -> Iterable[Finding]:
    for pair in distances:
        yield from check_pair(pair, elements, ("failures", "min_distances_A", pair))


FAILURE_RULES: tuple[Rule, ...] = (
    Rule(("dataset.force_cap_eV_per_A", "failures"), _cap_is_believed),
    Rule(("elements", "failures.min_distances_A"), _pairs_of_elements),
)
"""Conditions between `failures` and other sections."""
