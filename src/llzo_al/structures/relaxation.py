"""Relaxations that the reference runs with its own forces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llzo_al.dataset.frames import Frame, Provenance


@dataclass(frozen=True, kw_only=True)
class RelaxationRun:
    """A relaxation that a labeller shall run with its own forces. Nonsense raises ValueError.

    Attributes
    ----------
    frame
        Where it starts. Its provenance's source is the one of the path's frames too.
    group
        Name of the path, shared by its frames ("materials_project/mp-1960/relaxation").
    kind
        Kind of structure for the reports.
    fmax_eV_per_A
        It has converged when no force on an atom is larger and, where the cell relaxes too, no generalised
        force on the cell either (Tadmor et al., Phys. Rev. B 59, 235 (1999)).
    steps_max
        Ionic steps after which it ends in any case.
    cell
        Whether the cell relaxes too; only where the frame is periodic in three directions.
    keep_every
        Ionic steps between frames that are kept; the start and the end are kept always.
    """

    frame: Frame
    group: str
    kind: str
    fmax_eV_per_A: float = 0.05
    steps_max: int = 100
    cell: bool = True
    keep_every: int = 1

    def __post_init__(self) -> None:
        if not self.fmax_eV_per_A > 0:
            raise ValueError(f"fmax_eV_per_A is {self.fmax_eV_per_A}, expected a positive number")
        for name in ("steps_max", "keep_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.cell and not all(self.frame.periodic):
            raise ValueError(f"{self.group}: the cell of a frame that is not periodic cannot relax")

    @property
    def n_snapshots(self) -> int:
        """Frames that the path gives at most."""
        whole, rest = divmod(self.steps_max, self.keep_every)
        return 1 + whole + (rest > 0)

    @property
    def total_steps(self) -> int:
        """Ionic steps at most."""
        return self.steps_max

    def path_frame(self, frame: Frame, step: int, index: int, *, relaxed: bool) -> Frame:
        """`frame`, reached at ionic step `step`, as frame number `index` of the path.

        Its provenance's details are those of the start, with ``relaxation_step`` and, on the last frame of a
        path that converged, ``relaxed``.
        """
        details: dict[str, Any] = {**self.frame.provenance.details, "relaxation_step": step}
        if relaxed:
            details["relaxed"] = True
        provenance = Provenance(
            source=self.frame.provenance.source,
            kind=self.kind,
            group=self.group,
            frame=index,
            reason=self.frame.provenance.reason,
            details=details,
        )
        return replace(
            frame, charge=self.frame.charge, multiplicity=self.frame.multiplicity, provenance=provenance
        )
