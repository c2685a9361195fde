"""The command line: what each command says, and the exit code that it ends in."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from campaigns import make_tiny, write_tiny
from llzo_al import cli
from llzo_al.console import ERRORS
from llzo_al.doctor import Check, Status
from llzo_al.doctor.diagnosis import PROBES
from llzo_al.errors import ExitCode, StageError, UserError

COMMANDS = [
    "init",
    "validate",
    "run",
    "status",
    "report",
    "doctor",
    "lpad",
    "labels",
    "structures",
    "coverage",
    "worker",
]


def prepared(directory):
    """A campaign directory as `run` leaves it before its first stage."""
    return make_tiny(directory)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(call, command):
    code, out, _ = call(command, "--help")
    assert code == ExitCode.CONVERGED
    assert "Example" in out
    assert f"llzo-al {command}" in out


def test_the_commands_above_are_all_there_are(call):
    named = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert named | {group.name for group in cli.app.registered_groups} == set(COMMANDS)
    code, out, err = call()
    assert code == ExitCode.USER_ERROR
    assert "Usage" in out
    assert not err


def test_version(call):
    code, out, _ = call("--version")
    assert code == ExitCode.CONVERGED
    assert out.startswith("llzo-al ")


@pytest.mark.parametrize("arguments", [["status"], ["frobnicate"], ["run", "a.yaml", "--fast"]])
def test_wrong_use_is_the_users_mistake(call, arguments):
    code, _, err = call(*arguments)
    assert code == ExitCode.USER_ERROR
    assert err.startswith("llzo-al: ")
    assert "--help" in err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("key: [torch] wrong"), 2, "llzo-al: key: [torch] wrong"),
        (StageError("a stage failed"), 1, "llzo-al: a stage failed"),
        (OSError(28, "No space left on device", "x/y"), 1, "x/y: No space left on device; free some space"),
        (OSError(30, "Read-only file system", "x/y"), 2, "x/y: Read-only file system; make it writable"),
        (ZeroDivisionError("oops"), 1, "unexpected ZeroDivisionError: oops"),
        (KeyboardInterrupt(), 1, "interrupted; run the same command again"),
    ],
)
def test_exit_code_and_message_of_an_error(call, monkeypatch, tmp_path, error, code, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("llzo_al.running.run_campaign", fail)
    found, _, err = call("run", tmp_path / "campaign.yaml")
    assert found == code
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("code", [ExitCode.CONVERGED, ExitCode.NOT_CONVERGED])
def test_exit_code_of_a_finished_campaign(call, monkeypatch, tmp_path, code):
    monkeypatch.setattr("llzo_al.running.run_campaign", lambda *_, **__: code)
    assert call("run", tmp_path / "campaign.yaml")[0] == code


def test_init_then_validate_then_status(call, tmp_path):
    code, out, _ = call("init", tmp_path / "new")
    file = tmp_path / "new" / "campaign.yaml"
    assert code == 0
    assert str(file) in out
    again, _, err = call("init", tmp_path / "new")
    assert again == ExitCode.USER_ERROR
    assert "not overwritten" in err
    code, out, _ = call("validate", file)
    assert code == 0
    assert "nothing is missing on this machine" in out
    code, _, err = call("status", file)
    assert code == ExitCode.USER_ERROR
    assert "has not been run yet" in err
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"campaign.yaml", "campaign.schema.json"}


@pytest.mark.parametrize("command", [["status"], ["report"], ["lpad", "get_wflows"]])
def test_what_is_no_campaign_is_refused_and_left_alone(call, tmp_path, command):
    name, *rest = command
    code, _, err = call(name, tmp_path / "absent", *rest)
    assert code == ExitCode.USER_ERROR
    assert "no such campaign directory" in err
    code, _, err = call(name, tmp_path, *rest)
    assert code == ExitCode.USER_ERROR
    assert "is not a campaign directory" in err
    assert not list(tmp_path.iterdir())


def test_validate_names_what_is_missing_in_full(call, tmp_path, monkeypatch):
    monkeypatch.setattr("llzo_al.training.backends.available_backends", lambda: ("tensorflow",))
    file = write_tiny(tmp_path, **{"compress: false": "compress: false\n  backend: pytorch"})
    code, out, _ = call("validate", file)
    assert code == ExitCode.USER_ERROR
    assert 'pip install -e ".[torch]"' in out  # not taken for markup
    code, out, _ = call("validate", file, "--json")
    assert code == ExitCode.USER_ERROR
    assert ".[torch]" in json.loads(out)["missing"][0]


def test_validate_refuses_overrides_that_deepmd_kit_refuses(call, tmp_path):
    wrong = "compress: false\n  overrides:\n    model:\n      descriptor: {rcutt: 4.0}"
    file = write_tiny(tmp_path, **{"compress: false": wrong})
    line = file.read_text().splitlines().index("  overrides:") + 1
    for command in ("validate", "run"):
        code, _, err = call(command, file)
        assert code == ExitCode.USER_ERROR
        assert f"{file}:{line}: training.overrides" in err
        assert "rcutt" in err
    assert [path.name for path in tmp_path.iterdir()] == ["campaign.yaml"]


def test_report_and_status_of_a_campaign_without_iterations(call, tmp_path):
    root = prepared(tmp_path).directory.root
    code, out, _ = call("report", root)
    assert code == 0
    assert "no iteration" in out
    assert "Not finished, and not running: the same run command continues it" in out
    assert "<html" in (root / "report" / "index.html").read_text()
    code, out, _ = call("report", root, "--json")
    assert code == 0
    assert json.loads(out)["iterations"] == []
    code, out, _ = call("status", root)
    assert code == 0
    assert "not running" in out
    assert f"llzo-al run {tmp_path / 'campaign.yaml'}" in out
    code, out, _ = call("status", tmp_path / "campaign.yaml", "--json")
    assert code == 0
    status = json.loads(out)
    assert (status["open_iteration"], status["running"], status["finished"]) == (0, None, False)
    assert set(status["labels"]) == {"training", "held-out", "candidate", "audit"}


def test_lpad_shows_a_campaigns_launchpad(call, tmp_path):
    code, out, _ = call("lpad", prepared(tmp_path).directory.root, "get_wflows")
    assert code == 0
    assert out.strip() == "[]"


@pytest.mark.parametrize(
    ("file", "content", "code", "words"),
    [
        ("campaign.json", "{", 1, "is missing or damaged"),
        ("campaign.json", "[]", 1, "is missing or damaged"),
        ("campaign.json", '{"format": 99, "campaign_file": "x", "created_by": "9"}', 2, "another version"),
        ("dataset/labels.sqlite", "garbage" * 200, 1, "label store is damaged"),
        ("campaign.yaml", "name: [", 1, "cannot be read back"),
    ],
)
def test_damage_is_told_in_one_message_and_nothing_is_touched(call, tmp_path, file, content, code, words):
    campaign = prepared(tmp_path)
    campaign.store.counts()
    root = campaign.directory.root
    (root / file).write_text(content)
    for arguments in (["status", root], ["run", tmp_path / "campaign.yaml"]):
        found, _, err = call(*arguments)
        assert found == code
        assert words in err
        assert str(root) in err
        assert "unexpected" not in err
    assert (root / file).read_text() == content
    assert not (root / "iterations").exists()


def test_a_file_in_the_place_of_the_directory(call, tmp_path):
    (tmp_path / "file").write_text("precious")
    code, _, err = call("run", write_tiny(tmp_path / "c"), "--dir", tmp_path / "file")
    assert code == ExitCode.USER_ERROR
    assert "is a file, expected a directory" in err
    assert (tmp_path / "file").read_text() == "precious"


def everything_in(directory):
    return {path: path.read_bytes() if path.is_file() else None for path in directory.rglob("*")}


def unwritable(tmp_path, monkeypatch):
    monkeypatch.setattr("llzo_al.campaign.directory.os.access", lambda _, mode: not mode & os.W_OK)
    return "tiny: the campaign directory cannot be written ("


def foreign(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.tex").write_text("precious")
    return "tiny: is not empty and is not a campaign directory"


def of_another_version(tmp_path, monkeypatch):
    about = prepared(tmp_path).directory.version_file
    about.write_text(json.dumps({**json.loads(about.read_text()), "format": 99}))
    return "tiny: was written by another version (layout 99"


@pytest.mark.parametrize("spoil", [unwritable, foreign, of_another_version])
@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_directory_that_cannot_be_used_is_refused_before_anything_is_begun(
    call, tmp_path, monkeypatch, command, spoil
):
    words = spoil(tmp_path, monkeypatch)
    file = write_tiny(tmp_path)
    before = everything_in(tmp_path)
    code, _, err = call(command, file)
    assert code == ExitCode.USER_ERROR
    assert err.startswith(f"llzo-al: {tmp_path}/{words}"), err
    assert err.count("\n") == 1
    assert everything_in(tmp_path) == before


def test_a_read_only_file_system_is_told_where_only_writing_finds_it_out(call, tmp_path, monkeypatch):
    file = write_tiny(tmp_path)

    mkdir = Path.mkdir

    def refuse(path, *arguments, **options):
        if path.name == "tiny":
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, out, err = call("run", file)
    assert (code, out) == (ExitCode.USER_ERROR, "")
    assert "tiny: the campaign directory cannot be written (Read-only file system); make it writable" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("status", "code"), [("ok", ExitCode.CONVERGED), ("missing", ExitCode.FAILURE)])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_doctors_exit_code_tells_whether_a_campaign_can_run(call, monkeypatch, status, code, options):
    parts = [
        Check(name=probe.title, status=Status.OK, detail="there")
        for name, probe in PROBES.items()
        if name not in ("lammps", "vasp")
    ]
    lammps = Check(name="LAMMPS", status=Status(status), detail="here or not")
    vasp = Check(name="VASP", status=Status.BROKEN, detail="not needed")
    monkeypatch.setattr("llzo_al.doctor.diagnose", lambda: [*parts, lammps, vasp])
    found, out, err = call("doctor", *options)
    assert found == code
    assert "here or not" in out
    assert not err
    assert "exit code is 1 where no campaign can run" in call("doctor", "--help")[1]


def test_long_work_is_told_on_a_terminal(call, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(ERRORS, "_force_terminal", True)
    monkeypatch.setattr(ERRORS, "is_interactive", True)
    monkeypatch.setattr("llzo_al.doctor.diagnose", lambda: time.sleep(0.3) or [])
    assert "asking every part of the software stack" in call("doctor")[2]
    assert "writing the report" in call("report", prepared(tmp_path).directory.root)[2]


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "llzo_al", "status", "nowhere"],
        capture_output=True,
        text=True,
        env={**os.environ},
        check=False,
    )
    assert done.returncode == ExitCode.USER_ERROR
    assert done.stderr.strip() == "llzo-al: nowhere: no such campaign directory; `llzo-al run FILE` makes one"
