"""Static labels through custodian and the stand-in: right ones, and every way to get none."""

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from vasp_cases import ELEMENTS, frame_of, labeller, make_potcars, oxide, reference_of, settings

from llzo_al.dataset.frames import Label, LabelFailure
from llzo_al.dataset.identity import structure_hash
from llzo_al.errors import EngineError
from llzo_al.labelling.causes import CAUSES
from llzo_al.labelling.vasp.check import label_of
from llzo_al.labelling.vasp.inputs import make_inputs
from llzo_al.labelling.vasp.static import with_history
from vasp_standin.standin_runs import run_many


@pytest.fixture(autouse=True)
def _potcars(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path_factory.mktemp("psp"))))


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """Tells the stand-in to fail: run N of the test with the N-th fault ("" for none)."""

    def tell(*names):
        wanted = ",".join(f"{name}:run={number}" for number, name in enumerate(names, 1) if name)
        monkeypatch.setenv("LLZO_STANDIN_FAULT", wanted)
        monkeypatch.setenv("LLZO_STANDIN_STATE", str(tmp_path / "count"))

    return tell


def kept_of(place, frame):
    return place / "outputs" / f"{structure_hash(frame)}.tar.gz"


def results_of(made, frames, directory, **given):
    found = dict(made.label(frames, directory, **given))
    assert sorted(found) == list(range(len(frames)))
    return [found[index] for index in range(len(frames))]


def test_labels_are_the_calculators_numbers_in_the_frames_order(tmp_path):
    frames = [frame_of(oxide(1)), frame_of(oxide(2, left_handed=True))]
    made = labeller(keep_outputs="all")
    labels = results_of(made, frames, tmp_path / "jobs" / "1")
    for label, expected in zip(labels, reference_of(frames, tmp_path / "direct"), strict=True):
        assert label.energy_eV == pytest.approx(expected.energy_eV, abs=1e-7)
        np.testing.assert_allclose(label.forces_eV_per_A, expected.forces_eV_per_A, atol=1e-7)
        np.testing.assert_allclose(label.virial_eV, expected.virial_eV, atol=1e-6)
        assert label.wall_s > 0
        assert label.program == "VASP 6.4.2"
    assert not [path for path in (tmp_path / "jobs" / "1").iterdir() if path.is_dir()]
    with tarfile.open(kept_of(tmp_path, frames[1])) as tar:
        names = set(tar.getnames())
    assert {"INCAR", "KPOINTS", "POSCAR", "OUTCAR", "vasprun.xml", "OSZICAR"} <= names
    assert "POTCAR" not in names


FAULTS = {
    # fault of the stand-in: cause, and what the reason tells
    "unconverged": ("not converged", "NELM = 200"),
    "zpotrf": ("crash", "ZPOTRF"),
    "real_optlay": ("crash", "REAL_OPTLAY"),
    "segfault": ("crash", "SIGSEGV"),
    "crash": ("crash", "exit code 1"),
    "killed": ("crash", "signal 9"),
    "missing-library": ("crash", "shared libraries"),
    "out-of-memory": ("out of memory", "memory"),
    "truncated-both": ("truncated output", "off before the end"),
    "empty": ("empty output", "no vasprun.xml"),
    "no-output": ("empty output", "no vasprun.xml"),
    "disk-full": ("truncated output", "No space left"),
    "nan": ("not finite", "forces"),
    "asterisks": ("not finite", "forces"),
    "other-encut": ("settings changed", "ENCUT"),
    "other-structure": ("wrong shape", "another structure"),
}


