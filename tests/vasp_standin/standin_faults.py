"""The ways of VASP to fail, on demand.

``LLZO_STANDIN_FAULT`` names one, with or without a condition on the number of the run, several separated by
commas (the first that applies is taken):

- ``zbrent``: every run fails in this way;
- ``zbrent:first=2``: the first two runs;
- ``zbrent:every=3``: runs 3, 6, 9 ...;
- ``zbrent:run=2``: the second run only.

Runs are counted in the file that ``LLZO_STANDIN_STATE`` names, under a lock; a condition needs it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FAULT_VARIABLE = "LLZO_STANDIN_FAULT"
STATE_VARIABLE = "LLZO_STANDIN_STATE"

STDOUT_FATAL = {
    "zbrent": " ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR"
    "\n     to POSCAR and continue",
    "brmix": " BRMIX: very serious problems\n the old and the new charge density differ",
    "edddav": " Error EDDDAV: Call to ZHEGV failed. Returncode =  17 1  16",
    "zpotrf": " LAPACK: Routine ZPOTRF failed!           1           1           1",
    "pricel": " internal error in subroutine PRICEL (probably precision problem, try to change SYMPREC)",
    "real_optlay": " REAL_OPTLAY: internal error (1)     2629200     2629632",
    "rspher": " ERROR RSPHER: internal ERROR",
    "posmap": " POSMAP internal error: symmetry equivalent atom not found",
    "pssyevx": " ERROR in subspace rotation PSSYEVX: not enough eigenvalues found           7          19",
    "too_few_bands": " WARNING in EDDIAG: TOO FEW BANDS",
    "eddiag": " ERROR in EDDIAG: call to ZHEEV/ZHEEVX/DSYEV/DSYEVX failed! error code was            3",
    "brions": " BRIONS problems: POTIM should be increased",
}
"""Messages on standard output after which the run ends early."""

STDOUT_WARNING = {
    "eddrmm": " WARNING in EDDRMM: call to ZHEGV failed, returncode =   6  3     10",
    "subspacematrix": " WARNING: Sub-Space-Matrix is not hermitian in DAV            1",
}
"""Messages on standard output that repeat while the run goes on."""

STDERR_FATAL = {
    "out-of-memory": [
        "forrtl: severe (41): insufficient virtual memory",
        " Allocation would exceed memory limit",
    ],
    "segfault": ["forrtl: severe (174): SIGSEGV, segmentation fault occurred"],
    "missing-library": [
        "vasp_std: error while loading shared libraries: libmkl_intel_lp64.so.2: cannot open shared object "
        "file: No such file or directory"
    ],
}
"""Messages on standard error after which the run is gone."""

OTHERS = (
    "unconverged",
    "unconverged-ionic",
    "crash",
    "truncated-outcar",
    "truncated-vasprun",
    "truncated-both",
    "empty",
    "no-output",
    "hang",
    "killed",
    "nan",
    "asterisks",
    "huge-forces",
    "slow",
    "other-encut",
    "other-structure",
    "disk-full",
)
"""Failures that show otherwise than by a message."""

FAULTS = (*STDOUT_FATAL, *STDOUT_WARNING, *STDERR_FATAL, *OTHERS)


def fault_of_this_run() -> str:
    """Name of the failure that this run is to have; "" for none. Counts the run.

    Raises
    ------
    SystemExit
        If the variable names no known failure or condition.
    """
    number = _count_run()
    for wish in filter(None, os.environ.get(FAULT_VARIABLE, "").split(",")):
        name, _, condition = wish.strip().partition(":")
        if name not in FAULTS:
            raise SystemExit(f"{FAULT_VARIABLE}: no failure {name!r}; there are {', '.join(FAULTS)}")
        if _applies(condition, number):
            return name
    return ""


def _applies(condition: str, number: int) -> bool:
    if not condition:
        return True
    kind, _, count = condition.partition("=")
    rules = {
        "first": lambda n: number <= n,
        "every": lambda n: number % n == 0,
        "run": lambda n: number == n,
    }
    if kind not in rules or not count.isdigit() or number == 0:
        raise SystemExit(
            f"{FAULT_VARIABLE}: the condition {condition!r} is not first=N, every=N or run=N, or "
            f"{STATE_VARIABLE} is not set"
        )
    return rules[kind](int(count))


def _count_run() -> int:
    """Number of this run, from 1; 0 where nobody counts."""
    name = os.environ.get(STATE_VARIABLE)
    if not name:
        return 0
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        number = int(handle.read() or 0) + 1
        handle.seek(0)
        handle.truncate()
        handle.write(str(number))
    return number
