"""A stand-in for VASP's executable, for tests.

It reads INCAR, KPOINTS, POSCAR and POTCAR in the current folder, computes with the classical Li-La-Zr-O
reference, and writes OUTCAR, vasprun.xml, OSZICAR, CONTCAR and XDATCAR. What VASP would refuse it refuses,
with exit code 1; it fails in VASP's other ways when told to (see `standin_faults`).

Environment: ``LLZO_STANDIN_FAULT``, ``LLZO_STANDIN_STATE``, and ``LLZO_STANDIN_SLOW_S``, the seconds
that each ionic step lasts at least under the failure "slow" (by default 2).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import standin_engine
    import standin_faults
    import standin_inputs
    import standin_outcar
    import standin_vasprun

_STARTED = time.perf_counter()
_READY = "LLZO_STANDIN_READY"


def in_engine_environment() -> None:
    """Start anew with the library paths that LAMMPS needs; they are read when a process starts."""
    if os.environ.get(_READY):
        return
    from llzo_al.process import engine_environment

    environment = engine_environment(deepmd_plugin=False)
    environment.pop("LAMMPS_PLUGIN_PATH", None)
    os.execve(sys.executable, [sys.executable, *sys.argv], {**environment, _READY: "1"})


class Files:
    """The outputs, written as the run goes on."""

    def __init__(self, run: standin_engine.Run, fault: str, encut_eV: float) -> None:
        self.run, self.fault, self.encut_eV = run, fault, encut_eV
        self._previous_eV = 0.0
        self._count = 0
        for name in ("OUTCAR", "vasprun.xml", "OSZICAR", "XDATCAR", "CONTCAR"):
            Path(name).write_text("", encoding="utf-8")
        self.add("OUTCAR", standin_outcar.header(run.inputs, run, encut_eV))
        self.add("vasprun.xml", standin_vasprun.head(run.inputs, run, encut_eV))

    @staticmethod
    def add(name: str, text: str) -> None:
        """Append to a file."""
        with Path(name).open("a", encoding="utf-8") as handle:
            handle.write(text)

    def begin(self, step: standin_engine.Step) -> None:
        """What is there when a run dies within its next electronic minimisation."""
        half = max(1, len(step.energies_eV) // 2)
        self.add("OUTCAR", standin_outcar.electronic(self._count + 1, step, upto=half))
        self.add("OSZICAR", standin_outcar.oszicar_step(self.run, self._count + 1, step, 0.0, upto=half))
        self.add("vasprun.xml", " <calculation>\n  <scstep>\n")

    def step(self, step: standin_engine.Step) -> None:
        """A whole ionic step."""
        self._count += 1
        spoilt = self.fault if self.fault in ("nan", "asterisks") else ""
        self.add("OUTCAR", standin_outcar.electronic(self._count, step))
        self.add("OUTCAR", standin_outcar.ionic(self.run, step, self.encut_eV, spoilt))
        self.add("vasprun.xml", standin_vasprun.calculation(step, spoilt))
        lines = standin_outcar.oszicar_step(self.run, self._count, step, self._previous_eV)
        self.add("OSZICAR", lines)
        print(lines, end="", flush=True)
        moves = self.run.isif == 3 and self.run.nsw > 0
        self.add("XDATCAR", standin_outcar.xdatcar_step(self.run.inputs, self._count, step, cell_moves=moves))
        Path("CONTCAR").write_text(standin_outcar.contcar(self.run.inputs, step), encoding="utf-8")
        self._previous_eV = step.free_energy_eV

    def end(self, step: standin_engine.Step) -> None:
        """The ends of OUTCAR and vasprun.xml."""
        self.add("OUTCAR", standin_outcar.footer(self.run.relaxed, time.perf_counter() - _STARTED))
        self.add("vasprun.xml", standin_vasprun.tail(step))
        if self.run.relaxed:
            print(" reached required accuracy - stopping structural energy minimisation")


def spoilt_step(step: standin_engine.Step, fault: str) -> standin_engine.Step:
    """A step as some failures show it."""
    if fault == "huge-forces":
        return replace(step, forces_eV_per_A=step.forces_eV_per_A * 1e4 + 1e4)
    if fault == "other-structure":
        shift = [[0.3 * (index == 0), 0.0, 0.0] for index in range(len(step.positions_A))]
        return replace(step, positions_A=step.positions_A + shift)
    return step


def die(fault: str) -> None:
    """End as `fault` does, if it is of the kind that ends a run in the middle."""
    if fault in standin_faults.STDOUT_FATAL:
        print(standin_faults.STDOUT_FATAL[fault], flush=True)
        sys.exit(1)
    if fault in standin_faults.STDERR_FATAL:
        print("\n".join(standin_faults.STDERR_FATAL[fault]), file=sys.stderr, flush=True)
        if fault == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        sys.exit(1)
    if fault == "disk-full":
        print("forrtl: No space left on device\nforrtl: severe (38): error during write", file=sys.stderr)
        sys.exit(38)
    if fault == "crash":
        sys.exit(1)
    if fault == "hang":
        while True:
            time.sleep(60)
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


def truncate(fault: str) -> None:
    """Cut outputs short, as a full disk or a lost node leaves them."""
    outcar = Path("OUTCAR")
    if fault in ("truncated-outcar", "truncated-both"):
        text = outcar.read_text(encoding="utf-8")
        middle = text.rindex("TOTAL-FORCE")
        outcar.write_text(text[: middle + 160], encoding="utf-8")
    if fault in ("truncated-vasprun", "truncated-both"):
        text = Path("vasprun.xml").read_text(encoding="utf-8")
        middle = text.rindex('<varray name="forces"')
        Path("vasprun.xml").write_text(text[: middle + 60], encoding="utf-8")


def main() -> None:
    """Run once in the current folder."""
    fault = standin_faults.fault_of_this_run()
    if fault == "no-output":
        return
    if fault == "missing-library":
        print(standin_faults.STDERR_FATAL[fault][0], file=sys.stderr)
        sys.exit(127)
    if fault == "empty":
        for name in ("OUTCAR", "vasprun.xml", "OSZICAR", "CONTCAR", "XDATCAR"):
            Path(name).write_text("", encoding="utf-8")
        return
    print(f" running on    1 total cores\n vasp.{standin_outcar.VERSION}")
    try:
        inputs = standin_inputs.read_inputs(Path())
        for warning in inputs.warnings:
            print(warning)
        print(f" POSCAR found type information on POSCAR {' '.join(inputs.symbols)}")
        print(" POSCAR, INCAR and KPOINTS ok, starting setup\n entering main loop", flush=True)
        work(inputs, fault)
    except standin_inputs.Refused as error:
        print(error, flush=True)
        sys.exit(1)


def work(inputs: standin_inputs.Inputs, fault: str) -> None:
    """Compute and write."""
    run = standin_engine.Run(inputs=inputs, fault=fault, log=Path("/dev/null"))
    encut_eV = inputs.encut_eV - 100.0 if fault == "other-encut" else inputs.encut_eV
    files, last = Files(run, fault, encut_eV), None
    middle = max(1, (run.nsw + 1) // 2)
    fatal = fault in standin_faults.STDOUT_FATAL or fault in standin_faults.STDERR_FATAL or fault in (
        "crash", "hang", "killed", "disk-full",
    )  # fmt: skip
    for count, step in enumerate(run.steps(), 1):
        if fatal and count >= middle:
            files.begin(step)
            die(fault)
        if fault in standin_faults.STDOUT_WARNING:
            print("\n".join([standin_faults.STDOUT_WARNING[fault]] * 3), flush=True)
        if fault == "slow":
            time.sleep(float(os.environ.get("LLZO_STANDIN_SLOW_S", "2")))
        last = spoilt_step(step, fault)
        files.step(last)
    if last is None:
        raise standin_inputs.Refused(" stand-in: the run took no ionic step")
    files.end(last)
    truncate(fault)


def load() -> None:
    """Import the parts, which need the engine's environment."""
    import standin_engine
    import standin_faults
    import standin_inputs
    import standin_outcar
    import standin_vasprun

    parts = (standin_engine, standin_faults, standin_inputs, standin_outcar, standin_vasprun)
    globals().update({part.__name__: part for part in parts})


if __name__ == "__main__":
    in_engine_environment()
    load()
    main()
    sys.stdout.flush()
