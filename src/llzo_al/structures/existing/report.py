"""What was found in existing data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from llzo_al.structures.existing.places import SOURCE

CHECKS = {
    "unusable": "numbers that are not finite, or no cell",
    "duplicate": "same structure as an earlier frame",
    "contradictory": "same structure as an earlier frame with another energy",
    "energy": "energy far from the rest",
    "force": "force far from the rest",
    "distance": "atoms too close",
    "no label": "no energy or no forces",
    "no virial": "no virial",
}
"""What is looked for in each frame, in words."""

OUTLIERS = ("contradictory", "energy", "force", "distance")
"""Checks whose consequence the campaign file chooses with `outliers`."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """One data set.

    Attributes
    ----------
    name, format, checksum
        Path relative to the campaign file, format, and SHA-256.
    frames, kept
        Frames that were read, and those that enter.
    """

    name: str
    format: str
    checksum: str
    frames: int
    kept: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """The table of what was found.

    Attributes
    ----------
    labels
        "own": labels enter as the campaign's; "relabel": structures only.
    files
        The data sets.
    counts
        Frames that each of `CHECKS` found.
    examples
        The first of them, "file, frame n: what".
    energy_range_eV_per_atom, force_max_eV_per_A, distance_min_A
        Extremes over all frames that were read, None where there is nothing.
    work_energy_slope
        Change of energy over the work of the forces between close frames, 1 where their units belong
        together; None where no frames are close enough to tell.
    neighbour_fraction
        Median distance of nearest neighbours in units of the sum of their covalent radii; None where nothing
        is condensed matter.
    notes
        What a person should know.
    """

    labels: str
    files: tuple[FileFacts, ...]
    counts: dict[str, int]
    examples: dict[str, list[str]]
    energy_range_eV_per_atom: tuple[float, float] | None
    force_max_eV_per_A: float | None
    distance_min_A: float | None
    work_energy_slope: float | None
    neighbour_fraction: float | None
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Frames that were read."""
        return sum(each.frames for each in self.files)

    @property
    def kept(self) -> int:
        """Frames that enter."""
        return sum(each.kept for each in self.files)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form, sums included."""
        values = asdict(self)
        values["files"] = list(values["files"])
        values["notes"] = list(self.notes)
        limits = self.energy_range_eV_per_atom
        values["energy_range_eV_per_atom"] = None if limits is None else list(limits)
        return values | {"frames": self.frames, "kept": self.kept}

    def lines(self) -> list[str]:
        """The table for a person."""
        how = "with their labels" if self.labels == "own" else "to be labelled anew"
        lines = [f"{SOURCE}: {self.kept:,} of {self.frames:,} frames enter, {how}"]
        for each in self.files:
            lines.append(f"  {each.name} ({each.format}): {each.kept:,} of {each.frames:,} frames")
        lines += [f"  {count:>9,}  {CHECKS[name]}" for name, count in self.counts.items() if count]
        if not any(self.counts.values()):
            lines.append("  every check passed")
        lines += [f"  {text}" for text in (*self._extremes(), *self.notes)]
        return lines

    def _extremes(self) -> list[str]:
        texts = []
        if self.energy_range_eV_per_atom is not None:
            low, high = self.energy_range_eV_per_atom
            texts.append(f"energies {low:.4f} to {high:.4f} eV/atom")
        if self.force_max_eV_per_A is not None:
            texts.append(f"largest force {self.force_max_eV_per_A:.2f} eV/angstrom")
        if self.distance_min_A is not None:
            texts.append(f"shortest distance {self.distance_min_A:.3f} angstrom")
        if self.work_energy_slope is not None:
            texts.append(
                f"change of energy over work of the forces {self.work_energy_slope:.3f} (expected 1)"
            )
        return texts
