"""The classical reference against an independent sum over pairs in numpy."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.neighborlist import neighbor_list
from scipy.spatial.transform import Rotation
from scipy.special import erfc

from llzo_al.config.initial_data import ReferenceMD
from llzo_al.config.labelling import ClassicalReference
from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.errors import EngineError, UserError
from llzo_al.exploration.md import read_trajectory
from llzo_al.labelling.base import make_labeller
from llzo_al.labelling.classical import BUCKINGHAM, CHARGES_E, lammps_potential
from llzo_al.process import engine_environment
from llzo_al.structures.library import load_structure
from llzo_al.structures.reference_md import reference_md_runs

ELEMENTS = ["Li", "La", "Zr", "O"]
ALPHA, CUTOFF = 0.3, 6.0
COULOMB = 1.0 / (4 * np.pi * units._eps0) * units._e / 1e-10
"""e^2/(4 pi eps0) in eV angstrom."""
PROVENANCE = Provenance(source="test", kind="test", group="test")


def frame_of(atoms):
    return Frame.from_atoms(atoms, PROVENANCE)


def label_all(structures, directory, **settings):
    labeller = make_labeller(ClassicalReference(engine="classical_reference", **settings), ELEMENTS)
    frames = [atoms if isinstance(atoms, Frame) else frame_of(atoms) for atoms in structures]
    results = dict(labeller.label(frames, directory))
    assert sorted(results) == list(range(len(frames)))
    return [results[index] for index in range(len(frames))]


def reference(atoms):
    """Energy, forces and virial: Buckingham, shifted, and Fennell and Gezelter's Eq. 19 with the self "
    "term."""
    i, j, d, vectors = neighbor_list("ijdD", atoms, CUTOFF)
    symbols = np.array(atoms.get_chemical_symbols())
    charges = np.array([CHARGES_E[symbol] for symbol in symbols])

    def v(r):
        return erfc(ALPHA * r) / r

    def dv(r):
        return -erfc(ALPHA * r) / r**2 - 2 * ALPHA / np.sqrt(np.pi) * np.exp(-((ALPHA * r) ** 2)) / r

    kqq = COULOMB * charges[i] * charges[j]
    energy = kqq * (v(d) - v(CUTOFF) - dv(CUTOFF) * (d - CUTOFF))
    slope = kqq * (dv(d) - dv(CUTOFF))
    for (first, second), (a, rho, c) in BUCKINGHAM.items():
        here = ((symbols[i] == first) & (symbols[j] == second)) | (
            (symbols[i] == second) & (symbols[j] == first)
        )
        r = d[here]
        energy[here] += a * np.exp(-r / rho) - c / r**6 - a * np.exp(-CUTOFF / rho) + c / CUTOFF**6
        slope[here] += -a / rho * np.exp(-r / rho) + 6 * c / r**7
    per_charge = (v(CUTOFF) - dv(CUTOFF) * CUTOFF) / 2 + ALPHA / np.sqrt(np.pi)
    total = energy.sum() / 2 - COULOMB * per_charge * (charges**2).sum()
    pair_forces = (slope / d)[:, None] * vectors
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, pair_forces)
    return total, forces, -np.einsum("na,nb->ab", vectors, pair_forces) / 2


def rattled(name="t-LLZO", std=0.1, seed=7, **arguments):
    atoms = load_structure(name, base=Path(), **arguments)
    atoms.positions += np.random.default_rng(seed).normal(scale=std, size=atoms.positions.shape)
    return atoms


def dimer(first, second, distance, pbc=False):
    return Atoms([first, second], [[1, 2, 3], [1 + distance, 2, 3]], cell=[20] * 3, pbc=pbc)


def test_energies_forces_and_virials_equal_the_sum_over_pairs(tmp_path):
    structures = [
        dimer("Li", "O", 1.9),
        dimer("O", "O", 2.5, pbc=True),
        dimer("Zr", "La", 3.1),
        dimer("Zr", "O", 7.0),
        rattled(primitive=True),
        rattled("Li2O", primitive=True),
        rattled("ZrO2"),
        rattled("La2O3", supercell=[2, 1, 1]),
    ]
    structures[5].positions -= 30.0  # outside of the cell
    for atoms, label in zip(structures, label_all(structures, tmp_path), strict=True):
        energy, forces, virial = reference(frame_of(atoms).to_atoms())
        assert isinstance(label, Label), label
        assert re.fullmatch(r"LAMMPS 20\d{6}", label.program)
        # LAMMPS's coul/dsf takes erfc from a polynomial that is good to 1.5e-7.
        assert label.energy_eV == pytest.approx(energy, abs=1e-4 * len(atoms))
        np.testing.assert_allclose(label.forces_eV_per_A, forces, atol=5e-5)
        if atoms.pbc.all():
            np.testing.assert_allclose(label.virial_eV, virial, atol=2e-3)
        else:
            assert label.virial_eV is None


