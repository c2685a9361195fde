from __future__ import annotations

import json

import pytest

from llzo_al.config.assessment import Stopping
from llzo_al.errors import StageError
from llzo_al.selection.stopping import IterationSummary, decide

LIMITS = Stopping(min_iterations=1, max_iterations=5)


def summary(iteration=0, **changes):
    values = {
        "iteration": iteration,
        "coverage_ratio": 0.97,
        "element_ratios": {"Li": 0.99, "Zr": 0.93, "O": None},
        "energy_rmse_meV_per_atom": 2.0,
        "force_rmse_meV_per_A": 120.0,
        "n_held_out_md_frames": 12,
        "runs": 4,
        "stable_runs": 4,
        "endings": (),
    }
    return IterationSummary(**{**values, **changes})


def test_all_limits_met():
    decision = decide([summary()], LIMITS)
    assert decision.converged
    assert decision.stop
    assert decision.reasons == (
        "coverage ratio 0.970 >= 0.95 (Zr lowest: 0.930)",
        "energy RMSE 2 <= 5 meV/atom on 12 held-out MD frames",
        "force RMSE 120 <= 150 meV/Å on 12 held-out MD frames",
        "all of 4 runs stable",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"coverage_ratio": 0.91}, "coverage ratio 0.910 < 0.95 (Zr lowest: 0.930)"),
        ({"coverage_ratio": None}, "coverage ratio not measured"),
        ({"coverage_ceiling": 0.31}, "coverage ratio 0.970 means little: the ceiling is only 0.31"),
        ({"coverage_ratio": float("nan")}, "coverage ratio not measured"),
        ({"energy_rmse_meV_per_atom": 5.5}, "energy RMSE 5.5 > 5 meV/atom on 12 held-out MD frames"),
        ({"force_rmse_meV_per_A": 210.0}, "force RMSE 210 > 150 meV/Å on 12 held-out MD frames"),
        ({"force_rmse_meV_per_A": None}, "force RMSE not measured: no labelled held-out MD frame"),
        ({"force_rmse_meV_per_A": float("nan")}, "force RMSE is not a finite number"),
        ({"n_held_out_md_frames": 0}, "energy RMSE not measured: no labelled held-out MD frame"),
        (
            {"stable_runs": 3, "endings": ("900 K run 2: Li-O at 0.7 Å",)},
            "1 of 4 runs ended by the guard (stable share 0.75 < 1): 900 K run 2: Li-O at 0.7 Å",
        ),
        (
            {"stable_runs": 3},
            "1 of 4 runs did not finish (their tasks failed) (stable share 0.75 < 1)",
        ),
        (
            {"stable_runs": 1, "endings": ("Li-O at 0.7 Å",)},
            "1 of 4 runs ended by the guard, 2 of 4 runs did not finish (their tasks failed) "
            "(stable share 0.25 < 1): Li-O at 0.7 Å",
        ),
        ({"runs": 0, "stable_runs": 0}, "no MD run explored"),
    ],
)
def test_each_limit_alone_keeps_the_loop_going_and_says_so(changes, words):
    decision = decide([summary(**changes)], LIMITS)
    assert not decision.converged
    assert not decision.stop
    assert any(reason.startswith(words) for reason in decision.reasons), decision.reasons
    json.dumps(decision.as_dict(), allow_nan=False)


def test_only_what_is_missed_is_given_as_a_reason():
    assert len(decide([summary(coverage_ratio=0.5)], LIMITS).reasons) == 1


def test_several_limits_are_all_told():
    assert len(decide([summary(coverage_ratio=0.5, stable_runs=0)], LIMITS).reasons) == 2


def test_an_allowed_share_of_unstable_runs():
    options = LIMITS.model_copy(update={"stable_runs_share": 0.75})
    decision = decide([summary(stable_runs=3, endings=("run 2: lost atoms",))], options)
    assert decision.converged
    assert decision.reasons[-1] == "1 of 4 runs ended by the guard: run 2: lost atoms"


