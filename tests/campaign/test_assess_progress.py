"""What an assessment shows while it works."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from campaigns import REFERENCE_MD, make_tiny
from llzo_al.campaign import assess, initial, labels
from llzo_al.campaign.iteration import planned_runs
from llzo_al.campaign.visited import Visited
from llzo_al.errors import StageError
from llzo_al.exploration.trajectory import MDFrame
from llzo_al.progress import ProgressFile, read_progress


@pytest.fixture
def told(monkeypatch):
    """Everything that progress files are told."""
    tasks = []
    update = ProgressFile.update

    def keep(self, done, detail="", *, force=False):
        tasks.append((self._task, done, self._total, self._unit, detail))
        update(self, done, detail, force=force)

    monkeypatch.setattr(ProgressFile, "update", keep)
    return tasks


def visited_by(run, count):
    random = np.random.default_rng(3)
    frames = [
        replace(run.frame, positions_A=run.frame.positions_A + random.normal(scale=0.05, size=(12, 3)))
        for _ in range(count)
    ]
    return [
        Visited(
            run=run,
            held_out=False,
            index=index,
            md=MDFrame(
                frame=frame,
                step=index,
                time_ps=0.1,
                temperature_K=400.0,
                energy_eV=0.0,
                forces_eV_per_A=np.zeros((12, 3)),
                virial_eV=np.zeros((3, 3)),
                force_deviation_max_eV_per_A=0.1,
                force_deviation_mean_eV_per_A=0.1,
            ),
        )
        for index, frame in enumerate(frames)
    ]


def test_every_part_of_an_assessment_is_shown(tmp_path, monkeypatch, told):
    campaign = make_tiny(tmp_path, **{REFERENCE_MD: ""})
    identities = initial.prepare_initial_data(campaign).identities
    for job in labels.label_jobs(campaign, identities):
        labels.label_frames(campaign, job)
    told.clear()
    (run, *_) = planned_runs(campaign, 0)
    seen = visited_by(run, 3)
    monkeypatch.setattr(assess, "visited_frames", lambda *_: seen)
    monkeypatch.setattr(assess, "iteration_dataset", lambda *_: SimpleNamespace(training=identities))
    under_way = []

    def choose(*_, **__):
        under_way.extend(task.task for task in read_progress(campaign.directory.progress))
        raise StageError("that is enough")

    monkeypatch.setattr(assess, "choose", choose)
    work = tmp_path / "work"
    with pytest.raises(StageError, match="that is enough"):
        assess._compute(campaign, 0, work)
    n_known = len(identities)
    assert told[0] == ("describe the training set", 0, n_known, "frames", "")
    assert ("describe the training set", n_known, n_known, "frames", "") in told
    assert ("describe what MD visited", 3, 3, "frames", "") in told
    assert [each[1:] for each in told if each[0] == "measure coverage" and each[-1]] == [
        (0, 2, "elements", "Li"),
        (1, 2, "elements", "O"),
    ]
    assert under_way == ["iteration 0 assessment, choose frames"]
    assert read_progress(campaign.directory.progress) == []

    told.clear()
    with pytest.raises(StageError, match="that is enough"):
        assess._compute(campaign, 0, work)
    assert told[1] == ("describe the training set", n_known, n_known, "frames", "")  # kept from before
