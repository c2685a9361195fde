"""Why a run of VASP left no result, told by its last words."""

from __future__ import annotations

from pathlib import Path

from llzo_al.dataset.frames import LabelFailure
from llzo_al.labelling.vasp.outputs import find_output

_SAID: tuple[tuple[str, str], ...] = (
    ("out of memory", "out of memory"),
    ("oom-kill", "out of memory"),
    ("oom_kill", "out of memory"),
    ("OOM Killed", "out of memory"),
    ("insufficient virtual memory", "out of memory"),
    ("Allocation would exceed memory limit", "out of memory"),
    ("Cannot allocate memory", "out of memory"),
    ("virtual memory exhausted", "out of memory"),
    ("DUE TO TIME LIMIT", "time limit"),
    ("walltime exceeded", "time limit"),
    ("I REFUSE TO CONTINUE", "input refused"),
    ("items on line", "input refused"),
    ("Error reading item", "input refused"),
    ("Error reading KPOINTS", "input refused"),
    ("Error reading POTCAR", "input refused"),
    ("could not open POTCAR", "input refused"),
    ("No INCAR found", "input refused"),
    ("triple product of the basis vectors", "input refused"),
    ("non-integer element in rotation matrix", "input refused"),
    ("file POSCAR", "input refused"),
    ("unknown tag", "input refused"),
    ("No space left on device", "truncated output"),
    ("segmentation fault", "crash"),
    ("SIGSEGV", "crash"),
    ("Routine ZPOTRF", "crash"),
    ("error while loading shared libraries", "crash"),
    ("REAL_OPTLAY: internal error", "crash"),
    ("internal error", "crash"),
    ("very serious problems", "crash"),
    ("BRIONS problems", "crash"),
    ("TOO FEW BANDS", "crash"),
    ("ERROR", "crash"),
    ("fatal", "crash"),
    ("severe", "crash"),
)
"""What VASP, MPI or a batch system says, and the cause that it means; the first that is found counts."""

SAID = "VASP ended with"
"""How the reason of a failure begins that VASP, MPI or a batch system told itself."""

_LOGS = ("std_err.txt", "vasp.out", "vasp.err", "stderr", "stdout")
_TAIL = 4000


def diagnose(directory: Path) -> LabelFailure:
    """The failure of a run without a finished ionic step.

    Parameters
    ----------
    directory
        Where VASP ran; what it printed is looked for in ``vasp.out`` and ``std_err.txt``, among others.
    """
    said = _said(directory)
    for words, cause in _SAID:
        line = next((line for line in said if words.lower() in line.lower()), None)
        if line is not None:
            return LabelFailure(cause=cause, reason=f"{SAID}: {line}")
    outputs = [path for name in ("vasprun.xml", "OUTCAR") if (path := find_output(directory, name))]
    if not outputs:
        return LabelFailure(
            cause="empty output", reason=_with(said, "no vasprun.xml and no OUTCAR with content")
        )
    names = " and ".join(path.name for path in outputs)
    return LabelFailure(
        cause="truncated output",
        reason=_with(
            said,
            f"{names} break{'s' if len(outputs) == 1 else ''} off before the end of the first ionic step",
        ),
    )


def _with(said: list[str], reason: str) -> str:
    return f"{reason}; last line that VASP printed: {said[-1]}" if said else reason


def _said(directory: Path) -> list[str]:
    """Last lines of what the run printed, without frames of asterisks."""
    from monty.io import zopen

    lines: list[str] = []
    for name in _LOGS:
        path = find_output(directory, name)
        if path is None:
            continue
        try:
            with zopen(path, "rb") as handle:
                text = handle.read()[-_TAIL:].decode("utf-8", errors="replace")
        except (OSError, EOFError):
            continue
        stripped = (line.strip(" |*-\t") for line in text.splitlines())
        lines += [line for line in stripped if line]
    return lines
