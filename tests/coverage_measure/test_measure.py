from __future__ import annotations

import json

import numpy as np
import pytest
from coverage_helpers import cloud, one_element
from hypothesis import given, settings
from hypothesis import strategies as st

from llzo_al.config.coverage import Coverage
from llzo_al.coverage import sides as sides_module
from llzo_al.coverage import stored as stored_module
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.environments import Environments, concatenate, fit_scalings, frame_means
from llzo_al.coverage.reference import frame_fingerprint, read_frames, write_frames
from llzo_al.coverage.stored import META, StoredEnvironments, write_environments
from llzo_al.errors import StageError

PAPER = {"subspace_check": False, "bootstrap_samples": 0}


def assess(training, visited, options=None, **more):
    return assess_coverage(training, visited, options or Coverage(bins=10), **more)


def stored(environments, folder) -> StoredEnvironments:
    """The same set on disk, frame by frame."""
    frames = (
        {s: environments.values[s][environments.frame_index[s] == n] for s in environments.elements}
        for n in range(environments.n_frames)
    )
    return write_environments(folder, environments.elements, frames)


# Training standardises to itself / sqrt(5); its components are (x + y) / sqrt(2), from -6 to 6, and (x - y) /
# sqrt(2), from -2 to 2, both in units of sqrt(10). In thirds of these ranges training holds high-middle,
# low-middle and middle with the two ends.
TRAINING = one_element([[3, 3], [-3, -3], [1, -1], [-1, 1]])
VISITED = [[3, 3], [2, 2], [-1, 1], [0, 0], [3, 1]]
"""Cells: high-middle twice, middle-end, middle-middle, high-end; training holds the first two of the four."""


def test_environment_weighting_and_good_turing_by_hand():
    (element,) = assess(TRAINING, one_element(VISITED), Coverage(bins=3)).elements
    assert element.coverage == 2 / 4
    assert element.environment_coverage == 3 / 5
    assert element.unseen_mass == 3 / 5  # three of five environments are alone in their cell


def test_incidences_of_trajectories_by_hand():
    # Trajectory 0 visits high-middle and middle-end, trajectory 1 high-middle and middle-middle, trajectory 2
    # high-end: three cells once, one twice, five incidences of three trajectories. Chao and Jost (2012):
    # 3/5 * (2 * 3) / (2 * 3 + 2 * 1).
    visited = one_element([[3, 3], [-1, 1], [2, 2], [0, 0], [3, 1]])
    report = assess(TRAINING, visited, Coverage(bins=3), trajectories=[0, 0, 1, 1, 2])
    (element,) = report.elements
    assert element.unseen_mass_between_trajectories == pytest.approx(3 / 5 * 6 / 8)
    assert report.pooled.unseen_mass_between_trajectories == pytest.approx(3 / 5 * 6 / 8)
    alone = assess(TRAINING, visited, Coverage(bins=3), trajectories=[0] * 5)
    assert alone.pooled.unseen_mass_between_trajectories is None
    assert alone.pooled.coverage_interval is None


def test_edges_of_one_set_leave_out_what_lies_beyond():
    # Along (x + y) / sqrt(2) the visited set reaches 10 / sqrt(10), beyond training's 6 / sqrt(10).
    visited = one_element([[3, 3], [5, 5], [-1, 1]])
    by_training = assess(TRAINING, visited, Coverage(bins=3, edges="training"))
    (element,) = by_training.elements
    assert element.coverage == pytest.approx(2 / 3)
    np.testing.assert_array_equal(by_training.frames.novelty, [0, 1, 0])
    high = max(end for _, end in element.edges)
    (common,) = assess(TRAINING, visited, Coverage(bins=3)).elements
    assert max(end for _, end in common.edges) == pytest.approx(high * 10 / 6, rel=1e-6)


def test_the_set_that_the_space_is_fitted_on():
    training, visited = cloud(1), cloud(2, centre=2.0)
    for fitted_on, count in (("training", 400), ("visited", 400), ("both", 800)):
        report = assess(training, visited, Coverage(bins=10, fitted_on=fitted_on))
        assert report.elements[0].fitted_on == fitted_on
        assert report.elements[0].n_fitted == count
        assert any(" ".join(words.split()).startswith("Fit:") for words in report.statements)


