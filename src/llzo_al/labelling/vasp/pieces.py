"""Ionic runs of VASP that go on where a killed one left off: piece by piece, each in a directory of its own.

A piece is never run twice in the same directory, so that what it has finished is never written over. What is
done and what comes next follow from the files alone.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import re
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llzo_al.dataset.frames import FloatArray, Frame, LabelFailure
from llzo_al.errors import EngineError
from llzo_al.files import read_json, write_json
from llzo_al.labelling.jobs import START_S
from llzo_al.labelling.streaming import ChildDied, ChildSilent, stream_child
from llzo_al.labelling.vasp.check import distance_A, settings_failure, shortest_A
from llzo_al.labelling.vasp.inputs import VaspInputs
from llzo_al.labelling.vasp.labeller import CHILD
from llzo_al.labelling.vasp.outputs import IonicStep, ParsedRun, read_vasp_run

if TYPE_CHECKING:
    from llzo_al.labelling.vasp.labeller import VaspLabeller

LOOK_IN_S = 60.0
"""How often custodian's handlers look at dynamics and relaxations."""
BUFFER_S = 300.0
"""Time before a queue's limit in which no ionic step is begun."""

_SAME_A = 1e-5
_FAR_A = 2.0
_ABOUT = "piece.json"
_LITTLE = (_ABOUT, "INCAR", "KPOINTS", "CONTCAR")
_OUTPUTS = ("vasprun.xml", "OUTCAR", "POSCAR", "OSZICAR", "vasp.out", "std_err.txt")

_log = logging.getLogger(__name__)


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
class Start:
    """Where the next piece starts.

    Attributes
    ----------
    step
        Number of its first ionic step.
    poscar
        Text of its POSCAR, with velocities where there are some.
    """

    step: int
    poscar: str


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
        """Where the run goes on: at CONTCAR of the last piece with a finished step.

        A CONTCAR that is missing or cut short is made good: for dynamics (`timestep_fs` given) the last two
        structures are continued along a straight line, with the velocity that follows; a relaxation starts
        from its last structure.
        """
        last = next((piece for piece in reversed(pieces) if piece.run is not None), None)
        if last is None or last.run is None:
            return Start(step=0, poscar=self._inputs.poscar)
        done = last.first + len(last.run.steps)
        step = last.run.steps[-1]
        path = last.directory / "CONTCAR"
        contcar = _read_poscar(path, self._start.n_atoms)
        if contcar is not None:
            positions_A, text = contcar
            off_A = distance_A(positions_A, step.positions_A, step.cell_A)
            if off_A < _SAME_A:  # not moved on yet: the step is taken again, so that its forces are known
                return Start(step=done - 1, poscar=text)
            if off_A < _FAR_A:
                return Start(step=done, poscar=text)
        _log.warning("%s: CONTCAR cannot be used; going on from the last ionic steps", last.directory)
        if timestep_fs is None or len(last.run.steps) < 2:
            return Start(step=done - 1, poscar=self._poscar(step.positions_A, step.cell_A, None))
        moved_A = shortest_A(step.positions_A - last.run.steps[-2].positions_A, step.cell_A)
        poscar = self._poscar(step.positions_A + moved_A, step.cell_A, moved_A / timestep_fs)
        return Start(step=done, poscar=poscar)

    def _poscar(
        self, positions_A: FloatArray, cell_A: FloatArray, velocities_A_per_fs: FloatArray | None
    ) -> str:
        from pymatgen.core import Lattice, Structure
        from pymatgen.io.vasp.inputs import Poscar

        symbols = [self._start.symbols[index] for index in self._inputs.order]
        structure = Structure(Lattice(cell_A), symbols, positions_A, coords_are_cartesian=True)
        velocities = None if velocities_A_per_fs is None else velocities_A_per_fs.tolist()
        made = Poscar(structure, comment="continued", velocities=velocities)
        return str(made.get_str(significant_figures=12))

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


def _gzip(path: Path) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with path.open("rb") as source, gzip.open(partial, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    partial.replace(path.with_name(f"{path.name}.gz"))
    path.unlink()


def _read_poscar(path: Path, n_atoms: int) -> tuple[FloatArray, str] | None:
    """Cartesian positions (n_atoms, 3) and text of a CONTCAR; None if it is not whole."""
    from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar

    try:
        text = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            poscar = Poscar.from_str(text)
    except (OSError, ValueError, IndexError, KeyError, BadPoscarWarning):  # pymatgen raises its warning
        return None
    positions_A = np.array(poscar.structure.cart_coords)
    if positions_A.shape != (n_atoms, 3) or not np.isfinite(positions_A).all():
        return None
    return positions_A, text
