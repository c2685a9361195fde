"""Labels read per second from VASP's files, against plain dpdata on the same files.

    python tests/benchmarks/bench_vasp_parsing.py [--runs 300] [--real DIR] [--repeat 3]

Files: real dynamics and relaxations where `--real` (or ``LLZO_AL_VASP_OUTPUTS``) names a folder of them, and
static runs of the stand-in for VASP's executable that are made first. Each reader reads every file once in
each round, the readers in turn, and the fastest round counts. Nothing but reading is timed; how fast labels
enter a campaign's store is measured at the end.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dpdata

from llzo_al.labelling.vasp.outcar import read_outcar
from llzo_al.labelling.vasp.vasprun import read_vasprun
from vasp_standin.potcars import VALENCE, write_dummy_potcars
from vasp_standin.standin_runs import lithium_oxide, run_many, write_inputs

READ = {"OUTCAR": read_outcar, "vasprun.xml": read_vasprun}
FORMAT = {"OUTCAR": "vasp/outcar", "vasprun.xml": "vasp/xml"}

CAMPAIGN = """\
name: bench
elements: [Li, O]
initial_data:
  - {kind: crystals, structures: [Li2O], scale_factors: [1.0]}
labelling: {engine: vasp, command: vasp_std, kspacing_per_A: 1.0}
exploration: {structures: [Li2O], temperatures_K: [400], duration_ps: 0.1}
"""


def ours(kind: str, path: Path) -> int:
    """Labels that this package reads."""
    return sum(step.converged for step in READ[kind](path).steps)


def theirs(kind: str, path: Path) -> int:
    """Labels that dpdata reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return len(dpdata.LabeledSystem(str(path), fmt=FORMAT[kind]))


def seconds(read: Callable[[str, Path], int], kind: str, paths: Sequence[Path]) -> tuple[float, int]:
    """Seconds for all files, and labels in them."""
    started = time.perf_counter()
    labels = sum(read(kind, path) for path in paths)
    return time.perf_counter() - started, labels


def compare(name: str, kind: str, paths: Sequence[Path], repeat: int) -> None:
    """Print one line of the table."""
    rounds = [(seconds(ours, kind, paths), seconds(theirs, kind, paths)) for _ in range(repeat)]
    (our_s, labels), (their_s, their_labels) = min(r[0] for r in rounds), min(r[1] for r in rounds)
    if labels != their_labels:
        raise SystemExit(f"{name}: {labels} labels here, {their_labels} by dpdata")
    size = sum(path.stat().st_size for path in paths) / 1e6
    print(
        f"| {name} | {kind} | {len(paths)} | {size:.1f} | {labels} | {labels / our_s:,.0f} "
        f"| {labels / their_s:,.0f} | {their_s / our_s:.1f} |",
        flush=True,
    )


def real_files(folder: Path, work: Path) -> list[tuple[str, str, list[Path]]]:
    """Uncompressed copies of the real files that hold labels, since dpdata reads no compressed ones."""
    jobs = []
    for name in ("md_h2o", "md_npt", "postprocess", "static_v5", "unconverged_ionic"):
        for kind in READ:
            packed = folder / name / f"{kind}.gz"
            if packed.exists():
                path = work / name / kind
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(gzip.decompress(packed.read_bytes()))
                jobs.append((name, kind, [path] * 20))
    return jobs


def standin_runs(work: Path, count: int) -> list[Path]:
    """Finished static runs of Li2O, 3 atoms each."""
    folders = [
        write_inputs(
            work / f"{number:04d}",
            lithium_oxide(rattle=number + 1),
            {"KSPACING": 1.0, "PREC": "Accurate"},
        )
        for number in range(count)
    ]
    failed = [code for code in run_many(folders) if code]
    if failed:
        raise SystemExit(f"{len(failed)} runs of the stand-in failed")
    return folders


def entering(folders: Sequence[Path], work: Path) -> None:
    """Print how fast the runs enter a campaign, judged and stored."""
    from llzo_al.campaign.campaign import Campaign
    from llzo_al.campaign.ingest import ingest
    from llzo_al.config.load import load_campaign

    os.environ["PMG_VASP_PSP_DIR"] = str(write_dummy_potcars(work / "psp", list(VALENCE)))
    file = work / "campaign.yaml"
    file.write_text(CAMPAIGN, encoding="utf-8")
    loaded = load_campaign(file)
    campaign = Campaign.create(root=loaded.campaign_dir, config=loaded.config, campaign_file=file)
    for what, dry_run in (("judged only", True), ("judged and stored", False), ("again", False)):
        started = time.perf_counter()
        summary = ingest(campaign, [folders[0].parent], dry_run=dry_run)
        took_s = time.perf_counter() - started
        print(
            f"{len(summary.runs)} runs {what}: {took_s:.1f} s, {len(summary.runs) / took_s:,.0f} runs/s, "
            f"{summary.total('labels')} labels",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--real", type=Path, default=os.environ.get("LLZO_AL_VASP_OUTPUTS"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        print("| files | format | number | MB | labels | labels/s | labels/s, dpdata | ratio |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        if arguments.real is not None:
            for name, kind, paths in real_files(Path(arguments.real), work / "real"):
                compare(name, kind, paths, arguments.repeat)
        folders = standin_runs(work / "standin", arguments.runs)
        for kind in READ:
            paths = [folder / kind for folder in folders]
            compare("stand-in, static", kind, paths, arguments.repeat)
        entering(folders, work)


if __name__ == "__main__":
    main()
