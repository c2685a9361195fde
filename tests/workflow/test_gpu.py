"""A whole campaign on an NVIDIA GPU, with PyTorch: ``python -m pytest -m gpu`` on a machine that has both."""

import json
import os
import subprocess
import sys

import pytest

from campaigns import write_tiny
from llzo_al.training.backends import available_backends, visible_gpus

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not visible_gpus() or "pytorch" not in available_backends(), reason="no NVIDIA GPU, or no PyTorch"
    ),
]


def test_auto_trains_every_model_on_the_gpu_and_explores_with_them(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "llzo_al", "run", str(write_tiny(tmp_path))],
        capture_output=True,
        text=True,
        timeout=580,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "tiny" / "report" / "report.json").read_text())
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    names = set(subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines())
    assert {how.removeprefix("pytorch on ") for how in report["totals"]["trainings"]} <= names
    assert sum(report["totals"]["trainings"].values()) == 6
    assert all(name.endswith((".pth", ".pt2")) for name in report["final"]["model_files"])
    assert [iteration["md"]["runs"] for iteration in report["iterations"]] == [2, 2]
