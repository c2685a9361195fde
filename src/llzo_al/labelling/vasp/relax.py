"""Relaxations in VASP."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llzo_al.dataset.frames import Frame, Label
from llzo_al.errors import EngineError
from llzo_al.labelling.vasp.check import POSITION_TOLERANCE_A
from llzo_al.labelling.vasp.dynamics import frame_of, label_or_none
from llzo_al.labelling.vasp.inputs import VaspInputs, make_inputs
from llzo_al.labelling.vasp.ionic import advance
from llzo_al.labelling.vasp.pieces import IonicRun, Piece, program_of, steps_of
from llzo_al.progress import ProgressFile
from llzo_al.structures.relaxation import RelaxationRun

if TYPE_CHECKING:
    from llzo_al.labelling.vasp.labeller import VaspLabeller

_log = logging.getLogger(__name__)


def run_relaxation(
    labeller: VaspLabeller, run: RelaxationRun, directory: Path, *, progress: Path | None = None
) -> list[tuple[Frame, Label | None]]:
    """Conjugate gradients (IBRION = 2); see `llzo_al.labelling.base.Labeller.relaxation`.

    All ionic steps whose self-consistent cycle converged are kept. Where the cell relaxes too (ISIF = 3),
    VASP keeps the plane waves of the cell that it started from, so that only steps in that cell are labels;
    the others are labelled like any other frame.

    Raises
    ------
    EngineError
        If not even the start could be computed, the run had other settings, or it was stopped by a queue's
        time limit, in which case the next call goes on.
    """
    settings = labeller.settings
    inputs = make_inputs(run.frame, settings, labeller.elements, motion=_motion(run, run.steps_max + 1))
    ionic = IonicRun(labeller, run.frame, inputs, directory)
    shown = ProgressFile(progress, task=run.group, total=run.steps_max)
    shown.begin(len(steps_of(ionic.pieces(), newer=False)))
    try:
        pieces, ended = advance(
            labeller,
            ionic,
            name=run.group,
            timestep_fs=None,
            ended=lambda pieces: _ended(run, pieces),
            motion=lambda step, _: _motion(run, run.steps_max + 1 - step),
            shown=shown,
        )
    finally:
        shown.close()
    pairs = _path(run, inputs, pieces)
    steps = steps_of(pieces, newer=True).values()
    count, unconverged = len(steps), sum(not step.converged for step in steps)
    if not pairs:
        if count:
            ended = f"the self-consistent cycle of none of {count} ionic steps converged"
        raise EngineError(f"{run.group}: the start could not be computed ({ended}); see {directory}")
    if ended:
        _log.warning("%s did not converge: %s", run.group, ended)
    if unconverged:
        _log.warning(
            "%s: the electrons of %d of %d ionic steps did not converge; these steps are left out",
            run.group,
            unconverged,
            count,
        )
    ionic.compress(everything=settings.keep_outputs == "all")
    return pairs


def _motion(run: RelaxationRun, count: int) -> Mapping[str, Any]:
    return {
        "IBRION": 2,
        "NSW": count,
        "ISIF": 3 if run.cell else 2,
        "EDIFFG": -run.fmax_eV_per_A,
        "POTIM": 0.5,
    }


def _ended(run: RelaxationRun, pieces: Sequence[Piece]) -> str | None:
    """Nothing once the relaxation has converged, why not once its steps are used up, None before."""
    if _has_converged(run, pieces):
        return ""
    if max(steps_of(pieces, newer=True), default=-1) >= run.steps_max:
        return f"forces above {run.fmax_eV_per_A:g} eV/angstrom after {run.steps_max} steps"
    return None


def _has_converged(run: RelaxationRun, pieces: Sequence[Piece]) -> bool:
    """Whether the last piece ended of its own accord, before its steps were used up, with small forces."""
    last = pieces[-1] if pieces else None
    if last is None or last.run is None or not last.run.complete or len(last.run.steps) >= last.planned:
        return False
    step = last.run.steps[-1]
    largest = float(np.linalg.norm(step.forces_eV_per_A, axis=1).max())
    return step.converged and largest <= run.fmax_eV_per_A * 1.001


def _path(run: RelaxationRun, inputs: VaspInputs, pieces: list[Piece]) -> list[tuple[Frame, Label | None]]:
    relaxed = _has_converged(run, pieces)
    bases = {
        piece.first + index: piece.run.steps[0].cell_A
        for piece in pieces
        if piece.run is not None
        for index in range(len(piece.run.steps))
    }
    steps = {number: step for number, step in steps_of(pieces, newer=True).items() if step.converged}
    program = program_of(pieces)
    last = max(steps, default=-1)
    first = min(steps, default=-1)
    pairs: list[tuple[Frame, Label | None]] = []
    for number, step in steps.items():
        if number % run.keep_every and number not in (first, last):
            continue
        frame = run.path_frame(
            frame_of(run.frame, inputs, step), number, len(pairs), relaxed=relaxed and number == last
        )
        in_its_own_basis = np.abs(step.cell_A - bases[number]).max() <= POSITION_TOLERANCE_A
        pairs.append((frame, label_or_none(frame, inputs, step, program) if in_its_own_basis else None))
    return pairs
