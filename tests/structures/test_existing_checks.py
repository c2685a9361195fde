"""Checks of existing data before it enters."""

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from existing_samples import changed, system, trajectory, write_npy

from llzo_al.config.initial_data import ExistingData
from llzo_al.errors import UserError
from llzo_al.structures.existing.consistency import WorkEnergy
from llzo_al.structures.existing.outliers import energy_scores, force_scores
from llzo_al.structures.existing.survey import _survey
from llzo_al.structures.existing.units import units_with_slope
from llzo_al.structures.sources import SourceContext, labelled_source_frames, source_report


@pytest.fixture(scope="module")
def frames():
    return trajectory(24)


def read(base, *paths, elements=("Cu",), trains_virials=True, **values):
    source = ExistingData.model_validate(
        {"kind": "existing_data", "paths": list(paths), "same_level_of_theory": True} | values
    )
    context = SourceContext(elements=elements, base=base, seed=1, trains_virials=trains_virials)
    return list(labelled_source_frames(source, context)), source_report(source, context)


def write(base, frames, name="data.extxyz"):
    ase.io.write(base / name, frames)
    return name


def test_clean_data_passes_and_its_table_says_so(frames, tmp_path):
    pairs, report = read(tmp_path, write(tmp_path, frames))
    facts = report.facts
    assert len(pairs) == facts["kept"] == facts["frames"] == 24
    assert not any(facts["counts"].values())
    assert facts["work_energy_slope"] == pytest.approx(1, abs=0.03)
    assert 0.8 < facts["neighbour_fraction"] < 1.2
    assert facts["distance_min_A"] == pytest.approx(
        min(atoms.get_all_distances(mic=True)[np.triu_indices(32, 1)].min() for atoms in frames), abs=1e-5
    )
    assert any("every check passed" in line for line in report.lines)


@pytest.mark.parametrize(
    ("energy", "length", "message"),
    [
        (1.0, units.Bohr, "length_unit: bohr"),
        (units.Hartree, units.Bohr, "length_unit: bohr"),
        (1.0, 10.0, "length_unit: nm"),
    ],
)
def test_lengths_in_other_units_are_refused_with_a_hint(frames, tmp_path, energy, length, message):
    write_npy(frames, tmp_path / "npy", energy=energy, length=length)
    with pytest.raises(UserError, match=message):
        read(tmp_path, "npy")


@pytest.mark.parametrize(
    ("energy", "force", "hint"),
    [
        (units.Hartree, 1.0, "energy_unit: hartree with force_unit: eV/angstrom"),
        (1.0, units.Hartree / units.Bohr, "energy_unit: eV with force_unit: hartree/bohr"),
        (units.Hartree, units.Hartree / units.Bohr, "energy_unit: hartree with force_unit: hartree/bohr"),
        (units.Rydberg, 1.0, "energy_unit: rydberg with force_unit: eV/angstrom"),
    ],
)
def test_energies_and_forces_in_other_units_are_refused_with_a_hint(frames, tmp_path, energy, force, hint):
    scaled = [
        changed(atoms, energy=atoms.get_potential_energy() / energy, forces=atoms.get_forces() / force)
        for atoms in frames
    ]
    name = write(tmp_path, scaled)
    with pytest.raises(UserError, match="contradict each other") as error:
        read(tmp_path, name)
    assert hint in str(error.value)
    # Structures alone do not mind.
    assert len(read(tmp_path, name, same_level_of_theory=False)[0]) == 24


def test_named_units_are_converted(frames, tmp_path):
    write_npy(frames, tmp_path / "npy", energy=units.Hartree, length=units.Bohr)
    pairs, report = read(tmp_path, "npy", energy_unit="hartree", length_unit="bohr")
    for (frame, label), atoms in zip(pairs, frames, strict=True):
        assert frame.cell_A == pytest.approx(atoms.cell[:], abs=1e-5)
        assert label.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert label.forces_eV_per_A == pytest.approx(atoms.get_forces(), abs=1e-6)
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        assert label.virial_eV == pytest.approx(virial, abs=1e-5)
    assert report.facts["work_energy_slope"] == pytest.approx(1, abs=0.03)


