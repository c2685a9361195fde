"""What a finished assessment left: its outputs, the first model's predictions, figures of visited frames."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.visited import Visited
from llzo_al.errors import StageError, UpstreamError
from llzo_al.files import MANIFEST, read_manifest
from llzo_al.selection.audit import Prediction
from llzo_al.selection.calibration import Calibration, Signs

SELECTION = "selection.csv"
"""What became of each candidate, and why."""
_PREDICTIONS = "predictions.npz"
_VISITED = "visited.npz"
_SIGNS = tuple(field.name for field in fields(Signs))


def assess_directory(campaign: Campaign, number: int) -> Path:
    """Where the assessment of an iteration lives."""
    return campaign.directory.iteration(number) / "assess"


def assessment(campaign: Campaign, number: int) -> dict[str, Any]:
    """Outputs of a finished assessment.

    Raises
    ------
    UpstreamError
        If it did not finish.
    """
    directory = assess_directory(campaign, number)
    if not (directory / MANIFEST).exists():
        raise UpstreamError(f"iteration {number}: its assessment did not finish")
    outputs: dict[str, Any] = read_manifest(directory)["outputs"]
    return outputs


def write_predictions(directory: Path, identities: Sequence[str], frames: Sequence[Visited]) -> None:
    """Keep what the first model said of each selected frame."""
    arrays = {f"forces_{index}": one.md.forces_eV_per_A for index, one in enumerate(frames)}
    np.savez(
        directory / _PREDICTIONS,
        identities=np.array(identities, dtype=str),
        energies=np.array([one.md.energy_eV for one in frames], dtype=np.float64),
        **arrays,  # type: ignore[arg-type]
    )


def read_predictions(campaign: Campaign, number: int) -> dict[str, Prediction]:
    """What the first model said of each selected frame, by identity."""
    with _arrays(assess_directory(campaign, number) / _PREDICTIONS) as data:
        return {
            str(identity): Prediction(
                energy_eV=float(data["energies"][index]), forces_eV_per_A=data[f"forces_{index}"]
            )
            for index, identity in enumerate(data["identities"])
        }


def write_visited(directory: Path, visited: Sequence[Signs]) -> None:
    """Keep what was known of each visited frame, a column for each attribute of `Signs`."""
    columns = {name: np.array([getattr(one, name) for one in visited]) for name in _SIGNS}
    np.savez(directory / _VISITED, **columns)  # type: ignore[arg-type]


def read_visited(campaign: Campaign, number: int) -> list[Signs]:
    """What was known of each visited frame; nothing where an earlier version assessed the iteration."""
    path = assess_directory(campaign, number) / _VISITED
    if not path.exists():
        return []
    with _arrays(path) as data:
        if set(data.files) != set(_SIGNS):
            return []
        columns = [data[name].tolist() for name in _SIGNS]
    return [Signs(**dict(zip(_SIGNS, row, strict=True))) for row in zip(*columns, strict=True)]


@contextmanager
def _arrays(path: Path) -> Iterator[Any]:
    """Arrays of a file; one that is damaged is named in the error."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as data:
            yield data
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise StageError(
            f"{path}: cannot be read ({error}); remove the folder {path.parent}, and the same run command "
            "assesses the iteration again"
        ) from error


def last_calibration(campaign: Campaign, number: int) -> Calibration | None:
    """The calibration that the iteration before closed with; None without, or if it predicts nothing."""
    if number == 0:
        return None
    directory = campaign.directory.iteration(number - 1) / "close"
    fit = None
    if (directory / MANIFEST).exists():
        fit = read_manifest(directory)["outputs"].get("calibration")
    if not fit or "distance_exponent" not in fit:  # closed by an earlier version
        return None
    calibration = Calibration.from_dict(fit)
    return calibration if calibration.tells else None
