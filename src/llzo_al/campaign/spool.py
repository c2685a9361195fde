"""Frames put down in a file while it is not known yet which of them are held out: JSON, a line for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.labelling.jobs import frame_record


def write_frame(handle: TextIO, frame: Frame, label: Label | None) -> None:
    """Add a frame, with its provenance and the label that it brings along."""
    line: dict[str, Any] = {"frame": frame_record(frame), "provenance": asdict(frame.provenance)}
    if label is not None:
        line["label"] = {
            "energy_eV": float(label.energy_eV),
            "forces_eV_per_A": np.asarray(label.forces_eV_per_A, dtype=np.float64).tolist(),
            "virial_eV": None if label.virial_eV is None else np.asarray(label.virial_eV).tolist(),
            "wall_s": float(label.wall_s),
            "program": label.program,
        }
    handle.write(json.dumps(line) + "\n")


def read_frames(path: Path) -> Iterator[tuple[Frame, Label | None]]:
    """What `write_frame` put down, one frame at a time."""
    with path.open(encoding="utf-8") as handle:
        for text in handle:
            line = json.loads(text)
            yield _frame(line["frame"], line["provenance"]), _label(line.get("label"))


def _frame(record: dict[str, Any], provenance: dict[str, Any]) -> Frame:
    return Frame(
        symbols=tuple(record["symbols"]),
        positions_A=np.array(record["positions_A"], dtype=np.float64).reshape(-1, 3),
        cell_A=np.array(record["cell_A"], dtype=np.float64),
        periodic=tuple(record["periodic"]),
        charge=record.get("charge", 0),
        multiplicity=record.get("multiplicity"),
        provenance=Provenance(**provenance),
    )


def _label(record: dict[str, Any] | None) -> Label | None:
    if record is None:
        return None
    virial = record["virial_eV"]
    return Label(
        energy_eV=record["energy_eV"],
        forces_eV_per_A=np.array(record["forces_eV_per_A"], dtype=np.float64).reshape(-1, 3),
        virial_eV=None if virial is None else np.array(virial, dtype=np.float64),
        wall_s=record["wall_s"],
        program=record.get("program", ""),
    )