def test_slopes_of_misread_units():
    assert units_with_slope(1.0)[0] == "energy_unit: eV with force_unit: eV/angstrom"
    assert units_with_slope(units.Hartree / units.Bohr) == ["energy_unit: eV with force_unit: hartree/bohr"]
    assert units_with_slope(3.0) == []


def spoiled(frames, kind):
    """The data with one bad frame, number 5."""
    data = [changed(atoms) for atoms in frames]
    if kind == "energy":
        data[5] = changed(data[5], energy=data[5].get_potential_energy() + 20.0)
    elif kind == "force":
        forces = data[5].get_forces().copy()
        forces[3] = [150.0, 0, 0]
        data[5] = changed(data[5], forces=forces)
    elif kind == "distance":
        data[5].positions[1] = data[5].positions[0] + [0.6, 0, 0]
    elif kind == "unusable":
        data[5] = changed(data[5], energy=float("nan"))
    elif kind == "contradictory":
        data.append(changed(data[5], energy=data[5].get_potential_energy() + 1.0))
    return data


@pytest.mark.parametrize("kind", ["energy", "force", "distance", "unusable", "contradictory"])
def test_outliers_are_refused_dropped_or_kept(frames, tmp_path, kind):
    name = write(tmp_path, spoiled(frames, kind), f"{kind}.extxyz")
    with pytest.raises(UserError, match="outliers: drop") as error:
        read(tmp_path, name)
    where = 24 if kind == "contradictory" else 5
    assert f"{name}, frame {where}" in str(error.value)
    pairs, report = read(tmp_path, name, outliers="drop")
    assert where not in {frame.provenance.details["index"] for frame, _ in pairs}
    assert len(pairs) == report.facts["frames"] - 1
    assert report.facts["counts"][kind] == 1
    assert name in report.facts["examples"][kind][0]
    if kind == "unusable":
        with pytest.raises(UserError, match="not finite"):
            read(tmp_path, name, outliers="keep")
    else:
        kept = read(tmp_path, name, outliers="keep")[0]
        # Of two labels of one structure only one can be stored.
        assert len(kept) == report.facts["frames"] - (kind == "contradictory")


def test_limits_are_keys(frames, tmp_path):
    name = write(tmp_path, frames)
    largest = max(np.linalg.norm(atoms.get_forces(), axis=1).max() for atoms in frames)
    with pytest.raises(UserError, match="force far from the rest"):
        read(tmp_path, name, force_max_eV_per_A=0.9 * largest)
    with pytest.raises(UserError, match="atoms too close"):
        read(tmp_path, name, distance_min_fraction=0.99)
    with pytest.raises(UserError, match="no frame is left"):
        read(tmp_path, name, distance_min_fraction=1.0, outliers="drop", force_max_eV_per_A=1e-6)


def test_duplicates_are_dropped_and_counted(frames, tmp_path):
    shuffled = frames[3].copy()[np.random.default_rng(1).permutation(32)]
    one = write(tmp_path, [*frames, frames[2]], "one.extxyz")
    other = write(tmp_path, [shuffled], "other.extxyz")
    pairs, report = read(tmp_path, one, other, same_level_of_theory=False)
    assert len(pairs) == 24
    assert report.facts["counts"]["duplicate"] == 2
    assert (
        "same structure as an earlier frame (one.extxyz, frame 3)" in report.facts["examples"]["duplicate"][1]
    )


def test_missing_virials_are_allowed_only_where_nothing_asks_for_them(frames, tmp_path):
    name = write(tmp_path, [changed(atoms, stress=None) for atoms in frames])
    with pytest.raises(UserError, match=r"24 of 24 labelled frames have no virial.*missing_virials: keep"):
        read(tmp_path, name)
    for values in ({"missing_virials": "keep"}, {"trains_virials": False}, {"same_level_of_theory": False}):
        assert len(read(tmp_path, name, **values)[0]) == 24
    pairs, report = read(tmp_path, name, missing_virials="keep")
    assert pairs[0][1].virial_eV is None
    assert report.facts["counts"]["no virial"] == 24


