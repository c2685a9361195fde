"""Run the stand-in in many folders, each in a fork of one process that has imported everything.

Standard input: ``{"jobs": [[folder, fault], ...], "limit_s": seconds}``; standard output: a list of exit
codes.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import vasp_std

from llzo_al.process import import_lammps


def one(folder: str, fault: str, limit_s: float) -> int:
    """Exit code of one run; negative for a signal."""
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for name, descriptor in (("vasp.out", 1), ("std_err.txt", 2)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
        os.environ["LLZO_STANDIN_FAULT"] = fault
        code = 0
        try:
            vasp_std.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except Exception:  # noqa: BLE001 (told, and seen by its exit code)
            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    deadline = time.monotonic() + (limit_s if fault == "hang" else 120.0)
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


if __name__ == "__main__":
    vasp_std.in_engine_environment()
    vasp_std.load()
    # Loaded once for all forks; started in each.
    library = Path(import_lammps().__file__).parent / "liblammps.so"
    if library.exists():
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    request = json.load(sys.stdin)
    codes = [one(folder, fault, request["limit_s"]) for folder, fault in request["jobs"]]
    print(json.dumps(codes))
