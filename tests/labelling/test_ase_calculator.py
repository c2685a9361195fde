"""Labels by ASE calculators in child processes, well-behaved and not."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from pydantic import ValidationError

from children import killed_when, wait_until
from llzo_al.config.initial_data import ReferenceMD
from llzo_al.config.labelling import ASECalculator
from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.base import make_labeller
from llzo_al.labelling.streaming import ChildDied
from llzo_al.structures.reference_md import reference_md_runs

EMT_PATH = "ase.calculators.emt.EMT"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))


def labeller(calculator=EMT_PATH, **settings):
    return make_labeller(ASECalculator(engine="ase", calculator=calculator, **settings), ["Al", "Cu"])


def copper(height=None, seed=1):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    if height is not None:
        atoms.positions[0, 2] = height
    return atoms


def frame_of(atoms):
    return Frame.from_atoms(atoms, Provenance(source="test", kind="test", group="test"))


def labels_of(structures, directory, *, made=None, **settings):
    made = made or labeller(**settings)
    results = dict(made.label([frame_of(atoms) for atoms in structures], directory))
    assert sorted(results) == list(range(len(structures)))
    return [results[index] for index in range(len(structures))]


def test_labels_are_the_calculators_own_numbers(tmp_path):
    structures = [copper(), copper(seed=2)]
    for atoms, label in zip(structures, labels_of(structures, tmp_path), strict=True):
        again = frame_of(atoms).to_atoms()
        again.calc = EMT()
        assert label.energy_eV == again.get_potential_energy()
        np.testing.assert_array_equal(label.forces_eV_per_A, again.get_forces())
        np.testing.assert_array_equal(label.virial_eV, -again.get_stress(voigt=False) * again.get_volume())
        assert label.program == f"EMT (ase {version('ase')})"


def test_the_virial_is_the_derivative_of_the_energy(tmp_path):
    atoms, step = copper(), 1e-4
    structures = [atoms]
    for sign in (1, -1):
        strained = atoms.copy()
        strain = np.eye(3)
        strain[0, 0] += sign * step
        strained.set_cell(np.array(atoms.cell) @ strain, scale_atoms=True)
        structures.append(strained)
    label, plus, minus = labels_of(structures, tmp_path)
    slope = (plus.energy_eV - minus.energy_eV) / (2 * step)
    assert label.virial_eV[0, 0] == pytest.approx(-slope, abs=0.01)


def test_no_virial_without_periodicity_or_stress_or_wish(tmp_path):
    cluster = copper()
    cluster.pbc = (True, True, False)
    assert labels_of([cluster], tmp_path / "a")[0].virial_eV is None
    assert labels_of([copper()], tmp_path / "b", virials=False)[0].virial_eV is None
    without = labels_of([copper()], tmp_path / "c", calculator="calculators.WithoutStress")[0]
    assert isinstance(without, Label)
    assert without.virial_eV is None


def test_the_energy_is_the_one_that_forces_belong_to(tmp_path):
    plain = labels_of([copper()], tmp_path / "a")[0]
    free = labels_of([copper()], tmp_path / "b", calculator="calculators:FreeEnergy")[0]
    assert free.energy_eV == pytest.approx(plain.energy_eV - 0.5)


def test_a_crash_costs_its_own_frame_only(tmp_path):
    structures = [copper(), copper(0.111), copper(0.333), copper(0.444), copper(), copper(0.111), copper()]
    results = labels_of(structures, tmp_path, calculator="calculators.Fragile")
    assert [type(result) for result in results] == [
        *(Label, LabelFailure, LabelFailure, LabelFailure, Label, LabelFailure, Label)
    ]
    causes = [results[index].cause for index in (1, 2, 3, 5)]
    assert causes == ["crash", "not converged", "not finite", "crash"]
    assert "SIGSEGV" in results[1].reason
    assert "60 iterations" in results[2].reason
    assert "forces" in results[3].reason
    for index in (1, 2, 3, 5):  # for the quarantine
        assert (tmp_path / f"frame-{index}" / "child.log").is_file()
    assert "SCF did not converge" in (tmp_path / "frame-2" / "child.log").read_text()


def test_a_hanging_label_is_ended_by_its_time_limit(tmp_path):
    started = time.monotonic()
    results = labels_of([copper(0.222), copper()], tmp_path, calculator="calculators.Fragile", timeout_s=1.0)
    assert results[0].cause == "time limit"
    assert isinstance(results[1], Label)
    assert time.monotonic() - started < 20


def test_results_come_as_they_are_finished(tmp_path):
    made = labeller("calculators.Fragile")
    others = set(psutil.Process().children(recursive=True))
    results = made.label([frame_of(copper()), frame_of(copper(0.222))], tmp_path)
    index, label = next(results)
    assert (index, type(label)) == (0, Label)
    children = set(psutil.Process().children(recursive=True)) - others
    assert children
    results.close()
    assert not any(child.is_running() for child in children)


def test_a_labeller_that_always_dies_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("llzo_al.labelling.jobs.MAX_CRASHES", 2)
    with pytest.raises(EngineError, match="died on 3 frames"):
        labels_of([copper(0.111)] * 5, tmp_path, calculator="calculators.Fragile")


def test_a_bad_import_path_found_late_is_an_error_of_the_job(tmp_path):
    with pytest.raises(EngineError, match="no class or function 'Nothing'"):
        labels_of([copper()], tmp_path, calculator="calculators.Nothing")


@pytest.mark.parametrize("whole_group", [False, True])
def test_nothing_outlives_a_killed_caller(tmp_path, whole_group):
    """The calculator's own program included."""
    code = (
        "import sys; from pathlib import Path; import test_ase_calculator as t;"
        "t.labels_of([t.copper()], Path(sys.argv[1]), calculator='calculators.Spawning')"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], start_new_session=True)
    pid_file = tmp_path / "program.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text())
    program = psutil.Process(int(pid_file.read_text()))
    family = [*psutil.Process(caller.pid).children(recursive=True)]
    assert program in family
    if whole_group:
        os.killpg(caller.pid, signal.SIGKILL)
    else:
        caller.kill()
    caller.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    ("calculator", "parameters", "message"),
    [
        ("ase.calculators.emt.EMTT", {}, r"labelling\.calculator: .*Did you mean ase\.calculators\.emt\.EMT"),
        ("ase.calculators.nowhere.EMT", {}, r"labelling\.calculator: .*nowhere"),
        ("calculators.EnergyOnly", {}, r"labelling\.calculator: .*forces are needed"),
        (
            "ase.calculators.emt.EMT",
            {"asap_cutof": True},
            r"labelling\.parameters\.asap_cutof.*'asap_cutoff'",
        ),
        ("ase.build.bulk", {"name": "Cu", "colour": 1}, r"labelling\.parameters: .*colour"),
    ],
)
def test_preflight_names_the_key_to_blame(calculator, parameters, message):
    with pytest.raises(UserError, match=message):
        labeller(calculator, parameters=parameters).preflight()


