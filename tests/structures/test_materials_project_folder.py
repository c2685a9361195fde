"""A folder of structure files in the place of the Materials Project."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from llzo_al.config.initial_data import MaterialsProject
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.materials_project.library import load_library, obstacle
from llzo_al.structures.sources import SourceContext, source_frames

ELEMENTS = ("Li", "La", "Zr", "O")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    ase.io.write(place / "Li2O.cif", load_structure("Li2O", base=tmp_path))
    ase.io.write(place / "POSCAR_zirconia", load_structure("ZrO2", base=tmp_path), format="vasp")
    lithium = bulk("Li", "bcc", 3.51)
    ase.io.write(place / "lithium.extxyz", [lithium, bulk("Li", "fcc", 4.4)])
    (place / "notes.txt").write_text("nothing of interest")
    return place


def load(base, **values):
    source = MaterialsProject.model_validate({"kind": "materials_project", "folder": "mine"} | values)
    return load_library(source, elements=ELEMENTS, base=base)


def ids(library):
    return {material.material_id for material in library.kept}


@pytest.mark.usefixtures("folder")
def test_a_folder_is_a_full_replacement(tmp_path):
    library = load(tmp_path)
    assert ids(library) == {"Li2O", "POSCAR_zirconia", "lithium-0", "lithium-1"}
    assert library.database_version is None
    source = MaterialsProject(kind="materials_project", folder="mine", scale_points=3)
    assert obstacle(source, elements=ELEMENTS, base=tmp_path) is None
    frames = list(source_frames(source, SourceContext(elements=ELEMENTS, base=tmp_path, seed=1)))
    assert len(frames) == 4 * 3
    assert frames[0].provenance.kind == "Li lithium-0"
    assert frames[0].provenance.details["file"] == "lithium.extxyz"


@pytest.mark.usefixtures("folder")
def test_chemical_systems_and_sizes_choose_among_the_files(tmp_path):
    library = load(tmp_path, chemical_systems=["Li", "O-Zr"], atoms_max=11)
    assert ids(library) == {"lithium-0", "lithium-1"}
    assert {item.name for item in library.skipped} == {"Li2O", "POSCAR_zirconia"}
    with pytest.raises(UserError, match="none of the structures"):
        load(tmp_path, chemical_systems=["La"])


def test_bad_files_are_named(folder, tmp_path):
    bad = folder / "bad.cif"
    bad.write_text("data_nothing\n")
    with pytest.raises(UserError, match=r"bad\.cif.*skip_incomplete: true"):
        load(tmp_path)
    assert "bad.cif" in {item.name for item in load(tmp_path, skip_incomplete=True).skipped}
    bad.unlink()
    for name, atoms, message in (
        ("salt", bulk("NaCl", "rocksalt", 5.64), "holds Cl, Na, outside the type map"),
        ("molecule", Atoms("LiO", positions=[[0, 0, 0], [0, 0, 1.7]]), "not periodic in three directions"),
    ):
        ase.io.write(folder / f"{name}.extxyz", atoms)
        with pytest.raises(UserError, match=message):
            load(tmp_path)
        (folder / f"{name}.extxyz").unlink()
    ase.io.write(folder / "Li2O.extxyz", bulk("Li", "bcc", 3.51))
    with pytest.raises(UserError, match="several files called Li2O"):
        load(tmp_path)


def test_partial_occupation_is_refused(folder, tmp_path):
    from pymatgen.core import Lattice, Structure

    half = Structure(Lattice.cubic(4.0), [{"Li": 0.5}, {"O": 1.0}], [[0, 0, 0], [0.5, 0.5, 0.5]])
    half.to(filename=str(folder / "half.cif"))
    with pytest.raises(UserError, match="partially occupied sites"):
        load(tmp_path)


def test_no_folder_and_an_empty_one(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        load(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="holds no structure file"):
        load(tmp_path)


@pytest.mark.usefixtures("folder")
def test_the_written_structure_is_the_read_one(tmp_path):
    library = load(tmp_path)
    (zirconia,) = [each for each in library.kept if each.formula == "ZrO2"]
    expected = load_structure("ZrO2", base=tmp_path)
    assert zirconia.atoms.cell.cellpar() == pytest.approx(expected.cell.cellpar(), abs=1e-6)
    assert np.sort(zirconia.atoms.get_all_distances(mic=True).ravel()) == pytest.approx(
        np.sort(expected.get_all_distances(mic=True).ravel()), abs=1e-5
    )
