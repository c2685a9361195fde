"""What a VASP label costs beyond VASP itself: of a job, and of each further frame in it.

VASP is a command that puts finished outputs in place (made once by the tests' stand-in), so that what
remains is the labeller's own: inputs, child process, custodian, reading and checking of the outputs.

    python tests/benchmarks/bench_vasp_overhead.py [--frames 20]

Wall times are noisy on a machine that does other work; processor times (of this process and its children) are
not.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.structures.library import load_structure

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "labelling")]

from vasp_cases import labeller, make_potcars  # noqa: E402


def cpu_s() -> float:
    """Processor seconds of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def finished_outputs(frame: Frame, root: Path) -> str:
    """Command that puts the outputs of `frame` in place."""
    made = labeller()
    results = made.label([frame], root / "jobs" / "made")
    place = root / "jobs" / "made" / "frame-0"
    store = root / "finished"
    store.mkdir()
    (_, result), *_ = [(index, result) for index, result in _keep(results, place, store)]
    if not isinstance(result, Label):
        raise SystemExit(f"the stand-in gave no label: {result}")
    return f"cp {shlex.quote(str(store))}/vasprun.xml {shlex.quote(str(store))}/OUTCAR {store}/OSZICAR ."


def _keep(results, place, store):
    """Copy the outputs before the labeller drops them."""
    import shutil

    import llzo_al.labelling.vasp.check as check

    original = check.label_of

    def keeping(frame, inputs, directory, **given):
        for name in ("vasprun.xml", "OUTCAR", "OSZICAR"):
            shutil.copy(directory / name, store / name)
        return original(frame, inputs, directory, **given)

    check.label_of = keeping
    yield from results
    check.label_of = original


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--cell", default="t-LLZO")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["PMG_VASP_PSP_DIR"] = str(make_potcars(root / "psp"))
        atoms = load_structure(options.cell, base=root, primitive=False, supercell=[1, 1, 1])
        atoms.rattle(0.03, seed=1)
        frame = Frame.from_atoms(atoms, Provenance(source="bench", kind=options.cell, group="bench"))
        command = finished_outputs(frame, root)
        made = labeller(command=f"sh -c {shlex.quote(command)}")
        rows = [
            measure(made, [frame] * count, root / "jobs" / f"{number}-{count}")
            for number in range(options.jobs)
            for count in (1, options.frames)
        ]
        single = [row for row in rows if row[0] == 1]
        batch = [row for row in rows if row[0] != 1]
        print(
            f"{options.cell}, {frame.n_atoms} atoms; median of {options.jobs}; load {os.getloadavg()[0]:.1f}"
        )
        for what, index in (("wall", 1), ("cpu", 2)):
            one = statistics.median(row[index] for row in single)
            many = statistics.median(row[index] for row in batch)
            each = (many - one) / (options.frames - 1)
            print(f"{what}: a job of one frame {one:.3f} s; each further frame {1000 * each:.1f} ms")
        engine = statistics.median(row[3] for row in batch)
        print(f"of which the command itself (cp) and custodian: {1000 * engine:.1f} ms wall a frame")


def measure(made, frames, directory: Path) -> tuple[int, float, float, float]:
    """Frames, wall seconds, processor seconds, and the runs' own wall seconds for each frame."""
    wall, cpu = time.perf_counter(), cpu_s()
    labels = [label for _, label in made.label(frames, directory)]
    if not all(isinstance(label, Label) for label in labels):
        raise SystemExit(f"not all are labels: {labels}")
    run_s = sum(label.wall_s for label in labels) / len(labels)
    return len(frames), time.perf_counter() - wall, cpu_s() - cpu, run_s


if __name__ == "__main__":
    main()