def test_many_endings_are_cut_short():
    endings = tuple(f"run {n}: hot" for n in range(6))
    (reason,) = decide([summary(runs=8, stable_runs=2, endings=endings)], LIMITS).reasons
    assert reason.endswith("run 2: hot; and 3 more")


def test_consecutive_iterations():
    options = LIMITS.model_copy(update={"consecutive": 2})
    assert decide([summary(0)], options).reasons == ("all limits met in 1 of 2 consecutive iterations",)
    assert decide([summary(0), summary(1)], options).converged
    broken = [summary(0), summary(1, coverage_ratio=0.1), summary(2)]
    assert not decide(broken, options).converged
    assert decide([*broken, summary(3)], options).converged


def test_the_least_number_of_iterations():
    options = LIMITS.model_copy(update={"min_iterations": 2})
    assert decide([summary(0)], options).reasons == ("1 of at least 2 iterations done",)
    assert decide([summary(0), summary(1)], options).converged


def test_the_iteration_limit_ends_unconverged_with_all_reasons():
    history = [summary(n, force_rmse_meV_per_A=210.0) for n in range(5)]
    decision = decide(history, LIMITS)
    assert not decision.converged
    assert decision.stop
    assert decision.reasons == (
        "force RMSE 210 > 150 meV/Å on 12 held-out MD frames",
        "iteration limit of 5 reached without convergence",
    )


def test_converging_in_the_last_iteration_counts():
    history = [*(summary(n, coverage_ratio=0.1) for n in range(4)), summary(4)]
    assert decide(history, LIMITS).converged


@pytest.mark.parametrize("numbers", [[], [1, 0], [0, 0]])
def test_a_history_that_makes_no_sense(numbers):
    with pytest.raises(StageError):
        decide([summary(n) for n in numbers], LIMITS)


def test_where_least_is_covered_is_said():
    worst = "Zr in amorphous at 3000 K: 0.71 of its environments"
    decision = decide([summary(coverage_ratio=0.91, worst=worst)], LIMITS)
    assert f"least covered: {worst}" in decision.reasons[0]


@pytest.mark.parametrize(
    ("measure", "changes", "words"),
    [
        ("paper", {"coverage": 0.96}, "coverage 0.960 < 0.97"),
        (
            "paper",
            {"coverage": 0.98, "coverage_ceiling": 0.3, "element_coverages": {"La": 0.9, "O": 0.99}},
            "coverage 0.980 >= 0.97 (La lowest: 0.900)",
        ),
        (
            "environment_ratio",
            {"environment_ratio": 0.99, "environment_ceiling": 0.4},
            "environment-weighted coverage ratio 0.990 means little: the ceiling is only 0.40",
        ),
        (
            "environment_ratio",
            {"environment_ratio": 0.90},
            "environment-weighted coverage ratio 0.900 < 0.95",
        ),
        ("environment_ratio", {}, "environment-weighted coverage ratio not measured"),
    ],
)
def test_another_measure_of_coverage(measure, changes, words):
    limits = LIMITS.model_copy(update={"coverage_measure": measure})
    decision = decide([summary(**changes)], limits)
    assert any(reason.startswith(words) for reason in decision.reasons)
    assert decision.converged == (">=" in words)


def test_stuck_runs_and_far_environments_count_only_where_asked_for():
    bad = summary(stuck=("run 1: no atom left its site",) * 3, far_share=0.4)
    assert decide([bad], LIMITS).converged
    limits = LIMITS.model_copy(update={"stuck_runs_share": 0.5, "far_share": 0.1})
    decision = decide([bad], limits)
    assert decision.reasons == (
        "0.400 > 0.1 of the environments far from training",
        "3 of 4 runs stuck (share 0.75 > 0.5): run 1: no atom left its site",
    )
    assert decide([summary(far_share=0.05)], limits).converged
    assert not decide([summary()], limits).converged
