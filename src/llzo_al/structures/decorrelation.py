"""Of the samples of a trajectory, those that its autocorrelation justifies as snapshots."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llzo_al.dataset.frames import Frame, Label
from llzo_al.structures.autocorrelation import Stride, choose_stride, frame_observables
from llzo_al.structures.reference_md import MDRun

_log = logging.getLogger(__name__)

Pair = tuple[Frame, Label | None]


def decorrelated(run: MDRun, samples: Sequence[Pair]) -> tuple[list[Pair], list[dict[str, Any]]]:
    """Snapshots of a run, temperature by temperature as far apart as their autocorrelation asks for.

    Parameters
    ----------
    run
        The run. Where it does not leave the choice to autocorrelation, all samples are snapshots.
    samples
        What the labeller returned for it.

    Returns
    -------
    tuple
        The snapshots, each of which tells the choice in its provenance, and the choices
        (`Stride.as_dict`, with ``temperature_K``, ``time_fs`` and ``interval_fs``).
    """
    if run.fallback_steps is None:
        return list(samples), []
    kept: list[Pair] = []
    choices = []
    for number, segment in enumerate(run.segments):
        members = [pair for pair in samples if run.segment_of(pair[0].provenance.details["step"]) == number]
        if not members:
            continue
        energies = [(frame, frame.provenance.details.get("potential_energy_eV")) for frame, _ in members]
        series = frame_observables(energies) or frame_observables((frame, None) for frame, _ in members)
        choice = choose_stride(series, fallback=run.fallback_stride(segment))
        told = _told(choice, segment.snapshot_steps * run.timestep_fs)
        choices.append({"temperature_K": segment.end_K, **choice.as_dict(), **told})
        _log.info("%s at %g K: %s", run.group, segment.end_K, choice.reason)
        kept += [_noted(members[index], told | {"reason": choice.reason}) for index in choice.kept()]
    return [(_numbered(frame, index), label) for index, (frame, label) in enumerate(kept)], choices


def _told(choice: Stride, sample_fs: float) -> dict[str, Any]:
    time = choice.time_samples
    return {
        "estimated": choice.estimated,
        "time_fs": None if time is None else time * sample_fs,
        "interval_fs": choice.stride * sample_fs,
    }


def _noted(pair: Pair, told: dict[str, Any]) -> Pair:
    frame, label = pair
    details = {**frame.provenance.details, "autocorrelation": told}
    return replace(frame, provenance=replace(frame.provenance, details=details)), label


def _numbered(frame: Frame, index: int) -> Frame:
    return replace(frame, provenance=replace(frame.provenance, frame=index))
