"""Looking through existing data once, before any of it enters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llzo_al.config.initial_data.existing_data import ExistingData
from llzo_al.dataset.frames import FloatArray
from llzo_al.errors import UserError
from llzo_al.structures.existing.columns import Columns
from llzo_al.structures.existing.places import SOURCE, DataSet, find_data
from llzo_al.structures.existing.reading import read_frames
from llzo_al.structures.existing.report import CHECKS, OUTLIERS, FileFacts, Report
from llzo_al.structures.existing.units import Units, units_with_slope

_SLOPE_LIMITS = (0.7, 1.4)
_FRACTION_LIMITS = (0.45, 1.5)
_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found, and which frames enter.

    Attributes
    ----------
    data
        The data sets, in the order of reading.
    kept
        Of each frame that was read, in the order of reading, whether it enters; shape (n_frames,).
    report
        The table.
    """

    data: tuple[DataSet, ...]
    kept: NDArray[np.bool_]
    report: Report


def survey(source: ExistingData, *, elements: Sequence[str], base: Path, trains_virials: bool) -> Survey:
    """Read everything once and decide what enters; one frame is in memory at a time.

    The same question about files that have not changed since is answered from memory.

    Parameters
    ----------
    source
        The campaign file's section.
    elements
        The campaign's elements.
    base
        Folder that relative paths start from.
    trains_virials
        Whether the trainings use virials.

    Raises
    ------
    UserError
        If a file cannot be read or holds a foreign element, if units look wrong, or if there are frames that
        the section refuses.
    """
    data = tuple(find_data(source.paths, base=base, format_name=source.format))
    stamps = tuple(
        (str(path), path.stat().st_mtime_ns, path.stat().st_size) for each in data for path in each.files
    )
    return _survey(source.model_dump_json(), tuple(elements), data, trains_virials, stamps)


@lru_cache(maxsize=4)
def _survey(
    section: str,
    elements: tuple[str, ...],
    data: tuple[DataSet, ...],
    trains_virials: bool,
    _stamps: tuple[tuple[str, int, int], ...],
) -> Survey:
    source = ExistingData.model_validate_json(section)
    columns = Columns(
        elements=elements,
        with_labels=source.same_level_of_theory,
        fraction_limit=source.distance_min_fraction,
    )
    for each in data:
        columns.begin(each)
        frames = read_frames(each, units=Units.of(source), type_map=source.type_map, every=source.every)
        for frame in frames:
            columns.add(frame)
        if columns.frames_of[-1] == 0:
            raise UserError(
                f"{SOURCE}: {each.path}: holds no frame (as {each.format}); check that it is whole and that "
                "its electrons converged, or name its `format`"
            )
    notes = _check_units(source, columns)
    flags = columns.flags(source)
    _refuse(source, columns, flags, trains_virials=trains_virials)
    kept = _kept(source, flags)
    report = _report(source, columns, flags, kept, notes)
    if not kept.any():
        raise UserError("\n".join([f"{SOURCE}: no frame is left", *report.lines()]))
    return Survey(data=data, kept=kept, report=report)


def _check_units(source: ExistingData, columns: Columns) -> tuple[str, ...]:
    """Notes on units; an error where they look wrong and the section does not name them."""
    notes = []
    fractions = columns.neighbour_fractions
    middle = float(np.median(fractions)) if fractions else None
    if middle is None:
        notes.append("the unit of length was not checked: nothing is condensed matter")
    elif not _FRACTION_LIMITS[0] < middle < _FRACTION_LIMITS[1] and source.length_unit is None:
        unit = "bohr" if middle > 1 else "nm"
        raise UserError(
            f"{SOURCE}: lengths do not look like angstroms: nearest neighbours are {middle:.2f} times the "
            "sum of their "
            f"covalent radii apart, where 0.8 to 1.3 is usual; set length_unit: {unit} if that is what they "
            "are in, or "
            "length_unit: angstrom if they are right"
        )
    if not source.same_level_of_theory:
        return tuple(notes)
    slope = columns.work_energy.slope()
    if slope is None:
        notes.append("units of energies and forces were not checked: no two frames are close to each other")
    elif not _SLOPE_LIMITS[0] < slope < _SLOPE_LIMITS[1] and not _units_named(source):
        if not columns.work_energy.scatters_about_one():
            raise UserError(f"{SOURCE}: {_contradiction(slope)}")
        notes.append("units of energies and forces could not be checked: frames are too far from each other")
    return tuple(notes)


