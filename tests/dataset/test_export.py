from __future__ import annotations

from dataclasses import replace

import ase.io
import dpdata
import numpy as np
import pytest
from dataset_helpers import ELEMENTS, make_frame, make_label, make_record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llzo_al.dataset.export import read_index, write_deepmd, write_extxyz
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.dataset.identity import structure_hash
from llzo_al.errors import StageError, UserError


def record_of(seed, symbols, *, virial=True, **changes):
    frame = make_frame(seed, symbols, **changes)
    return make_record(frame, make_label(frame, seed, virial=virial))


def read_back(directory, record, index):
    """The record's frame, energy, forces and virial as dpdata reads them, in sorted order of atoms."""
    (name,) = [name for name, identities in index.items() if record.identity in identities]
    system = dpdata.LabeledSystem(str(directory / name), fmt="deepmd/npy")
    at = index[name].index(record.identity)
    data = system.data
    return name, {
        "symbols": [data["atom_names"][kind] for kind in data["atom_types"]],
        "positions": data["coords"][at],
        "cell": data["cells"][at],
        "energy": data["energies"][at],
        "forces": data["forces"][at],
        "virial": data["virials"][at] if "virials" in data else None,
        "nopbc": data.get("nopbc", False),
        "atom_names": data["atom_names"],
    }


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    compositions=st.lists(
        st.sampled_from(["LiOLaO", "OLaOLi", "OLi", "LaZr", "ZrLa2O7"]), min_size=1, max_size=6
    ),
    virials=st.booleans(),
)
def test_dpdata_reads_the_same(tmp_path_factory, compositions, virials):
    directory = tmp_path_factory.mktemp("export") / "systems"
    records = [record_of(seed, symbols, virial=seed % 3 != 1) for seed, symbols in enumerate(compositions)]
    paths = write_deepmd(records, directory, elements=ELEMENTS, virials=virials)
    index = read_index(directory)
    assert sorted(index) == [path.name for path in paths]
    assert sorted(identity for part in index.values() for identity in part) == sorted(
        record.identity for record in records
    )
    for record in records:
        frame, label = record.frame, record.label
        _, read = read_back(directory, record, index)
        order = np.argsort([ELEMENTS.index(symbol) for symbol in frame.symbols], kind="stable")
        assert read["atom_names"] == list(ELEMENTS)
        assert read["symbols"] == [frame.symbols[i] for i in order]
        np.testing.assert_array_equal(read["positions"], frame.positions_A[order])
        np.testing.assert_array_equal(read["cell"], frame.cell_A)
        assert read["energy"] == label.energy_eV
        np.testing.assert_array_equal(read["forces"], label.forces_eV_per_A[order])
        if virials and label.virial_eV is not None:
            np.testing.assert_array_equal(read["virial"], label.virial_eV)
        else:
            assert read["virial"] is None
        again = Frame(
            symbols=tuple(read["symbols"]),
            positions_A=read["positions"],
            cell_A=read["cell"],
            provenance=frame.provenance,
        )
        assert structure_hash(again) == structure_hash(frame)


def test_systems_by_composition_virials_and_periodicity(tmp_path):
    molecule = {"cell_A": np.zeros((3, 3)), "periodic": (False, False, False)}
    records = [
        record_of(0, "O4Li2"),
        record_of(1, "Li2O4"),
        record_of(2, "Li2O4", virial=False),
        record_of(3, "Li2O4", virial=False, **molecule),
        record_of(4, "ZrLa"),
    ]
    with_virials = write_deepmd(records, tmp_path / "a", elements=ELEMENTS, virials=True)
    assert [path.name for path in with_virials] == [
        "La1Zr1",
        "Li2O4",
        "Li2O4-nopbc-novirial",
        "Li2O4-novirial",
    ]
    assert (tmp_path / "a" / "Li2O4-nopbc-novirial" / "nopbc").exists()
    assert read_index(tmp_path / "a")["Li2O4"] == [records[0].identity, records[1].identity]
    without = write_deepmd(records, tmp_path / "b", elements=ELEMENTS, virials=False)
    assert [path.name for path in without] == ["La1Zr1", "Li2O4", "Li2O4-nopbc"]
    _, read = read_back(tmp_path / "b", records[3], read_index(tmp_path / "b"))
    assert read["nopbc"]


