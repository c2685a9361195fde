"""Assessment of an iteration: coverage of what MD visited, and which frames are labelled next."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.iteration import (
    committee,
    derived_seed,
    explore_key,
    finished_runs,
    iteration_dataset,
    run_directory,
)
from llzo_al.config.assessment import Selection
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.deepmd import DeepmdDescriber
from llzo_al.coverage.descriptors import Describer, SoapDescriber, environments_of, stored_environments
from llzo_al.coverage.environments import EnvironmentSet, IntArray, fit_scalings, frame_means
from llzo_al.coverage.report import CoverageReport, VisitedFrames
from llzo_al.dataset.frames import Frame
from llzo_al.dataset.splits import assign_held_out
from llzo_al.errors import StageError, UpstreamError
from llzo_al.exploration.mobility import mobility
from llzo_al.exploration.runs import ExplorationRun
from llzo_al.exploration.trajectory import MDFrame, read_trajectory
from llzo_al.files import MANIFEST, read_json, run_stage
from llzo_al.selection.audit import Prediction
from llzo_al.selection.calibration import Calibration
from llzo_al.selection.choose import Candidate, SelectionResult, Verdict, select_frames

PREDICTIONS = "predictions.npz"
VISITED = "visited.npz"
IN_MEMORY = 1_000_000
"""Environments up to which a set is described in memory (1.7 GB with the default descriptor)."""
BATCH = 200
"""Frames that are described at once where the set is written to disk."""
_Selected = tuple["Visited", str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Visited:
    """A frame that MD visited within the guard.

    Attributes
    ----------
    run
        The run that visited it.
    held_out
        Whether its trajectory is held out.
    index
        Number of the frame in its trajectory.
    md
        The frame with what the committee said of it.
    """

    run: ExplorationRun
    held_out: bool
    index: int
    md: MDFrame

    @property
    def deviation_eV_per_A(self) -> float:
        """Largest deviation of the committee's forces on an atom; not a number where it is unknown."""
        deviation = self.md.force_deviation_max_eV_per_A
        return float("nan") if deviation is None else deviation

    def frame(self, iteration: int, reason: str, details: dict[str, Any]) -> Frame:
        """The frame with its provenance, as it enters the label store."""
        start = self.run.frame.provenance
        return replace(
            self.md.frame,
            provenance=replace(
                start,
                source="exploration",
                kind=self.run.kind,
                group=self.run.group,
                iteration=iteration,
                frame=self.index,
                temperature_K=self.run.temperature_K,
                reason=reason,
                details={"step": self.md.step, **details},
            ),
        )


def assess(campaign: Campaign, number: int) -> tuple[str, ...]:
    """Measure coverage, select frames and enter them into the label store.

    Returns
    -------
    tuple of str
        Identities of the frames to label: the chosen ones and the held-out sample.

    Raises
    ------
    UpstreamError
        If no MD run of the iteration finished.
    """
    runs = finished_runs(campaign, number)
    if not runs:
        raise UpstreamError(f"iteration {number}: no MD run finished, so there is nothing to assess")
    models = committee(campaign, number)
    key = {
        "dataset": iteration_dataset(campaign, number).token,
        "runs": [explore_key(campaign, run, models) for _, run, _ in runs],
        "coverage": campaign.config.coverage.settings(),
        "selection": campaign.config.selection.settings(),
        "held_out_share": campaign.config.dataset.held_out_share,
        "seed": campaign.config.seed,
    }
    outputs = run_stage(
        _directory(campaign, number),
        stage="assess",
        key=key,
        compute=lambda work: _compute(campaign, number, work),
    )
    return (*outputs["chosen"], *outputs["held_out"])


def assessment(campaign: Campaign, number: int) -> dict[str, Any]:
    """Outputs of a finished assessment.

    Raises
    ------
    UpstreamError
        If it did not finish.
    """
    path = _directory(campaign, number) / MANIFEST
    if not path.exists():
        raise UpstreamError(f"iteration {number}: its assessment did not finish")
    outputs: dict[str, Any] = read_json(path)["outputs"]
    return outputs


