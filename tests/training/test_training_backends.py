"""Backends: found without importing them, and chosen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llzo_al.errors import UserError
from llzo_al.training import backends
from llzo_al.training.backends import available_backends, choose_backend, visible_gpus


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    def prepare(*, installed: tuple[str, ...], gpus: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr(backends, "available_backends", lambda: installed)
        monkeypatch.setattr(backends, "visible_gpus", lambda: gpus)

    return prepare


def test_what_is_installed_is_found_without_importing_it():
    code = (
        "import sys\n"
        "from llzo_al.training.backends import available_backends\n"
        "print(*available_backends())\n"
        "print([name for name in ('tensorflow', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names, imported = done.stdout.splitlines()
    assert tuple(names.split()) == available_backends() != ()
    assert imported == "[]"


@pytest.mark.parametrize(
    ("installed", "gpus", "chosen"),
    [
        (("tensorflow",), (), "tensorflow"),
        (("tensorflow",), ("0",), "tensorflow"),
        (("tensorflow", "pytorch"), (), "tensorflow"),
        (("tensorflow", "pytorch"), ("0",), "pytorch"),
        (("pytorch",), (), "pytorch"),
    ],
)
def test_auto_takes_pytorch_with_a_gpu(machine, installed, gpus, chosen):
    machine(installed=installed, gpus=gpus)
    assert choose_backend("auto") == chosen


@pytest.mark.parametrize(("name", "extra"), [("pytorch", "torch"), ("tensorflow", "cpu")])
def test_missing_backend_says_how_to_install_it(machine, name, extra):
    machine(installed=tuple({"pytorch", "tensorflow"} - {name}))
    with pytest.raises(UserError, match=rf'training.backend: {name}.*pip install -e "\.\[{extra}\]"'):
        choose_backend(name)


def test_no_backend_at_all(machine):
    machine(installed=())
    with pytest.raises(UserError, match=r"\.\[cpu\].*\.\[torch\]"):
        choose_backend("auto")


def test_exported_models_take_a_compiler(machine, monkeypatch):
    machine(installed=("pytorch", "pytorch-exportable"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"finds no C\+\+ compiler"):
        choose_backend("pytorch-exportable")
    monkeypatch.setenv("CXX", "sh")
    assert choose_backend("pytorch-exportable") == "pytorch-exportable"
    assert choose_backend("auto") == "pytorch"


def test_unknown_backend(machine):
    machine(installed=("tensorflow",))
    with pytest.raises(UserError, match="'jax' is none of auto, tensorflow, pytorch"):
        choose_backend("jax")


def test_auto_keeps_to_the_backend_of_a_checkpoint(machine):
    machine(installed=("tensorflow", "pytorch"), gpus=("0",))
    assert choose_backend("auto", begun="tensorflow") == "tensorflow"
    assert choose_backend("pytorch", begun="tensorflow") == "pytorch"
    machine(installed=("tensorflow",))
    assert choose_backend("auto", begun="pytorch") == "tensorflow"


def test_hidden_gpus_are_not_seen(monkeypatch: pytest.MonkeyPatch, tmp_path):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for value, seen in (("", ()), ("-1", ()), ("2", ("2",)), ("1, 0", ("1", "0"))):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert visible_gpus() == seen
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_gpus() == ("0", "1", "2")
    command.write_text("#!/bin/sh\nexit 9\n")
    assert visible_gpus() == ()
