"""The causes of failed labels, as they are counted, told and decided on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """A class of failed labels.

    Attributes
    ----------
    meaning
        What happened, for a person.
    passing
        Whether another attempt can succeed: the machine or an iteration limit was to blame, not the frame.
    """

    meaning: str
    passing: bool


CAUSES: Mapping[str, Cause] = {
    "not converged": Cause("the self-consistent cycle ended at its limit", passing=True),
    "crash": Cause("the engine died", passing=True),
    "time limit": Cause("the engine did not end in time", passing=True),
    "out of memory": Cause("the engine ran out of memory", passing=True),
    "truncated output": Cause("the engine's output ends early", passing=True),
    "empty output": Cause("the engine left no output", passing=True),
    "not finite": Cause("energy, forces or virial hold a number that is not finite", passing=False),
    "absurd forces": Cause("a force beyond any use", passing=False),
    "atoms too close": Cause("atoms overlap; the engine was not asked", passing=False),
    "wrong shape": Cause("the engine's result does not fit the frame", passing=False),
    "settings changed": Cause("the engine ran with other settings than were asked for", passing=False),
    "input refused": Cause("the engine refuses its input", passing=False),
    "calculator error": Cause("the calculator raised an exception", passing=False),
    "not supported": Cause("the labeller cannot do what the frame asks for", passing=False),
}
"""What `llzo_al.dataset.frames.LabelFailure.cause` can be."""