def test_all_elements_in_one_space():
    report = assess(cloud(1), cloud(2), Coverage(bins=10, elements="together"))
    (element,) = report.elements
    assert element.symbol == "all"
    assert element.n_visited_environments == 600
    assert report.pooled.coverage == element.coverage
    assert report.frames.environments.sum() == 600


def test_bins_around_the_chosen_number():
    report = assess(cloud(1), cloud(2), Coverage(bins=10))
    for element in report.elements:
        assert [one.bins for one in element.by_bins] == [5, 10, 20]
        coverages = [one.coverage for one in element.by_bins]
        assert coverages == sorted(coverages, reverse=True)
        assert element.coverage == coverages[1]
        for one in element.by_bins[::2]:
            alone = assess(cloud(1), cloud(2), Coverage(bins=one.bins))
            same = next(e for e in alone.elements if e.symbol == element.symbol)
            assert same.coverage == pytest.approx(one.coverage)
            assert same.environment_coverage == pytest.approx(one.environment_coverage)


def test_automatic_bins_are_finer_with_more_samples():
    def chosen(frames):
        report = assess(cloud(1, n_frames=frames), cloud(2, n_frames=frames), Coverage(bins="auto"))
        return report.elements[0]

    few, many = chosen(20), chosen(2000)
    assert few.bins < many.bins
    assert many.ceiling >= 0.8
    finer = next(one for one in many.by_bins if one.bins == 2 * many.bins)
    assert finer.ceiling < 0.8 or many.bins == 80


def test_good_turing_tells_what_a_further_sample_would_miss():
    visited, further = cloud(1, n_frames=100), cloud(2, n_frames=100)
    report = assess(visited, further, Coverage(bins=20))
    told = assess(visited, visited, Coverage(bins=20)).pooled.unseen_mass
    assert 1 - report.pooled.environment_coverage == pytest.approx(told, abs=0.03)
    assert told > 0.05


def test_the_interval_holds_what_other_trajectories_give():
    """Trajectories with centres of their own: the interval is about as wide as the spread between samples."""

    def trajectories(seed, count=12):
        generator = np.random.default_rng(seed)
        centres = generator.normal(scale=1.0, size=(count, 5))
        sets = [cloud(1000 * seed + n, n_frames=20, per_frame=4) for n in range(count)]
        moved = [
            Environments.from_arrays(
                {s: one.values[s] + 3 * centre for s in one.elements}, dict(one.frame_index)
            )
            for one, centre in zip(sets, centres, strict=True)
        ]
        return concatenate(moved), np.repeat(np.arange(count), 20)

    training, _ = trajectories(1)
    reports = [
        assess(training, visited, trajectories=runs)
        for visited, runs in (trajectories(n) for n in range(2, 14))
    ]
    values = np.array([report.pooled.environment_coverage for report in reports])
    widths = np.array([np.ptp(report.pooled.environment_coverage_interval) for report in reports])
    inside = [
        low <= values.mean() <= high
        for low, high in (report.pooled.environment_coverage_interval for report in reports)
    ]
    assert np.mean(inside) >= 0.7
    assert 0.4 < widths.mean() / (3.92 * values.std(ddof=1)) < 2.5
    naive = assess(training, trajectories(2)[0])
    assert np.ptp(naive.pooled.environment_coverage_interval) < 0.6 * widths[0]
    assert any("as if each frame were a trajectory of its own" in words for words in naive.statements)


