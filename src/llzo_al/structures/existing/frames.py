"""Frames, and labels, of existing data that passed its checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from llzo_al.config.initial_data.existing_data import ExistingData
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.errors import StageError
from llzo_al.structures.existing.places import SOURCE, DataSet
from llzo_al.structures.existing.reading import Reading, read_frames
from llzo_al.structures.existing.survey import survey
from llzo_al.structures.existing.units import Units


def existing_frames(
    source: ExistingData, *, elements: Sequence[str], base: Path, trains_virials: bool
) -> Iterator[tuple[Frame, Label | None]]:
    """Frames that passed the checks, one at a time, each with its label where the section lets labels enter.

    Everything is read twice: once for the checks (`llzo_al.structures.existing.survey`), once here.

    Parameters
    ----------
    source, elements, base, trains_virials
        As for `llzo_al.structures.existing.survey.survey`.

    Raises
    ------
    UserError
        As `llzo_al.structures.existing.survey.survey`.
    StageError
        If the files change while they are read.
    """
    found = survey(source, elements=elements, base=base, trains_virials=trains_virials)
    checksums = {each.name: each.checksum for each in found.report.files}
    number = 0
    for data in found.data:
        frames = read_frames(data, units=Units.of(source), type_map=source.type_map, every=source.every)
        for reading in frames:
            if number < len(found.kept) and found.kept[number]:
                yield _frame(source, data, reading, checksums[data.name]), _label(source, reading)
            number += 1
    if number != len(found.kept):
        raise StageError(
            f"{SOURCE}: the files changed while they were read ({len(found.kept):,} frames, then "
            f"{number:,}); run again "
            "when nothing writes to them"
        )


def _label(source: ExistingData, reading: Reading) -> Label | None:
    if not source.same_level_of_theory or reading.energy_eV is None or reading.forces_eV_per_A is None:
        return None
    return Label(
        energy_eV=reading.energy_eV,
        forces_eV_per_A=reading.forces_eV_per_A,
        virial_eV=reading.virial_eV if all(reading.periodic) else None,
    )


def _frame(source: ExistingData, data: DataSet, reading: Reading, checksum: str) -> Frame:
    kind = _formula(reading)
    return Frame(
        symbols=reading.symbols,
        positions_A=reading.positions_A,
        cell_A=reading.cell_A,
        periodic=reading.periodic,
        charge=reading.charge,
        multiplicity=reading.multiplicity,
        provenance=Provenance(
            source=SOURCE,
            kind=kind,
            group=_group(source, data, reading, kind),
            frame=reading.index,
            details={
                "file": data.name,
                "format": data.format,
                "index": reading.index,
                "sha256": checksum,
                "labels": "own" if source.same_level_of_theory else "relabel",
            },
        ),
    )


def _group(source: ExistingData, data: DataSet, reading: Reading, kind: str) -> str:
    """Frames of one file, trajectory of it where the file tells, and composition; or a part of these."""
    group = f"{SOURCE}/{data.name}/{kind}"
    if reading.group is not None:
        group += f"/{reading.group}"
    if source.group_by == "block":
        return f"{group}/block{reading.index // (source.block_frames * source.every)}"
    return f"{group}/{reading.index}" if source.group_by == "frame" else group


def _formula(reading: Reading) -> str:
    """Reduced formula, metals first ("Li2O")."""
    from ase.formula import Formula

    reduced, _ = Formula.from_list(list(reading.symbols)).reduce()
    return str(reduced.format("metal"))
