"""Ionic runs of VASP that go on where a killed one left off: piece by piece, each in a directory of its own.

A piece is never run twice in the same directory, so that what it has finished is never written over. What is
done and what comes next follow from the files alone.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llzo_al.dataset.frames import Frame, LabelFailure
from llzo_al.errors import EngineError
from llzo_al.files import read_json, write_json
from llzo_al.labelling.jobs import START_S
from llzo_al.labelling.streaming import ChildDied, ChildSilent, stream_child
from llzo_al.labelling.vasp.check import settings_failure
from llzo_al.labelling.vasp.continuation import Start, next_start
from llzo_al.labelling.vasp.inputs import VaspInputs
from llzo_al.labelling.vasp.outputs import IonicStep, ParsedRun, read_vasp_run
from llzo_al.labelling.vasp.static import CHILD

if TYPE_CHECKING:
    from llzo_al.labelling.vasp.labeller import VaspLabeller

LOOK_IN_S = 60.0
"""How often custodian's handlers look at dynamics and relaxations."""
BUFFER_S = 300.0
"""Time before a queue's limit in which no ionic step is begun."""

_ABOUT = "piece.json"
_LITTLE = (_ABOUT, "INCAR", "KPOINTS", "CONTCAR")
_OUTPUTS = ("vasprun.xml", "OUTCAR", "POSCAR", "OSZICAR", "vasp.out", "std_err.txt")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One run of VASP.

    Attributes
    ----------
    directory
        Where it ran.
    first
        Number of its first ionic step in the whole run, from 0.
    planned
        Ionic steps that it was asked for.
    run
        What it left; None if it finished no step.
    """

    directory: Path
    first: int
    planned: int
    run: ParsedRun | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a piece ended.

    Attributes
    ----------
    trouble
        What went wrong, "" if nothing did.
    walltime
        Whether it was asked to stop before a queue's limit.
    """

    trouble: str
    walltime: bool