def test_preflight_passes_what_works():
    labeller("ase.calculators.lj:LennardJones", parameters={"sigma": 2.3, "epsilon": 0.4}).preflight()


def test_physics_is_what_changes_the_label_and_nothing_else():
    plain = labeller(parameters={"asap_cutoff": True}).physics()
    same = labeller(
        "ase.calculators.emt:EMT",
        parameters={"asap_cutoff": True},
        run_parameters={"directory": "x"},
        threads=4,
        timeout_s=1.0,
        frames_per_job=2,
        virials=False,
    ).physics()
    assert plain == same
    assert plain != labeller().physics()
    assert plain != labeller(parameters={"asap_cutoff": True}, version="2").physics()


def test_parameters_that_cannot_be_written_down_are_refused():
    with pytest.raises(UserError, match=r"labelling\.parameters"):
        labeller(parameters={"cutoff": float("nan")})
    for key in ("run_parameters", "retry_parameters"):
        given = {"asap_cutoff": True}
        with pytest.raises(ValidationError, match="asap_cutoff stands in"):
            labeller(parameters=given, **{key: given if key == "run_parameters" else [given]})


def test_memory_has_its_limit(tmp_path):
    structures = [copper(0.555), copper(0.666), copper(0.777), copper()]
    results = labels_of(structures, tmp_path, calculator="calculators.Greedy", memory_limit_GB=0.7)
    assert [type(result) for result in results] == [LabelFailure, LabelFailure, LabelFailure, Label]
    assert {result.cause for result in results[:3]} == {"out of memory"}
    assert "memory limit of 0.7 GB" in results[0].reason
    assert "allocate" in results[1].reason
    assert "std::bad_alloc" in results[2].reason


def test_later_attempts_change_what_the_campaign_file_says(tmp_path):
    made = labeller(
        "calculators.Patient",
        run_parameters={"iterations": 10},
        retry_parameters=[{"iterations": 50}, {"iterations": 200}],
    )
    frames = [frame_of(copper())]
    results = [dict(made.label(frames, tmp_path, attempt=attempt))[0] for attempt in (1, 2, 3, 4)]
    assert [type(result) for result in results] == [LabelFailure, LabelFailure, Label, Label]
    assert [result.cause for result in results[:2]] == ["not converged"] * 2
    assert "after 50 iterations" in results[1].reason
    assert made.physics() == labeller("calculators.Patient").physics()
    with pytest.raises(UserError, match=r"colour.*retry_parameters\[1\]"):
        labeller(retry_parameters=[{}, {"colour": 1}]).preflight()


def test_charges_and_multiplicities_reach_a_calculator_that_takes_them(tmp_path):
    charged, radical, plain = copper(), copper(), copper()
    charged.info["charge"] = 2
    radical.info["multiplicity"] = 3
    taken = labels_of(
        [charged, radical, plain],
        tmp_path / "a",
        calculator="calculators.Charged",
        charge_parameter="charge",
        multiplicity_parameter="multiplicity",
        magnetic_moments_muB={"Cu": 0.5},
    )
    assert [label.energy_eV for label in taken] == [212.0, 32.0, 12.0]
    refused = labels_of([charged, radical, plain], tmp_path / "b", calculator="calculators.Charged")
    assert [getattr(result, "cause", "") for result in refused] == ["not supported", "not supported", ""]
    assert "labelling.charge_parameter" in refused[0].reason
    assert labeller(magnetic_moments_muB={"Cu": 0.5}).physics() != labeller().physics()


