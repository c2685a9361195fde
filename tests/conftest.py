"""What all tests share."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis
import matplotlib
import pytest

from llzo_al import cli
from llzo_al.console import CONSOLE, ERRORS

matplotlib.use("Agg")
hypothesis.settings.register_profile("llzo-al", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("llzo-al")

LONGEST_FIRST = (
    "workflow/test_resumption.py",
    "workflow/test_end_to_end.py",
    "training/test_training.py",
    "exploration/test_md_deepmd.py",
    "workflow/test_embedded.py",
)
"""Files that are begun first, so that the processes that share the tests end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; all else keeps its order."""

    def rank(item: pytest.Item) -> int:
        name = item.path.relative_to(item.path.parents[1]).as_posix()
        return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


@pytest.fixture
def call(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; returns exit code, standard output and error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        for console in (CONSOLE, ERRORS):
            monkeypatch.setattr(console, "_width", 200)
        code = cli._main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(code), out, err

    return run


@pytest.fixture(scope="session")
def committee(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two frozen models for Li and O, trained once for all the processes that share the tests."""
    from committee import train_committee

    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    directory = place / "committee"
    with (place / "committee.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "models.json").exists():
            shutil.rmtree(directory, ignore_errors=True)
            train_committee(directory)
    return [directory / name for name in json.loads((directory / "models.json").read_text())]
