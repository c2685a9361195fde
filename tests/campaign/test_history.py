"""Coverage of all iterations in one frame, whatever the settings have become since."""

import json
from pathlib import Path

import numpy as np
import pytest

from campaigns import make_tiny
from llzo_al.campaign import history
from llzo_al.coverage.reference import frame_fingerprint, read_frames
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.files import write_json
from llzo_al.structures.library import load_structure


def frame_of(seed, group="visited"):
    atoms = load_structure("Li2O", base=Path())
    atoms.positions += np.random.default_rng(seed).normal(scale=0.1, size=atoms.positions.shape)
    return Frame.from_atoms(atoms, Provenance(source="test", kind="Li2O", group=group))


class Moment:
    """A frame of a trajectory, as far as the history looks at it."""

    def __init__(self, seed, time_ps):
        self.frame, self.time_ps = frame_of(seed), time_ps


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    made = make_tiny(tmp_path)
    for number in range(2):
        frames = [frame_of(100 * number + seed, f"initial {number}/{seed}") for seed in range(6)]
        identities = made.store.request(frames, physics=made.physics, split="training")
        for identity in identities:
            made.store.add_label(
                identity, Label(energy_eV=0.0, forces_eV_per_A=np.zeros((12, 3)), virial_eV=None)
            )
        place = made.directory.iteration(number)
        for stage, outputs in (
            ("dataset", {"training": identities}),
            ("explore/run-000", {"trajectory": "0"}),
            ("explore/run-001", {"trajectory": "1"}),
        ):
            (place / stage).mkdir(parents=True)
            manifest = {"inputs_hash": f"{number}{stage}", "outputs": outputs}
            write_json(place / stage / "manifest.json", manifest)
    monkeypatch.setattr(
        history, "read_trajectory", lambda path: [Moment(int(path.name) * 50 + n, 0.1 * n) for n in range(8)]
    )
    return made


def test_all_iterations_are_measured_in_one_frame_and_kept(campaign):
    rows = history.coverage_history(campaign, 2)
    assert [row["iteration"] for row in rows] == [0, 1]
    assert len({row["frame"] for row in rows}) == 1
    kept = read_frames(campaign.directory.report / "coverage_frame.npz")
    assert frame_fingerprint(kept).startswith(rows[0]["frame"])
    assert all(0 < row["coverage"] <= 1 for row in rows)
    assert set(rows[0]["element_ratios"]) == {"Li", "O"}
    kept = json.loads((campaign.directory.report / "coverage_history.json").read_text())
    np.testing.assert_equal(kept["iterations"], rows)
    assert history.coverage_history(campaign, 2) == rows


def test_what_cannot_be_measured_is_an_error_of_its_own_and_no_line_of_the_log(campaign, monkeypatch):
    monkeypatch.setattr(history, "read_trajectory", lambda path: [])
    with pytest.raises(
        history.HistoryError, match="could not be measured: iteration 0: no visited frame is left"
    ):
        history.coverage_history(campaign, 2)
    assert not campaign.directory.log.exists()


def test_without_a_closed_iteration_there_is_none(campaign):
    assert history.coverage_history(campaign, 0) == []
