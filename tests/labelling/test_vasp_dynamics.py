"""Dynamics and relaxations in VASP's stand-in: pieces, what is kept of them, and going on after a death."""

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vasp_cases import ELEMENTS, frame_of, labeller, make_potcars, oxide, reference_of, settings

from llzo_al.dataset.frames import Label
from llzo_al.errors import EngineError, TimeIsUp, UserError
from llzo_al.labelling.vasp import relax
from llzo_al.labelling.vasp.inputs import make_inputs
from llzo_al.labelling.vasp.outputs import read_vasp_run
from llzo_al.labelling.vasp.pieces import IonicRun, steps_of
from llzo_al.structures.reference_md import MDRun, Segment
from llzo_al.structures.relaxation import RelaxationRun


@pytest.fixture(autouse=True)
def _environment(tmp_path_factory, tmp_path, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path_factory.mktemp("psp"))))
    monkeypatch.setenv("LLZO_STANDIN_STATE", str(tmp_path / "count"))
    monkeypatch.delenv("CUSTODIAN_WALLTIME_START", raising=False)


def md_run(**given):
    segments = (
        Segment(steps=4, start_K=600, end_K=600, equilibration_steps=2, snapshot_steps=2),
        Segment(steps=3, start_K=600, end_K=300, snapshot_steps=3),
    )
    return MDRun(
        **{
            "frame": frame_of(oxide(1)),
            "group": "md/Li2O",
            "kind": "Li2O",
            "segments": segments,
            "timestep_fs": 1.0,
            "thermostat_time_fs": 50.0,
            "seed": 5,
            **given,
        }
    )


def incar_of(piece):
    lines = (piece / "INCAR").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def pieces_of(directory):
    return sorted(path for path in directory.iterdir() if path.name.startswith("piece-"))


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    """Dynamics in which VASP was killed once."""
    root = tmp_path_factory.mktemp("died")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(root / "psp")))
        patch.setenv("LLZO_STANDIN_STATE", str(root / "count"))
        patch.setenv("LLZO_STANDIN_FAULT", "killed:run=1")
        return labeller().snapshots(md_run(), root / "md", threads=1), root / "md"


def test_dynamics_go_on_after_vasp_dies(died, tmp_path, monkeypatch):
    run = md_run()
    pairs, directory = died
    assert [frame.provenance.details["step"] for frame, _ in pairs] == [4, 7]
    assert [frame.provenance.temperature_K for frame, _ in pairs] == [600, 300]
    died, first, second = pieces_of(directory)
    assert len(read_vasp_run(died).steps) == 2  # of 5: VASP was killed in its third
    tags = [incar_of(piece) for piece in (died, first, second)]
    assert [(each["TEBEG"], each["TEEND"]) for each in tags] == [("600.0", "600.0")] * 2 + [
        ("600.0", "300.0")
    ]
    assert len({each["RANDOM_SEED"] for each in tags}) == 3
    assert {each["LANGEVIN_GAMMA"] for each in tags} == {"20.0 20.0"}
    assert not list(directory.rglob("POTCAR"))
    expected = reference_of([frame for frame, _ in pairs], tmp_path / "direct")
    for (frame, label), direct in zip(pairs, expected, strict=True):
        assert label.energy_eV == pytest.approx(
            direct.energy_eV, abs=1e-4
        )  # positions are rounded in between
        np.testing.assert_allclose(label.forces_eV_per_A, direct.forces_eV_per_A, atol=1e-4)
        assert frame.provenance.details["potential_energy_eV"] == label.energy_eV
        assert label.program == "VASP 6.4.2"
        assert frame.symbols == run.frame.symbols
    # A second call finds everything there and starts nothing.
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "crash")
    again = labeller().snapshots(run, directory, threads=1)
    assert [label.energy_eV for _, label in again] == [label.energy_eV for _, label in pairs]
    assert len(pieces_of(directory)) == 3
    _check_continuity(run, directory)