def test_forces_and_virial_are_derivatives_of_the_energy(tmp_path):
    atoms = rattled("ZrO2")
    step = 1e-3
    structures = [atoms]
    for sign in (1, -1):
        for atom, axis in ((0, 0), (5, 1), (11, 2)):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            structures.append(moved)
        for a, b in ((0, 0), (2, 2), (0, 1), (1, 2)):
            strained = atoms.copy()
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            strained.set_cell(np.array(atoms.cell) @ strain, scale_atoms=True)
            structures.append(strained)
    labels = label_all(structures, tmp_path)
    slopes = [
        (plus.energy_eV - minus.energy_eV) / (2 * step)
        for plus, minus in zip(labels[1:8], labels[8:], strict=True)
    ]
    forces = labels[0].forces_eV_per_A
    np.testing.assert_allclose(
        slopes[:3], [-forces[0, 0], -forces[5, 1], -forces[11, 2]], rtol=1e-3, atol=3e-3
    )
    virial = labels[0].virial_eV
    np.testing.assert_allclose(virial, virial.T, atol=1e-9)
    np.testing.assert_allclose(
        slopes[3:], [-virial[0, 0], -virial[2, 2], -virial[0, 1], -virial[1, 2]], rtol=1e-3, atol=0.02
    )


def test_labels_do_not_depend_on_order_orientation_or_choice_of_cell(tmp_path):
    atoms = rattled(primitive=True)
    order = np.random.default_rng(3).permutation(len(atoms))
    turn = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()
    turned = atoms.copy()
    turned.set_cell(np.array(atoms.cell) @ turn.T)
    turned.positions = atoms.positions @ turn.T
    mirrored = atoms.copy()
    mirrored.set_cell(np.array(atoms.cell)[[1, 0, 2]])
    doubled = atoms * (1, 1, 2)
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ np.array(atoms.cell))
    plain, permuted, rotated, left, twice, tilted = label_all(
        [atoms, atoms[order], turned, mirrored, doubled, skewed], tmp_path
    )
    close = {"atol": 5e-4}  # frames are kept on a grid of 1e-6 angstrom
    for other, factor in ((permuted, 1), (rotated, 1), (left, 1), (twice, 2), (tilted, 1)):
        assert other.energy_eV == pytest.approx(factor * plain.energy_eV, abs=1e-3)
    np.testing.assert_allclose(permuted.forces_eV_per_A, plain.forces_eV_per_A[order], atol=1e-9)
    np.testing.assert_allclose(rotated.forces_eV_per_A, plain.forces_eV_per_A @ turn.T, **close)
    np.testing.assert_allclose(rotated.virial_eV, turn @ plain.virial_eV @ turn.T, atol=5e-3)
    for same in (left, tilted):
        np.testing.assert_allclose(same.forces_eV_per_A, plain.forces_eV_per_A, **close)
        np.testing.assert_allclose(same.virial_eV, plain.virial_eV, atol=5e-3)
    np.testing.assert_allclose(twice.forces_eV_per_A[:96], plain.forces_eV_per_A, **close)


def test_the_primitive_cell_of_llzo_has_half_the_energy(tmp_path):
    whole, half = label_all(
        [load_structure("t-LLZO", base=tmp_path, primitive=flag) for flag in (False, True)], tmp_path
    )
    assert 2 * half.energy_eV == pytest.approx(whole.energy_eV, abs=1e-3)
    assert whole.energy_eV == pytest.approx(-4203.3, abs=0.1)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False), (False, False, False)])
def test_open_directions_have_no_images(pbc, tmp_path):
    atoms = load_structure("ZrO2", base=tmp_path)
    atoms.pbc = pbc
    (label,) = label_all([atoms], tmp_path)
    energy, forces, _ = reference(frame_of(atoms).to_atoms())
    assert label.energy_eV == pytest.approx(energy, abs=5e-4)
    np.testing.assert_allclose(label.forces_eV_per_A, forces, atol=5e-5)
    assert label.virial_eV is None


def test_a_molecule_needs_no_cell(tmp_path):
    atoms = Atoms("Li2O", [[0, 0, 0], [3, 0, 0], [1.5, 1, 0]])
    (label,) = label_all([atoms], tmp_path)
    assert label.energy_eV == pytest.approx(reference(atoms)[0], abs=1e-4)


def test_the_energy_is_continuous_at_the_cutoff(tmp_path):
    distances = np.linspace(CUTOFF - 0.01, CUTOFF + 0.01, 9)
    energies = [label.energy_eV for label in label_all([dimer("O", "O", d) for d in distances], tmp_path)]
    assert max(abs(b - a) for a, b in pairwise(energies)) < 1e-5


def test_overlapping_and_charged_frames_fail_alone(tmp_path):
    good = dimer("Li", "O", 1.9, pbc=True)
    charged = Frame(
        symbols=("Li",), positions_A=np.zeros((1, 3)), cell_A=np.eye(3) * 20, charge=1, provenance=PROVENANCE
    )
    flat = Frame(
        symbols=("Li",), positions_A=np.zeros((1, 3)), cell_A=np.zeros((3, 3)), provenance=PROVENANCE
    )
    results = label_all([dimer("O", "O", 0.0, pbc=True), good, charged, flat, good], tmp_path)
    failures = [results[0], results[2], results[3]]
    assert all(isinstance(result, LabelFailure) for result in failures), results
    assert failures[0].cause == "not finite"
    assert [result.cause for result in failures[1:]] == ["not supported"] * 2
    assert isinstance(results[1], Label)
    assert results[4].energy_eV == results[1].energy_eV


