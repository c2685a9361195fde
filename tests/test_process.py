"""Child processes: results, errors with a cause, and no life after their parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from children import wait_until
from llzo_al import process
from llzo_al.errors import EngineError
from llzo_al.process import engine_environment, inherited_locks, last_lines, run_child

CHILD = """
import os, signal, sys, time
from pathlib import Path
from llzo_al.errors import EngineError
from llzo_al.process import child_main

def work(spec, directory):
    print("working on", spec["do"], flush=True)
    match spec["do"]:
        case "add":
            return {"sum": sum(spec["numbers"]), "here": Path.cwd() == directory}
        case "fail":
            raise EngineError("frame 3: two atoms are 0.1 Å apart")
        case "signal":
            os.kill(os.getpid(), getattr(signal, spec["name"]))
        case "exit":
            os._exit(7)
        case "sleep":
            (directory / "pid").write_text(str(os.getpid()))
            time.sleep(60)
        case "environment":
            return {name: os.environ.get(name) for name in spec["names"]}
        case "write":
            os.write(spec["descriptor"], b"kept open")
            return {}
        case "not JSON":
            return {"value": float("nan")}

child_main(work)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a child module that does what its specification says."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "obedient_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    return "obedient_child"


def alive(pid: int) -> bool:
    """Whether process `pid` runs; one that has ended but was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# --- results and errors ----------------------------------------------------------------------------


def test_the_result_comes_back(tmp_path: Path, child: str) -> None:
    result = run_child(child, {"do": "add", "numbers": [1, 2, 3]}, directory=tmp_path / "run")
    assert result == {"sum": 6, "here": True}
    assert "working on add" in (tmp_path / "run" / "child.log").read_text()


def test_the_message_of_a_failure_comes_back(tmp_path: Path, child: str) -> None:
    with pytest.raises(EngineError, match=r"EngineError: frame 3: two atoms are 0\.1 Å apart"):
        run_child(child, {"do": "fail"}, directory=tmp_path)
    assert "Traceback" in (tmp_path / "child.log").read_text()


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_deadly_signal_is_named_with_the_end_of_the_log(tmp_path: Path, child: str, name: str) -> None:
    with pytest.raises(EngineError, match=rf"{child} ended with signal {name}(?s:.*)working on signal"):
        run_child(child, {"do": "signal", "name": name}, directory=tmp_path)


def test_an_exit_without_a_result_is_told_with_its_code(tmp_path: Path, child: str) -> None:
    with pytest.raises(EngineError, match="ended with exit code 7"):
        run_child(child, {"do": "exit"}, directory=tmp_path)


def test_a_module_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No module named no_such_module"):
        run_child("no_such_module", {}, directory=tmp_path)


def test_a_result_that_is_not_json_is_an_error(tmp_path: Path, child: str) -> None:
    with pytest.raises(EngineError, match="not JSON compliant"):
        run_child(child, {"do": "not JSON"}, directory=tmp_path)


def test_the_result_of_an_earlier_run_is_not_taken_for_this_one(tmp_path: Path, child: str) -> None:
    run_child(child, {"do": "add", "numbers": []}, directory=tmp_path)
    with pytest.raises(EngineError, match="exit code 7"):
        run_child(child, {"do": "exit"}, directory=tmp_path)


def test_a_child_over_its_time_limit_is_ended(tmp_path: Path, child: str) -> None:
    with pytest.raises(EngineError, match=r"time limit of 3 s; see .*child\.log"):
        run_child(child, {"do": "sleep"}, directory=tmp_path, timeout_s=3)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_the_environment_given_is_the_childs(tmp_path: Path, child: str) -> None:
    environment = engine_environment(threads=3)
    names = ["OMP_NUM_THREADS", "PYTHONUNBUFFERED"]
    result = run_child(
        child, {"do": "environment", "names": names}, directory=tmp_path, environment=environment
    )
    assert result == {"OMP_NUM_THREADS": "3", "PYTHONUNBUFFERED": "1"}


def test_a_child_keeps_the_campaigns_lock_open(
    tmp_path: Path, child: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "lock").open("wb") as lock:
        monkeypatch.setenv(process.LOCK_FD_VARIABLE, str(lock.fileno()))
        assert inherited_locks() == (lock.fileno(),)
        run_child(child, {"do": "write", "descriptor": lock.fileno()}, directory=tmp_path / "run")
    assert (tmp_path / "lock").read_text() == "kept open"


def test_without_a_lock_nothing_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(process.LOCK_FD_VARIABLE, raising=False)
    assert inherited_locks() == ()


# --- life with the parent ------------------------------------------------------------------------------

PARENT = """
import sys
from pathlib import Path
from llzo_al.process import run_child
run_child("obedient_child", {"do": "sleep"}, directory=Path(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
@pytest.mark.kill
def test_a_child_ends_with_its_parent(tmp_path: Path, child: str, name: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "run")])
    pid_file = tmp_path / "run" / "pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text())
    pid = int(pid_file.read_text())
    assert alive(pid)
    parent.send_signal(getattr(signal, name))
    parent.wait()
    wait_until(lambda: not alive(pid))


def test_a_child_whose_parent_ended_before_it_began_does_no_work(tmp_path: Path, child: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    spec = tmp_path / "spec.json"
    spec.write_text('{"do": "add", "numbers": [1]}')
    orphan = subprocess.run([sys.executable, "-m", child, str(spec), str(ended.pid)], check=False)
    assert orphan.returncode == 1
    assert not (tmp_path / "result.json").exists()


def test_a_child_can_be_started_by_hand(tmp_path: Path, child: str) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"do": "add", "numbers": [1]}')
    subprocess.run(
        [sys.executable, "-m", child, str(spec)], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    assert '"sum": 1' in (tmp_path / "result.json").read_text()


# --- environment and log -----------------------------------------------------------------------------


def test_the_engines_find_their_libraries_and_keep_to_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere/else")
    environment = engine_environment(threads=2)
    folders = environment["LD_LIBRARY_PATH"].split(":")
    assert (Path(folders[0]) / "libmpi.so.12").exists()
    assert folders[-1] == "/somewhere/else"
    assert environment["LAMMPS_PLUGIN_PATH"] in folders
    assert environment["DP_INTRA_OP_PARALLELISM_THREADS"] == environment["OMP_NUM_THREADS"] == "2"


def test_the_plugin_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMMPS_PLUGIN_PATH", raising=False)
    assert "LAMMPS_PLUGIN_PATH" not in engine_environment(deepmd_plugin=False)


def test_this_process_is_left_as_it_is() -> None:
    before = dict(os.environ)
    engine_environment(threads=5)
    assert dict(os.environ) == before


def test_last_lines_leave_out_the_noise(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_text("first\n\nlibcudart.so.12: cannot open shared object file\nERROR: Lost atoms\n")
    assert last_lines(log) == "first\nERROR: Lost atoms"
    assert last_lines(log, 1) == "ERROR: Lost atoms"
    assert re.search("no log", last_lines(tmp_path / "absent"))
