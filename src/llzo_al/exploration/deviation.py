"""The committee's deviation as DeePMD-kit's pair style writes it, a line for each evaluation."""

from __future__ import annotations

import os
from pathlib import Path

from llzo_al.errors import EngineError

_STEP, _FORCE_MAX, _FORCE_MEAN = 0, 4, 6
_COLUMNS = 7
"""step; largest, smallest and mean deviation of the virial; the same of the forces (eV/angstrom)."""


class DeviationReader:
    """Reads a deviation file while it grows.

    Parameters
    ----------
    path
        The pair style's `out_file`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._latest: tuple[int, float, float] | None = None

    def at(self, step: int) -> tuple[float, float]:
        """Largest and mean deviation of the forces over the atoms at the last step that was run.

        Raises
        ------
        EngineError
            If the file's last line is not of that step.
        """
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = file.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._offset += len(line)
            parsed = _parse(line)
            if parsed is not None:
                self._latest = parsed
        if self._latest is None or self._latest[0] != step:
            found = "nothing" if self._latest is None else f"step {self._latest[0]}"
            raise EngineError(f"{self._path}: expected a model deviation of step {step} last, found {found}")
        return self._latest[1:]


def cut_deviations(path: Path, before_step: int) -> None:
    """Drop the lines from `before_step` on (a restarted run writes them again), and a half-written one."""
    if not path.exists():
        return
    kept = b"".join(
        line
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n") and ((parsed := _parse(line)) is None or parsed[0] < before_step)
    )
    with path.open("r+b") as file:
        file.write(kept)
        file.truncate()
        os.fsync(file.fileno())


def _parse(line: bytes) -> tuple[int, float, float] | None:
    """Step, largest and mean force deviation; None for a comment.

    Raises
    ------
    EngineError
        If the line has other columns than this version of DeePMD-kit writes.
    """
    if line.startswith(b"#"):
        return None
    fields = line.split()
    if len(fields) < _COLUMNS:
        raise EngineError(
            f"model deviation: expected {_COLUMNS} columns, found {line.decode(errors='replace')!r}"
        )
    return int(fields[_STEP]), float(fields[_FORCE_MAX]), float(fields[_FORCE_MEAN])