def test_energies_keep_double_precision(tmp_path):
    record = record_of(0, "LiO")
    record = replace(record, label=replace(record.label, energy_eV=-4206.000000123))
    (path,) = write_deepmd([record], tmp_path / "a", elements=ELEMENTS, virials=False)
    assert np.load(path / "set.000" / "energy.npy").dtype == np.float64
    assert dpdata.LabeledSystem(str(path), fmt="deepmd/npy")["energies"][0] == -4206.000000123


def test_an_older_export_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "systems"
    write_deepmd([record_of(0, "LiO"), record_of(1, "ZrO")], target, elements=ELEMENTS, virials=False)
    write_deepmd([record_of(2, "LaO")], target, elements=ELEMENTS, virials=False)
    assert [path.name for path in target.iterdir() if path.is_dir()] == ["La1O1"]
    assert [path.name for path in tmp_path.iterdir()] == ["systems"]


def test_a_failed_export_leaves_what_was_there(tmp_path):
    target = tmp_path / "systems"
    write_deepmd([record_of(0, "LiO")], target, elements=ELEMENTS, virials=False)
    with pytest.raises(UserError, match=r"Zr is not in the type map Li O; add it to `elements`"):
        write_deepmd([record_of(0, "ZrO")], target, elements=["Li", "O"], virials=False)
    assert [path.name for path in tmp_path.iterdir()] == ["systems"]
    assert read_index(target)


def test_what_deepmd_cannot_hold_is_refused(tmp_path):
    slab = record_of(0, "LiO", periodic=(True, True, False))
    with pytest.raises(UserError, match="periodic along 2 of 3 vectors"):
        write_deepmd([slab], tmp_path / "a", elements=ELEMENTS, virials=False)
    frame = make_frame(0, "LiO")
    for write in (
        lambda record: write_deepmd([record], tmp_path / "a", elements=ELEMENTS, virials=False),
        lambda record: write_extxyz([record], tmp_path / "a.xyz"),
    ):
        with pytest.raises(StageError, match="has no label"):
            write(make_record(frame, None))
    assert list(tmp_path.iterdir()) == []


def test_extended_xyz_by_ase(tmp_path):
    origin = Provenance(
        source="exploration",
        kind='t-LLZO "as grown" = odd, naïve',
        group="md/900 K/0",
        iteration=2,
        frame=17,
        temperature_K=900.0,
        reason="covers 31 new cells",
    )
    molecule = {"cell_A": np.zeros((3, 3)), "periodic": (False, False, False)}
    records = [
        record_of(0, "LiOLaO", provenance=origin),
        record_of(1, "ZrO2", virial=False, charge=-2, multiplicity=3),
        record_of(2, "LiO", virial=False, **molecule),
        record_of(3, "Li", provenance=replace(origin, temperature_K=None)),
    ]
    path = tmp_path / "data.xyz"
    write_extxyz(records, path)
    images = ase.io.read(path, index=":", format="extxyz")
    assert len(images) == 4
    for record, atoms in zip(records, images, strict=True):
        label, given = record.label, record.frame.provenance
        assert atoms.info["identity"] == record.identity
        assert atoms.info["split"] == "training"
        assert (atoms.info["source"], atoms.info["kind"]) == (given.source, given.kind)
        assert (atoms.info["iteration"], atoms.info["frame"]) == (given.iteration, given.frame)
        assert atoms.info["reason"] == given.reason
        assert atoms.info.get("temperature_K") == given.temperature_K
        assert atoms.get_potential_energy() == pytest.approx(label.energy_eV, abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), label.forces_eV_per_A, atol=1e-8)
        if label.virial_eV is not None:
            stress = atoms.get_stress(voigt=False)
            np.testing.assert_allclose(-stress * atoms.get_volume(), label.virial_eV, rtol=1e-7, atol=1e-7)
        assert structure_hash(Frame.from_atoms(atoms, given)) == structure_hash(record.frame)
    assert [file.name for file in tmp_path.iterdir()] == ["data.xyz"]


def test_nothing_to_write(tmp_path):
    assert write_deepmd([], tmp_path / "a", elements=ELEMENTS, virials=True) == []
    write_extxyz([], tmp_path / "a.xyz")
    assert (tmp_path / "a.xyz").read_text() == ""