def _check_continuity(run, directory):
    """Steps follow one another without a gap or a jump, over the ends of pieces too."""
    inputs = make_inputs(run.frame, settings(), ELEMENTS)
    steps = steps_of(IonicRun(labeller(), run.frame, inputs, directory).pieces(), newer=False)
    assert list(steps) == list(range(run.total_steps + 1))
    moved = [np.abs(steps[n + 1].positions_A - steps[n].positions_A).max() for n in range(run.total_steps)]
    assert min(moved) > 0
    assert max(moved) < 0.1


def test_a_contcar_that_is_cut_short_is_made_good(died, tmp_path):
    run, directory = md_run(), tmp_path / "md"
    inputs = make_inputs(run.frame, settings(), ELEMENTS)
    shutil.copytree(died[1], directory)
    shutil.rmtree(pieces_of(directory)[-1])
    contcar = pieces_of(directory)[-1] / "CONTCAR"
    ionic = IonicRun(labeller(), run.frame, inputs, directory)
    whole = ionic.next_start(ionic.pieces(), timestep_fs=1.0)
    contcar.write_text(contcar.read_text()[:300])
    made = ionic.next_start(ionic.pieces(), timestep_fs=1.0)
    # The stand-in's CONTCAR holds its last step, one made of two steps the next.
    assert (whole.step, made.step) == (4, 5)
    from pymatgen.io.vasp.inputs import Poscar

    first, second = Poscar.from_str(whole.poscar), Poscar.from_str(made.poscar)
    np.testing.assert_allclose(
        second.structure.cart_coords - first.structure.cart_coords, np.array(second.velocities), atol=1e-6
    )
    np.testing.assert_allclose(np.array(second.velocities), np.array(first.velocities), atol=2e-3)


def test_dynamics_at_another_level_of_theory_are_labelled_again(tmp_path):
    segments = (Segment(steps=1, start_K=300, end_K=300, snapshot_steps=1),)
    run = md_run(segments=segments, parameters={"ENCUT": 300})
    ((frame, label),) = labeller().snapshots(run, tmp_path / "low", threads=1)
    assert label is None
    assert incar_of(tmp_path / "low" / "piece-000")["ENCUT"] == "300.0"
    assert frame.provenance.details["md_parameters"] == {"ENCUT": 300}
    with pytest.raises(UserError, match=r"md/Li2O: parameters.ENCUTT: .* did you mean ENCUT"):
        labeller().snapshots(md_run(parameters={"ENCUTT": 300}), tmp_path / "typo", threads=1)
    with pytest.raises(UserError, match="how the atoms move"):
        labeller().snapshots(md_run(parameters={"SMASS": 0}), tmp_path / "motion", threads=1)


def test_snapshots_whose_electrons_did_not_converge_are_told_once_a_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "unconverged:run=1")
    segments = (Segment(steps=1, start_K=600, end_K=600, snapshot_steps=1),) * 2
    pairs = labeller().snapshots(md_run(segments=segments), tmp_path / "md", threads=1)
    assert [label is None for _, label in pairs] == [True, False]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == "md/Li2O: 1 of 2 snapshots whose electrons did not converge are labelled again"


def test_dynamics_that_never_start_tell_why(tmp_path, monkeypatch):
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "missing-library")
    with pytest.raises(EngineError, match="shared libraries"):
        labeller().snapshots(md_run(), tmp_path, threads=1)


@pytest.mark.slow
def test_dynamics_stop_before_the_time_limit_of_their_job(tmp_path, monkeypatch):
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "slow:run=1")
    monkeypatch.setenv("LLZO_STANDIN_SLOW_S", "3")
    now = dt.datetime.now().strftime("%a %b %d %H:%M:%S UTC %Y")
    monkeypatch.setenv("CUSTODIAN_WALLTIME_START", now)
    segments = (Segment(steps=40, start_K=300, end_K=300, snapshot_steps=40),)
    run = md_run(segments=segments)
    with pytest.raises(TimeIsUp, match="goes on from there in the next job"):
        labeller(walltime_s=60.0).snapshots(run, tmp_path / "md", threads=1)
    done = len(read_vasp_run(pieces_of(tmp_path / "md")[0]).steps)
    assert 3 <= done < 40
    ((frame, _),) = labeller().snapshots(run, tmp_path / "md", threads=1)
    assert frame.provenance.details["step"] == 40
    _check_continuity(run, tmp_path / "md")


