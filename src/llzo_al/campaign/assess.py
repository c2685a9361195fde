"""Assessment of an iteration: coverage of what MD visited, and which frames are labelled next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.iteration import (
    committee,
    derived_seed,
    explore_key,
    finished_runs,
    iteration_dataset,
    run_directory,
)
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.descriptors import soap_environments
from llzo_al.coverage.environments import Environments, fit_scalings
from llzo_al.coverage.report import CoverageReport
from llzo_al.dataset.frames import Frame
from llzo_al.dataset.splits import assign_held_out
from llzo_al.errors import StageError, UpstreamError
from llzo_al.exploration.runs import ExplorationRun
from llzo_al.exploration.trajectory import MDFrame, read_trajectory
from llzo_al.files import MANIFEST, read_json, run_stage
from llzo_al.selection.audit import Prediction
from llzo_al.selection.choose import Candidate, SelectionResult, Verdict, select_frames

PREDICTIONS = "predictions.npz"
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
    training = _training_environments(campaign, number)
    seen = soap_environments(
        [one.md.frame for one in visited],
        campaign.config.coverage.descriptor,
        campaign.config.elements,
        cache=work / "descriptors.npz",
    )
    described = time.perf_counter()
    report = assess_coverage(
        training, seen, campaign.config.coverage, seed=derived_seed(campaign.config.seed, "coverage", number)
    )
    measured = time.perf_counter()
    selection = _select(campaign, number, visited, training, seen, report)
    by_index = dict(enumerate(visited))
    chosen = [(by_index[verdict.index], verdict.reason, _details(verdict)) for verdict in selection.chosen]
    sample = _held_out_sample(visited, campaign.config.selection.held_out_frames)
    held_out: list[_Selected] = [(one, "held-out sample", {}) for one in sample]
    chosen_ids = _request(campaign, number, chosen, "candidate")
    held_out_ids = _request(campaign, number, held_out, "held-out")
    _write_predictions(
        work / PREDICTIONS,
        [*chosen_ids, *held_out_ids],
        [one for one, _, _ in (*chosen, *held_out)],
    )
    (work / "descriptors.npz").unlink(missing_ok=True)
    deviations = np.array([one.deviation_eV_per_A for one in visited])
    return {
        "coverage": report.as_dict(),
        "selection": selection.as_dict(),
        "deviation": {
            "mean": float(deviations.mean()),
            "median": float(np.median(deviations)),
            "max": float(deviations.max()),
        },
        "n_visited_frames": len(visited),
        "timings": {"descriptors_s": described - started, "coverage_s": measured - described},
        "chosen": chosen_ids,
        "held_out": held_out_ids,
    }


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


def _training_environments(campaign: Campaign, number: int) -> Environments:
    """Environments of what the committee was trained on, computed once per frame and campaign."""
    identities = iteration_dataset(campaign, number).training
    frames = [
        record.frame for record in campaign.store.records(identities=identities, physics=campaign.physics)
    ]
    return soap_environments(
        frames,
        campaign.config.coverage.descriptor,
        campaign.config.elements,
        cache=campaign.directory.labels.parent / "descriptors.npz",
    )


def _select(
    campaign: Campaign,
    number: int,
    visited: Sequence[Visited],
    training: Environments,
    seen: Environments,
    report: CoverageReport,
) -> SelectionResult:
    scalings = fit_scalings(training)
    means = seen.frame_means(scalings)
    candidates = [
        Candidate(
            index=index,
            group=one.run.group,
            step=one.md.step,
            force_deviation_eV_per_A=one.deviation_eV_per_A,
            novelty=float(report.frames.novelty[index]),
            uncovered_cells=report.frames.uncovered_cells[index],
            mean_descriptor=means[index],
            n_atoms=one.md.frame.n_atoms,
        )
        for index, one in enumerate(visited)
        if not one.held_out
    ]
    return select_frames(
        candidates,
        campaign.config.selection,
        seed=derived_seed(campaign.config.seed, "select", number),
        existing_means=training.frame_means(scalings),
    )


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
