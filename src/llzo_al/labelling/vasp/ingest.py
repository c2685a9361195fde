"""Finished runs of VASP that were made by hand: read and judged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ase.formula import Formula

from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.errors import UserError
from llzo_al.labelling.base import checked_label
from llzo_al.labelling.sanity import disbelief
from llzo_al.labelling.vasp.diagnosis import diagnose
from llzo_al.labelling.vasp.found import FoundRun
from llzo_al.labelling.vasp.outputs import IonicStep, ParsedRun, read_outputs
from llzo_al.labelling.vasp.theory import Theory, unusable

SOURCE = "ingest"
"""`Provenance.source` of what is ingested."""

_INTEGER = 1e-3


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
            program=run.program,
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


def _nothing(found: FoundRun) -> LabelFailure:
    """The failure of a run without a finished ionic step."""
    if found.standard_names:
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