class IonicRun:
    """The pieces of one ionic run in a directory.

    Parameters
    ----------
    labeller
        Who runs VASP.
    start
        Where the whole run starts.
    inputs
        Input of a run of `start`; tags of motion and POSCAR differ from piece to piece.
    directory
        Working directory of the whole run.
    """

    def __init__(self, labeller: VaspLabeller, start: Frame, inputs: VaspInputs, directory: Path) -> None:
        self._labeller = labeller
        self._start = start
        self._inputs = inputs
        self._directory = directory

    @property
    def directory(self) -> Path:
        """Working directory of the whole run."""
        return self._directory

    def pieces(self) -> list[Piece]:
        """All pieces so far, in their order.

        Raises
        ------
        EngineError
            If one ran with other settings than were asked for.
        """
        found = []
        for place in self._places():
            about = read_json(place / _ABOUT)
            run = read_vasp_run(place)
            if isinstance(run, LabelFailure) or len(run.symbols) != self._start.n_atoms:
                found.append(Piece(directory=place, first=about["first"], planned=about["planned"], run=None))
                continue
            refused = settings_failure(self._inputs, run, place)
            if refused is not None:
                raise EngineError(f"{place}: {refused.reason}")
            found.append(Piece(directory=place, first=about["first"], planned=about["planned"], run=run))
        return found

    def _places(self) -> list[Path]:
        numbered = [
            (int(match[1]), path)
            for path in self._directory.glob("piece-*")
            if (match := re.fullmatch(r"piece-(\d+)", path.name)) and (path / _ABOUT).is_file()
        ]
        return [path for _, path in sorted(numbered)]

    def next_start(self, pieces: Sequence[Piece], *, timestep_fs: float | None) -> Start:
        """Where the run goes on; see `llzo_al.labelling.vasp.continuation.next_start`."""
        last = next((piece for piece in reversed(pieces) if piece.run is not None), None)
        if last is None or last.run is None:
            return Start(step=0, poscar=self._inputs.poscar)
        symbols = [self._start.symbols[index] for index in self._inputs.order]
        return next_start(last.directory, last.first, last.run.steps, symbols, timestep_fs=timestep_fs)

    def run(
        self,
        start: Start,
        motion: Mapping[str, Any],
        *,
        found: tuple[list[str], list[str]],
        environment: Mapping[str, str],
        tell: Callable[[int], None],
    ) -> Outcome:
        """Run the next piece to its end.

        Parameters
        ----------
        start
            Where it starts.
        motion
            INCAR tags of motion, NSW among them.
        found
            Commands for meshes and for the Gamma point.
        environment
            Environment of VASP.
        tell
            Called with the number of ionic steps of the whole run as they are finished.
        """
        place = self._prepare(start, motion)
        settings = self._labeller.settings
        walltime_s = settings.walltime_s
        look_in_s = min(LOOK_IN_S, settings.frozen_s, (walltime_s or 1e9) / 20)
        spec = {
            "runs": [
                {
                    "index": 0,
                    "directory": place.name,
                    "command": found[1] if self._inputs.gamma_only else found[0],
                }
            ],
            "moving": True,
            "max_corrections": 0,
            "frozen_s": settings.frozen_s,
            "walltime_s": walltime_s,
            "buffer_s": min(BUFFER_S, (walltime_s or 1e9) / 4),
            "look_in_s": look_in_s,
        }
        ended: dict[str, Any] = {}
        try:
            for message in stream_child(
                CHILD,
                spec,
                directory=self._directory,
                environment=environment,
                # Finished steps are told when custodian looks in.
                silence_s=settings.timeout_s + 2 * look_in_s,
                start_s=START_S,
            ):
                if "ionic_steps" in message:
                    tell(start.step + int(message["ionic_steps"]))
                elif "index" in message:
                    ended = message
        except (ChildDied, ChildSilent) as error:
            return Outcome(trouble=str(error), walltime=False)
        finally:
            with contextlib.suppress(FileNotFoundError):
                (place / "POTCAR").unlink()
        walltime = "Walltime reached" in ended.get("corrections", ())
        told = [str(ended.get("trouble") or "")]
        if ended.get("returncode"):
            told.append(f"VASP ended with {ended['returncode']}")
        return Outcome(trouble="" if walltime else "; ".join(filter(None, told)), walltime=walltime)

    def _prepare(self, start: Start, motion: Mapping[str, Any]) -> Path:
        numbers = [int(path.name.partition("-")[2]) for path in self._places()]
        place = self._directory / f"piece-{max(numbers, default=-1) + 1:03d}"
        shutil.rmtree(place, ignore_errors=True)
        replace(self._inputs, incar={**self._inputs.incar, **motion}, poscar=start.poscar).write(place)
        write_json(place / _ABOUT, {"first": start.step, "planned": int(motion["NSW"])})
        return place

    def compress(self, *, everything: bool) -> None:
        """Compress the files of the pieces; without `everything` only what is read again stays."""
        for piece in self.pieces():
            source = "" if piece.run is None else piece.run.source.removesuffix(".gz")
            wanted = {*_LITTLE, source, *(_OUTPUTS if everything else ())}
            for path in piece.directory.iterdir():
                stem = path.name.removesuffix(".gz")
                if stem not in wanted:
                    path.unlink() if path.is_file() else shutil.rmtree(path)
                elif stem in ("vasprun.xml", "OUTCAR") and path.suffix != ".gz":
                    _gzip(path)


def steps_of(pieces: Sequence[Piece], *, newer: bool) -> dict[int, IonicStep]:
    """Finished ionic steps by their number; of one that was taken twice the older or the newer."""
    steps: dict[int, IonicStep] = {}
    for piece in pieces:
        for index, step in enumerate(piece.run.steps if piece.run is not None else ()):
            if newer or piece.first + index not in steps:
                steps[piece.first + index] = step
    return dict(sorted(steps.items()))


def program_of(pieces: Sequence[Piece]) -> str:
    """What computed the pieces; several versions of VASP where it was changed in between."""
    return ", ".join(dict.fromkeys(piece.run.program for piece in pieces if piece.run is not None))


def _gzip(path: Path) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with path.open("rb") as source, gzip.open(partial, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    partial.replace(path.with_name(f"{path.name}.gz"))
    path.unlink()