def test_frames_without_labels_wait_for_one(frames, tmp_path):
    name = write(tmp_path, [*frames[:20], changed(frames[20], forces=None)])
    pairs, report = read(tmp_path, name)
    assert [label is None for _, label in pairs] == [False] * 20 + [True]
    assert report.facts["counts"]["no label"] == 1


def test_foreign_elements_are_named(frames, tmp_path):
    name = write(tmp_path, [*frames[:3], bulk("NaCl", "rocksalt", 5.64)])
    with pytest.raises(UserError, match=r"data\.extxyz, frame 3: holds Cl, Na, outside the type map"):
        read(tmp_path, name)


def test_a_changed_file_is_looked_at_again(frames, tmp_path):
    name = write(tmp_path, frames[:10])
    assert len(read(tmp_path, name)[0]) == 10
    write(tmp_path, frames)
    assert len(read(tmp_path, name)[0]) == 24


def test_scores_of_energies_see_through_the_composition():
    random = np.random.default_rng(3)
    shares = random.dirichlet([1, 1, 1], size=400)
    energies = shares @ [-2.0, -9.0, -5.0] + random.normal(scale=0.03, size=400)
    energies[17] += 1.5
    scores = energy_scores(energies, shares)
    assert np.flatnonzero(scores > 12).tolist() == [17]
    one = np.ones((50, 1))
    assert energy_scores(np.full(50, -3.0), one).max() == 0
    assert energy_scores(np.full(5, np.nan), one[:5]).tolist() == [0] * 5


def test_scores_of_forces_are_about_orders_of_magnitude():
    forces = np.exp(np.random.default_rng(4).normal(scale=0.5, size=300))
    forces[9] = 500.0
    assert np.flatnonzero(force_scores(forces) > 8).tolist() == [9]
    assert force_scores(np.zeros(20)).max() == 0


def test_dimers_and_molecules_are_not_taken_for_bohr(tmp_path):
    from ase import Atoms

    dimers = [
        Atoms("Cu2", positions=[[0, 0, 0], [0, 0, d]], cell=[20] * 3, pbc=True)
        for d in np.linspace(2.0, 4.5, 6)
    ]
    pairs, report = read(tmp_path, write(tmp_path, dimers), same_level_of_theory=False)
    assert len(pairs) == 6
    assert "unit of length was not checked" in report.facts["notes"][0]


def test_systems_of_type_numbers_keep_every_set(frames, tmp_path):
    system(frames).to_deepmd_npy(str(tmp_path / "npy"), set_size=7)
    pairs, _ = read(tmp_path, "npy")
    assert [frame.provenance.details["index"] for frame, _ in pairs] == list(range(24))


def test_ratios_that_scatter_about_one_are_no_contradiction(frames, tmp_path, monkeypatch):
    """Hot light atoms kept every 20 fs: the trapezoidal rule fails, though the units are right."""
    close = WorkEnergy(ratios=[0.2, 0.35, 0.6, 0.65, 1.3, 1.4, 9.0, -9.0], steps_A=[0.25] * 6 + [0.39] * 2)
    assert close.slope() == pytest.approx(0.625)
    assert close.scatters_about_one()
    misread = WorkEnergy(ratios=[ratio / 27.2 for ratio in close.ratios], steps_A=close.steps_A)
    assert not misread.scatters_about_one()
    name = write(tmp_path, frames)
    monkeypatch.setattr(WorkEnergy, "slope", lambda _: 0.62)
    for scatters, outcome in ((True, "too far from each other"), (False, "say so with energy_unit: eV")):
        monkeypatch.setattr(WorkEnergy, "scatters_about_one", lambda _, scatters=scatters: scatters)
        _survey.cache_clear()
        if scatters:
            assert outcome in " ".join(read(tmp_path, name)[1].facts["notes"])
        else:
            with pytest.raises(UserError, match=outcome):
                read(tmp_path, name)
    _survey.cache_clear()
