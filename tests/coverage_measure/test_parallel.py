from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
from coverage_helpers import cloud

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.parallel import run_jobs
from llzo_al.coverage.stored import write_environments
from llzo_al.errors import StageError


def test_processes_change_no_figure(tmp_path):
    sets = []
    for name, environments in (("training", cloud(1)), ("visited", cloud(2, n_frames=25))):
        frames = (
            {s: environments.values[s][environments.frame_index[s] == n] for s in environments.elements}
            for n in range(environments.n_frames)
        )
        sets.append(write_environments(tmp_path / name, environments.elements, frames))
    runs = np.arange(25) // 5
    alone, together = (
        assess_coverage(*sets, Coverage(bins=10), trajectories=runs, processes=processes)
        for processes in (1, 2)
    )
    assert together.as_dict() == alone.as_dict()
    np.testing.assert_array_equal(together.frames.novelty, alone.frames.novelty)


def fail():
    raise StageError("frame 3 is not finite")


def test_results_in_order_and_errors_as_they_are():
    assert run_jobs([partial(int, "1"), partial(int, "2"), partial(int, "3")], [1, 3, 2], 2) == [1, 2, 3]
    with pytest.raises(StageError, match="frame 3 is not finite"):
        run_jobs([partial(int, "1"), fail], [1, 2], 2)


def test_a_killed_process_is_told():
    with pytest.raises(StageError, match="was killed"):
        run_jobs([partial(os._exit, 9), partial(int, "1")], [2, 1], 2)