def test_one_start_of_lammps_labels_all_frames(tmp_path):
    label_all([dimer("Li", "O", 1.9)] * 5, tmp_path)
    assert (tmp_path / "lammps.log").read_text().count("\nLAMMPS (") <= 1


def test_lammps_starts_without_tensorflow_and_deepmd(tmp_path):
    code = (
        "import sys; from pathlib import Path; from llzo_al.labelling.classical_child import ClassicalEngine;"
        "from llzo_al.labelling.classical import lammps_potential;"
        "from llzo_al.config.labelling import ClassicalReference;"
        "potential = lammps_potential(ClassicalReference(engine='classical_reference'), ['Li', 'O']);"
        "ClassicalEngine(elements=['Li', 'O'], potential=potential, cutoff_A=6.0, log=Path('none'));"
        "assert 'lammps' in sys.modules; assert not {'deepmd', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    environment = engine_environment(deepmd_plugin=False)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60, cwd=tmp_path)


def test_preflight_passes_here_and_says_what_is_missing(monkeypatch):
    labeller = make_labeller(ClassicalReference(engine="classical_reference"), ELEMENTS)
    labeller.preflight()
    monkeypatch.setattr(
        "llzo_al.labelling.classical.engine_environment",
        lambda **_: {**engine_environment(deepmd_plugin=False), "LD_LIBRARY_PATH": ""},
    )
    with pytest.raises(UserError, match=r"labelling\.engine.*pip install"):
        labeller.preflight()


def test_physics_is_what_changes_the_label_and_nothing_else():
    def physics(elements=ELEMENTS, **settings):
        return make_labeller(ClassicalReference(engine="classical_reference", **settings), elements).physics()

    plain = physics()
    assert plain == physics(frames_per_job=3) == physics(elements=ELEMENTS[::-1])
    assert plain["format"] == 1
    assert physics(cutoff_A=7.0) != plain
    assert physics(damping_per_A=0.2) != plain


def test_the_potential_follows_the_order_of_the_elements():
    settings = ClassicalReference(engine="classical_reference")
    potential = lammps_potential(settings, ["O", "Li"])
    assert potential.charges_e == (-2.0, 1.0)
    assert "pair_coeff 1 2 buck 632.1018 0.2906 0.0" in potential.commands
    assert not potential.needs_deepmd


def test_an_unknown_element_is_refused():
    with pytest.raises(UserError, match=r"labelling\.engine.*not Al"):
        make_labeller(ClassicalReference(engine="classical_reference"), ["Li", "Al", "O"])


def md_run(tmp_path, **changes):
    values = {
        "kind": "reference_md",
        "structures": ["t-LLZO"],
        "primitive": True,
        "temperatures_K": [600.0],
        "duration_ps": 0.3,
        "equilibration_ps": 0.15,
        "snapshot_interval_fs": 100.0,
    }
    return reference_md_runs(ReferenceMD(**{**values, **changes}), base=tmp_path, seed=2)[0]


def test_snapshots_are_visited_by_the_reference_itself(tmp_path):
    run = md_run(tmp_path)
    labeller = make_labeller(ClassicalReference(engine="classical_reference"), ELEMENTS)
    pairs = labeller.snapshots(run, tmp_path / "md", threads=1)
    assert [label for _, label in pairs] == [None] * run.n_snapshots
    frames = [frame for frame, _ in pairs]
    assert [frame.provenance.details["step"] for frame in frames] == [300, 400, 500]
    assert [frame.provenance.frame for frame in frames] == [0, 1, 2]
    assert {frame.provenance.group for frame in frames} == {run.group}
    assert frames[0].symbols == run.frame.symbols
    moved = np.linalg.norm(frames[0].positions_A - run.frame.positions_A, axis=1)
    assert 0.05 < moved.mean() < 1.0

    # The dynamics' own energies are those of the labels.
    visited = {each.step: each for each in read_trajectory(tmp_path / "md" / "trajectory.extxyz")}
    for frame, label in zip(frames, label_all(frames, tmp_path / "labels"), strict=True):
        each = visited[frame.provenance.details["step"]]
        assert label.energy_eV == pytest.approx(each.energy_eV, abs=1e-3)
        np.testing.assert_allclose(label.forces_eV_per_A, each.forces_eV_per_A, atol=1e-3)
        np.testing.assert_allclose(label.virial_eV, each.virial_eV, atol=1e-2)


def test_a_run_that_the_guard_ends_says_why(tmp_path):
    run = md_run(tmp_path, structures=["ZrO2"], temperatures_K=[20000.0], timestep_fs=5.0)
    labeller = make_labeller(ClassicalReference(engine="classical_reference"), ELEMENTS)
    with pytest.raises(EngineError, match=r"no snapshot \(guard"):
        labeller.snapshots(run, tmp_path / "md", threads=1)
