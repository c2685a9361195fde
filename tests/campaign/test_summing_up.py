"""What an iteration came to: losses and choices among its figures."""

from types import SimpleNamespace

from campaigns import make_tiny
from llzo_al.campaign import facts, summing_up
from llzo_al.files import write_json


def test_a_run_whose_task_failed_is_among_the_endings(tmp_path, monkeypatch):
    campaign = make_tiny(tmp_path)
    planned = [SimpleNamespace(group=f"run {number}", temperature_K=400.0) for number in range(3)]
    monkeypatch.setattr(summing_up, "planned_runs", lambda *_: planned)
    came_of = [
        (0, planned[0], {"stable": True, "ended": "completed", "steps_done": 1000}),
        (2, planned[2], {"stable": False, "ended": "Li-O at 0.7 Å", "steps_done": 500}),
    ]
    md = summing_up._md(campaign, 0, came_of)
    assert (md["runs"], md["stable"]) == (3, 1)
    assert [ending["run"] for ending in md["endings"]] == ["run 0", "run 1", "run 2"]
    assert [ending["finished"] for ending in md["endings"]] == [True, False, True]
    assert md["endings"][1]["time_ps"] is None
    assert md["endings"][2]["ended"] == "Li-O at 0.7 Å"
    assert md["endings"][2]["time_ps"] == 2 * campaign.config.exploration.timestep_fs / 4


def test_frames_that_were_never_labelled_are_counted_apart_from_failed_ones():
    def record(label=None, failure=None):
        return SimpleNamespace(label=label, failure=failure)

    records = {
        "a": record(label="a label"),
        "b": record(failure=SimpleNamespace(cause="crash")),
        "c": record(),
        "d": record(),
    }
    counts = summing_up._labels({"chosen": list("abc"), "held_out": ["d"]}, {}, records)
    assert (counts["failed"], counts["never_labelled"], counts["new_held_out"]) == (1, 2, 0)


def test_what_became_of_the_candidates_is_found_in_an_older_directory_too(tmp_path):
    campaign = make_tiny(tmp_path)
    assert facts._candidates(campaign, 0, {"selection": {"limit": 2}}) == {"limit": 2}
    assert facts._candidates(campaign, 0, {}) == {}
    assessed = campaign.directory.iteration(0) / "assess"
    assessed.mkdir(parents=True)
    for outputs, counts in (({}, {}), ({"selection": {"counts": {"uncovered": 3}}}, {"uncovered": 3})):
        write_json(assessed / "manifest.json", {"outputs": outputs})
        assert facts._candidates(campaign, 0, {}) == counts
