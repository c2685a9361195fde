"""Child processes that answer piece by piece: one JSON line for each thing that is done.

The child's own output goes to its log. Between the caller and the work stands a small keeper process, so that
nothing that an engine starts (a calculator's own commands included) outlives the caller.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from llzo_al.errors import EngineError
from llzo_al.files import write_json
from llzo_al.process import die_with_parent, inherited_locks, last_lines

_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.2
_EXIT_S = 10.0
LOG = "child.log"
"""What a child prints, in its working directory."""
_MEMORY_CODE = 86
"""Exit code of a keeper that ended its worker for its memory."""
_MEMORY_WORDS = (b"std::bad_alloc", b"Cannot allocate memory", b"insufficient virtual memory")
"""What codes write when an allocation failed."""

Emit = Callable[[Mapping[str, Any]], None]
"""Sends one message to the caller."""


class ChildDied(EngineError):
    """The child ended by a signal or without a word: a crash, or the kernel's out-of-memory killer."""


class ChildOutOfMemory(ChildDied):
    """The child took more memory than it was given, or than the machine has."""


class ChildSilent(EngineError):
    """The child was stopped because it said nothing for longer than its limit."""


def stream_child(
    module: str,
    spec: Mapping[str, Any],
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    silence_s: float | None = None,
    start_s: float | None = None,
    memory_GB: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Run ``python -m module`` in `directory` on a JSON `spec` and give its messages as they come.

    Closing the iterator kills the child and all that it started.

    Parameters
    ----------
    module
        Module whose ``__main__`` calls `stream_main`.
    spec
        JSON-serialisable input; numbers that are not finite are refused.
    directory
        Working directory; gets ``spec.json`` and ``child.log``.
    environment
        Environment of the child; by default this process's own.
    silence_s
        Longest time between two messages, or from the last one to the end.
    start_s
        Longest time to the first message.
    memory_GB
        Resident memory that the child and all that it starts may take together (10^9 bytes).

    Raises
    ------
    ChildSilent
        If the child was quiet for longer than that.
    ChildOutOfMemory
        If the child took more memory than that, or the kernel ended it because there was none left.
    ChildDied
        If the child was killed by a signal.
    EngineError
        If the child failed with an exception; its message is passed on.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    spec_path, log_path = directory / "spec.json", directory / LOG
    write_json(spec_path, dict(spec))
    killed_before = _kernel_kills()
    logged_before = log_path.stat().st_size if log_path.exists() else 0
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as messages:
        try:
            with log_path.open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", module, str(spec_path), str(writing), str(memory_GB or 0)],
                    cwd=directory,
                    env=dict(environment) if environment is not None else None,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(*inherited_locks(), writing),
                )
        finally:
            os.close(writing)
        try:
            failure = yield from _messages(messages, (start_s, silence_s), module, log_path)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_EXIT_S)
        finally:
            code = _end(process)
    if failure is not None:
        raise EngineError(failure)
    if code == _MEMORY_CODE and memory_GB is not None:
        raise ChildOutOfMemory(
            f"{module}: stopped beyond its memory limit of {memory_GB:g} GB; see {log_path}"
        )
    if code != 0:
        told = f"{module} ended with {_how(code)}; last lines of {log_path}:\n{last_lines(log_path)}"
        by_kernel = code == -signal.SIGKILL and _kernel_kills() > killed_before
        if by_kernel or any(word in log_path.read_bytes()[logged_before:] for word in _MEMORY_WORDS):
            raise ChildOutOfMemory(told)
        raise ChildDied(told)


def _kernel_kills() -> int:
    """Processes that the kernel has ended so far because memory ran out; 0 where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _messages(
    stream: IO[bytes], limits_s: tuple[float | None, float | None], module: str, log_path: Path
) -> Generator[dict[str, Any], None, str | None]:
    """Messages until the child closes its end; returns the message of an exception that it reported."""
    buffer = b""
    failure = None
    limit_s, later_s = limits_s
    while True:
        deadline = None if limit_s is None else time.monotonic() + limit_s
        while b"\n" not in buffer:
            left_s = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not select.select([stream], [], [], left_s)[0]:
                raise ChildSilent(f"{module}: stopped after its time limit of {limit_s:g} s; see {log_path}")
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                return failure
            buffer += chunk
        limit_s = later_s
        line, _, buffer = buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if "child_error" in message:
            failure = str(message["child_error"])
        else:
            yield message


def _end(process: subprocess.Popen[bytes]) -> int:
    """End the keeper, which ends everything below it, by closing its standard input."""
    if process.stdin is not None:
        process.stdin.close()
    return process.wait()


def stream_main(work: Callable[[dict[str, Any], Path, Emit], None]) -> None:
    """Entry of a streaming child module: ``stream_main(work)`` with ``work(spec, directory, emit)``.

    An exception of `work` is passed on to the caller as the `EngineError`'s message.
    """
    spec_path, channel = Path(sys.argv[1]), int(sys.argv[2])
    _keep(channel, limit_GB=float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
    os.set_inheritable(channel, False)
    spec = json.loads(spec_path.read_text(encoding="utf-8"))

    def emit(message: Mapping[str, Any]) -> None:
        data = (json.dumps(message) + "\n").encode()
        while data:
            data = data[os.write(channel, data) :]

    code = 0
    try:
        work(spec, spec_path.parent, emit)
    except Exception as error:  # noqa: BLE001 - passed on to the caller
        import traceback

        traceback.print_exc()
        emit({"child_error": f"{type(error).__name__}: {error}"})
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _keep(channel: int, *, limit_GB: float) -> None:
    """Go on in a forked worker; stay behind as its keeper.

    The keeper ends with the worker, in the worker's way. When the caller closes the keeper's standard input
    or dies, or all together take more than `limit_GB` of memory (0 for no limit), the keeper kills the worker
    and everything that the worker has started, and ends.
    """
    caller = os.getppid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    worker = os.fork()
    if worker == 0:
        die_with_parent()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        return
    os.close(channel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting: list[Any] = [0]
    handle = os.pidfd_open(worker) if hasattr(os, "pidfd_open") else None
    if handle is not None:
        waiting.append(handle)
    wait_s = None if handle is not None and not limit_GB else _POLL_S
    while True:
        ready = select.select(waiting, [], [], wait_s)[0]
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended == worker:
            _kill_descendants()
            _leave(status)
        if (0 in ready and not os.read(0, 1)) or os.getppid() != caller:
            _kill_descendants()
            os._exit(1)
        if limit_GB and _memory_GB() > limit_GB:
            _kill_descendants()
            os._exit(_MEMORY_CODE)


def _memory_GB() -> float:
    """Resident memory of all processes below this one (10^9 bytes)."""
    import psutil

    total = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_info().rss
    return total / 1e9


def _leave(status: int) -> None:
    """End the keeper as its worker ended."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code != signal.SIGKILL:
        signal.signal(signal.Signals(-code), signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    os._exit(1)


def _kill_descendants() -> None:
    import psutil

    me = psutil.Process()
    for _ in range(10):
        below = me.children(recursive=True)
        if not below:
            return
        for process in below:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(below, timeout=2)
