"""The causes of failed labels, as they are counted, told and decided on."""

from __future__ import annotations

from collections.abc import Mapping

CAUSES: Mapping[str, str] = {
    "not converged": "the self-consistent cycle ended at its limit",
    "crash": "the engine died",
    "time limit": "the engine did not end in time",
    "out of memory": "the engine ran out of memory",
    "truncated output": "the engine's output ends early",
    "empty output": "the engine left no output",
    "not finite": "energy, forces or virial hold a number that is not finite",
    "absurd forces": "a force beyond any use",
    "atoms too close": "atoms overlap; the engine was not asked",
    "wrong shape": "the engine's result does not fit the frame",
    "settings changed": "the engine ran with other settings than were asked for",
    "input refused": "the engine refuses its input",
    "calculator error": "the calculator raised an exception",
    "not supported": "the labeller cannot do what the frame asks for",
}
"""What `llzo_al.dataset.frames.LabelFailure.cause` can be."""
