"""Speed and memory of reading existing data and of making frames of the Materials Project's crystals.

Run it by hand, from anywhere::

    python tests/benchmarks/initial_sources.py [FRAMES ...]

For each number of frames (1000 10000 100000 by default) a data set of rattled Li2O (24 atoms, labels drawn at
random) is written as DeePMD-kit npy with sets of 5000 frames, then read, checked and streamed in a process
of its own, of which the largest resident memory is told; the first and the last number show whether memory
grows. Extended XYZ is read for up to 10000 frames. Rates are per second of processor time, so that other
work on the machine counts little. At the end a folder of 150 different crystals is compared by pymatgen's
StructureMatcher, and 100000 scaled and rattled frames are made of a few crystals. The tables are in Markdown.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ELEMENTS = ("Li", "La", "Zr", "O")
SET_SIZE = 5000
XYZ_FRAMES = 10_000


def write_npy(path: Path, frames: int) -> None:
    """Rattled Li2O with made-up labels, set by set."""
    from llzo_al.structures.library import load_structure

    atoms = load_structure("Li2O", base=Path(), supercell=(2, 1, 1))
    symbols = atoms.get_chemical_symbols()
    path.mkdir(parents=True)
    (path / "type_map.raw").write_text("Li\nO\n")
    (path / "type.raw").write_text("\n".join("01"[symbol == "O"] for symbol in symbols) + "\n")
    random = np.random.default_rng(1)
    for number, start in enumerate(range(0, frames, SET_SIZE)):
        size = min(SET_SIZE, frames - start)
        one = path / f"set.{number:03d}"
        one.mkdir()
        moves = random.normal(scale=0.1, size=(size, len(atoms), 3))
        np.save(one / "coord.npy", (atoms.positions + moves).reshape(size, -1))
        np.save(one / "box.npy", np.tile(np.array(atoms.cell).ravel(), (size, 1)))
        np.save(one / "energy.npy", -4.5 * len(atoms) + 5.0 * np.einsum("fax,fax->f", moves, moves))
        np.save(one / "force.npy", (-10.0 * moves).reshape(size, -1))
        np.save(one / "virial.npy", random.normal(size=(size, 9)))


def write_xyz(npy: Path, path: Path) -> None:
    """The same frames as extended XYZ."""
    import ase.io
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    symbols = [("Li", "O")[int(kind)] for kind in (npy / "type.raw").read_text().split()]
    with path.open("w") as handle:
        for one in sorted(npy.glob("set.*")):
            arrays = [np.load(one / f"{name}.npy") for name in ("coord", "box", "energy", "force")]
            for position, box, energy, force in zip(*arrays, strict=True):
                atoms = Atoms(symbols, positions=position.reshape(-1, 3), cell=box.reshape(3, 3), pbc=True)
                atoms.calc = SinglePointCalculator(atoms, energy=float(energy), forces=force.reshape(-1, 3))
                ase.io.write(handle, atoms, format="extxyz")


def read(path: Path) -> None:
    """Survey and stream one data set; prints both times and the largest resident memory."""
    from llzo_al.config.initial_data import ExistingData
    from llzo_al.structures.existing.frames import existing_frames
    from llzo_al.structures.existing.survey import survey

    source = ExistingData(
        kind="existing_data", paths=[path.name], same_level_of_theory=True, missing_virials="keep"
    )
    started = time.process_time()
    found = survey(source, elements=ELEMENTS, base=path.parent, trains_virials=True)
    checked = time.process_time()
    kept = sum(1 for _ in existing_frames(source, elements=ELEMENTS, base=path.parent, trains_virials=True))
    ended = time.process_time()
    frames = found.report.frames
    print(
        f"| {path.name} | {frames:,} | {kept:,} | {frames / (checked - started):,.0f} | "
        f"{frames / (ended - checked):,.0f} | {_peak_MB():.0f} |",
        flush=True,
    )


def crystals(folder: Path) -> None:
    """Compare 150 crystals, then make 100,000 frames of them."""
    import ase.io
    from ase.build import bulk

    from llzo_al.config.initial_data import MaterialsProject
    from llzo_al.structures.library import load_structure
    from llzo_al.structures.materials_project.library import load_library
    from llzo_al.structures.sources import SourceContext, source_frames

    folder.mkdir()
    random = np.random.default_rng(2)
    for number in range(150):
        name = ("t-LLZO", "ZrO2", "La2O3")[number % 3]
        atoms = load_structure(name, base=folder, primitive=name == "t-LLZO")
        atoms.positions += random.normal(scale=0.25, size=atoms.positions.shape)
        ase.io.write(folder / f"c{number}.extxyz", atoms)
    source = MaterialsProject(kind="materials_project", folder=folder.name)
    started = time.process_time()
    library = load_library(source, elements=ELEMENTS, base=folder.parent)
    took = time.process_time() - started
    print("\n| crystals | number | processor seconds | per second | peak (MB) |")
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| compared by StructureMatcher, {len(library.kept)} different | 150 | {took:.1f} | "
        f"{150 / took:.1f} | {_peak_MB():.0f} |",
        flush=True,
    )
    few = folder.parent / "few"
    few.mkdir()
    ase.io.write(few / "li.extxyz", bulk("Li", "bcc", 3.51) * (3, 3, 3))
    ase.io.write(few / "oxide.extxyz", load_structure("Li2O", base=few, supercell=(2, 1, 1)))
    source = MaterialsProject(kind="materials_project", folder="few", rattled_copies=5554)
    context = SourceContext(elements=ELEMENTS, base=folder.parent, seed=1)
    started, before = time.process_time(), _peak_MB()
    count = sum(1 for _ in source_frames(source, context))
    took = time.process_time() - started
    print(
        f"| scaled and rattled | {count:,} | {took:.1f} | {count / took:,.0f} | "
        f"{before:.0f} before, {_peak_MB():.0f} after |"
    )


def _peak_MB() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run everything, each measurement in a process of its own."""
    if len(sys.argv) > 2 and sys.argv[1] in ("read", "crystals"):
        {"read": read, "crystals": crystals}[sys.argv[1]](Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "frames", nargs="*", type=int, default=[1000, 10_000, 100_000], help="numbers of frames"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llzo-al-benchmark-") as name:
        root = Path(name)
        print("| data set | frames | kept | read and checked per second | streamed per second | peak (MB) |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        for frames in arguments.frames:
            write_npy(root / f"npy-{frames}", frames)
            _child("read", root / f"npy-{frames}")
            if frames <= XYZ_FRAMES:
                write_xyz(root / f"npy-{frames}", root / f"{frames}.extxyz")
                _child("read", root / f"{frames}.extxyz")
        _child("crystals", root / "crystals")


def _child(what: str, path: Path) -> None:
    subprocess.run([sys.executable, __file__, what, str(path)], check=True)


if __name__ == "__main__":
    main()
