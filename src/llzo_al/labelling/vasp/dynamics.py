"""Molecular dynamics in VASP."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llzo_al.config.labelling.vasp import tag_findings
from llzo_al.config.labelling.vasp_tags import MOTION, canonical_tags
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.vasp.check import step_label
from llzo_al.labelling.vasp.inputs import VaspInputs, make_inputs
from llzo_al.labelling.vasp.ionic import advance
from llzo_al.labelling.vasp.outputs import IonicStep
from llzo_al.labelling.vasp.pieces import IonicRun, Piece, program_of, steps_of
from llzo_al.labelling.vasp.settings import physics
from llzo_al.progress import ProgressFile
from llzo_al.structures.reference_md import MDRun

if TYPE_CHECKING:
    from llzo_al.labelling.vasp.labeller import VaspLabeller

MAX_SEED = 900_000_000
"""Largest RANDOM_SEED that VASP takes."""

_LANGEVIN: Mapping[str, Any] = {"IBRION": 0, "ISIF": 2, "MDALGO": 3}

_log = logging.getLogger(__name__)


def run_dynamics(
    labeller: VaspLabeller, run: MDRun, directory: Path, *, progress: Path | None = None
) -> list[tuple[Frame, Label | None]]:
    """Langevin dynamics at constant cell (MDALGO = 3); see `llzo_al.labelling.base.Labeller.snapshots`.

    The thermostat has no memory, so that positions and velocities, which CONTCAR holds, are all that a
    continuation needs; it gets random numbers of its own. Each segment of the temperature schedule is a run
    of its own (TEBEG to TEEND).

    Raises
    ------
    UserError
        If ``run.parameters`` are no INCAR tags, or tags that are not theirs to set.
    EngineError
        If the run ends without a snapshot, ran with other settings, or was stopped by a queue's time limit,
        in which case the next call goes on.
    """
    extra = _parameters(run)
    settings, elements = labeller.settings, labeller.elements
    own = physics(settings, elements, extra) == physics(settings, elements)
    inputs = make_inputs(run.frame, settings, elements, motion={**_LANGEVIN, "NSW": 1}, extra=extra)
    ionic = IonicRun(labeller, run.frame, inputs, directory)
    shown = ProgressFile(progress, task=run.group, total=run.total_steps)
    shown.begin(len(steps_of(ionic.pieces(), newer=False)))
    try:
        pieces, ended = advance(
            labeller,
            ionic,
            name=run.group,
            timestep_fs=run.timestep_fs,
            ended=lambda pieces: _ended(run, pieces),
            motion=lambda step, number: _motion(run, step, number, inputs),
            shown=shown,
        )
    finally:
        shown.close()
    pairs = _snapshots(run, inputs, pieces, labelled=own and not run.relabel)
    if not pairs:
        raise EngineError(
            f"{run.group}: the run gave no snapshot ({ended or 'no ionic step'}); see {directory}"
        )
    if ended:
        _log.warning(
            "%s ended after %d of %d snapshots: %s", run.group, len(pairs), len(run.snapshot_at), ended
        )
    ionic.compress(everything=settings.keep_outputs == "all")
    return pairs


def _parameters(run: MDRun) -> dict[str, Any]:
    for tag, message in tag_findings(run.parameters):
        raise UserError(f"{run.group}: parameters.{tag}: {message}")
    for tag in run.parameters:
        if tag.upper() in MOTION:
            raise UserError(f"{run.group}: parameters.{tag}: how the atoms move follows from the other keys")
    return canonical_tags(run.parameters)


def _ended(run: MDRun, pieces: Sequence[Piece]) -> str | None:
    """Nothing once the last step is there, None before."""
    return "" if run.total_steps in steps_of(pieces, newer=False) else None


def _motion(run: MDRun, step: int, number: int, inputs: VaspInputs) -> Mapping[str, Any]:
    """Tags of piece `number`, whose first ionic step is `step` of the whole run, to its segment's end."""
    ends = [start + each.steps for start, each in zip(run.starts, run.segments, strict=True)]
    end = min(next((end for end in ends if end > step), ends[-1]), run.total_steps)
    segment = run.segments[run.segment_of(end)]
    first = run.starts[run.segment_of(end)]
    return {
        **_LANGEVIN,
        "NSW": end - step + 1,
        "POTIM": run.timestep_fs,
        "TEBEG": segment.temperature_K(step - first),
        "TEEND": segment.temperature_K(end - first),
        "LANGEVIN_GAMMA": [1000.0 / run.thermostat_time_fs] * len(inputs.titles),
        "RANDOM_SEED": [(run.seed + 7919 * number) % MAX_SEED, 0, 0],
    }


def _snapshots(
    run: MDRun, inputs: VaspInputs, pieces: list[Piece], *, labelled: bool
) -> list[tuple[Frame, Label | None]]:
    steps, program = steps_of(pieces, newer=False), program_of(pieces)
    pairs: list[tuple[Frame, Label | None]] = []
    unconverged = 0
    for number in run.snapshot_at:
        step = steps.get(number)
        if step is None:
            break
        moved = frame_of(run.frame, inputs, step)
        told = run.snapshot(moved, number, len(pairs), potential_energy_eV=step.energy_eV)
        usable = labelled and step.converged
        unconverged += not step.converged
        pairs.append((told, label_or_none(told, inputs, step, program) if usable else None))
    if unconverged and labelled:
        _log.warning(
            "%s: %d of %d snapshots whose electrons did not converge are labelled again%s",
            run.group,
            unconverged,
            len(pairs),
            "" if run.fallback_steps is None else ", as far as autocorrelation keeps them",
        )
    return pairs


def frame_of(start: Frame, inputs: VaspInputs, step: IonicStep) -> Frame:
    """The structure of an ionic step, atoms in the order of `start`."""
    return Frame(
        symbols=start.symbols,
        positions_A=inputs.in_frame_order(step.positions_A),
        cell_A=step.cell_A if inputs.right_handed else -step.cell_A,
        periodic=start.periodic,
        charge=start.charge,
        multiplicity=start.multiplicity,
        provenance=start.provenance,
    )


def label_or_none(frame: Frame, inputs: VaspInputs, step: IonicStep, program: str) -> Label | None:
    """The label of an ionic step; None if its numbers are none, in which case the frame is labelled anew."""
    label = step_label(frame, inputs, step, wall_s=step.wall_s, program=program)
    return None if isinstance(label, LabelFailure) else label
