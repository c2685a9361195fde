"""Coverage of one data set by another, whatever files they are in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.descriptors import Describer, SoapDescriber, stored_environments
from llzo_al.coverage.environments import EnvironmentSet
from llzo_al.coverage.planes import draw_planes, plane_maps
from llzo_al.coverage.report import CoverageReport
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError
from llzo_al.files import write_json

_BATCH = 200


def compare_datasets(
    train: Sequence[Path],
    test: Sequence[Path],
    *,
    elements: Sequence[str] | None = None,
    settings: Coverage | None = None,
    describer: Describer | None = None,
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
        What describes environments; by default SOAP with the settings' descriptor.
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
    readers = {name: _Frames(paths, file_format, every) for name, paths in (("train", train), ("test", test))}
    surveys = {name: _survey(reader, name) for name, reader in readers.items()}
    found = sorted(set().union(*(symbols for symbols, _ in surveys.values())))
    known = list(elements) if elements is not None else found
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise UserError(
            f"the sets hold {', '.join(unknown)}, but --elements lists {', '.join(known)}; list all of them"
        )
    described_by = describer or SoapDescriber(settings.descriptor, known)
    with tempfile.TemporaryDirectory(prefix="llzo-al-coverage-") as folder:
        sets, groups = {}, {}
        for name, reader in readers.items():
            tell = partial(_tell, progress, name, surveys[name][1])
            numbers: dict[str, int] = {}
            told: list[int] = []
            batches = _batches(reader.frames(), numbers, told)
            sets[name] = stored_environments(batches, described_by, Path(folder) / name, told=tell)
            groups[name] = np.array(told, dtype=np.int64)
        report = assess_coverage(
            sets["train"],
            sets["test"],
            settings,
            seed=seed,
            trajectories=groups["test"],
            per_frame=False,
            processes=processes,
        )
        if out is not None:
            write_comparison(report, sets["train"], sets["test"], out)
    return report


def write_comparison(
    report: CoverageReport, training: EnvironmentSet, visited: EnvironmentSet, out: Path
) -> list[Path]:
    """Write ``coverage.json`` and ``planes-ELEMENT.png``; returns the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "coverage.json", report.as_dict())
    pictures = []
    for element in report.elements:
        path = out / f"planes-{element.symbol}.png"
        draw_planes(plane_maps(training, visited, report, element), element, path)
        pictures.append(path)
    return pictures


class _Frames:
    """Frames of some files, read again each time that they are asked for."""

    def __init__(self, paths: Sequence[Path], file_format: str, every: int) -> None:
        from llzo_al.structures.existing.places import find_data
        from llzo_al.structures.existing.units import Units

        self._data = find_data([str(path) for path in paths], base=Path(), format_name=file_format)
        self._units = Units()
        self._every = every

    def frames(self) -> Iterator[Frame]:
        """The frames; a frame's group is its trajectory."""
        from llzo_al.structures.existing.reading import read_frames

        for data in self._data:
            for one in read_frames(data, units=self._units, every=self._every):
                group = data.name if one.group is None else f"{data.name}/{one.group}"
                origin = Provenance(source="existing_data", kind=data.name, group=group, frame=one.index)
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


def _tell(progress: Callable[[str, int, int], None] | None, name: str, total: int, done: int) -> None:
    if progress is not None:
        progress(name, done, total)


def _survey(reader: _Frames, name: str) -> tuple[set[str], int]:
    """Elements and number of frames of a set."""
    found: set[str] = set()
    count = 0
    for frame in reader.frames():
        found.update(frame.symbols)
        count += 1
    if not count:
        raise UserError(f"--{name}: the files hold no frame")
    return found, count


def _batches(frames: Iterator[Frame], numbers: dict[str, int], told: list[int]) -> Iterator[list[Frame]]:
    while batch := list(islice(frames, _BATCH)):
        told += [numbers.setdefault(frame.provenance.group, len(numbers)) for frame in batch]
        yield batch
