"""Finished runs of VASP that were made by hand: found in folders, read and judged."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.formula import Formula

from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.errors import UserError
from llzo_al.files import file_hash, fingerprint
from llzo_al.labelling.base import checked_label
from llzo_al.labelling.sanity import disbelief
from llzo_al.labelling.vasp.diagnosis import diagnose
from llzo_al.labelling.vasp.outputs import SUFFIXES, IonicStep, ParsedRun, read_outputs
from llzo_al.labelling.vasp.theory import Theory, unusable

SOURCE = "ingest"
"""`Provenance.source` of what is ingested."""

_OUTPUT = re.compile(r"(?P<kind>vasprun|OUTCAR)", re.IGNORECASE)
_COMPRESSED = tuple(suffix for suffix in SUFFIXES if suffix)
_REMNANTS = ("OSZICAR", "vasp.out", "std_err.txt", "INCAR")
_INTEGER = 1e-3


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """The files of one run.

    Attributes
    ----------
    directory
        Where they lie.
    vasprun, outcar
        The two outputs under whatever names; None if it is not there. A folder of a run that died before
        either has none.
    """

    directory: Path
    vasprun: Path | None = None
    outcar: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The outputs that are there."""
        return tuple(path for path in (self.vasprun, self.outcar) if path is not None)

    @property
    def name(self) -> str:
        """What reports call it."""
        return str(self.files[0] if self.files else self.directory)

    def checksum(self) -> str:
        """Hash of the files' contents, wherever they lie."""
        return fingerprint([file_hash(path) for path in self.files])


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run gives.

    Attributes
    ----------
    labels
        Frames with their labels, one for each ionic step that is good.
    failure
        Why the run gives none; None if it gives some.
    left_out
        Ionic steps that were left out for a fault of their own, by cause.
    accepted
        Differences from the campaign's level of theory that the user had declared good enough.
    version
        VASP's version.
    complete
        Whether the run goes on to its regular end.
    """

    labels: tuple[tuple[Frame, Label], ...] = ()
    failure: LabelFailure | None = None
    left_out: dict[str, int] | None = None
    accepted: dict[str, str] | None = None
    version: str = ""
    complete: bool = False


@dataclass(frozen=True, kw_only=True)
class Judge:
    """How runs are judged.

    Attributes
    ----------
    theory
        The campaign's level of theory.
    accept
        Differences from it that are good enough, of `llzo_al.labelling.vasp.theory.ACCEPTABLE`.
    every
        Take one ionic step in so many.
    max_force_eV_per_A
        Larger forces are not believed.
    """

    theory: Theory
    accept: frozenset[str] = frozenset()
    every: int = 1
    max_force_eV_per_A: float = float("inf")

    def __call__(self, found: FoundRun, checksum: str) -> Verdict:
        """Read and judge a run; whatever is wrong with its files is told, not raised."""
        try:
            run = read_outputs(found.vasprun, found.outcar)
        except OSError as error:
            return Verdict(failure=LabelFailure(cause="truncated output", reason=f"cannot be read: {error}"))
        if run is None:
            return Verdict(failure=_nothing(found))
        failure, accepted = self._of_all(run)
        if failure is not None:
            return Verdict(failure=failure, version=run.version, complete=run.complete)
        labels, left_out, last = self._of_each(found, run, checksum, accepted)
        return Verdict(
            labels=tuple(labels),
            failure=None if labels else last,
            left_out=left_out,
            accepted=accepted,
            version=run.version,
            complete=run.complete,
        )

    def _of_all(self, run: ParsedRun) -> tuple[LabelFailure | None, dict[str, str]]:
        """What speaks against all of a run, and the differences that were accepted."""
        foreign = sorted(set(run.symbols) - set(self.theory.elements))
        if foreign or not run.symbols:
            listed = ", ".join(self.theory.elements)
            reason = f"holds {', '.join(foreign) or 'no atoms'}; the campaign's elements are {listed}"
            return LabelFailure(cause="not supported", reason=reason), {}
        if reason := unusable(run):
            return LabelFailure(cause="not supported", reason=reason), {}
        charge = self.theory.charge(run)
        if abs(charge - round(charge)) > _INTEGER:
            reason = f"NELECT gives a charge of {charge:.4f}, which is no whole number"
            return LabelFailure(cause="not supported", reason=reason), {}
        differences = self.theory.differences(run, self._frame(run, run.steps[0], None))
        refused = [why for tag, why in differences.items() if tag not in self.accept]
        if refused:
            reason = "another level of theory: " + "; ".join(refused)
            return LabelFailure(cause="settings changed", reason=reason), {}
        return None, differences

    def _of_each(
        self, found: FoundRun, run: ParsedRun, checksum: str, accepted: dict[str, str]
    ) -> tuple[list[tuple[Frame, Label]], dict[str, int], LabelFailure | None]:
        """Labels of the good ionic steps, those left out by cause, and the last failure."""
        labels: list[tuple[Frame, Label]] = []
        left_out: dict[str, int] = {}
        last: LabelFailure | None = None
        for index, step in enumerate(run.steps):
            if index % self.every:
                continue
            frame, result = self._label(run, step, _provenance(found, run, index, checksum, accepted))
            if isinstance(result, Label) and frame is not None:
                labels.append((frame, result))
            elif isinstance(result, LabelFailure):
                left_out[result.cause] = left_out.get(result.cause, 0) + 1
                last = result
        return labels, left_out, last

    def _label(
        self, run: ParsedRun, step: IonicStep, provenance: Provenance
    ) -> tuple[Frame | None, Label | LabelFailure]:
        try:
            frame = self._frame(run, step, provenance)
        except ValueError as error:
            return None, LabelFailure(cause="not finite", reason=str(error))
        if not step.converged:
            reason = f"the self-consistent cycle was not converged after {step.electronic_steps} steps"
            return frame, LabelFailure(cause="not converged", reason=reason)
        label = checked_label(
            frame,
            energy_eV=step.energy_eV,
            forces_eV_per_A=step.forces_eV_per_A,
            virial_eV=step.virial_eV,
            wall_s=step.wall_s,
        )
        if isinstance(label, Label):
            return frame, disbelief(label, max_force_eV_per_A=self.max_force_eV_per_A) or label
        return frame, label

    def _frame(self, run: ParsedRun, step: IonicStep, provenance: Provenance | None) -> Frame:
        spin = run.parameters.get("NUPDOWN", run.incar.get("NUPDOWN", -1))
        return Frame(
            symbols=run.symbols,
            positions_A=step.positions_A,
            cell_A=step.cell_A,
            charge=round(self.theory.charge(run)),
            multiplicity=round(spin) + 1 if isinstance(spin, int | float) and spin >= 0 else None,
            provenance=provenance or Provenance(source=SOURCE, kind="", group=""),
        )


def find_runs(places: Iterable[Path]) -> Iterator[FoundRun]:
    """Runs in folders and files, each once, in the order of their names.

    Folders are searched with all that is in them for files whose names hold ``OUTCAR`` or ``vasprun``,
    compressed or not. Two in one folder whose names are otherwise alike are one run. A folder with other
    remnants of VASP but neither is a run that died.

    Raises
    ------
    UserError
        If a place is missing, or a file's name holds neither word.
    """
    seen: set[Path] = set()
    for place in places:
        if not place.exists():
            raise UserError(f"{place}: no such file or folder")
        if place.is_file():
            if _OUTPUT.search(place.name) is None:
                raise UserError(
                    f"{place}: is neither an OUTCAR nor a vasprun.xml by its name; name the folder that "
                    "holds them, or files whose names hold OUTCAR or vasprun"
                )
            found = list(_grouped(place.parent, [place.name]))
        else:
            found = list(_walk(place))
        for run in found:
            key = (run.files[0] if run.files else run.directory).resolve()
            if key not in seen:
                seen.add(key)
                yield run


def _walk(folder: Path) -> Iterator[FoundRun]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        directory = Path(where)
        outputs = [name for name in names if _OUTPUT.search(name) and (directory / name).is_file()]
        if outputs:
            yield from _grouped(directory, sorted(outputs))
        elif {name.removesuffix(_suffix(name)) for name in names} & set(_REMNANTS):
            yield FoundRun(directory=directory)


def _grouped(directory: Path, names: Sequence[str]) -> Iterator[FoundRun]:
    """Runs of one folder: OUTCAR.relax1.gz and vasprun.xml.relax1.gz are one."""
    runs: dict[str, dict[str, Path]] = {}
    for name in names:
        match = _OUTPUT.search(name)
        if match is None:
            continue
        bare = name.removesuffix(_suffix(name))
        key = _OUTPUT.sub("", bare, count=1).replace(".xml", "", 1)
        kind = match["kind"].lower()
        runs.setdefault(key, {}).setdefault(kind, directory / name)
    for files in runs.values():
        yield FoundRun(directory=directory, vasprun=files.get("vasprun"), outcar=files.get("outcar"))


def _suffix(name: str) -> str:
    return next((suffix for suffix in _COMPRESSED if name.endswith(suffix)), "")


def _nothing(found: FoundRun) -> LabelFailure:
    """The failure of a run without a finished ionic step."""
    standard = {path.name.removesuffix(_suffix(path.name)) for path in found.files} <= {
        "OUTCAR",
        "vasprun.xml",
    }
    if standard:
        return diagnose(found.directory)
    names = " and ".join(path.name for path in found.files)
    if all(path.stat().st_size == 0 for path in found.files):
        return LabelFailure(cause="empty output", reason=f"{names} is empty")
    return LabelFailure(cause="truncated output", reason=f"{names} without a finished ionic step")


def _provenance(
    found: FoundRun, run: ParsedRun, index: int, checksum: str, accepted: dict[str, str]
) -> Provenance:
    details: dict[str, Any] = {
        "file": str((found.directory / run.source).resolve()),
        "checksum": checksum,
        "ionic_step": index,
        "vasp_version": run.version,
    }
    if accepted:
        details["accepted"] = accepted
    return Provenance(
        source=SOURCE,
        kind=str(Formula.from_list(list(run.symbols)).reduce()[0].format("metal")),
        group=f"{SOURCE}/{checksum[:16]}",
        frame=index,
        temperature_K=_temperature_K(run),
        reason="finished run of VASP",
        details=details,
    )


def _temperature_K(run: ParsedRun) -> float | None:
    """Temperature of dynamics that keep to one; None otherwise."""
    tags = run.parameters
    begin, end = tags.get("TEBEG"), tags.get("TEEND")
    if tags.get("IBRION") != 0 or not isinstance(begin, int | float) or begin != end:
        return None
    return float(begin)


def wanted_differences(accept: Collection[str]) -> frozenset[str]:
    """Differences that the user declares good enough, checked.

    Raises
    ------
    UserError
        If one of them would be another level of theory.
    """
    from llzo_al.labelling.vasp.theory import ACCEPTABLE, unacceptable

    if wrong := unacceptable(accept):
        raise UserError(
            f"--accept {', '.join(wrong)}: labels that differ in this are of another level of theory; only "
            f"{', '.join(ACCEPTABLE)} can be accepted. Make a campaign with the runs' own settings instead"
        )
    return frozenset(tag.upper() for tag in accept)
