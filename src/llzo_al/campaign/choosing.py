"""The choice of visited frames to label: a campaign's figures handed to the selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llzo_al.campaign.assessed import last_calibration
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.iteration import derived_seed
from llzo_al.campaign.visited import Visited
from llzo_al.coverage.environments import EnvironmentSet, fit_scalings, frame_means
from llzo_al.coverage.visited import VisitedFrames
from llzo_al.selection.calibration import Signs
from llzo_al.selection.candidates import Candidate, SelectionResult
from llzo_al.selection.choose import select_frames


def choose(
    campaign: Campaign,
    number: int,
    visited: Sequence[Visited],
    frames: VisitedFrames,
    signs: Sequence[Signs],
    *,
    training: EnvironmentSet,
    seen: EnvironmentSet,
) -> SelectionResult:
    """Choose frames to label among the visited ones of trajectories that are not held out.

    Parameters
    ----------
    campaign, number
        The campaign and its iteration.
    visited
        The visited frames.
    frames
        What coverage says of each of them.
    signs
        What tells the error of each of them.
    training, seen
        Environments of the training set and of the visited frames.
    """
    scalings = fit_scalings(training)
    means = frame_means(seen, scalings)
    calibration = last_calibration(campaign, number)
    expected = [None] * len(visited) if calibration is None else calibration.predict_meV_per_A(signs).tolist()
    candidates = [
        Candidate(
            index=index,
            group=one.run.group,
            step=one.md.step,
            force_deviation_eV_per_A=one.deviation_eV_per_A,
            novelty=float(frames.novelty[index]),
            distance=signs[index].distance,
            uncovered_cells=frames.uncovered_cells[index],
            mean_descriptor=means[index],
            n_atoms=one.md.frame.n_atoms,
            expected_error_meV_per_A=expected[index],
        )
        for index, one in enumerate(visited)
        if not one.held_out
    ]
    return select_frames(
        candidates,
        campaign.config.selection,
        seed=derived_seed(campaign.config.seed, "select", number),
        cell_weights=frames.uncovered_cells.weights / np.maximum(frames.environments.sum(), 1),
        existing_means=frame_means(training, scalings),
    )
