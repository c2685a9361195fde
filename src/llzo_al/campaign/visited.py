"""Frames that an iteration's molecular dynamics visited: which they are, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.iteration import derived_seed, finished_runs, run_directory
from llzo_al.coverage.environments import IntArray
from llzo_al.dataset.frames import Frame
from llzo_al.dataset.splits import assign_held_out
from llzo_al.exploration.mobility import mobility
from llzo_al.exploration.runs import ExplorationRun
from llzo_al.exploration.trajectory import MDFrame, read_trajectory


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

    @property
    def mean_deviation_eV_per_A(self) -> float:
        """Mean deviation of the committee's forces over the atoms; not a number where it is unknown."""
        deviation = self.md.force_deviation_mean_eV_per_A
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


def nothing_visited(campaign: Campaign, number: int) -> str:
    """Why an iteration's MD visited no frame, and what to do, in words."""
    runs = finished_runs(campaign, number)
    endings = "; ".join(f"{run.group}: {outputs['ended']}" for _, run, outputs in runs[:3])
    more = f"; and {len(runs) - 3} more" if len(runs) > 3 else ""
    return (
        "the guard ended every MD run before its first frame after "
        f"exploration.equilibration_ps, so there is nothing to assess ({endings}{more}). The models are not "
        "good enough for dynamics yet: give more initial data or more training.steps, or begin at lower "
        "exploration.temperatures_K"
    )


def trajectory_numbers(visited: Sequence[Visited]) -> IntArray:
    """Number of each visited frame's trajectory, shape (n_frames,)."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(one.run.group, len(numbers)) for one in visited], dtype=np.int64)


def held_out_sample(visited: Sequence[Visited], count: int) -> list[int]:
    """Places of evenly spaced frames of the held-out trajectories: by time alone, never by difficulty."""
    held_out = [place for place, one in enumerate(visited) if one.held_out and one.index > 0]
    if len(held_out) <= count:
        return held_out
    places = (np.arange(count) + 0.5) * len(held_out) / count
    return [held_out[int(place)] for place in places]


def conditions(
    visited: Sequence[Visited], element_novelty: Mapping[str, NDArray[np.float64]]
) -> list[dict[str, Any]]:
    """Share of each element's environments that lie in covered cells, by structure and temperature.

    Parameters
    ----------
    visited
        The visited frames.
    element_novelty
        Share of each frame's environments outside covered cells by element, shape (n_frames,) each.
    """
    names: dict[tuple[str, float], list[int]] = {}
    for index, one in enumerate(visited):
        names.setdefault((one.run.kind, one.run.temperature_K), []).append(index)
    rows = []
    for (kind, temperature_K), indices in sorted(names.items()):
        covered = {symbol: 1 - values[indices] for symbol, values in element_novelty.items()}
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


def what_moved(visited: Sequence[Visited]) -> dict[str, Any]:
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
