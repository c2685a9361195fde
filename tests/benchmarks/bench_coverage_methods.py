"""Which measure of novelty predicts the true error of a frame, and what each one costs.

The truth is a NEP potential of LLZO, which labels a frame in milliseconds: a DeePMD-kit committee is trained
on the calmer frames of a labelled set, and meets frames that it has not seen: the rest of that set, molecular
dynamics by the NEP at 300 to 1500 K, and rattled and scaled cells. The true error of a frame is the root mean
square error of its forces. Methods are compared by Spearman's rank correlation between what they say of a
frame and its true error, over all frames and within each kind of frames.

It needs calorine, maml and quests from PyPI beside this program. Run it from the repository's root:

    python tests/benchmarks/bench_coverage_methods.py all --folder work --nep nep_std.txt --frames set.extxyz

or step by step (``data``, ``train``, ``errors``, ``describe``, ``compare``): each keeps its results in the
folder. Every
method runs in a process of its own, after a first call on a few frames (which compiles, where there is
something to compile); its seconds and its peak memory are those of the process, descriptors not included
unless they are its own.

What stands for DIRECT is maml's own pipeline (standardisation, weighted PCA, BIRCH) on mean SOAP descriptors
of the frames, since its M3GNet encoder needs weights from the network. Its coverage score (Qi et al., npj
Comput. Mater. 10, 43 (2024): the share of histogram bins of the leading components that the chosen frames
hold) is one number for a whole set; for a frame the share of its bins that no training frame holds is taken,
and the
distance to the nearest training frame in its weighted components. QUESTS is used with its defaults.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from llzo_al.config.coverage import Coverage, Descriptor
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.descriptors import SoapDescriber, environments_of
from llzo_al.coverage.environments import Environments, fit_scalings, frame_means
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.selection.calibration import Compared, Signs, calibrate

ELEMENTS = ("Li", "La", "Zr", "O")
TEMPERATURES_K = (300, 600, 900, 1200, 1500)
RATTLES_A = (0.05, 0.1, 0.15, 0.2)
SCALES = (0.94, 0.97, 1.03, 1.06)
MODELS = 2
Values = dict[str, NDArray[np.float64]]


def main() -> None:
    """Run the steps asked for."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.step in METHODS:
        _run_method(arguments.step, arguments.folder)
        return
    for step in STEPS if arguments.step == "all" else [arguments.step]:
        started = time.perf_counter()
        STEPS[step](arguments)
        print(f"{step}: {time.perf_counter() - started:.0f} s", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=["all", *STEPS, *METHODS])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--nep", type=Path, help="the NEP potential")
    parser.add_argument("--frames", type=Path, help="labelled frames, extended XYZ")
    parser.add_argument("--train-frames", type=int, default=60)
    parser.add_argument("--steps", type=int, default=1500, help="training steps")
    parser.add_argument("--md-steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


# --- the data


def make_data(arguments: argparse.Namespace) -> None:
    """Write train.extxyz and test.extxyz, labelled by the NEP."""
    from calorine.calculators import CPUNEP

    frames = ase.io.read(arguments.frames, ":")
    order = np.argsort([np.sqrt(np.mean(one.get_forces() ** 2)) for one in frames])
    calmest = frames[order[0]].copy()
    train = [frames[n] for n in order[: arguments.train_frames]]
    test = [(frames[n], "the set's other frames") for n in order[arguments.train_frames :]]
    for number, temperature_K in enumerate(TEMPERATURES_K):
        run = molecular_dynamics(
            calmest, CPUNEP(str(arguments.nep)), temperature_K, arguments.md_steps, number
        )
        test += [(one, f"MD {temperature_K} K") for one in run]
    test += displaced(calmest)
    label = CPUNEP(str(arguments.nep))
    for name, chosen in (("train", [(one, "train") for one in train]), ("test", test)):
        ase.io.write(
            arguments.folder / f"{name}.extxyz", [labelled(one, label, kind) for one, kind in chosen]
        )


def labelled(atoms: Atoms, calculator: Any, kind: str) -> Atoms:
    """A copy with the reference's energy and forces."""
    copy = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, calculator=calculator)
    energy, forces = copy.get_potential_energy(), copy.get_forces()
    copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces)
    copy.info["kind"] = kind
    return copy


