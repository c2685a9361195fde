"""What the log says of an iteration and of the finished potential."""

from llzo_al.campaign.telling import (
    errors_in_words,
    iteration_in_words,
    losses_in_words,
    outcome_in_words,
)
from llzo_al.selection.stopping import Decision

GOES_ON = Decision(converged=False, stop=False, reasons=("coverage ratio 0.579 < 0.95", "1 of 2 iterations"))
CONVERGED = Decision(converged=True, stop=True, reasons=("coverage ratio 1.000 >= 0.95",))


def summary(**changes):
    stopping = {
        "energy_rmse_meV_per_atom": 8.717,
        "force_rmse_meV_per_A": 301.4,
        "runs": 4,
        "stable_runs": 4,
        "stuck": [],
    }
    return {
        "coverage": {"pooled": {"coverage": 0.445, "ceiling": 0.858, "ratio": 0.579}},
        "stopping": stopping | changes,
        "labels": {"to_training": 15, "new_held_out": 4, "to_audit": 1, "failed": 0},
    }


def test_a_short_line_for_each_thing():
    assert outcome_in_words(GOES_ON) == "goes on"
    assert iteration_in_words(summary(), GOES_ON) == [
        "coverage 0.445, ceiling 0.858, ratio 0.579; held-out MD errors 8.7 meV/atom and 301 meV/Å; "
        "4 of 4 MD runs stable",
        "new labels: 15 for training, 4 held out, 1 for the audit",
        "missed: coverage ratio 0.579 < 0.95",
        "missed: 1 of 2 iterations",
    ]


def test_what_is_met_and_what_makes_it_doubtful():
    assert outcome_in_words(CONVERGED) == "converged"
    lines = iteration_in_words(summary(stuck=["a: still", "b: still"]), CONVERGED)
    assert lines[2] == "met: coverage ratio 1.000 >= 0.95"
    assert lines[3].startswith("warning: 2 of 4 MD runs stuck")
    stopped = Decision(converged=False, stop=True, reasons=())
    assert outcome_in_words(stopped) == "stops unconverged"


def test_what_is_not_known_is_said():
    unknown = summary(energy_rmse_meV_per_atom=None, force_rmse_meV_per_A=None)
    unknown["coverage"]["pooled"]["ratio"] = None
    unknown["labels"]["failed"] = 2
    first, second = iteration_in_words(unknown, GOES_ON)[:2]
    assert "ratio unknown; no held-out MD frames" in first
    assert second.endswith(", 2 failed")


def test_what_went_missing_is_told_only_where_it_did():
    whole = summary() | {"committee": {"models": 4, "size": 4}}
    assert losses_in_words(whole) == losses_in_words(summary()) == []
    lossy = summary(stable_runs=1, endings=["Li-O at 0.7 Å"]) | {"committee": {"models": 2, "size": 4}}
    lossy["labels"]["never_labelled"] = 3
    lines = losses_in_words(lossy)
    assert lines[0].startswith("2 of 4 models trained")
    assert lines[1].startswith("2 of 4 MD runs did not finish")
    assert lines[2].startswith("frames never labelled: 3")
    assert [f"warning: {line}" for line in lines] == iteration_in_words(lossy, GOES_ON)[2:5]


def test_what_the_selection_turned_away_is_a_line():
    chosen = summary() | {"selection": {"uncovered": 12, "deviation": 4, "limit": 60, "duplicate": 8}}
    assert iteration_in_words(chosen, GOES_ON)[2] == (
        "16 of 84 candidate frames chosen; turned away: 60 over selection.max_frames, 8 near-duplicate"
    )
    none_left = summary() | {"selection": {"uncovered": 2}}
    assert iteration_in_words(none_left, GOES_ON)[2] == "2 of 2 candidate frames chosen"


def test_errors_stand_in_columns():
    figures = {"energy_rmse_meV_per_atom": 2.84, "force_rmse_meV_per_A": 162.1}
    assert errors_in_words({"dimers": figures, "exploration: t-LLZO": figures, "all": figures}) == [
        "dimers                    2.8 meV/atom     162 meV/Å",
        "exploration: t-LLZO       2.8 meV/atom     162 meV/Å",
    ]
    assert errors_in_words({}) == []
