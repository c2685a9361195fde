"""Structures of one source, outside a campaign: made, written, summed up and drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from llzo_al.config.initial_data import Source
from llzo_al.config.labelling import Labelling
from llzo_al.dataset.frames import Frame, Label
from llzo_al.dataset.identity import canonical, structure_hash
from llzo_al.errors import UserError
from llzo_al.files import fingerprint, replacing, write_json
from llzo_al.labelling.base import Labeller, make_labeller
from llzo_al.structures.decorrelation import decorrelated
from llzo_al.structures.overview import draw_overview
from llzo_al.structures.reference_md import MDRun
from llzo_al.structures.relaxation import RelaxationRun
from llzo_al.structures.sources import SourceContext, labelled_source_frames, source_report, source_runs
from llzo_al.structures.summary import Summary

FRAMES = "frames.extxyz"
SUMMARY = "summary.json"
OVERVIEW = "overview.png"
TOLD_EVERY = 50
"""Structures between two lines of progress."""

Tell = Callable[[str], object]
_Labelled = tuple[Frame, Label | None]


@dataclass(frozen=True, kw_only=True)
class MadeStructures:
    """What `make_structures` wrote.

    Attributes
    ----------
    summary
        Densities, distances and compositions.
    labelled
        Structures that came with a label or got one from the labeller's own dynamics.
    report
        What the source found where it looked, in sentences.
    files
        The files, absolute.
    """

    summary: Summary
    labelled: int
    report: tuple[str, ...]
    files: tuple[Path, ...]


def make_structures(
    source: Source,
    context: SourceContext,
    directory: Path,
    *,
    labelling: Labelling | None = None,
    tell: Tell = lambda _: None,
) -> MadeStructures:
    """Write the structures of a source as extended XYZ, with a summary and a picture.

    One structure at a time is in memory.

    Parameters
    ----------
    source, context
        The source and what it depends on.
    directory
        Where ``frames.extxyz``, ``summary.json`` and ``overview.png`` are written; and ``runs/``, where a
        trajectory of the labeller goes on when the same command is given again.
    labelling
        Who runs trajectories and relaxations, for the sources that have some.
    tell
        Called with a line of progress now and then.

    Raises
    ------
    UserError
        If a structure cannot be made, the source gives none, or it needs a labeller and there is none.
    """
    runs = source_runs(source, context)
    labeller = _labeller(source, runs, context, labelling)
    directory.mkdir(parents=True, exist_ok=True)
    summary = Summary()
    made = _made(source, context, runs, labeller, directory / "runs", tell)
    labelled = _write(made, directory / FRAMES, summary, lambda count: tell(f"{source.kind}: {count:,}"))
    if not summary.frames:
        raise UserError(f"{source.kind}: the source gives no structure; see what its keys select")
    report = source_report(source, context)
    write_json(
        directory / SUMMARY,
        {
            "source": source.settings(),
            "elements": list(context.elements),
            "seed": context.seed,
            "labelled": labelled,
            "found": None if report is None else report.facts,
            **summary.as_dict(),
        },
    )
    draw_overview(summary, directory / OVERVIEW, title=f"{source.kind}: {summary.frames:,} structures")
    return MadeStructures(
        summary=summary,
        labelled=labelled,
        report=() if report is None else report.lines,
        files=tuple((directory / name).resolve() for name in (FRAMES, SUMMARY, OVERVIEW)),
    )


def _labeller(
    source: Source,
    runs: Sequence[MDRun | RelaxationRun],
    context: SourceContext,
    labelling: Labelling | None,
) -> Labeller | None:
    if not runs:
        return None
    if labelling is None:
        raise UserError(
            f"{source.kind}: needs the forces of a labeller, for molecular dynamics or relaxations "
            f"({len(runs)} in all); name a campaign file with --from, and its `labelling` runs them"
        )
    labeller = make_labeller(labelling, context.elements)
    labeller.preflight()
    return labeller


def _made(
    source: Source,
    context: SourceContext,
    runs: Sequence[MDRun | RelaxationRun],
    labeller: Labeller | None,
    directory: Path,
    tell: Tell,
) -> Iterator[_Labelled]:
    yield from labelled_source_frames(source, context)
    if labeller is None:
        return
    for number, run in enumerate(runs):
        tell(f"{run.group}: run {number + 1} of {len(runs)}")
        place = directory / _run_name(run, labeller)
        place.mkdir(parents=True, exist_ok=True)
        if isinstance(run, RelaxationRun):
            yield from labeller.relaxation(run, place, threads=labeller.threads)
        else:
            yield from decorrelated(run, labeller.snapshots(run, place, threads=labeller.threads))[0]


def _run_name(run: MDRun | RelaxationRun, labeller: Labeller) -> str:
    """A directory for each run, labeller and settings, so that none takes up what another one left."""
    settings = asdict(run)
    settings["frame"] = structure_hash(run.frame)
    return fingerprint(canonical({"run": settings, "physics": labeller.physics()}))[:16]


def _write(made: Iterator[_Labelled], path: Path, summary: Summary, tell: Callable[[int], object]) -> int:
    """Write frames one by one, atomically as a whole; how many had a label."""
    labelled = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for count, (frame, label) in enumerate(made, start=1):
            _write_frame(handle, frame, label)
            summary.add(frame)
            labelled += label is not None
            if count % TOLD_EVERY == 0:
                tell(count)
    return labelled


def _write_frame(handle: TextIO, frame: Frame, label: Label | None) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_extxyz
    from ase.stress import full_3x3_to_voigt_6_stress

    atoms = frame.to_atoms()
    origin = frame.provenance
    info: dict[str, Any] = {
        "source": origin.source,
        "kind": origin.kind,
        "group": origin.group,
        "frame": origin.frame,
        "temperature_K": origin.temperature_K,
        "reason": origin.reason,
        "details": origin.details or None,
    }
    atoms.info.update({key: value for key, value in info.items() if value is not None})
    if label is not None:
        results: dict[str, Any] = {"energy": label.energy_eV, "forces": label.forces_eV_per_A}
        if label.virial_eV is not None:
            results["stress"] = full_3x3_to_voigt_6_stress(-label.virial_eV / atoms.get_volume())
        atoms.calc = SinglePointCalculator(atoms, **results)
    write_extxyz(handle, [atoms])
