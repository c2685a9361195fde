"""``llzo-al worker`` and ``--here``: what they refuse."""

import pytest

from campaigns import make_tiny
from llzo_al.commands.worker import KINDS, kinds_of_task
from llzo_al.errors import ExitCode, UserError
from llzo_al.workflow import growth


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
