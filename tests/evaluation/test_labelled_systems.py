"""Reading deepmd/npy systems without dpdata."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llzo_al.errors import StageError
from llzo_al.evaluation.systems import read_system


@pytest.fixture
def system(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    (tmp_path / "type.raw").write_text("1\n0\n1\n")
    (tmp_path / "type_map.raw").write_text("O\nLi\n")
    for number, n_frames in enumerate((2, 3)):
        part = tmp_path / f"set.00{number}"
        part.mkdir()
        np.save(part / "coord.npy", rng.normal(size=(n_frames, 9)))
        np.save(part / "force.npy", rng.normal(size=(n_frames, 9)).astype(np.float32))
        np.save(part / "box.npy", np.tile(np.diag([9.0, 8.0, 7.0]).ravel(), (n_frames, 1)))
        np.save(part / "energy.npy", rng.normal(size=n_frames))
        np.save(part / "virial.npy", rng.normal(size=(n_frames, 9)))
    return tmp_path


def test_all_sets_are_read(system: Path):
    read = read_system(system)
    assert read.symbols == ("Li", "O", "Li")
    assert read.periodic
    assert (read.n_frames, read.n_atoms) == (5, 3)
    assert read.positions_A.shape == read.forces_eV_per_A.shape == (5, 3, 3)
    assert read.virials_eV is not None
    assert read.virials_eV.shape == (5, 3, 3)
    np.testing.assert_array_equal(read.cells_A[4], np.diag([9.0, 8.0, 7.0]))
    np.testing.assert_array_equal(
        read.positions_A[2:].reshape(3, 9), np.load(system / "set.001" / "coord.npy")
    )
    assert read.types(("Li", "La", "O")).tolist() == [0, 2, 0]


def test_same_as_dpdata(system: Path):
    code = (
        "import dpdata, numpy, sys\n"
        "s = dpdata.LabeledSystem(sys.argv[1], fmt='deepmd/npy')\n"
        "numpy.savez(sys.argv[2], names=s['atom_names'], types=s['atom_types'], coords=s['coords'],"
        " forces=s['forces'], energies=s['energies'], virials=s['virials'], cells=s['cells'])\n"
    )
    out = system / "dpdata.npz"
    subprocess.run([sys.executable, "-c", code, str(system), str(out)], check=True, capture_output=True)
    other, read = np.load(out), read_system(system)
    assert [str(other["names"][index]) for index in other["types"]] == list(read.symbols)
    np.testing.assert_allclose(other["coords"], read.positions_A)
    np.testing.assert_allclose(other["forces"], read.forces_eV_per_A)
    np.testing.assert_allclose(other["energies"], read.energies_eV)
    np.testing.assert_allclose(other["virials"], read.virials_eV)
    np.testing.assert_allclose(other["cells"], read.cells_A)


def test_without_virials_and_without_periodicity(system: Path):
    (system / "set.001" / "virial.npy").unlink()
    (system / "nopbc").touch()
    read = read_system(system)
    assert read.virials_eV is None
    assert not read.periodic


def test_unknown_element_is_named(system: Path):
    with pytest.raises(StageError, match="O is not among the elements Li, La"):
        read_system(system).types(("Li", "La"))


@pytest.mark.parametrize("name", ["type.raw", "type_map.raw", "set.000/force.npy"])
def test_missing_file_is_named(system: Path, name: str):
    (system / name).unlink()
    with pytest.raises(StageError, match=f"(?s){system}.*{Path(name).name}"):
        read_system(system)


def test_damaged_and_inconsistent_files_are_refused(system: Path):
    good = (system / "set.000" / "coord.npy").read_bytes()
    (system / "set.000" / "coord.npy").write_bytes(good[:100])
    with pytest.raises(StageError, match="cannot be read"):
        read_system(system)
    np.save(system / "set.000" / "coord.npy", np.zeros((4, 9)))
    with pytest.raises(StageError, match="7 frames of positions_A, expected 5"):
        read_system(system)
    (system / "type.raw").write_text("0 5 1\n")
    with pytest.raises(StageError, match="not a deepmd/npy system"):
        read_system(system)
