"""Relaxations with the reference's own forces: real calculators, killed and not."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from children import killed_when
from llzo_al.config.labelling import ASECalculator, ClassicalReference
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import EngineError, UserError
from llzo_al.labelling.base import make_labeller
from llzo_al.labelling.streaming import ChildDied
from llzo_al.structures.library import load_structure
from llzo_al.structures.relaxation import RelaxationRun


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))


def emt(calculator="ase.calculators.emt.EMT", **settings):
    return make_labeller(ASECalculator(engine="ase", calculator=calculator, **settings), ["Cu", "Fe"])


def classical():
    return make_labeller(ClassicalReference(engine="classical_reference"), ["Li", "La", "Zr", "O"])


def run_of(atoms, **changes):
    provenance = Provenance(
        source="materials_project", kind="Cu", group="materials_project/x", details={"material_id": "mp-30"}
    )
    values = {
        "frame": Frame.from_atoms(atoms, provenance),
        "group": "materials_project/x/relaxation",
        "kind": "Cu",
        "fmax_eV_per_A": 0.01,
    }
    return RelaxationRun(**{**values, **changes})


def copper(scale=1.05, seed=3):
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def test_a_path_ends_relaxed_and_every_frame_carries_its_label(tmp_path):
    run = run_of(copper())
    pairs = emt().relaxation(run, tmp_path, threads=1)
    steps = [frame.provenance.details["relaxation_step"] for frame, _ in pairs]
    assert steps == list(range(len(pairs)))
    assert len(pairs) > 3
    assert [frame.provenance.frame for frame, _ in pairs] == steps
    assert {frame.provenance.group for frame, _ in pairs} == {run.group}
    assert {frame.provenance.source for frame, _ in pairs} == {"materials_project"}
    assert {frame.provenance.details["material_id"] for frame, _ in pairs} == {"mp-30"}
    assert [frame.provenance.details.get("relaxed", False) for frame, _ in pairs] == [
        *[False] * (len(pairs) - 1),
        True,
    ]
    np.testing.assert_array_equal(pairs[0][0].positions_A, run.frame.positions_A)
    for frame, label in pairs:
        again = frame.to_atoms()
        again.calc = EMT()
        assert label.energy_eV == pytest.approx(again.get_potential_energy(), abs=1e-4)
        np.testing.assert_allclose(label.forces_eV_per_A, again.get_forces(), atol=1e-4)
        np.testing.assert_allclose(
            label.virial_eV, -again.get_stress(voigt=False) * again.get_volume(), atol=1e-3
        )
    last, label = pairs[-1]
    assert np.linalg.norm(label.forces_eV_per_A, axis=1).max() < 0.01
    assert np.abs(label.virial_eV).max() < 0.05
    assert last.cell_A[0, 0] == pytest.approx(3.59, abs=0.02)  # EMT's lattice constant of copper


def test_the_cell_stays_where_it_shall(tmp_path):
    run = run_of(copper(), cell=False)
    pairs = emt().relaxation(run, tmp_path, threads=1)
    for frame, _ in pairs:
        np.testing.assert_array_equal(frame.cell_A, run.frame.cell_A)
    assert pairs[-1][0].provenance.details["relaxed"]


def test_frames_between_are_left_out_but_never_the_ends(tmp_path):
    run = run_of(copper(), keep_every=4, steps_max=6, fmax_eV_per_A=1e-9)
    pairs = emt().relaxation(run, tmp_path, threads=1)
    assert [frame.provenance.details["relaxation_step"] for frame, _ in pairs] == [0, 4, 6]
    assert len(pairs) == run.n_snapshots


def test_spent_steps_are_told_and_nothing_is_called_relaxed(tmp_path, caplog):
    pairs = emt().relaxation(run_of(copper(), steps_max=2), tmp_path, threads=1)
    assert len(pairs) == 3
    assert not any(frame.provenance.details.get("relaxed") for frame, _ in pairs)
    assert "did not converge: forces above 0.01 eV/angstrom after 2 steps" in caplog.text


def test_a_killed_relaxation_goes_on_from_its_last_step(tmp_path):
    run = run_of(copper(), fmax_eV_per_A=0.002)
    path = tmp_path / "relaxation.jsonl"
    with (
        killed_when(
            lambda: path.exists() and path.read_text().count("\n") >= 4,
            "llzo_al.labelling.ase_relaxation_child",
        ),
        pytest.raises(ChildDied),
    ):
        emt("calculators.Slow").relaxation(run, tmp_path, threads=1)
    before = path.read_text().splitlines()[: path.read_text().count("\n")]
    with path.open("a") as handle:
        handle.write('{"step": 99, "torn')
    pairs = emt("calculators.Slow").relaxation(run, tmp_path, threads=1)
    assert path.read_text().splitlines()[: len(before)] == before
    steps = [frame.provenance.details["relaxation_step"] for frame, _ in pairs]
    assert steps == list(range(len(pairs)))
    assert pairs[-1][0].provenance.details["relaxed"]
    written = path.stat().st_size
    again = emt("calculators.Slow").relaxation(run, tmp_path, threads=1)
    assert path.stat().st_size == written
    assert len(again) == len(pairs)


def test_another_relaxation_in_the_directory_is_not_taken_up(tmp_path):
    emt().relaxation(run_of(copper(seed=5)), tmp_path, threads=1)
    run = run_of(copper(seed=6))
    pairs = emt().relaxation(run, tmp_path, threads=1)
    np.testing.assert_array_equal(pairs[0][0].positions_A, run.frame.positions_A)


def test_a_start_that_cannot_be_computed_is_an_error(tmp_path):
    with pytest.raises(EngineError, match=r"the start could not be computed.*Fe"):
        emt().relaxation(run_of(bulk("Fe", cubic=True)), tmp_path, threads=1)


def test_a_calculator_that_cannot_be_made_names_the_key(tmp_path):
    with pytest.raises(UserError, match=r"labelling\.calculator"):
        emt("ase.calculators.emt.EMTT").relaxation(run_of(copper()), tmp_path, threads=1)


def test_the_classical_reference_relaxes_a_crystal(tmp_path):
    atoms = load_structure("Li2O", base=Path())
    atoms.set_cell(atoms.cell * 1.04, scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    run = run_of(atoms, fmax_eV_per_A=0.02, steps_max=80)
    pairs = classical().relaxation(run, tmp_path / "path", threads=1)
    assert pairs[-1][0].provenance.details["relaxed"]
    assert pairs[-1][1].energy_eV < pairs[0][1].energy_eV
    assert np.abs(pairs[-1][1].virial_eV).max() < 0.5
    again = dict(classical().label([frame for frame, _ in pairs], tmp_path / "again"))
    for index, (_, label) in enumerate(pairs):
        assert label.energy_eV == pytest.approx(again[index].energy_eV, abs=1e-4)
        np.testing.assert_allclose(label.forces_eV_per_A, again[index].forces_eV_per_A, atol=1e-4)
        np.testing.assert_allclose(label.virial_eV, again[index].virial_eV, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"fmax_eV_per_A": 0.0}, "positive"), ({"steps_max": 0}, "at least 1"), ({"keep_every": 0}, "at least")],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        run_of(copper(), **changes)


def test_the_cell_of_a_cluster_cannot_relax():
    cluster = copper()
    cluster.pbc = (True, True, False)
    with pytest.raises(ValueError, match="not periodic"):
        run_of(cluster)