def read_predictions(campaign: Campaign, number: int) -> dict[str, Prediction]:
    """What the first model said of each selected frame, by identity."""
    with np.load(_directory(campaign, number) / PREDICTIONS, allow_pickle=False) as data:
        return {
            str(identity): Prediction(
                energy_eV=float(data["energies"][index]), forces_eV_per_A=data[f"forces_{index}"]
            )
            for index, identity in enumerate(data["identities"])
        }


def read_visited(campaign: Campaign, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Deviation (eV/angstrom) and novelty of each visited frame, shape (n_frames,) each."""
    path = _directory(campaign, number) / VISITED
    if not path.exists():  # assessed by an earlier version
        return np.zeros(0), np.zeros(0)
    with np.load(path, allow_pickle=False) as data:
        return data["deviation_eV_per_A"], data["novelty"]


def visited_frames(campaign: Campaign, number: int) -> list[Visited]:
    """Frames that the iteration's MD visited within the guard, after equilibration."""
    runs = finished_runs(campaign, number)
    held_out = assign_held_out(
        [run.group for _, run, _ in runs],
        share=campaign.config.dataset.held_out_share,
        seed=derived_seed(campaign.config.seed, "held-out", number),
    )
    start_ps = campaign.config.exploration.equilibration_ps
    found = []
    for index, run, outputs in runs:
        frames = read_trajectory(run_directory(campaign, number, index) / outputs["trajectory"])
        found += [
            Visited(run=run, held_out=run.group in held_out, index=place, md=md)
            for place, md in enumerate(frames)
            if md.time_ps >= start_ps
        ]
    return found


def _compute(campaign: Campaign, number: int, work: Path) -> dict[str, Any]:
    visited = visited_frames(campaign, number)
    if not visited:
        raise StageError(_nothing_visited(campaign, number))
    started = time.perf_counter()
    described_by = describer(campaign, lambda: committee(campaign, number)[0].file)
    training = training_environments(campaign, number, described_by, work)
    seen = describe([one.md.frame for one in visited], described_by, work / "visited")
    described = time.perf_counter()
    report = assess_coverage(
        training,
        seen,
        campaign.config.coverage,
        seed=derived_seed(campaign.config.seed, "coverage", number),
        trajectories=trajectory_numbers(visited),
    )
    measured = time.perf_counter()
    selection = _select(campaign, number, visited, training, seen, report)
    by_index = dict(enumerate(visited))
    chosen = [(by_index[verdict.index], verdict.reason, _details(verdict)) for verdict in selection.chosen]
    frames = _details_of_frames(report)
    sample = _held_out_sample(visited, campaign.config.selection.held_out_frames)
    place = {id(one): index for index, one in enumerate(visited)}
    held_out: list[_Selected] = [
        (
            one,
            "held-out sample",
            {
                "force_deviation_eV_per_A": _finite(one.deviation_eV_per_A),
                "novelty": float(frames.novelty[place[id(one)]]),
            },
        )
        for one in sample
    ]
    chosen_ids = _request(campaign, number, chosen, "candidate")
    held_out_ids = _request(campaign, number, held_out, "held-out")
    _write_predictions(
        work / PREDICTIONS,
        [*chosen_ids, *held_out_ids],
        [one for one, _, _ in (*chosen, *held_out)],
    )
    for name in ("visited", "training"):
        shutil.rmtree(work / name, ignore_errors=True)
    np.savez(
        work / VISITED,
        deviation_eV_per_A=np.array([one.deviation_eV_per_A for one in visited]),
        novelty=frames.novelty,
    )
    deviations = np.array([one.deviation_eV_per_A for one in visited])
    return {
        "coverage": report.as_dict(),
        "selection": selection.as_dict(),
        "deviation": {
            "mean": float(deviations.mean()),
            "median": float(np.median(deviations)),
            "max": float(deviations.max()),
        },
        "conditions": conditions(visited, report),
        "mobility": _mobility(visited),
        "n_visited_frames": len(visited),
        "timings": {"descriptors_s": described - started, "coverage_s": measured - described},
        "chosen": chosen_ids,
        "held_out": held_out_ids,
    }


def trajectory_numbers(visited: Sequence[Visited]) -> IntArray:
    """Number of each visited frame's trajectory."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(one.run.group, len(numbers)) for one in visited], dtype=np.int64)


def _nothing_visited(campaign: Campaign, number: int) -> str:
    runs = finished_runs(campaign, number)
    endings = "; ".join(f"{run.group}: {outputs['ended']}" for _, run, outputs in runs[:3])
    more = f"; and {len(runs) - 3} more" if len(runs) > 3 else ""
    return (
        "the guard ended every MD run before its first frame after "
        f"exploration.equilibration_ps, so there is nothing to assess ({endings}{more}). The models are not "
        "good enough for dynamics yet: give more initial data or more training.steps, or begin at lower "
        "exploration.temperatures_K"
    )


def describer(campaign: Campaign, model: Callable[[], Path]) -> Describer:
    """What describes environments: SOAP, or a model, which is looked for only where it is needed."""
    settings, elements = campaign.config.coverage.descriptor, campaign.config.elements
    return (
        DeepmdDescriber(model(), elements) if settings.kind == "deepmd" else SoapDescriber(settings, elements)
    )


def describe(
    frames: Sequence[Frame], described_by: Describer, folder: Path, *, cache: Path | None = None
) -> EnvironmentSet:
    """Environments of some frames: in memory, or in `folder` where they would not fit.

    Parameters
    ----------
    frames
        What to describe.
    described_by
        Makes the descriptors.
    folder
        For the descriptors of a large set; for those of a small one, of which an interrupted stage made some.
    cache
        File that keeps the descriptors of a small set for later.
    """
    if sum(frame.n_atoms for frame in frames) <= IN_MEMORY:
        folder.mkdir(parents=True, exist_ok=True)
        return environments_of(frames, described_by, cache=cache or folder / "descriptors.npz")
    return stored_environments(batched(frames, BATCH), described_by, folder)


def batched(frames: Sequence[Frame], size: int) -> Iterator[Sequence[Frame]]:
    """Frames, some at a time."""
    for start in range(0, len(frames), size):
        yield frames[start : start + size]


def training_environments(
    campaign: Campaign, number: int, described_by: Describer, work: Path
) -> EnvironmentSet:
    """Environments of what an iteration's committee was trained on, computed once per frame and campaign.

    Those of a large set are computed for each iteration, in `work`.
    """
    return describe_training(campaign, iteration_dataset(campaign, number).training, described_by, work)


def describe_training(
    campaign: Campaign, identities: Sequence[str], described_by: Describer, work: Path
) -> EnvironmentSet:
    """Environments of the frames with these identities."""
    frames = [
        record.frame for record in campaign.store.records(identities=identities, physics=campaign.physics)
    ]
    cache = campaign.directory.labels.parent / "descriptors.npz"
    return describe(frames, described_by, work / "training", cache=cache)


def _select(
    campaign: Campaign,
    number: int,
    visited: Sequence[Visited],
    training: EnvironmentSet,
    seen: EnvironmentSet,
    report: CoverageReport,
) -> SelectionResult:
    frames = _details_of_frames(report)
    scalings = fit_scalings(training)
    means = frame_means(seen, scalings)
    weights = _cell_weights(frames)
    candidates = [
        Candidate(
            index=index,
            group=one.run.group,
            step=one.md.step,
            force_deviation_eV_per_A=one.deviation_eV_per_A,
            novelty=float(frames.novelty[index]),
            uncovered_cells=frames.uncovered_cells[index],
            cell_weights=np.array([weights[cell] for cell in frames.uncovered_cells[index].tolist()]),
            mean_descriptor=means[index],
            n_atoms=one.md.frame.n_atoms,
        )
        for index, one in enumerate(visited)
        if not one.held_out
    ]
    return select_frames(
        candidates,
        selection_settings(campaign, number),
        seed=derived_seed(campaign.config.seed, "select", number),
        existing_means=frame_means(training, scalings),
    )


def _details_of_frames(report: CoverageReport) -> VisitedFrames:
    if report.frames is None:
        raise ValueError("the report holds nothing of single frames")
    return report.frames


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def conditions(visited: Sequence[Visited], report: CoverageReport) -> list[dict[str, Any]]:
    """Share of each element's environments that lie in covered cells, by structure and temperature."""
    novelty = _details_of_frames(report).element_novelty
    names: dict[tuple[str, float], list[int]] = {}
    for index, one in enumerate(visited):
        names.setdefault((one.run.kind, one.run.temperature_K), []).append(index)
    rows = []
    for (kind, temperature_K), indices in sorted(names.items()):
        covered = {symbol: 1 - values[indices] for symbol, values in novelty.items()}
        rows.append(
            {
                "kind": kind,
                "temperature_K": temperature_K,
                "n_frames": len(indices),
                "environment_coverage": {
                    symbol: float(np.nanmean(values))
                    for symbol, values in covered.items()
                    if np.isfinite(values).any()
                },
            }
        )
    return rows


def _mobility(visited: Sequence[Visited]) -> dict[str, Any]:
    """What moved in each run; runs of fewer than four frames are left out."""
    runs: dict[str, list[Visited]] = {}
    for one in visited:
        runs.setdefault(one.run.group, []).append(one)
    found = {}
    for group, frames in runs.items():
        moved = mobility(
            frames[0].md.frame.symbols,
            np.array([one.md.frame.positions_A for one in frames]),
            np.array([one.md.energy_eV for one in frames]),
        )
        if moved is not None:
            found[group] = moved.as_dict()
    return found


def selection_settings(campaign: Campaign, number: int) -> Selection:
    """The section `selection`; its lower trust limit is the last calibration's where that is asked for."""
    settings = campaign.config.selection
    wanted = settings.deviation_low_as_error_meV_per_A
    if wanted is None or number == 0:
        return settings
    path = campaign.directory.iteration(number - 1) / "close" / MANIFEST
    fit = read_json(path)["outputs"].get("calibration") if path.exists() else None
    if not fit:
        return settings
    names = {field.name for field in fields(Calibration)}
    low = Calibration(**{name: fit[name] for name in names}).deviation_for_error(wanted)
    if low is None or low >= settings.deviation_high_eV_per_A:
        return settings
    return settings.model_copy(update={"deviation_low_eV_per_A": low})


def _cell_weights(frames: VisitedFrames) -> dict[int, float]:
    """Share of all visited environments in each uncovered cell."""
    if not frames.uncovered_cells:
        return {}
    cells, place = np.unique(np.concatenate(frames.uncovered_cells), return_inverse=True)
    counts = np.bincount(place, weights=np.concatenate(frames.cell_environments), minlength=len(cells))
    shares = counts / max(int(frames.environments.sum()), 1)
    return dict(zip(cells.tolist(), shares.tolist(), strict=True))


def _held_out_sample(visited: Sequence[Visited], count: int) -> list[Visited]:
    """`count` evenly spaced frames of the held-out trajectories: by time alone, never by difficulty."""
    held_out = [one for one in visited if one.held_out and one.index > 0]
    if len(held_out) <= count:
        return held_out
    places = (np.arange(count) + 0.5) * len(held_out) / count
    return [held_out[int(place)] for place in places]


def _details(verdict: Verdict) -> dict[str, Any]:
    return {
        "rule": verdict.rule,
        "force_deviation_eV_per_A": verdict.force_deviation_eV_per_A,
        "novelty": verdict.novelty,
    }


def _request(
    campaign: Campaign,
    number: int,
    selected: Sequence[_Selected],
    split: Any,
) -> list[str]:
    frames = [one.frame(number, reason, details) for one, reason, details in selected]
    return campaign.store.request(frames, physics=campaign.physics, split=split)


def _write_predictions(path: Path, identities: Sequence[str], frames: Sequence[Visited]) -> None:
    arrays = {f"forces_{index}": one.md.forces_eV_per_A for index, one in enumerate(frames)}
    np.savez(
        path,
        identities=np.array(identities, dtype=str),
        energies=np.array([one.md.energy_eV for one in frames], dtype=np.float64),
        **arrays,  # type: ignore[arg-type]
    )


def _directory(campaign: Campaign, number: int) -> Path:
    return campaign.directory.iteration(number) / "assess"