KILLED = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_vasp_dynamics import labeller, md_run
labeller().snapshots(md_run(), Path({directory!r}), threads=1)
"""


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_step(tmp_path, monkeypatch):
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "slow:run=1")
    directory = tmp_path / "md"
    code = KILLED.format(path=[*sys.path, str(Path(__file__).parent)], directory=str(directory))
    process = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
    oszicar = directory / "piece-000" / "OSZICAR"
    while not oszicar.exists() or oszicar.read_text().count(" F= ") < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)
    before = read_vasp_run(directory / "piece-000").steps
    assert len(before) >= 2
    pairs = labeller().snapshots(md_run(), directory, threads=1)
    assert len(pairs) == 2
    inputs = make_inputs(md_run().frame, settings(), ELEMENTS)
    steps = steps_of(IonicRun(labeller(), md_run().frame, inputs, directory).pieces(), newer=False)
    for number, step in enumerate(before):
        assert steps[number].energy_eV == step.energy_eV
    _check_continuity(md_run(), directory)


def relaxation(**given):
    frame = frame_of(oxide(1))
    return RelaxationRun(**{"frame": frame, "group": "relax/Li2O", "kind": "Li2O", "cell": False, **given})


def test_a_relaxation_keeps_its_path(tmp_path, monkeypatch):
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "zbrent:run=1")
    pairs = labeller().relaxation(relaxation(), tmp_path / "relax", threads=1)
    assert len(pieces_of(tmp_path / "relax")) == 2
    energies = [label.energy_eV for _, label in pairs]
    assert energies[-1] < energies[0] - 0.1
    assert [frame.provenance.details["relaxation_step"] for frame, _ in pairs] == list(range(len(pairs)))
    assert [bool(frame.provenance.details.get("relaxed")) for frame, _ in pairs] == [False] * (
        len(pairs) - 1
    ) + [True]
    assert np.linalg.norm(pairs[-1][1].forces_eV_per_A, axis=1).max() <= 0.0501
    (direct,) = reference_of([pairs[-1][0]], tmp_path / "direct")
    assert pairs[-1][1].energy_eV == pytest.approx(direct.energy_eV, abs=1e-4)
    assert pairs[-1][1].program == "VASP 6.4.2"


def test_a_step_whose_electrons_did_not_converge_is_left_out_and_told(tmp_path, monkeypatch, caplog):
    def second_unconverged(pieces, *, newer):
        return {
            number: replace(step, converged=number != 1)
            for number, step in steps_of(pieces, newer=newer).items()
        }

    monkeypatch.setattr(relax, "steps_of", second_unconverged)
    pairs = labeller().relaxation(relaxation(steps_max=2), tmp_path / "relax", threads=1)
    assert [frame.provenance.details["relaxation_step"] for frame, _ in pairs] == [0, 2]
    told = "relax/Li2O: the electrons of 1 of 3 ionic steps did not converge; these steps are left out"
    assert told in caplog.text


def test_steps_in_a_foreign_basis_are_no_labels(tmp_path):
    run = relaxation(cell=True, keep_every=3, steps_max=7)
    pairs = labeller().relaxation(run, tmp_path / "relax", threads=1)
    assert [frame.provenance.details["relaxation_step"] for frame, _ in pairs] == [0, 3, 6, 7]
    assert [isinstance(label, Label) for _, label in pairs] == [True, False, False, False]
    assert not any("relaxed" in frame.provenance.details for frame, _ in pairs)
    volumes = [np.linalg.det(frame.cell_A) for frame, _ in pairs]
    assert volumes[0] != pytest.approx(volumes[-1], rel=1e-4)


@pytest.mark.slow
def test_unconverged_ionic_steps_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "unconverged:run=1")
    with pytest.raises(EngineError, match="none of 3 ionic steps converged"):
        labeller().relaxation(relaxation(steps_max=2), tmp_path / "relax", threads=1)
    monkeypatch.setenv("LLZO_STANDIN_FAULT", "missing-library")
    with pytest.raises(EngineError, match="could not be computed"):
        labeller().relaxation(relaxation(), tmp_path / "never", threads=1)