HALF = ("truncated-vasprun", "truncated-outcar")
"""Failures of which one output of two remains whole."""


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What runs that fail leave, without custodian: directory and exit code of each."""
    root = tmp_path_factory.mktemp("left")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(root / "psp")))
        inputs = make_inputs(frame_of(oxide(1)), settings(), ELEMENTS)
    names = [*FAULTS, *HALF]
    for name in names:
        inputs.write(root / name)
    codes = run_many([root / name for name in names], names, limit_s=1.5)
    return inputs, {name: (root / name, code) for name, code in zip(names, codes, strict=True)}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_failure_is_recognised_by_what_it_leaves(left, fault):
    inputs, places = left
    place, code = places[fault]
    result = label_of(frame_of(oxide(1)), inputs, place, wall_s=1.0)
    assert isinstance(result, LabelFailure)
    result = with_history(result, {"returncode": code})
    cause, told = FAULTS[fault]
    assert result.cause == cause, result.reason
    assert cause in CAUSES
    assert told in result.reason


@pytest.mark.slow
def test_each_failure_is_recognised_through_custodian(tmp_path, faults):
    names = [*FAULTS, ""]
    faults(*names)
    results = results_of(
        labeller(max_corrections=0), [frame_of(oxide(1))] * len(names), tmp_path / "jobs" / "1"
    )
    assert isinstance(results.pop(), Label)
    for index, (result, fault) in enumerate(zip(results, FAULTS, strict=True)):
        cause, told = FAULTS[fault]
        assert result.cause == cause, (fault, result.reason)
        assert told in result.reason
        place = tmp_path / "jobs" / "1" / f"frame-{index}"
        assert (place / "INCAR").is_file()  # its files are there for the quarantine
        assert not (place / "POTCAR").exists()


def test_one_whole_output_of_two_is_enough(left, tmp_path):
    frame = frame_of(oxide(1))
    inputs, places = left
    (expected,) = reference_of([frame], tmp_path / "direct")
    for name in HALF:
        label = label_of(frame, inputs, places[name][0], wall_s=1.0)
        assert isinstance(label, Label)
        assert label.energy_eV == pytest.approx(expected.energy_eV, abs=1e-6)
        np.testing.assert_allclose(label.forces_eV_per_A, expected.forces_eV_per_A, atol=2e-6)


def test_custodian_corrects_what_does_not_change_the_physics(tmp_path, faults):
    faults("edddav", "", "real_optlay")
    frame = frame_of(oxide(1))
    made = labeller(keep_outputs="all", incar={"LREAL": "Auto"})
    good, bad = results_of(made, [frame, frame], tmp_path / "jobs" / "1")
    assert isinstance(good, Label)
    with tarfile.open(kept_of(tmp_path, frame)) as tar:
        assert b"ALGO = All" in tar.extractfile("INCAR").read()
        assert b"ALGO = Normal" in tar.extractfile("INCAR.orig").read()
    assert bad.cause == "crash"
    assert "would change the physics" in bad.reason
    assert "LREAL" in bad.reason
    assert "LREAL = Auto" in (tmp_path / "jobs" / "1" / "frame-1" / "INCAR").read_text()


@pytest.mark.slow
def test_a_later_attempt_changes_what_the_campaign_file_says(tmp_path):
    frame = frame_of(oxide(1))
    made = labeller(keep_outputs="all", retry_incar=[{"ALGO": "All"}, {"ALGO": "Damped", "NELM": 99}])
    for attempt, words in ((1, b"ALGO = Normal"), (2, b"ALGO = All"), (3, b"NELM = 99"), (4, b"NELM = 99")):
        (label,) = results_of(made, [frame], tmp_path / "jobs" / "1", attempt=attempt)
        assert isinstance(label, Label)
        with tarfile.open(kept_of(tmp_path, frame)) as tar:
            assert words in tar.extractfile("INCAR").read()


def test_a_run_that_hangs_is_stopped_by_its_time_limit(tmp_path, faults):
    faults("hang")
    frame = frame_of(oxide(1))
    started = time.monotonic()
    first, second = results_of(labeller(timeout_s=8.0), [frame, frame], tmp_path / "jobs" / "1")
    assert first.cause == "time limit"
    assert isinstance(second, Label)
    assert time.monotonic() - started < 60
    assert not [
        process
        for process in psutil.Process().children(recursive=True)
        if "vasp_std" in " ".join(process.cmdline())
    ]


@pytest.mark.slow
def test_a_run_that_prints_nothing_any_more_is_stopped(tmp_path, faults):
    faults("hang")
    (failure,) = results_of(
        labeller(frozen_s=3.0, timeout_s=120.0), [frame_of(oxide(1))], tmp_path / "jobs" / "1"
    )
    assert failure.cause == "time limit"
    assert "frozen_s" in failure.reason


def test_without_vasp_no_frame_is_blamed(tmp_path):
    with pytest.raises(EngineError, match="nosuch_vasp"):
        results_of(labeller(command="nosuch_vasp"), [frame_of(oxide(1))], tmp_path)
    with pytest.raises(EngineError, match="min_free_MB"):
        results_of(labeller(min_free_MB=1e12), [frame_of(oxide(1))], tmp_path)


KILLED = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from vasp_cases import frame_of, labeller, oxide
for index, label in labeller().label([frame_of(oxide(1)) for _ in range(3)], Path({directory!r})):
    print(index, type(label).__name__, flush=True)
"""


def test_a_killed_job_loses_the_frame_under_way_at_most(tmp_path, faults):
    faults("", "hang")
    code = KILLED.format(path=[*sys.path, str(Path(__file__).parent)], directory=str(tmp_path / "jobs" / "1"))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout.readline() == "0 Label\n"
    while not (tmp_path / "jobs" / "1" / "frame-1" / "vasp.out").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _at_work(tmp_path / "jobs" / "1"):
        time.sleep(0.1)
    assert not _at_work(tmp_path / "jobs" / "1")


def _at_work(directory):
    """Processes that still run below `directory`."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        if str(process.info["cwd"] or "").startswith(str(directory)):
            found.append(process)
    return found
