"""What is kept of VASP's files."""

from __future__ import annotations

import tarfile
from pathlib import Path

from llzo_al.files import replacing

KEPT = "outputs"
"""Folder beside the folder of all jobs, for what outlives them."""

_NEVER = ("POTCAR", "WAVECAR", "CHGCAR", "CHG")


def keep_outputs(directory: Path, archive: Path, *, max_MB: float) -> None:
    """Compress the files of `directory` into `archive` (``.tar.gz``), the smallest first, up to a size.

    POTCAR, which is licensed, and wave functions and densities are never kept. What does not fit is named in
    ``LEFT_OUT``.

    Parameters
    ----------
    directory
        Where VASP ran.
    archive
        Where to put it; written whole or not at all.
    max_MB
        Largest archive (10^6 bytes).
    """
    files = sorted(
        (path for path in directory.iterdir() if path.is_file() and not path.name.startswith(_NEVER)),
        key=lambda path: (path.stat().st_size, path.name),
    )
    left_out: list[str] = []
    with replacing(archive) as partial, tarfile.open(partial, "w:gz", compresslevel=6) as tar:
        for path in files:
            # Text shrinks to about a fifth; what is added is measured, what comes is estimated.
            expected = partial.stat().st_size + path.stat().st_size / 5
            if left_out or expected > max_MB * 1e6:
                left_out.append(f"{path.name} ({path.stat().st_size} bytes)")
            else:
                tar.add(path, arcname=path.name)
        if left_out:
            note = directory / "LEFT_OUT"
            note.write_text("\n".join(left_out) + "\n", encoding="utf-8")
            tar.add(note, arcname=note.name)
