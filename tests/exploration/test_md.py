"""Molecular dynamics with the classical reference."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms

from exploration_cases import ELEMENTS, REFERENCE, classical_run, start_frame
from llzo_al.config.exploration import Guard
from llzo_al.dataset.frames import Frame
from llzo_al.errors import EngineError, UserError
from llzo_al.exploration.md import GUARD_FRAME, TRAJECTORY, MDResult, read_trajectory, run_md
from llzo_al.exploration.potential import LammpsPotential
from llzo_al.exploration.trajectory import scan_trajectory
from llzo_al.labelling.base import make_labeller
from llzo_al.process import engine_environment
from llzo_al.progress import read_progress
from md_process import LONG_RUN


def frames_of(directory: Path):
    return read_trajectory(directory / TRAJECTORY)


def assert_labels_agree(frames, directory):
    """Energies, forces and virials against single points of the labeller, a LAMMPS run of its own."""
    labels = dict(make_labeller(REFERENCE, ELEMENTS).label([md.frame for md in frames], directory))
    for index, md in enumerate(frames):
        label = labels[index]
        assert md.energy_eV == pytest.approx(label.energy_eV, abs=1e-4)
        np.testing.assert_allclose(md.forces_eV_per_A, label.forces_eV_per_A, atol=2e-4)
        np.testing.assert_allclose(md.virial_eV, label.virial_eV, atol=2e-3)


def assert_same_frames(found, expected, *, atol):
    assert [md.step for md in found] == [md.step for md in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.frame.positions_A, other.frame.positions_A, atol=atol)
        np.testing.assert_allclose(one.frame.cell_A, other.frame.cell_A, atol=atol)
        assert one.energy_eV == pytest.approx(other.energy_eV, abs=100 * atol)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    return directory, run_md(classical_run(), directory)


def test_a_run_keeps_every_frame_with_its_labels(finished, tmp_path):
    directory, result = finished
    assert (result.ended, result.stable, result.steps_done) == ("completed", True, 100)
    assert result.resumed_from_step is None
    assert result.max_deviation_eV_per_A is None
    assert set(result.timings) == {"startup_s", "engine_s", "frames_s"}
    assert MDResult.from_dict(result.as_dict()) == result
    frames = frames_of(directory)
    assert [md.step for md in frames] == list(range(0, 101, 10))
    assert len(frames) == result.n_frames
    assert frames[-1].time_ps == 0.1
    start = classical_run().frame
    assert frames[0].frame.symbols == start.symbols
    np.testing.assert_array_equal(frames[0].frame.positions_A, start.positions_A)
    assert frames[0].temperature_K == pytest.approx(600.0)
    assert_labels_agree(frames, tmp_path)


def test_velocities_start_without_drift_or_rotation(finished):
    frames = frames_of(finished[0])
    atoms = frames[0].frame.to_atoms()
    moved = frames[-1].frame.positions_A - frames[0].frame.positions_A
    drift = atoms.get_masses() @ moved / atoms.get_masses().sum()
    np.testing.assert_allclose(drift, 0.0, atol=1e-6)


def test_frames_do_not_depend_on_how_often_they_are_taken(finished, tmp_path):
    run_md(classical_run(frame_interval_steps=50), tmp_path)
    assert_same_frames(frames_of(tmp_path), frames_of(finished[0])[::5], atol=1e-9)


def test_another_seed_gives_another_trajectory(finished, tmp_path):
    run_md(classical_run(seed=12, steps=10), tmp_path)
    assert (
        abs(frames_of(tmp_path)[1].frame.positions_A - frames_of(finished[0])[1].frame.positions_A).max()
        > 0.01
    )


def test_the_thermostat_holds_the_temperature(tmp_path):
    run_md(classical_run(LONG_RUN.frame, steps=1500, frame_interval_steps=25, temperature_K=900.0), tmp_path)
    temperatures_K = [md.temperature_K for md in frames_of(tmp_path) if md.time_ps >= 0.5]
    # 96 atoms: the mean of 40 frames scatters by less than 20 K.
    assert np.mean(temperatures_K) == pytest.approx(900.0, abs=60.0)


@pytest.mark.parametrize("ensemble", ["nvt", "npt"])
@pytest.mark.parametrize("handed", [1, -1])
def test_a_triclinic_cell_keeps_its_orientation(tmp_path, ensemble, handed):
    frame = start_frame("t-LLZO", primitive=True)
    frame = replace(
        frame, positions_A=frame.positions_A * [1, 1, handed], cell_A=frame.cell_A * [1, 1, handed]
    )
    assert np.sign(np.linalg.det(frame.cell_A)) == handed
    result = run_md(classical_run(frame, ensemble=ensemble, steps=20, pressure_bar=-40000.0), tmp_path / "md")
    frames = frames_of(tmp_path / "md")
    assert result.stable
    assert frames[0].frame.symbols == frame.symbols
    np.testing.assert_allclose(frames[0].frame.positions_A, frame.positions_A, atol=1.1e-6)
    np.testing.assert_allclose(frames[0].frame.cell_A, frame.cell_A, atol=1.1e-6)
    assert abs(frames[-1].frame.positions_A - frame.positions_A).max() < 0.8
    changed = abs(frames[-1].frame.cell_A - frame.cell_A).max()
    assert (changed > 1e-4) == (ensemble == "npt")
    assert changed < 0.5
    assert_labels_agree(frames[::2], tmp_path / "labels")


def test_npt_of_an_orthogonal_cell_keeps_its_angles(tmp_path):
    result = run_md(classical_run(ensemble="npt", steps=200, frame_interval_steps=50), tmp_path)
    assert result.stable
    cells = np.array([md.frame.cell_A for md in frames_of(tmp_path)])
    assert not (cells * (1 - np.eye(3))).any()
    lengths = np.diagonal(cells, axis1=1, axis2=2)
    assert np.ptp(lengths, axis=0).min() > 1e-4
    assert len(set(lengths[-1])) == 3


def test_npt_follows_the_pressure(tmp_path):
    volumes = {}
    for pressure_bar in (0.0, 300000.0):
        inputs = classical_run(
            LONG_RUN.frame,
            ensemble="npt",
            pressure_bar=pressure_bar,
            steps=500,
            frame_interval_steps=100,
            barostat_time_fs=200.0,
        )
        run_md(inputs, tmp_path / f"{pressure_bar:g}")
        volumes[pressure_bar] = frames_of(tmp_path / f"{pressure_bar:g}")[-1].frame.to_atoms().get_volume()
    assert volumes[300000.0] < 0.95 * volumes[0.0]


def test_steps_behind_the_last_interval_are_run_without_a_frame(tmp_path):
    result = run_md(classical_run(steps=25), tmp_path)
    assert (result.steps_done, result.n_frames, result.ended) == (25, 3, "completed")


def test_the_guard_sets_the_first_close_pair_aside(finished, tmp_path):
    distances = {}
    for md in frames_of(finished[0]):
        every = md.frame.to_atoms().get_all_distances(mic=True)
        symbols = np.array(md.frame.symbols)
        distances[md.step] = every[np.ix_(symbols == "Li", symbols == "O")].min()
    limit = 0.5 * (distances[0] + min(distances.values()))
    expected = next(step for step, distance in distances.items() if distance < limit)
    guard = Guard(
        min_distance_fraction=0.1, min_distances_A={"Li-O": float(limit)}, max_temperature_factor=50.0
    )
    result = run_md(classical_run(guard=guard), tmp_path)
    assert re.fullmatch(
        rf"guard: Li-O {distances[expected]:.2f} Å < {limit:.2f} Å at step {expected}", result.ended
    )
    assert not result.stable
    assert result.steps_done == expected - 10
    assert [md.step for md in frames_of(tmp_path)] == list(range(0, expected, 10))
    (rejected,) = read_trajectory(tmp_path / GUARD_FRAME)
    assert rejected.step == expected
    assert_same_frames([rejected], [frames_of(finished[0])[expected // 10]], atol=1e-6)


def test_the_guard_looks_at_the_start_too(tmp_path):
    result = run_md(classical_run(guard=Guard(min_distances_A={"Li-O": 4.0})), tmp_path)
    assert re.fullmatch(r"guard: Li-O 1\.\d\d Å < 4\.00 Å at step 0", result.ended)
    assert (result.n_frames, result.steps_done) == (0, 0)
    assert frames_of(tmp_path) == []


def test_the_guard_ends_a_run_that_gets_hot(tmp_path):
    frame = start_frame(rattle_A=0.25)
    guard = Guard(min_distance_fraction=0.1, max_temperature_factor=1.5)
    result = run_md(classical_run(frame, guard=guard, temperature_K=100.0, seed=2), tmp_path)
    assert re.fullmatch(r"guard: temperature \d+ K > 150 K at step \d+", result.ended)


@pytest.mark.parametrize("guard", [None, Guard(min_distance_fraction=0.01, max_temperature_factor=1e6)])
def test_a_run_that_lammps_gives_up_ends_like_one_that_the_guard_ends(tmp_path, guard):
    result = run_md(classical_run(timestep_fs=60.0, guard=guard), tmp_path)
    assert not result.stable
    assert result.ended.startswith("guard: ")
    assert re.search(r"between steps \d+ and \d+$|at step \d+$", result.ended)
    assert [md.step for md in frames_of(tmp_path)] == list(range(0, result.steps_done + 1, 10))


def collapsed() -> Frame:
    """Two oxygen atoms where the Buckingham potential has its hole."""
    frame = start_frame()
    oxygen = [index for index, symbol in enumerate(frame.symbols) if symbol == "O"]
    positions = frame.positions_A.copy()
    positions[oxygen[0]] = positions[oxygen[1]] + [0.15, 0.1, 0.0]
    return replace(frame, positions_A=positions)


def test_a_collapse_is_caught_by_the_distance(tmp_path):
    result = run_md(classical_run(collapsed(), guard=Guard()), tmp_path)
    assert result.ended == "guard: O-O 0.18 Å < 0.79 Å at step 0"


@pytest.mark.parametrize("lost", ["half a frame", "a restart file", "a whole restart file"])
def test_an_interrupted_run_goes_on_from_its_restart_file(finished, tmp_path, lost):
    inputs = classical_run()
    run_md(inputs, tmp_path)
    trajectory = tmp_path / TRAJECTORY
    whole = trajectory.read_bytes()
    (tmp_path / "restart-100.bin").unlink()
    expected_start: int | None = 50
    if lost == "half a frame":
        trajectory.write_bytes(whole[:-700])
    elif lost == "a restart file":
        data = (tmp_path / "restart-50.bin").read_bytes()
        (tmp_path / "restart-100.bin").write_bytes(data[: len(data) // 2])
        (tmp_path / "restart-100.tmp").write_bytes(data[:100])
    else:
        (tmp_path / "restart-50.bin").unlink()
        expected_start = None
    result = run_md(inputs, tmp_path)
    assert result.resumed_from_step == expected_start
    assert (result.n_frames, result.ended, result.steps_done) == (11, "completed", 100)
    kept = scan_trajectory(trajectory).ends[5]
    assert trajectory.read_bytes()[:kept] == whole[:kept]
    assert_same_frames(frames_of(tmp_path), frames_of(finished[0]), atol=2e-6)
    if lost == "a restart file":
        useless, instead = result.notes
        assert useless.startswith("the restart file restart-100.bin was of no use: LAMMPS: ")
        assert "\n" not in useless
        assert instead == "it went on from step 50"
    else:
        assert result.notes == ()


def test_other_inputs_start_anew(finished, tmp_path):
    run_md(classical_run(seed=12), tmp_path)
    result = run_md(classical_run(), tmp_path)
    assert result.resumed_from_step is None
    assert_same_frames(frames_of(tmp_path), frames_of(finished[0]), atol=1e-9)


def test_a_trajectory_that_lacks_frames_is_not_continued(tmp_path):
    run_md(classical_run(), tmp_path)
    (tmp_path / TRAJECTORY).write_bytes(b"")
    result = run_md(classical_run(), tmp_path)
    assert (result.resumed_from_step, result.n_frames) == (None, 11)
    assert result.notes == (
        "the restart file restart-100.bin was of no use: the trajectory lacks frames up to step 100",
        "the restart file restart-50.bin was of no use: the trajectory lacks frames up to step 50",
        "it began anew",
    )


def test_results_of_earlier_versions_are_read(finished):
    data = finished[1].as_dict()
    assert MDResult.from_dict(json.loads(json.dumps(data))) == finished[1]
    del data["notes"]
    assert MDResult.from_dict(data).notes == ()


def test_progress_of_a_continued_run_counts_from_its_restart_file(tmp_path):
    run_md(classical_run(), tmp_path)
    (tmp_path / "restart-100.bin").unlink()
    script = (
        "import json; from pathlib import Path; from llzo_al.exploration import md_child\n"
        "md_child.ProgressFile.begin = lambda self, done, detail='': Path('begun').write_text(str(done))\n"
        "md_child.work(json.loads(Path('spec.json').read_text()), Path.cwd())\n"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=engine_environment(),
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "begun").read_text() == "50"


@pytest.mark.kill
@pytest.mark.parametrize("victim", ["child", "parent"])
def test_a_killed_run_is_continued_without_gaps_or_repetitions(tmp_path, victim):
    script = Path(__file__).parents[1] / "md_process.py"
    parent = psutil.Popen([sys.executable, str(script), str(tmp_path)], stderr=subprocess.DEVNULL)
    restarts: list[Path] = []
    while len(restarts) < 2 and parent.poll() is None:
        time.sleep(0.02)
        restarts = list(tmp_path.glob("restart-*.bin"))
    (child,) = parent.children()
    (child if victim == "child" else parent).send_signal(signal.SIGKILL)
    psutil.wait_procs([child, parent], timeout=20)
    assert not child.is_running()
    assert parent.wait() != 0
    before = frames_of_whole(tmp_path)
    assert len(before) < LONG_RUN.steps // 20, "killed too late to show anything"
    (told,) = read_progress(tmp_path / "progress")
    assert told.task.endswith(LONG_RUN.frame.provenance.group)
    assert (told.total, told.unit) == (LONG_RUN.steps, "steps")
    assert 0 <= told.done < LONG_RUN.steps
    result = run_md(LONG_RUN, tmp_path)
    assert result.resumed_from_step is not None
    assert result.resumed_from_step >= 200
    assert result.resumed_from_step % 200 == 0
    assert (result.steps_done, result.ended) == (LONG_RUN.steps, "completed")
    after = frames_of(tmp_path)
    assert [md.step for md in after] == list(range(0, LONG_RUN.steps + 1, 20))
    kept = result.resumed_from_step // 20 + 1
    assert_same_frames(after[:kept], before[:kept], atol=1e-12)
    assert_same_frames(after[kept : len(before)][:3], before[kept:][:3], atol=1e-4)


def frames_of_whole(directory: Path):
    """Frames of a trajectory whose last one may be cut."""
    path = directory / TRAJECTORY
    whole = path.read_bytes()[: scan_trajectory(path).ends[-1]]
    (directory / "whole.extxyz").write_bytes(whole)
    return read_trajectory(directory / "whole.extxyz")


def test_progress_is_taken_back_at_the_end(tmp_path):
    progress = tmp_path / "progress" / "md.json"
    run_md(classical_run(steps=20), tmp_path / "md", progress=progress)
    assert progress.parent.is_dir()
    assert read_progress(progress.parent) == []


def test_a_refused_command_is_an_engine_error(tmp_path):
    potential = LammpsPotential(commands=("pair_style lj/cut 5.0", "pair_coeff * * nonsense"))
    with pytest.raises(
        EngineError, match=r"LAMMPS: Incorrect args.*; the command was: pair_coeff \* \* nonsense"
    ):
        run_md(classical_run(potential=potential), tmp_path)


def test_a_missing_plugin_is_an_engine_error(tmp_path):
    potential = LammpsPotential(commands=("pair_style deepmd model.pb", "pair_coeff * *"))
    with pytest.raises(EngineError, match="plugin for LAMMPS was not loaded"):
        run_md(classical_run(potential=potential), tmp_path)


def test_a_missing_model_is_an_engine_error(tmp_path):
    potential = LammpsPotential(commands=("pair_style deepmd none.pb",), models=("/nowhere/none.pb",))
    with pytest.raises(EngineError, match=r"/nowhere/none\.pb: the model file is missing"):
        run_md(classical_run(potential=potential), tmp_path)


def test_a_pair_that_is_none_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="'LiO' is not a pair"):
        run_md(classical_run(guard=Guard.model_construct(min_distances_A={"LiO": 1.0})), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elements": ("Li", "Zr")}, "the frame holds O"),
        ({"temperature_K": 0.0}, "temperature_K is 0.0"),
        ({"steps": 0}, "steps is 0"),
        ({"seed": 0}, "seed is 0"),
        (
            {"potential": LammpsPotential(commands=(), deviation_file="d", deviation_interval_steps=4)},
            "does not divide the frame interval of 10 steps",
        ),
        ({"potential": LammpsPotential(commands=(), charges_e=(1.0,))}, "1 charges for 4 elements"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        classical_run(**changes)


def test_a_frame_without_periodicity_is_refused():
    molecule = Atoms("LiO", [[0, 0, 0], [0, 0, 1.7]], cell=[10, 10, 10], pbc=[True, True, False])
    with pytest.raises(ValueError, match="periodic in three directions"):
        classical_run(Frame.from_atoms(molecule, start_frame().provenance))
