"""GPAW really run: dimers, Li2O, ZrO2, La2O3, forces against differences of the energy, a charged triplet.

Takes some minutes on one core: ``pytest -m dft tests/labelling/test_gpaw.py``. Settings are small and show
that the numbers are GPAW's and hang together, not that they are converged.
"""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from llzo_al.config.labelling import GPAW
from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.labelling.base import make_labeller
from llzo_al.structures.library import load_structure

pytest.importorskip("gpaw", reason="GPAW is not installed")
pytestmark = [pytest.mark.dft, pytest.mark.timeout(1800)]

ELEMENTS = ["Li", "La", "Zr", "O"]


def labels_of(structures, directory, **keys):
    settings = GPAW(engine="gpaw", **{"cutoff_eV": 400.0, "kspacing_per_A": 0.8, **keys})
    labeller = make_labeller(settings, ELEMENTS)
    provenance = Provenance(source="test", kind="test", group="test")
    frames = [Frame.from_atoms(atoms, provenance) for atoms in structures]
    results = dict(labeller.label(frames, directory))
    return [results[index] for index in range(len(frames))]


def crystal(name, *, primitive=True):
    atoms = load_structure(name, base=Path(), primitive=primitive)
    atoms.rattle(0.05, seed=3)
    return atoms


def dimer(symbols, distance_A, **info):
    return Atoms(
        symbols, [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0 + distance_A]], cell=[8.0, 8.0, 10.0], pbc=True, info=info
    )


def test_it_is_found_with_its_setups(tmp_path):
    labeller = make_labeller(GPAW(engine="gpaw"), ELEMENTS)
    labeller.preflight()
    assert set(labeller.physics()["version"]["setups"]) == set(ELEMENTS)


def test_forces_and_virial_are_derivatives_of_the_energy(tmp_path):
    atoms, step_A = crystal("Li2O"), 0.01
    structures = [atoms]
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step_A
        structures.append(moved)
    label, plus, minus = labels_of(
        structures, tmp_path, cutoff_eV=500.0, energy_tolerance_eV_per_electron=1e-7
    )
    slope = -(plus.energy_eV - minus.energy_eV) / (2 * step_A)
    assert label.forces_eV_per_A[0, 0] == pytest.approx(slope, abs=2e-3)
    assert abs(label.forces_eV_per_A.sum(axis=0)).max() < 0.02
    np.testing.assert_allclose(label.virial_eV, label.virial_eV.T, atol=1e-3)


def test_the_stress_is_the_derivative_of_the_energy_at_the_default_cutoff(tmp_path):
    """At constant cutoff, as molecular dynamics at varying cell would see it: no Pulay error is left."""
    atoms, strain = load_structure("Li2O", base=Path(), primitive=True), 0.01
    structures = [atoms]
    for sign in (1, -1):
        scaled = atoms.copy()
        scaled.set_cell(np.array(atoms.cell) * (1 + sign * strain), scale_atoms=True)
        structures.append(scaled)
    label, plus, minus = labels_of(structures, tmp_path, cutoff_eV=800.0)
    slope_eV = -(plus.energy_eV - minus.energy_eV) / (2 * strain)
    volume_A3 = atoms.get_volume()
    assert np.trace(label.virial_eV) / volume_A3 == pytest.approx(slope_eV / volume_A3, abs=0.01)


@pytest.mark.parametrize("name", ["ZrO2", "La2O3"])
def test_oxides_are_labelled(name, tmp_path):
    (label,) = labels_of([crystal(name)], tmp_path)
    assert isinstance(label, Label)
    assert label.virial_eV.shape == (3, 3)
    assert 0.1 < np.abs(label.forces_eV_per_A).max() < 20
    # At 400 eV the grid is felt: some hundredths of an eV/angstrom on each atom.
    assert np.abs(label.forces_eV_per_A.mean(axis=0)).max() < 0.03


def test_dimers_are_isolated_and_spin_polarised(tmp_path):
    """Oxygen's ground state is a triplet; its excitation to the singlet takes about 1 eV and more in PBE."""
    keys = {"vacuum_gap_A": 6.0, "virials": False}
    triplet, given, singlet, lithium_oxide = labels_of(
        [
            dimer("O2", 1.22),
            dimer("O2", 1.22, multiplicity=3),
            dimer("O2", 1.22, multiplicity=1),
            dimer("LiO", 1.7),
        ],
        tmp_path,
        **keys,
    )
    assert given.energy_eV == pytest.approx(triplet.energy_eV, abs=0.05)
    assert singlet.energy_eV - triplet.energy_eV > 0.5
    forces = lithium_oxide.forces_eV_per_A
    np.testing.assert_allclose(forces[0], -forces[1], atol=0.05)


def test_a_frame_can_have_a_charge(tmp_path):
    neutral, charged = labels_of(
        [dimer("LiO", 1.7), dimer("LiO", 1.7, charge=-1)], tmp_path, vacuum_gap_A=6.0, virials=False
    )
    assert isinstance(charged, Label)
    assert abs(charged.energy_eV - neutral.energy_eV) > 0.5


def test_too_few_iterations_are_not_converged(tmp_path):
    (failure,) = labels_of([crystal("Li2O")], tmp_path, max_iterations=3)
    assert isinstance(failure, LabelFailure)
    assert failure.cause == "not converged"
    assert (tmp_path / "frame-0" / "gpaw.txt").exists()


def test_a_label_does_not_depend_on_the_one_before(tmp_path):
    first, second = crystal("Li2O"), crystal("Li2O")
    second.rattle(0.1, seed=9)
    alone = labels_of([second], tmp_path / "alone")[0]
    after = labels_of([first, second], tmp_path / "after")[1]
    assert after.energy_eV == pytest.approx(alone.energy_eV, abs=1e-8)
    np.testing.assert_allclose(after.forces_eV_per_A, alone.forces_eV_per_A, atol=1e-8)
