"""``llzo-al worker``, its worker file, and ``--here``: what they refuse."""

import json
from pathlib import Path

import pytest

from campaigns import make_tiny, write_tiny
from labelling.vasp_cases import make_potcars
from llzo_al.commands.worker import KINDS, kinds_of_task
from llzo_al.errors import ExitCode, UserError
from llzo_al.workflow import growth
from llzo_al.workflow.worker_file import worker_env


def test_kinds_of_task():
    assert KINDS == growth.CATEGORIES
    assert kinds_of_task("all", "--tasks") == KINDS
    assert kinds_of_task("none", "--here") == ()
    assert kinds_of_task("label, train", "--tasks") == ("train", "label")


@pytest.mark.parametrize("text", ["labels", "label,dft", "", ","])
def test_an_unknown_kind_is_named(text):
    with pytest.raises(UserError, match=r"--tasks .* expected a list of control, train, md, label"):
        kinds_of_task(text, "--tasks")


def test_a_worker_without_a_server(call, tmp_path):
    root = make_tiny(tmp_path).directory.root
    code, _, err = call("worker", root, "--launchpad", tmp_path / "none.yaml")
    assert code == ExitCode.USER_ERROR
    assert "none.yaml: the launchpad file is missing" in err
    code, _, err = call("worker", root, "--launchpad", tmp_path / "none.yaml", "--tasks", "none")
    assert code == ExitCode.USER_ERROR
    assert "needs something to do" in err


def test_here_needs_workers_elsewhere(call, tmp_path):
    make_tiny(tmp_path)
    code, _, err = call("run", tmp_path / "campaign.yaml", "--here", "control")
    assert code == ExitCode.USER_ERROR
    assert "name a MongoDB with --launchpad" in err


def test_validate_asks_only_for_what_this_machine_does(call, tmp_path, monkeypatch):
    """As `run --here`, which needs the level of theory besides."""
    monkeypatch.delenv("LLZO_AL_VASP_CMD", raising=False)
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path / "psp")))
    monkeypatch.setattr("llzo_al.preflight.importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("llzo_al.training.backends.available_backends", lambda: ("tensorflow",))
    file = write_tiny(tmp_path, **{"engine: classical_reference": "engine: vasp"})
    code, out, _ = call("validate", file)
    assert code == ExitCode.USER_ERROR
    assert "LAMMPS" in out
    assert "LLZO_AL_VASP_CMD" in out
    code, out, _ = call("validate", file, "--here", "control")
    assert code == 0, out
    assert "nothing is missing" in out
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "none"))
    code, out, _ = call("validate", file, "--here", "control", "--json")
    assert code == ExitCode.USER_ERROR
    assert all("POTCAR" in line for line in json.loads(out)["missing"])
    code, _, err = call("validate", file, "--here", "controls")
    assert code == ExitCode.USER_ERROR
    assert "--here 'controls': unknown kind of task" in err


# --- worker files ---


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "the worker file is missing"),
        ("name: [", "cannot be read as YAML or JSON"),
        ("host: localhost\nname: llzo_al\n", "is not a FireWorks worker file: expected `name`"),
        ("name: w\nenv: vasp_std\n", "`env` is 'vasp_std', expected names with their values"),
        ("name: w\nenv: {vasp_cmd: }\n", "env.vasp_cmd is empty"),
    ],
)
def test_a_worker_file_that_is_of_no_use(call, tmp_path, text, told):
    root = make_tiny(tmp_path).directory.root
    file = tmp_path / "my_fworker.yaml"
    if text is not None:
        file.write_text(text)
    code, out, err = call("worker", root, "--launchpad", tmp_path / "none.yaml", "--fworker", file)
    assert code == ExitCode.USER_ERROR
    assert f"{file}: {told}" in " ".join((out + err).split())


def test_the_worker_file_of_configs_can_be_read():
    env = worker_env(Path(__file__).parents[2] / "configs" / "my_fworker.yaml")
    assert env == {"campaign_dir": "/path/to/the/campaign/directory", "vasp_cmd": "srun -n 32 vasp_std"}
