"""Coverage of what MD visits by what the models were trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.element import assess_element
from llzo_al.coverage.environments import EnvironmentSet, IntArray
from llzo_al.coverage.parallel import run_jobs
from llzo_al.coverage.reference import ReferenceFrame
from llzo_al.coverage.report import CoverageReport
from llzo_al.coverage.sides import Side
from llzo_al.coverage.summary import pool
from llzo_al.coverage.visited import thinned, visited_frames
from llzo_al.coverage.words import statements, warnings
from llzo_al.errors import StageError

ALL = "all"
"""Name of the one space of ``elements: together``."""


def assess_coverage(
    training: EnvironmentSet,
    visited: EnvironmentSet,
    settings: Coverage | None = None,
    *,
    seed: int = 1,
    trajectories: Sequence[int] | IntArray | None = None,
    per_frame: bool = True,
    fixed: Mapping[str, ReferenceFrame] | None = None,
    processes: int = 1,
    tell: Callable[[int, str], None] | None = None,
) -> CoverageReport:
    """PCA coverage of the visited set by the training set, and what calibrates it.

    You et al., npj Comput. Mater. 10, 57 (2024), Eqs. 2 to 6, for each element on its own and pooled by the
    number of visited environments (or for all elements in one space). The columns are standardised and the
    PCA is fitted on the training set's environments; the cells divide the common range of both sets, unless
    the settings say otherwise. Beside it the ceiling from split halves of the visited set, Good-Turing
    estimates, an interval from resampled trajectories, other numbers of bins, and a check in the full reduced
    space; see `llzo_al.coverage.measure` and `llzo_al.coverage.neighbours`.

    Parameters
    ----------
    training, visited
        Environments with the same elements and descriptor, in memory or on disk.
    settings
        Bins, components and samples; by default those of the campaign file.
    seed
        Seed of the splits and samples.
    trajectories
        Trajectory of each visited frame, shape (n_frames,); by default each frame is one of its own.
    per_frame
        Find out what is missing in each visited frame; needed for selection, slow for very large sets.
    fixed
        Frames of reference of an earlier report (`CoverageReport.frames_of_reference`, or
        `llzo_al.coverage.reference.read_frames`), by element; what is not given is fitted.
    processes
        Elements that are measured at once, each in a process of its own, the most frequent first. It changes
        no figure. Sets in memory are copied to every process; those on disk are not.
    tell
        With one process, called before each element with the number of those that are done and its name.

    Returns
    -------
    CoverageReport
        An element that training lacks has coverage 0, in a space fitted on the visited set. One that the
        visited set lacks is not counted.

    Raises
    ------
    StageError
        If a set is empty, if the sets do not belong together, or if a descriptor is not finite.

    Examples
    --------
    >>> report = assess_coverage(training, visited, trajectories=run_of_frame)  # doctest: +SKIP
    >>> report.pooled.ratio, report.pooled.ratio_interval  # doctest: +SKIP
    """
    settings = settings or Coverage()
    _check(training, visited, fixed or {})
    runs = _runs(trajectories, visited)
    jobs, sizes, names = [], [], []
    for number, (name, symbols) in enumerate(_spaces(visited, settings)):
        sides = (
            Side(environments=training, symbols=symbols, name="training"),
            Side(environments=visited, symbols=symbols, name="visited"),
        )
        if not len(sides[1]):
            continue
        jobs.append(
            partial(
                assess_element,
                name,
                sides,
                settings,
                runs,
                seed=(seed, number),
                per_frame=per_frame,
                fixed=(fixed or {}).get(name),
            )
        )
        sizes.append(len(sides[1]))
        names.append(name)
    results = run_jobs(
        jobs,
        sizes,
        processes,
        begins=None if tell is None else lambda done: tell(done, names[done]),
    )
    elements = tuple(result.coverage for result in results)
    of_frames = {one.coverage.symbol: one.frames for one in results if one.frames is not None}
    pooled = pool(elements, [result.measured.resampled for result in results])
    return CoverageReport(
        pooled=pooled,
        elements=elements,
        bins=settings.bins,
        statements=statements(settings, trajectories_given=trajectories is not None),
        warnings=(*warnings(training, visited, elements, pooled, settings), *thinned(of_frames)),
        n_training_frames=training.n_frames,
        n_visited_frames=visited.n_frames,
        frames=visited_frames(of_frames) if per_frame else None,
        frames_of_reference={result.coverage.symbol: result.frame for result in results},
    )


def _runs(trajectories: Sequence[int] | IntArray | None, visited: EnvironmentSet) -> IntArray:
    """Trajectory of each visited frame; each is one of its own where they are not given."""
    if trajectories is None:
        return np.arange(visited.n_frames)
    runs = np.asarray(trajectories, dtype=np.int64)
    if runs.shape != (visited.n_frames,):
        raise StageError(
            f"trajectories: {len(runs)} given for {visited.n_frames} visited frames; expected one for each"
        )
    return runs


def _spaces(visited: EnvironmentSet, settings: Coverage) -> list[tuple[str, tuple[str, ...]]]:
    if settings.elements == "together":
        return [(ALL, tuple(visited.elements))]
    return [(symbol, (symbol,)) for symbol in visited.elements]


def _check(training: EnvironmentSet, visited: EnvironmentSet, fixed: Mapping[str, ReferenceFrame]) -> None:
    for name, environments in (("training", training), ("visited", visited)):
        if not sum(environments.count(symbol) for symbol in environments.elements):
            raise StageError(f"the {name} set holds no environment: coverage needs at least one in each set")
    if training.elements != visited.elements:
        raise StageError(
            f"the training set's elements are {', '.join(training.elements)} and the visited set's "
            f"{', '.join(visited.elements)}: compute both with the same list of elements"
        )
    if training.n_features != visited.n_features:
        raise StageError(
            f"descriptors have {training.n_features} features in training and {visited.n_features} in the "
            "visited set: compute both with the same settings"
        )
    for symbol, frame in fixed.items():
        if len(frame.space.varying) != visited.n_features:
            raise StageError(
                f"{symbol}: the fixed frame is of descriptors with {len(frame.space.varying)} features, "
                f"these have {visited.n_features}: compute them with the same settings"
            )