def md_run(tmp_path, **changes):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.write(tmp_path / "copper.extxyz")
    values = {
        "kind": "reference_md",
        "structures": ["copper.extxyz"],
        "temperatures_K": [600.0],
        "duration_ps": 0.4,
        "equilibration_ps": 0.1,
        "snapshot_interval_fs": 50.0,
        "timestep_fs": 5.0,
    }
    return reference_md_runs(ReferenceMD(**{**values, **changes}), base=tmp_path, seed=5)[0]


def test_snapshots_carry_the_labels_of_the_dynamics(tmp_path):
    run = md_run(tmp_path)
    made = labeller()
    pairs = made.snapshots(run, tmp_path / "md", threads=1)
    assert [frame.provenance.details["step"] for frame, _ in pairs] == list(range(30, 101, 10))
    assert [frame.provenance.frame for frame, _ in pairs] == list(range(8))
    assert {frame.provenance.group for frame, _ in pairs} == {"reference_md/copper.extxyz/600K/0"}
    again = dict(made.label([frame for frame, _ in pairs], tmp_path / "again"))
    for index, (_, label) in enumerate(pairs):
        # A frame's positions are rounded to 1e-6 angstrom, the dynamics' own are not.
        assert label.energy_eV == pytest.approx(again[index].energy_eV, abs=1e-4)
        np.testing.assert_allclose(label.forces_eV_per_A, again[index].forces_eV_per_A, atol=1e-4)
        np.testing.assert_allclose(label.virial_eV, again[index].virial_eV, atol=1e-3)


def test_the_thermostat_holds_the_temperature(tmp_path):
    run = md_run(tmp_path, duration_ps=4.0, equilibration_ps=0.5, snapshot_interval_fs=50.0)
    pairs = labeller(virials=False).snapshots(run, tmp_path / "md", threads=1)
    ground = bulk("Cu", cubic=True) * (2, 2, 2)
    ground.calc = EMT()
    potential = np.mean([label.energy_eV for _, label in pairs]) - ground.get_potential_energy()
    # Nearly harmonic: the mean potential energy of n atoms is 3/2 (n - 1) k T.
    assert potential / (1.5 * 31 * 8.617e-5) == pytest.approx(600, rel=0.12)


def test_a_killed_run_continues_as_if_nothing_had_happened(tmp_path):
    run = md_run(tmp_path, duration_ps=0.25, equilibration_ps=0.05)
    whole = labeller("calculators.Slow").snapshots(run, tmp_path / "whole", threads=1)

    directory = tmp_path / "killed"
    steps = directory / "snapshots.jsonl"

    with (
        killed_when(
            lambda: steps.exists() and steps.read_text().count("\n") >= 3, "llzo_al.labelling.ase_md_child"
        ),
        pytest.raises(ChildDied),
    ):
        labeller("calculators.Slow").snapshots(run, directory, threads=1)
    with steps.open("a") as handle:
        handle.write('{"step": 50, "torn')
    started = time.monotonic()
    resumed = labeller("calculators.Slow").snapshots(run, directory, threads=1)
    assert time.monotonic() - started < 60
    assert len(resumed) == len(whole) == run.n_snapshots
    for (frame, label), (expected_frame, expected) in zip(resumed, whole, strict=True):
        np.testing.assert_allclose(frame.positions_A, expected_frame.positions_A, atol=2e-6)
        assert label.energy_eV == pytest.approx(expected.energy_eV, abs=1e-6)


def test_a_finished_run_is_not_repeated(tmp_path):
    run = md_run(tmp_path)
    first = labeller().snapshots(run, tmp_path / "md", threads=1)
    written = (tmp_path / "md" / "checkpoint.json").stat().st_mtime_ns
    second = labeller().snapshots(run, tmp_path / "md", threads=1)
    assert (tmp_path / "md" / "checkpoint.json").stat().st_mtime_ns == written
    assert [label.energy_eV for _, label in first] == [label.energy_eV for _, label in second]


def test_an_exploding_run_keeps_the_snapshots_before(tmp_path, caplog):
    run = md_run(tmp_path)
    pairs = labeller("calculators.Unstable").snapshots(run, tmp_path / "md", threads=1)
    assert 0 < len(pairs) < run.n_snapshots
    assert "not finite" in caplog.text


def test_a_run_without_a_snapshot_is_an_error(tmp_path):
    bulk("Fe", cubic=True).write(tmp_path / "iron.extxyz")
    run = md_run(tmp_path, structures=["iron.extxyz"])
    with pytest.raises(EngineError, match=r"no snapshot.*Fe"):
        labeller().snapshots(run, tmp_path / "md", threads=1)
