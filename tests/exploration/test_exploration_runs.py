from pathlib import Path

import numpy as np
import pytest

from llzo_al.config.exploration import Exploration
from llzo_al.errors import UserError
from llzo_al.exploration.runs import exploration_runs


def settings(**changes):
    values = {"structures": ["t-LLZO", "Li2O"], "temperatures_K": [600.0, 900.0], "replicas": 2}
    return Exploration(**{**values, **changes})


def runs_of(*, seed=1, iteration=3, **changes):
    return exploration_runs(settings(**changes), base=Path(), seed=seed, iteration=iteration)


def test_a_run_for_each_structure_temperature_and_replica():
    runs = runs_of()
    assert len(runs) == 8
    first = runs[0]
    assert first.group == "exploration/003/t-LLZO/600K/0"
    assert first.kind == first.frame.provenance.kind == "t-LLZO"
    assert first.frame.provenance.group == first.group
    assert first.frame.provenance.iteration == 3
    assert first.frame.provenance.temperature_K == 600.0
    assert first.frame.n_atoms == 192
    assert len({run.group for run in runs}) == len({run.seed for run in runs}) == 8
    assert all(1 <= run.seed < 2**31 for run in runs)


def test_runs_depend_on_their_own_name_and_not_on_the_others():
    runs = {run.group: run for run in runs_of()}
    for run in runs_of(structures=["Li2O", "t-LLZO"], temperatures_K=[900.0, 300.0], replicas=1):
        if run.temperature_K == 900.0:
            assert run.seed == runs[run.group].seed
            np.testing.assert_array_equal(run.frame.positions_A, runs[run.group].frame.positions_A)


def test_seeds_and_starts_differ_between_iterations_and_campaigns():
    here, next_one, elsewhere = runs_of()[0], runs_of(iteration=4)[0], runs_of(seed=2)[0]
    assert len({here.seed, next_one.seed, elsewhere.seed}) == 3
    assert not np.array_equal(here.frame.positions_A, next_one.frame.positions_A)
    assert not np.array_equal(here.frame.positions_A, runs_of()[1].frame.positions_A)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"duration_ps": 10.0}, (10000, 50, 1000, 201, 0)),
        ({"duration_ps": 1.0, "timestep_fs": 2.0, "equilibration_ps": 0.15}, (500, 25, 50, 21, 3)),
        ({"duration_ps": 1.0, "frame_interval_fs": 70.0}, (980, 70, 70, 15, 0)),
        (
            {"duration_ps": 0.1, "frame_interval_fs": 100.0, "restart_interval_fs": 10.0},
            (100, 100, 100, 2, 0),
        ),
        ({"duration_ps": 1.0, "restart_interval_fs": 990.0}, (1000, 50, 1000, 21, 0)),
    ],
)
def test_lengths_in_steps(changes, expected):
    run = runs_of(structures=["Li2O"], **changes)[0]
    found = (
        run.steps,
        run.frame_interval_steps,
        run.restart_interval_steps,
        run.n_frames,
        run.equilibration_frames,
    )
    assert found == expected


def test_supercell_and_primitive_cell_are_taken():
    assert runs_of(primitive=True)[0].frame.n_atoms == 96
    assert runs_of(structures=["Li2O"], supercell=[2, 1, 1])[0].frame.n_atoms == 24
    sizes = runs_of(structures=["Li2O", "ZrO2"], supercell=[2, 1, 1], supercells={"ZrO2": [1, 1, 3]})
    assert {run.kind: run.frame.n_atoms for run in sizes} == {"Li2O": 24, "ZrO2": 36}


def test_a_structure_that_is_not_periodic_is_refused(tmp_path):
    (tmp_path / "cluster.xyz").write_text("2\n\nLi 0 0 0\nO 0 0 1.7\n")
    with pytest.raises(UserError, match=r"cluster\.xyz' is not periodic"):
        exploration_runs(settings(structures=["cluster.xyz"]), base=tmp_path, seed=1, iteration=0)
