"""Child processes of a test: killed at a telling moment, and waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil


def wait_until(reached: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait until `reached()` holds; a test fails if it never does."""
    ends = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < ends, f"waited in vain for {seconds:g} s"
        time.sleep(0.01)


@contextmanager
def killed_when(reached: Callable[[], object], module: str) -> Iterator[None]:
    """Kill the children that run `module`, which the block starts, as soon as `reached()` holds."""
    over = threading.Event()
    killed: list[int] = []

    def watch() -> None:
        while not over.wait(0.005):
            if reached():
                killed.extend(kill_children(module))
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    assert killed, f"{module} had ended before it could be killed"


def kill_children(module: str) -> list[int]:
    """Kill the descendants of this process that run `module`; returns their process ids."""
    killed = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if module in child.cmdline():
                child.kill()
                killed.append(child.pid)
    return killed
