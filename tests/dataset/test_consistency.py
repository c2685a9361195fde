"""The checks see what a scientist would see, and nothing in good labels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from llzo_al.dataset.comparison import compare_methods
from llzo_al.dataset.consistency import CheckLimits, check_labels
from llzo_al.dataset.duplicates import differing_duplicates, fingerprint_of
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.dataset.identity import structure_hash
from llzo_al.dataset.records import Record
from llzo_al.dataset.statistics import atomic_energies

ZERO_EV = {"Cu": -2.0, "Ni": -7.0}


def record_of(atoms, *, source="crystals", name="", strength=1.0):
    """A frame with its real label by effective-medium theory, and energies of the free atoms added."""
    provenance = Provenance(source=source, kind="Cu-Ni crystal", group=name)
    frame = Frame.from_atoms(atoms, provenance)
    work = atoms.copy()
    work.calc = EMT()
    zero = sum(ZERO_EV[symbol] for symbol in frame.symbols)
    label = Label(
        energy_eV=strength * work.get_potential_energy() + zero,
        forces_eV_per_A=strength * work.get_forces(),
        virial_eV=-strength * work.get_stress(voigt=False) * work.get_volume(),
    )
    return Record(
        identity=structure_hash(frame),
        frame=frame,
        label=label,
        failure=None,
        split="training",
        provenances=(provenance,),
        physics_hash="0" * 64,
    )


def crystal(kind, scale=1.0, seed=None):
    atoms = bulk("Cu", "fcc", a=3.6 * scale, cubic=True)
    if kind == "half nickel":
        atoms = atoms.repeat((2, 1, 1))
        atoms.symbols[::2] = "Ni"
    else:
        atoms = atoms.repeat((2, 2, 1))
        atoms.symbols[::4] = "Ni"
    if seed is not None:
        atoms.rattle(0.05, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def good():
    records = [
        record_of(crystal(kind, scale, seed), name=f"{kind}-{scale}-{seed}")
        for kind in ("half nickel", "a quarter")
        for scale in (0.97, 1.0, 1.03)
        for seed in range(5)
    ]
    assert len({record.identity for record in records}) == 30
    return records


def changed(record, **changes):
    return replace(record, label=replace(record.label, **changes))


def test_good_labels_give_no_warning(good):
    checks = check_labels(good)
    assert checks.warnings == ()
    assert checks.n_labels == 30
    assert {each.formula for each in checks.compositions} == {"Cu4Ni4", "Cu12Ni4"}
    assert sum(each.n_frames for each in checks.compositions) == 30
    assert checks.forces_eV_per_A.n == sum(record.frame.n_atoms for record in good)
    assert sum(checks.forces_eV_per_A.counts) == checks.forces_eV_per_A.n
    assert checks.net_forces_eV_per_A.maximum < 1e-10
    assert checks.pressures_GPa.minimum < 0 < checks.pressures_GPa.maximum
    json.dumps(checks.as_dict(), allow_nan=False)


def test_no_labels_and_one_label(good):
    assert check_labels([]).warnings == ()
    assert check_labels(good[:1]).warnings == ()
    assert check_labels([replace(good[0], label=None)]).n_labels == 0


@pytest.mark.parametrize("shift_eV", [-8.0, 8.0])
def test_an_energy_that_does_not_belong(good, shift_eV):
    wrong = changed(good[4], energy_eV=good[4].label.energy_eV + shift_eV)
    checks = check_labels([*good[:4], wrong, *good[5:]])
    assert [each.identity for each in checks.energy_outliers] == [wrong.identity]
    assert checks.energy_outliers[0].value * shift_eV > 0
    assert "energies far from those of their composition" in checks.warnings[0]


def test_a_high_energy_that_its_forces_explain(good):
    squeezed = record_of(crystal("half nickel", 0.80, 9), name="squeezed")
    checks = check_labels([*good, squeezed])
    assert abs(squeezed.label.energy_eV - good[0].label.energy_eV) / 8 > 1.0
    assert checks.energy_outliers == ()


def test_net_forces(good):
    forces = good[0].label.forces_eV_per_A + 0.01
    checks = check_labels([changed(good[0], forces_eV_per_A=forces), *good[1:]])
    assert [each.identity for each in checks.net_force_outliers] == [good[0].identity]
    assert checks.net_force_outliers[0].value == pytest.approx(0.01 * np.sqrt(3))
    assert (
        check_labels(
            [changed(good[0], forces_eV_per_A=forces), *good[1:]], CheckLimits(net_force_eV_per_A=0.1)
        ).warnings
        == ()
    )


def test_virials(good):
    skewed = good[0].label.virial_eV + np.array([[0, 1.0, 0], [0, 0, 0], [0, 0, 0]])
    checks = check_labels([changed(good[0], virial_eV=skewed), *good[1:]])
    assert [each.identity for each in checks.virial_outliers] == [good[0].identity]
    without = check_labels([changed(good[0], virial_eV=None), *good[1:]])
    assert without.warnings == ("1 of 30 periodic frames have no virial",)
    none = check_labels([changed(record, virial_eV=None) for record in good])
    assert none.warnings == ()
    assert none.pressures_GPa is None


def test_a_virial_of_the_wrong_sign(good):
    checks = check_labels([changed(record, virial_eV=-record.label.virial_eV) for record in good])
    assert len(checks.warnings) == 2
    assert all("is the sign of the virial right?" in warning for warning in checks.warnings)


def test_dynamics_without_forces(good):
    still = changed(
        replace(
            good[0],
            frame=replace(good[0].frame, provenance=replace(good[0].frame.provenance, source="exploration")),
        ),
        forces_eV_per_A=np.zeros((8, 3)),
    )
    checks = check_labels([still, *good[1:]])
    assert [each.identity for each in checks.still] == [still.identity]


def test_the_fit_gives_the_elements_back_and_a_few_bad_labels_do_not_bend_it():
    random = np.random.default_rng(0)
    counts = [{"Cu": int(a), "Ni": int(b)} for a, b in random.integers(1, 9, (60, 2))]
    energies = [sum(ZERO_EV[name] * n for name, n in count.items()) for count in counts]
    for index in range(5):
        energies[index] += 50.0
    found, residuals = atomic_energies(counts, energies)
    assert found == pytest.approx(ZERO_EV, abs=0.02)
    assert np.abs(residuals[5:]).max() < 0.02


def rotated(atoms):
    turned = atoms.copy()
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    return turned


def shifted(atoms):
    moved = atoms.copy()
    moved.translate((0.3, 1.1, -0.7))
    moved.wrap()
    return moved


def reordered(atoms):
    return atoms[np.random.default_rng(1).permutation(len(atoms))]


@pytest.mark.parametrize("change", [rotated, shifted, reordered])
def test_one_structure_with_two_energies(good, change):
    atoms = crystal("a quarter", 1.0, 3)
    first, second = record_of(atoms, name="a"), record_of(change(atoms), name="b")
    second = replace(second, identity="another")
    assert differing_duplicates([first, second, *good], tolerance_eV_per_atom=0.002) == ()
    wrong = changed(second, energy_eV=second.label.energy_eV + 16 * 0.01)
    (found,) = [
        each
        for each in differing_duplicates([first, wrong, *good[:15]], tolerance_eV_per_atom=0.002)
        if "another" in (each.first, each.second)
    ]
    assert found.difference_meV_per_atom == pytest.approx(10.0, abs=0.01)
    assert any("different energies" in warning for warning in check_labels([first, wrong]).warnings)


def test_different_structures_have_different_fingerprints(good):
    prints = [fingerprint_of(record.frame) for record in good[:15]]
    for index, one in enumerate(prints):
        for other in prints[:index]:
            assert np.abs(one - other).max() > 1e-3
    near, far = (
        Frame(
            symbols=("Li", "O"),
            positions_A=np.array([[0, 0, 0], [distance, 0, 0]]),
            cell_A=np.eye(3) * 20,
            provenance=Provenance(source="dimers", kind="dimer Li-O", group="g"),
        )
        for distance in (1.9, 1.95)
    )
    assert np.abs(fingerprint_of(near) - fingerprint_of(far)).max() > 1e-3


def test_two_methods_on_the_same_frames(good):
    order = np.random.default_rng(2).permutation(16)
    other = []
    for record in good[15:]:
        atoms = record.frame.to_atoms()[order]
        stronger = record_of(atoms, strength=1.1)
        zero = {"Cu": 5.0, "Ni": -3.0}
        shift = sum(zero[symbol] for symbol in stronger.frame.symbols)
        other.append(changed(stronger, energy_eV=stronger.label.energy_eV + shift))
    compared = compare_methods(good, other, names=("A", "B"))
    assert (compared.first, compared.second) == ("A", "B")
    assert (compared.n_frames, compared.n_atoms) == (15, 15 * 16)
    forces = np.concatenate([record.label.forces_eV_per_A.ravel() for record in good[15:]])
    rms = 1000 * np.sqrt(np.mean(forces**2))
    assert compared.force_rms_meV_per_A == pytest.approx(rms)
    assert compared.force_rmse_meV_per_A == pytest.approx(0.1 * rms, rel=1e-4)
    assert compared.energy_rmse_meV_per_atom < 20
    assert compared.stress_rmse_GPa > 0
    assert compare_methods(good[:15], other, names=("A", "B")) is None
    same = compare_methods(good, good, names=("A", "A"))
    assert same.energy_rmse_meV_per_atom < 1e-6
    assert same.force_rmse_meV_per_A == 0.0