def test_what_lies_off_the_subspace_does_not_pass_for_covered():
    """Visited environments that differ from training where training hardly varies project to the inside."""
    generator = np.random.default_rng(0)
    wide = generator.normal(size=(2000, 2)) * [3, 2]
    training = np.c_[wide, 0.3 * generator.normal(size=(2000, 6)) @ np.eye(6)]
    mixing = np.linalg.qr(generator.normal(size=(8, 8)))[0]
    odd = training[:200].copy()
    odd[:, 4] += 10.0
    known, seen = one_element(training @ mixing), one_element(odd @ mixing)
    options = Coverage(bins=10, max_components=2, variance=0.9)
    checked = assess(known, seen, options)
    plain = assess(known, seen, options.model_copy(update={"subspace_check": False}))
    assert checked.elements[0].off_share == 1
    assert checked.pooled.environment_coverage == 0
    assert plain.pooled.environment_coverage > checked.pooled.environment_coverage
    assert checked.elements[0].residual_share_visited > checked.elements[0].residual_share_training
    same = assess(known, one_element(training[1000:1200] @ mixing), options)
    assert same.elements[0].off_share == 0


def test_a_hole_that_the_planes_hide_is_found_in_the_full_space():
    """A shell around an empty centre in 6 dimensions: every plane is filled in the middle."""
    generator = np.random.default_rng(0)
    shell = generator.normal(size=(6000, 6))
    shell /= np.linalg.norm(shell, axis=1, keepdims=True)
    centre = 0.1 * generator.normal(size=(500, 6))
    options = Coverage(bins=10, variance=1.0)
    hidden = assess(one_element(shell), one_element(centre), options)
    assert hidden.pooled.environment_coverage > 0.95
    near = hidden.elements[0].neighbours
    assert near.far_share > 0.9
    assert near.distance_ratio > 1.5
    assert any("may hide a hole" in words for words in hidden.warnings)
    same = generator.normal(size=(500, 6))
    same /= np.linalg.norm(same, axis=1, keepdims=True)
    fair = assess(one_element(shell), one_element(same), options).elements[0].neighbours
    assert fair.far_share == pytest.approx(0.05, abs=4 * fair.far_share_error)
    assert (fair.n_visited, fair.n_training) == (500, 2000)


def test_a_single_training_frame_has_no_neighbours_to_compare_with():
    assert assess(one_element([[0, 0], [1, 2]], [0, 0]), cloud_of_li(3)).elements[0].neighbours is None


def cloud_of_li(n):
    return one_element(np.random.default_rng(0).normal(size=(n, 2)))


def test_a_fixed_frame_makes_two_reports_comparable():
    first, second, visited = cloud(1, n_frames=10), cloud(1, n_frames=40), cloud(2)
    latest = assess(second, visited)
    frame = dict(latest.frames_of_reference)
    again = assess(second, visited, fixed=frame)
    assert again.pooled.coverage == latest.pooled.coverage
    assert again.elements[0].fitted_on == "given"
    before = assess(first, visited, fixed=frame)
    assert before.elements[0].edges == latest.elements[0].edges
    # What more training environments cover in one frame is never less.
    both = assess(concatenate([first, second]), visited, fixed=frame)
    assert both.pooled.coverage >= max(before.pooled.coverage, latest.pooled.coverage)


def test_a_frame_of_reference_is_kept_in_a_file(tmp_path):
    training, visited = cloud(1), cloud(2)
    first = assess(training, visited)
    write_frames(tmp_path / "frames.npz", first.frames_of_reference)
    kept = read_frames(tmp_path / "frames.npz")
    again = assess(training, visited, fixed=kept)
    assert again.pooled.coverage == first.pooled.coverage
    assert again.as_dict()["frame"] == first.as_dict()["frame"] == frame_fingerprint(kept)
    assert assess(cloud(3), visited).as_dict()["frame"] != frame_fingerprint(kept)
    assert list(tmp_path.iterdir()) == [tmp_path / "frames.npz"]
    with pytest.raises(StageError, match="the fixed frame is of descriptors with 5 features, these have 2"):
        assess(TRAINING, one_element(VISITED), fixed={"Li": kept["Li"]})
    np.savez(tmp_path / "other.npz", version=np.array(7))
    with pytest.raises(StageError, match="no frames of reference of version 1"):
        read_frames(tmp_path / "other.npz")


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 100))
def test_more_training_never_covers_less_in_a_fixed_frame(seed):
    training, visited = cloud(seed, n_frames=12), cloud(seed + 1, n_frames=20)
    frame = dict(assess(training, visited).frames_of_reference)
    values = [
        assess(training.subset(range(n)), visited, fixed=frame, per_frame=False).pooled.coverage
        for n in (2, 6, 12)
    ]
    assert values == sorted(values)


