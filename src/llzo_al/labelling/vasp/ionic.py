"""Ionic runs of VASP to their end, dynamics and relaxations alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llzo_al.errors import TimeIsUp
from llzo_al.labelling.vasp.diagnosis import SAID, diagnose
from llzo_al.labelling.vasp.pieces import IonicRun, Piece, steps_of
from llzo_al.progress import ProgressFile

if TYPE_CHECKING:
    from llzo_al.labelling.vasp.labeller import VaspLabeller

FRUITLESS = 3
"""Pieces in a row without a finished ionic step after which a run is given up."""


def advance(
    labeller: VaspLabeller,
    ionic: IonicRun,
    *,
    name: str,
    timestep_fs: float | None,
    ended: Callable[[Sequence[Piece]], str | None],
    motion: Callable[[int, int], Mapping[str, Any]],
    shown: ProgressFile,
) -> tuple[list[Piece], str]:
    """Run pieces until the run is at its end, or comes to nothing.

    Parameters
    ----------
    labeller
        Who runs VASP.
    ionic
        The run.
    name
        What errors call it.
    timestep_fs
        Timestep of dynamics, None for a relaxation.
    ended
        Tells of the pieces so far why the run is at its end: "" if as planned, None if it goes on.
    motion
        INCAR tags of motion of a piece, by its first ionic step and its number.
    shown
        Where to tell the progress.

    Returns
    -------
    tuple
        The pieces, and why the run ended early, "" if it did not.

    Raises
    ------
    TimeIsUp
        If it was stopped before a queue's time limit; the next call goes on from there.
    EngineError
        If VASP is not here, or it ran with other settings.
    """
    started = time.monotonic()
    environment = labeller.environment()
    found = None
    fruitless = 0
    pieces = ionic.pieces()
    while (why := ended(pieces)) is None:
        if found is None:
            found = labeller.ready(ionic.directory)
        start = ionic.next_start(pieces, timestep_fs=timestep_fs)
        tags = motion(start.step, len(pieces))
        outcome = ionic.run(start, tags, found=found, environment=environment, tell=shown.update)
        before, pieces = pieces, ionic.pieces()
        if outcome.walltime and ended(pieces) is None:
            raise TimeIsUp(
                f"{name}: stopped before the time limit of its job, after "
                f"{time.monotonic() - started:.0f} s; it goes on from there in the next job"
            )
        more = len(steps_of(pieces, newer=False)) > len(steps_of(before, newer=False))
        fruitless = 0 if more else fruitless + 1
        if fruitless >= FRUITLESS:
            return pieces, _why_fruitless(pieces, outcome.trouble)
    return pieces, why


def _why_fruitless(pieces: Sequence[Piece], trouble: str) -> str:
    """Why pieces come to nothing, by the last one's own words."""
    words = diagnose(pieces[-1].directory).reason if pieces else ""
    told = [words] if words.startswith(SAID) else []
    return "; ".join(filter(None, [f"{FRUITLESS} runs in a row finished no new ionic step", *told, trouble]))