def _units_named(source: ExistingData) -> bool:
    return source.energy_unit is not None or source.force_unit is not None


def _contradiction(slope: float) -> str:
    likely = units_with_slope(slope)
    hint = (
        f"it is what {' or '.join(likely[:2])} gives: name the units"
        if likely
        else "if the numbers are right, say so with energy_unit: eV"
    )
    return (
        "energies and forces contradict each other: between frames that lie close, the energy changes by "
        f"{slope:.3g} times the work of the forces, where 1 is expected in eV and eV/angstrom; {hint}, or "
        "correct the data"
    )


def _refuse(
    source: ExistingData, columns: Columns, flags: dict[str, NDArray[np.bool_]], *, trains_virials: bool
) -> None:
    wrong = ["unusable"] if source.outliers != "drop" else []
    wrong += OUTLIERS if source.outliers == "refuse" else []
    found = [name for name in wrong if flags[name].any()]
    if found:
        lines = [f"{SOURCE}: {columns.total:,} frames were read, and some do not look right:"]
        for name in found:
            numbers = np.flatnonzero(flags[name])
            examples = "; ".join(columns.told(name, int(number)) for number in numbers[:_EXAMPLES])
            more = "; …" if len(numbers) > _EXAMPLES else ""
            lines.append(f"  {len(numbers):,}  {CHECKS[name]}: {examples}{more}")
        lines.append(
            "look at them; set outliers: drop to go on without them, or change the limits of the checks"
        )
        raise UserError("\n".join(lines))
    if trains_virials and source.missing_virials == "refuse" and flags["no virial"].any():
        numbers = np.flatnonzero(flags["no virial"])
        raise UserError(
            f"{SOURCE}: {len(numbers):,} of {columns.total:,} labelled frames have no virial, the first "
            f"{columns.where(int(numbers[0]))}, but training.virial_prefactors asks for them; set "
            "missing_virials: keep "
            "to use their energies and forces only, or the prefactors to 0"
        )


def _kept(source: ExistingData, flags: dict[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    dropped = flags["unusable"] | flags["duplicate"]
    if source.outliers == "drop":
        for name in OUTLIERS:
            dropped = dropped | flags[name]
    return np.asarray(~dropped)


def _report(
    source: ExistingData,
    columns: Columns,
    flags: dict[str, NDArray[np.bool_]],
    kept: NDArray[np.bool_],
    notes: tuple[str, ...],
) -> Report:
    ends = np.cumsum(columns.frames_of)
    files = tuple(
        FileFacts(
            name=each.name,
            format=each.format,
            checksum=each.checksum(),
            frames=frames,
            kept=int(kept[end - frames : end].sum()),
        )
        for each, frames, end in zip(columns.data, columns.frames_of, ends, strict=True)
    )
    energies = _finite(np.array(columns.energy_eV_per_atom))
    forces = _finite(np.array(columns.max_force_eV_per_A))
    distances = _finite(np.array(columns.distance_A))
    fractions = columns.neighbour_fractions
    return Report(
        labels="own" if source.same_level_of_theory else "relabel",
        files=files,
        counts={name: int(found.sum()) for name, found in flags.items()},
        examples={
            name: [columns.told(name, int(number)) for number in np.flatnonzero(found)[:_EXAMPLES]]
            for name, found in flags.items()
            if found.any()
        },
        energy_range_eV_per_atom=(float(energies.min()), float(energies.max())) if len(energies) else None,
        force_max_eV_per_A=float(forces.max()) if len(forces) else None,
        distance_min_A=float(distances.min()) if len(distances) else None,
        work_energy_slope=columns.work_energy.slope(),
        neighbour_fraction=float(np.median(fractions)) if fractions else None,
        notes=notes,
    )


def _finite(values: FloatArray) -> FloatArray:
    return np.asarray(values[np.isfinite(values)])