def test_sets_on_disk_are_measured_as_those_in_memory(tmp_path, monkeypatch):
    training, visited = cloud(1), cloud(2, n_frames=25)
    runs = np.arange(25) // 5
    in_memory = assess(training, visited, trajectories=runs)
    monkeypatch.setattr(sides_module, "IN_MEMORY_BYTES", 0)
    sets = stored(training, tmp_path / "training"), stored(visited, tmp_path / "visited")
    on_disk = assess(*sets, trajectories=runs)
    assert on_disk.as_dict() == in_memory.as_dict()
    assert on_disk.frames is not None
    np.testing.assert_array_equal(on_disk.frames.novelty, in_memory.frames.novelty)
    assert sets[0].count("O") == training.count("O")
    assert sets[0].count("Zr") == 0


def test_means_and_scalings_are_the_same_from_disk_in_any_chunks(tmp_path, monkeypatch):
    visited = cloud(2, n_frames=25)
    on_disk = stored(visited, tmp_path)
    scalings = fit_scalings(visited)
    monkeypatch.setattr(stored_module, "CHUNK", 7)
    for symbol, scaling in fit_scalings(on_disk).items():
        table = visited.values[symbol].astype(np.float64)
        np.testing.assert_allclose(scaling.mean, table.mean(axis=0), rtol=1e-10)
        np.testing.assert_allclose(scaling.scale, table.std(axis=0), rtol=1e-10)
    np.testing.assert_allclose(
        frame_means(on_disk, scalings), frame_means(visited, scalings), rtol=1e-9, atol=1e-9
    )


def test_a_set_that_was_not_written_to_its_end_is_refused(tmp_path):
    stored(cloud(1), tmp_path)
    with (tmp_path / "O.f32").open("ab") as file:
        file.truncate(100)
    with pytest.raises(StageError, match=r"O\.f32: 100 bytes, expected"):
        StoredEnvironments.open(tmp_path)
    (tmp_path / META).unlink()
    with pytest.raises(StageError, match="not written to their end"):
        StoredEnvironments.open(tmp_path)


def test_large_sets_need_no_details_of_frames():
    report = assess(cloud(1), cloud(2), per_frame=False)
    assert report.frames is None
    json.dumps(report.as_dict(), allow_nan=False)


def test_trajectories_have_to_be_given_for_every_frame():
    with pytest.raises(StageError, match="trajectories: 3 given for 40 visited frames"):
        assess(cloud(1), cloud(2), trajectories=[0, 1, 2])


def test_the_papers_measure_alone():
    """With its free choices as the paper has them, nothing else enters coverage."""
    training, visited = cloud(1), cloud(2)
    report = assess(training, visited, Coverage(bins=10, **PAPER))
    assert report.pooled.coverage_interval is None
    for element in report.elements:
        table = training.values[element.symbol].astype(np.float64)
        mean, scale = table.mean(axis=0), table.std(axis=0)
        _, vectors = np.linalg.eigh(np.cov(((table - mean) / scale).T))
        axes = vectors[:, ::-1][:, : element.n_components]
        known, seen = (((one.values[element.symbol] - mean) / scale) @ axes for one in (training, visited))
        low, high = np.minimum(known.min(0), seen.min(0)), np.maximum(known.max(0), seen.max(0))
        bins = [np.clip(((points - low) / (high - low) * 10).astype(int), 0, 9) for points in (known, seen)]
        shares = []
        for a in range(element.n_components):
            for b in range(a + 1, element.n_components):
                ours, theirs = ({tuple(row) for row in points[:, [a, b]]} for points in bins)
                shares.append(len(ours & theirs) / len(theirs))
        assert element.coverage == pytest.approx(np.mean(shares), abs=2e-3)
