"""A real campaign some of whose labels fail: it goes on above `min_success_share`, and stops below it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from vasp_cases import STANDIN, make_potcars

from campaigns import write_tiny

MD = """\
  - kind: reference_md
    structures: [Li2O]
    temperatures_K: [300, 600]
    duration_ps: 0.2
    equilibration_ps: 0.05
    snapshot_interval_fs: 50
"""
LABELLING = """\
  engine: vasp
  command: "{command}"
  min_free_MB: 1
  timeout_s: 120
  frames_per_job: 4
  max_corrections: 0
failures:
  attempts: {{crash: 1}}
  min_success_share: 0.6
"""
INITIAL = 4 + 3 * 4
"""Labels of the initial data: dimers, and three volumes of a crystal with three displaced copies each."""
PER_ITERATION = 5


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path / "psp")))
    monkeypatch.setenv("LLZO_STANDIN_STATE", str(tmp_path / "count"))

    def llzo_al(*arguments, fault=""):
        return subprocess.run(
            [sys.executable, "-m", "llzo_al", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=1500,
            env={**os.environ, "COLUMNS": "200", "LLZO_STANDIN_FAULT": fault},
        )

    return llzo_al


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_share_of_the_labels_may_fail_and_no_more(tmp_path, call):
    file = write_tiny(
        tmp_path,
        **{
            MD: "",
            "  engine: classical_reference\n": LABELLING.format(command=STANDIN),
            "rattled_copies: 2": "rattled_copies: 3",
        },
    )
    second = INITIAL + PER_ITERATION
    faults = {
        **{INITIAL + number: name for number, name in ((1, "zbrent"), (2, "killed"))},  # 3 of 5 are left
        **{
            second + number: name for number, name in ((1, "zbrent"), (2, "killed"), (3, "segfault"))
        },  # 2 of 5
    }
    root = tmp_path / "tiny"
    done = call("run", file, fault=",".join(f"{name}:run={run}" for run, name in faults.items()))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "iteration 0: goes on" in done.stdout
    told = " ".join(done.stderr.split())
    assert (
        "2 of 5 labels of iteration 1 succeeded, and failures.min_success_share asks for a share of 0.6"
        in told
    )
    assert f"llzo-al labels retry {root}" in told

    found = json.loads(call("labels", root, "--json").stdout)
    assert found["causes"] == {"crash": 5}
    assert [row["iteration"] for row in found["failed"]].count(1) == 3
    lost = next(row["identity"] for row in found["failed"] if row["iteration"] == 1)
    shown = json.loads(call("labels", "show", root, lost, "--json").stdout)
    (place,) = shown["files"]
    assert (Path(place) / "vasp.out").is_file()

    retried = call("labels", "retry", root).stdout
    assert "3 failed label(s) are tried again" in retried
    assert "2 of closed iterations are left alone" in retried
    done = call("run", file)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((root / "report" / "report.json").read_text())
    assert report["status"] == "converged"
    assert [each["labels"]["failed"] for each in report["iterations"]] == [2, 0]
    assert json.loads(call("labels", root, "--json").stdout)["causes"] == {"crash": 2}
    page = (root / "report" / "index.html").read_text()
    assert "2 × crash" in page
