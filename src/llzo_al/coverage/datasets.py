"""Coverage of one data set by another, whatever files they are in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.descriptors import Describer, SoapDescriber, stored_environments
from llzo_al.coverage.environments import EnvironmentSet, IntArray
from llzo_al.coverage.planes import draw_planes, plane_maps
from llzo_al.coverage.reference import write_frames
from llzo_al.coverage.report import CoverageReport
from llzo_al.coverage.stored import StoredEnvironments
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError
from llzo_al.files import write_json
from llzo_al.structures.existing.places import SOURCE, find_data
from llzo_al.structures.existing.reading import read_frames
from llzo_al.structures.existing.units import Units

_BATCH = 200


def compare_datasets(
    train: Sequence[Path],
    test: Sequence[Path],
    *,
    elements: Sequence[str] | None = None,
    settings: Coverage | None = None,
    describer: Callable[[Sequence[str]], Describer] | None = None,
    file_format: str = "auto",
    every: int = 1,
    seed: int = 1,
    processes: int = 1,
    out: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> CoverageReport:
    """Coverage of `test` by `train`.

    Each is read frame by frame by ASE or dpdata, described, and measured from disk, so that neither has to
    fit into memory. A trajectory is a file or system, or what a frame's ``group`` says.

    Parameters
    ----------
    train, test
        Files or folders of any format that ASE or dpdata reads; only structures are used.
    elements
        Elements of the descriptor; by default all that occur in either set.
    settings
        How coverage is measured; the defaults of the campaign file otherwise.
    describer
        Makes what describes environments of these elements, as ``partial(DeepmdDescriber, model)`` does; by
        default SOAP with the settings' descriptor.
    file_format
        A format as in `existing_data`, for all files, or "auto".
    every
        Take one of so many frames.
    seed
        Seed of splits and samples.
    processes
        Elements that are measured at once, each in a process of its own.
    out
        Folder for ``coverage.json`` and a picture of each element's planes.
    progress
        Called with the set's name and how many of how many frames are described.

    Raises
    ------
    UserError
        If a file cannot be read, or a set holds no frame or an element that is not listed.
    StageError
        If the sets cannot be compared.

    Examples
    --------
    >>> report = compare_datasets([Path("train.extxyz")], [Path("md.traj")])  # doctest: +SKIP
    >>> {e.symbol: e.ratio for e in report.elements}  # doctest: +SKIP
    """
    settings = settings or Coverage()
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file; name a folder")
    sets = [_Frames(name, paths, file_format, every) for name, paths in (("train", train), ("test", test))]
    known = _elements(elements, found=sorted(set().union(*(one.elements for one in sets))))
    described_by = describer(known) if describer else SoapDescriber(settings.descriptor, known)
    with tempfile.TemporaryDirectory(prefix="llzo-al-coverage-") as folder:
        (training, _), (visited, trajectories) = (
            one.described(described_by, Path(folder), progress) for one in sets
        )
        report = assess_coverage(
            training,
            visited,
            settings,
            seed=seed,
            trajectories=trajectories,
            per_frame=False,
            processes=processes,
        )
        if out is not None:
            write_comparison(report, training, visited, out)
    return report


def write_comparison(
    report: CoverageReport, training: EnvironmentSet, visited: EnvironmentSet, out: Path
) -> list[Path]:
    """Write ``coverage.json``, ``frames.npz`` and ``planes-ELEMENT.png``; returns the pictures.

    ``frames.npz`` holds the frames of reference, for `llzo_al.coverage.reference.read_frames`.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "coverage.json", report.as_dict())
    write_frames(out / "frames.npz", report.frames_of_reference)
    pictures = []
    for element in report.elements:
        path = out / f"planes-{element.symbol}.png"
        draw_planes(plane_maps(training, visited, report, element), element, path)
        pictures.append(path)
    return pictures


def _elements(asked: Sequence[str] | None, *, found: list[str]) -> list[str]:
    """Elements of the descriptor: those asked for, which have to be known and hold all that were found."""
    if asked is None:
        return found
    unknown = [symbol for symbol in asked if symbol not in atomic_numbers or symbol == "X"]
    if unknown or len(set(asked)) < len(asked):
        raise UserError(
            f"--elements: {','.join(asked)} given; expected symbols such as Li,La,Zr,O, each once"
        )
    lacking = sorted(set(found) - set(asked))
    if lacking:
        raise UserError(
            f"the sets hold {', '.join(lacking)}, but --elements lists {', '.join(asked)}; list all of them"
        )
    return list(asked)


class _Frames:
    """Frames of some files, read again each time that they are asked for.

    Attributes
    ----------
    elements
        Chemical symbols that occur.
    """

    def __init__(self, name: str, paths: Sequence[Path], file_format: str, every: int) -> None:
        self._name = name
        self._paths = [str(path) for path in paths]
        self._format = file_format
        self._every = every
        self.elements: set[str] = set()
        self._count = 0
        for frame in self._frames():
            self.elements.update(frame.symbols)
            self._count += 1
        if not self._count:
            raise UserError(f"--{name}: the files hold no frame")

    def described(
        self, describer: Describer, folder: Path, progress: Callable[[str, int, int], None] | None
    ) -> tuple[StoredEnvironments, IntArray]:
        """Environments on disk, and the trajectory of each frame."""
        numbers: dict[str, int] = {}
        trajectories: list[int] = []

        def batches() -> Iterator[list[Frame]]:
            frames = self._frames()
            while batch := list(islice(frames, _BATCH)):
                trajectories.extend(numbers.setdefault(one.provenance.group, len(numbers)) for one in batch)
                yield batch

        def tell(done: int) -> None:
            if progress is not None:
                progress(self._name, done, self._count)

        stored = stored_environments(batches(), describer, folder / self._name, told=tell)
        return stored, np.array(trajectories, dtype=np.int64)

    def _frames(self) -> Iterator[Frame]:
        try:
            yield from self._read()
        except UserError as error:
            # The readers speak of a section of the campaign file, which there is none of here.
            words = str(error).removeprefix(f"{SOURCE}: ").replace("`format`", "--format")
            raise UserError(f"--{self._name}: {words}") from error

    def _read(self) -> Iterator[Frame]:
        """The frames; a frame's group is its trajectory."""
        units = Units()
        for data in find_data(self._paths, base=Path(), format_name=self._format):
            for one in read_frames(data, units=units, every=self._every):
                group = data.name if one.group is None else f"{data.name}/{one.group}"
                origin = Provenance(source=SOURCE, kind=data.name, group=group, frame=one.index)
                try:
                    frame = Frame(
                        symbols=one.symbols,
                        positions_A=one.positions_A,
                        cell_A=one.cell_A,
                        periodic=one.periodic,
                        provenance=origin,
                    )
                except ValueError as error:
                    raise UserError(f"{data.path}: frame {one.index}: {error}; remove the frame") from error
                yield frame