def molecular_dynamics(
    start: Atoms, calculator: Any, temperature_K: float, steps: int, seed: int
) -> list[Atoms]:
    """Eight frames of the second half of a run in the canonical ensemble."""
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

    atoms = start.copy()
    atoms.calc = calculator
    generator = np.random.default_rng(seed)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=generator)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=temperature_K, friction=0.02, rng=generator)
    frames: list[Atoms] = []
    dynamics.run(steps // 2)
    dynamics.attach(lambda: frames.append(atoms.copy()), interval=max(steps // 16, 1))
    dynamics.run(steps - steps // 2)
    return frames[-8:]


def displaced(start: Atoms) -> list[tuple[Atoms, str]]:
    """Rattled cells, and scaled ones with a little rattling."""
    generator, made = np.random.default_rng(0), []
    for sigma_A in RATTLES_A:
        for _ in range(6):
            made.append((rattled(start, sigma_A, generator), "rattled"))
    for scale in SCALES:
        for _ in range(4):
            atoms = start.copy()
            atoms.set_cell(atoms.cell * scale, scale_atoms=True)
            made.append((rattled(atoms, 0.03, generator), "scaled"))
    return made


def rattled(atoms: Atoms, sigma_A: float, generator: np.random.Generator) -> Atoms:
    """A copy with every atom displaced."""
    copy = atoms.copy()
    copy.positions += generator.normal(scale=sigma_A, size=copy.positions.shape)
    return copy


# --- the models and their true errors


def train(arguments: argparse.Namespace) -> None:
    """Train the committee."""
    from llzo_al.config.training import Training
    from llzo_al.training.train import TrainInputs, train_model

    system = write_system(ase.io.read(arguments.folder / "train.extxyz", ":"), arguments.folder / "system")
    settings = Training(
        backend="tensorflow",
        learning_rate=8e-3,
        learning_rate_end=1e-4,
        force_prefactors=[1000, 10],
        compress=False,
        overrides={"model": {"descriptor": {"type_one_side": True}}},
    )
    for number in range(MODELS):
        folder = arguments.folder / f"model-{number}"
        inputs = TrainInputs(
            training_systems=(system,),
            settings=settings,
            elements=ELEMENTS,
            steps=arguments.steps,
            seed=number + 1,
            threads=arguments.threads,
        )
        (folder / "path.txt").write_text(str(folder / train_model(inputs, folder).model))


def write_system(frames: Sequence[Atoms], folder: Path) -> Path:
    """Frames with the same atoms in the same order as a ``deepmd/npy`` system."""
    data = folder / "set.000"
    data.mkdir(parents=True, exist_ok=True)
    (folder / "type.raw").write_text("\n".join(str(ELEMENTS.index(s)) for s in frames[0].symbols) + "\n")
    (folder / "type_map.raw").write_text("\n".join(ELEMENTS) + "\n")
    rows = {
        "coord": [one.positions for one in frames],
        "box": [np.array(one.cell) for one in frames],
        "force": [one.get_forces() for one in frames],
        "energy": [one.get_potential_energy() for one in frames],
    }
    for name, values in rows.items():
        np.save(data / f"{name}.npy", np.array(values).reshape(len(frames), -1))
    np.save(data / "energy.npy", np.array(rows["energy"]))
    return folder.resolve()


def true_errors(arguments: argparse.Namespace) -> None:
    """Force errors of the first model, and the committee's deviation, for each test frame."""
    from deepmd.infer import DeepPot

    frames = ase.io.read(arguments.folder / "test.extxyz", ":")
    predicted = []
    for number in range(MODELS):
        model = DeepPot((arguments.folder / f"model-{number}" / "path.txt").read_text())
        types = model.get_type_map()
        predicted.append(
            [
                model.eval(
                    one.positions.reshape(1, -1),
                    np.array(one.cell).reshape(1, 9),
                    [types.index(symbol) for symbol in one.symbols],
                )[1][0]
                for one in frames
            ]
        )
    forces = np.array(predicted)  # all frames have the same number of atoms
    error = forces[0] - np.array([one.get_forces() for one in frames])
    deviation = np.linalg.norm(forces.std(axis=0), axis=2)
    np.savez(
        arguments.folder / "errors.npz",
        force_rmse_eV_per_A=np.sqrt(np.mean(error**2, axis=(1, 2))),
        deviation_max=deviation.max(axis=1),
        deviation_mean=deviation.mean(axis=1),
        deviation_rms=np.sqrt(np.mean(deviation**2, axis=1)),
    )


# --- the methods: (folder, number of test frames, or all) -> a value for each test frame, larger for odder


def read_frames(folder: Path, name: str) -> list[Frame]:
    """Frames of one of the two files."""
    atoms = ase.io.read(folder / f"{name}.extxyz", ":")
    return [
        Frame.from_atoms(one, Provenance(source="test", kind=name, group=f"{name}/{number}"))
        for number, one in enumerate(atoms)
    ]


def describe(arguments: argparse.Namespace) -> None:
    """Keep SOAP descriptors of all frames: the methods that take any descriptor start from these."""
    for name in ("train", "test"):
        made = environments_of(read_frames(arguments.folder, name), SoapDescriber(Descriptor(), ELEMENTS))
        values = {f"values_{s}": made.values[s] for s in ELEMENTS}
        np.savez(
            arguments.folder / f"soap-{name}.npz",
            **values,
            **{f"frame_{s}": made.frame_index[s] for s in ELEMENTS},
        )


def described(folder: Path, name: str, most: int | None = None) -> Environments:
    """What `describe` kept."""
    with np.load(folder / f"soap-{name}.npz") as kept:
        made = Environments.from_arrays(
            {s: kept[f"values_{s}"] for s in ELEMENTS}, {s: kept[f"frame_{s}"] for s in ELEMENTS}
        )
    return made if most is None else made.subset(range(most))


def novelty(folder: Path, most: int | None) -> Values:
    """Share of the planes in which training does not hold an environment's cell, mean over the frame."""
    report = assess_coverage(described(folder, "train", most), described(folder, "test", most), Coverage())
    assert report.frames is not None
    return {
        "frames: distance to training": report.frames.distance,
        "cells: novelty of the frame": report.frames.novelty,
        "cells: environments uncovered in a plane": report.frames.uncovered_environments
        / report.frames.environments,
        "cells: environments out of range": report.frames.outside_environments / report.frames.environments,
    }


def paper(folder: Path, most: int | None) -> Values:
    """The paper's measure alone: no subspace check, no intervals."""
    options = Coverage(subspace_check=False, bootstrap_samples=0)
    report = assess_coverage(described(folder, "train", most), described(folder, "test", most), options)
    assert report.frames is not None
    print(f"paper: coverage {report.pooled.coverage:.4f}", file=sys.stderr)
    return {"cells: novelty without the subspace check": report.frames.novelty}


def plain(folder: Path, most: int | None) -> Values:
    """The paper's method in the most straightforward way."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    training, visited = described(folder, "train", most), described(folder, "test", most)
    total, count, coverage = np.zeros(visited.n_frames), np.zeros(visited.n_frames), 0.0
    for symbol in ELEMENTS:
        scaler = StandardScaler().fit(training.values[symbol].astype(float))
        known, seen = (scaler.transform(one.values[symbol].astype(float)) for one in (training, visited))
        pca = PCA(n_components=0.95, svd_solver="full").fit(known)
        known, seen = pca.transform(known), pca.transform(seen)
        shares, lacking, planes = [], np.zeros(len(seen)), list(combinations(range(known.shape[1]), 2))
        for plane in planes:
            both = np.concatenate([known[:, plane], seen[:, plane]])
            edges = [np.linspace(low, high, 21) for low, high in zip(both.min(0), both.max(0), strict=True)]
            holds = [np.histogram2d(*points[:, plane].T, bins=edges)[0] > 0 for points in (known, seen)]
            shares.append((holds[0] & holds[1]).sum() / holds[1].sum())
            cell = [
                np.clip(np.digitize(seen[:, axis], edge) - 1, 0, 19)
                for axis, edge in zip(plane, edges, strict=True)
            ]
            lacking += ~holds[0][cell[0], cell[1]]
        coverage += np.mean(shares) * len(seen)
        total += np.bincount(visited.frame_index[symbol], weights=lacking / len(planes), minlength=len(total))
        count += np.bincount(visited.frame_index[symbol], minlength=len(total))
    print(f"plain: coverage {coverage / count.sum():.4f}", file=sys.stderr)
    return {"the paper's cells, plain numpy and scikit-learn": total / count}


def neighbours(folder: Path, most: int | None) -> Values:
    """Distance to the nearest training environment in the principal space, and what lies outside of it."""
    from sklearn.neighbors import NearestNeighbors

    from llzo_al.coverage.pca import fit_space

    training, visited = described(folder, "train", most), described(folder, "test", most)
    total, outside, count = (np.zeros(visited.n_frames) for _ in range(3))
    for symbol in ELEMENTS:
        space = fit_space(training.values[symbol], variance=0.95)
        known, seen = (space.project(one.values[symbol]) for one in (training, visited))
        search = NearestNeighbors(n_neighbors=1).fit(known.coordinates)
        distance = search.kneighbors(seen.coordinates)[0][:, 0] / np.sqrt(np.mean(known.coordinates**2))
        frames = visited.frame_index[symbol]
        total += np.bincount(frames, weights=distance, minlength=len(total))
        outside += np.bincount(frames, weights=seen.residual_share, minlength=len(total))
        count += np.bincount(frames, minlength=len(total))
    return {
        "nearest training environment, mean distance": total / count,
        "share of variance outside the components": outside / count,
    }


def direct(folder: Path, most: int | None) -> Values:
    """maml's DIRECT on the frames' mean descriptors."""
    from maml.sampling.direct import BirchClustering, DIRECTSampler, SelectKFromClusters

    training, visited = described(folder, "train", most), described(folder, "test", most)
    scalings = fit_scalings(training)
    features = np.concatenate([frame_means(training, scalings), frame_means(visited, scalings)])
    sampler = DIRECTSampler(
        structure_encoder=None,
        clustering=BirchClustering(n=training.n_frames, threshold_init=0.01),
        select_k_from_clusters=SelectKFromClusters(k=1),
    )
    components = sampler.fit_transform(features)["PCAfeatures"]
    known, seen = components[: training.n_frames], components[training.n_frames :]
    lacking, scores = np.zeros(len(seen)), []
    for axis in range(components.shape[1]):
        edges = np.linspace(components[:, axis].min(), components[:, axis].max(), 100)
        holds = np.histogram(known[:, axis], bins=edges)[0] > 0
        scores.append(holds.sum() / (np.histogram(components[:, axis], bins=edges)[0] > 0).sum())
        lacking += ~holds[np.clip(np.digitize(seen[:, axis], edges) - 1, 0, len(holds) - 1)]
    print(f"DIRECT: coverage score {np.mean(scores):.4f}, {len(scores)} components", file=sys.stderr)
    apart = np.linalg.norm(seen[:, None] - known[None], axis=2).min(axis=1)
    return {
        "DIRECT (maml): bins that training lacks": lacking / components.shape[1],
        "DIRECT (maml): nearest training frame": apart,
    }


def quests(folder: Path, most: int | None) -> Values:
    """QUESTS' differential entropy of each environment to the training set, with its own descriptor."""
    from quests.descriptor import get_descriptors
    from quests.entropy import delta_entropy

    training = ase.io.read(folder / "train.extxyz", ":" if most is None else f":{most}")
    tested = ase.io.read(folder / "test.extxyz", ":" if most is None else f":{most}")
    known, seen = get_descriptors(training), get_descriptors(tested)
    # The kernel sum of an environment far from all is zero: as odd as double precision can tell.
    entropy = np.minimum(delta_entropy(seen, known), 745.0)
    frames = np.repeat(np.arange(len(tested)), [len(one) for one in tested])
    order = np.concatenate([[0], np.cumsum(np.bincount(frames))[:-1]])
    return {
        "QUESTS: dH, mean over the frame": np.add.reduceat(entropy, order) / np.bincount(frames),
        "QUESTS: dH, largest of the frame": np.maximum.reduceat(entropy, order),
    }


def _run_method(name: str, folder: Path) -> None:
    """In a process of its own: a first call on a few frames, then the one that counts."""
    METHODS[name](folder, 4)
    before = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter()
    values = METHODS[name](folder, None)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cost = {"wall_s": wall, "processor_s": used, "peak_MB": after.ru_maxrss / 1024}
    np.savez(folder / f"method-{name}.npz", **values)
    print(json.dumps({"names": list(values), **cost}))


METHODS: dict[str, Callable[[Path, int | None], Values]] = {
    "novelty": novelty,
    "paper": paper,
    "plain": plain,
    "neighbours": neighbours,
    "direct": direct,
    "quests": quests,
}


# --- the comparison


def compare(arguments: argparse.Namespace) -> None:
    """Run the methods, print the table and keep it."""
    kinds = np.array([one.info["kind"] for one in ase.io.read(arguments.folder / "test.extxyz", ":")])
    with np.load(arguments.folder / "errors.npz") as kept:
        errors = {name: kept[name] for name in kept.files}
    true = errors.pop("force_rmse_eV_per_A")
    rows = [correlations(name, values, true, kinds) for name, values in errors.items()]
    calibrated: Values = {}
    for name in METHODS:
        command = [sys.executable, __file__, name, "--folder", str(arguments.folder)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if child.returncode:
            print(f"{name}: failed with exit code {child.returncode}", file=sys.stderr)
            continue
        cost = json.loads(child.stdout.splitlines()[-1])
        with np.load(arguments.folder / f"method-{name}.npz") as kept:
            if name == "novelty":
                calibrated = expected_errors(kept, errors["deviation_mean"], true, kinds)
            rows += [
                {**correlations(one, kept[one], true, kinds), **{k: cost[k] for k in cost if k != "names"}}
                for one in cost["names"]
            ]
    rows += [correlations(name, values, true, kinds) for name, values in calibrated.items()]
    print(table(rows))
    of_kinds = {kind: float(np.sqrt(np.mean(true[kinds == kind] ** 2))) for kind in sorted(set(kinds))}
    print(json.dumps({kind: round(1000 * value) for kind, value in of_kinds.items()}), "meV/A")
    figures = {"rows": rows, "force_rmse_eV_per_A": of_kinds, "n_test_frames": len(true)}
    (arguments.folder / "results.json").write_text(json.dumps(figures, indent=1))


def expected_errors(
    kept: Any, deviation: NDArray[np.float64], true: NDArray[np.float64], kinds: NDArray[Any]
) -> Values:
    """Errors that the program's calibration expects: of a frame from fits without its kind, or its fifth."""
    fifths = np.random.default_rng(0).permutation(len(true)) % 5
    novelty, distance = kept["cells: novelty of the frame"], kept["frames: distance to training"]
    columns = {
        "deviation alone": (deviation, np.zeros_like(novelty), np.ones_like(distance)),
        "deviation, novelty and distance": (deviation, novelty, distance),
    }
    found = {}
    for name, signs in columns.items():
        for apart, groups in (("kind", kinds), ("fifth", fifths)):
            frames = [
                Compared(
                    group=str(group),
                    signs=Signs(mean_deviation_eV_per_A=dev, novelty=new, distance=far),
                    force_rmse_meV_per_A=1000 * error,
                )
                for group, dev, new, far, error in zip(groups, *signs, true, strict=True)
            ]
            print(f"{name}, {apart}s apart: {calibrate(frames).in_words}", file=sys.stderr)
            found[f"expected error: {name}, {apart}s apart"] = predicted_apart(frames)
    return found


def predicted_apart(frames: Sequence[Compared]) -> NDArray[np.float64]:
    """Expected error of each frame by a fit without its group."""
    return np.array(
        [
            calibrate([other for other in frames if other.group != one.group]).predict_meV_per_A([one.signs])[
                0
            ]
            for one in frames
        ]
    )


def correlations(
    name: str, values: NDArray[np.float64], true: NDArray[np.float64], kinds: NDArray[Any]
) -> dict[str, Any]:
    """Spearman's rank correlation over all frames, the MD frames, and the mean over the kinds of frames."""
    from scipy.stats import spearmanr

    def rank(rows: NDArray[np.bool_]) -> float:
        if np.ptp(values[rows]) == 0:
            return 0.0  # a constant tells nothing apart
        return float(spearmanr(values[rows], true[rows]).statistic)

    every = np.ones(len(true), dtype=bool)
    dynamics = np.char.startswith(kinds, "MD")
    return {
        "method": name,
        "all": rank(every),
        "MD": rank(dynamics),
        "within": float(np.mean([rank(kinds == kind) for kind in sorted(set(kinds))])),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| method | all frames | MD frames | within a kind | processor, s | wall, s | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cost = [f"{row[key]:.{digits}f}" if key in row else "–" for key, digits in _COSTS]
        ranks = [f"{row[key]:.3f}" for key in ("all", "MD", "within")]
        lines.append(f"| {row['method']} | {' | '.join(ranks + cost)} |")
    return "\n".join(lines)


_COSTS = (("processor_s", 1), ("wall_s", 1), ("peak_MB", 0))
STEPS: dict[str, Callable[[argparse.Namespace], None]] = {
    "data": make_data,
    "train": train,
    "errors": true_errors,
    "describe": describe,
    "compare": compare,
}


if __name__ == "__main__":
    main()
