"""Formats of existing data: what is written in one comes back with its numbers and its provenance."""

import ase.io
import numpy as np
import pytest
from ase import units
from ase.io.trajectory import Trajectory
from existing_samples import CP2K_OUTPUT, PW_OUTPUT, system, trajectory

from llzo_al.config.initial_data import ExistingData
from llzo_al.errors import UserError
from llzo_al.files import file_hash
from llzo_al.structures.sources import SourceContext, labelled_source_frames, source_frames, source_report
from vasp_standin.standin_runs import lithium_oxide, run_standin, write_inputs


@pytest.fixture(scope="module")
def frames():
    return trajectory(12)


def read(base, *paths, elements=("Cu",), **values):
    source = ExistingData.model_validate(
        {"kind": "existing_data", "paths": list(paths), "same_level_of_theory": True} | values
    )
    context = SourceContext(elements=elements, base=base, seed=1)
    return list(labelled_source_frames(source, context)), source_report(source, context).facts


def write(frames, base, name):
    if name == "md.traj":
        with Trajectory(base / name, "w") as handle:
            for atoms in frames:
                handle.write(atoms)
    elif name == "md.extxyz":
        ase.io.write(base / name, frames)
    elif name == "npy":
        system(frames).to_deepmd_npy(str(base / name), set_size=5, prec=np.float64)
    elif name == "raw":
        system(frames).to_deepmd_raw(str(base / name))
    elif name == "mixed":
        system(frames).to("deepmd/npy/mixed", str(base / name), prec=np.float64)


FORMATS = {
    "md.traj": "ase/traj",
    "md.extxyz": "ase/extxyz",
    "npy": "deepmd/npy",
    "raw": "deepmd/raw",
    "mixed": "deepmd/npy/mixed",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognised_and_gives_its_numbers_back(frames, tmp_path, name):
    write(frames, tmp_path, name)
    pairs, facts = read(tmp_path, name)
    assert facts["files"][0]["format"] == FORMATS[name]
    assert len(pairs) == len(frames)
    for index, ((frame, label), atoms) in enumerate(zip(pairs, frames, strict=True)):
        assert frame.symbols == tuple(atoms.get_chemical_symbols())
        assert frame.positions_A == pytest.approx(atoms.positions, abs=2e-6)
        assert label.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert label.forces_eV_per_A == pytest.approx(atoms.get_forces(), abs=1e-6)
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        assert label.virial_eV == pytest.approx(virial, abs=1e-4)
        details = frame.provenance.details
        assert (details["file"], details["format"], details["index"]) == (name, FORMATS[name], index)
    assert pairs[0][0].provenance.source == "existing_data"
    assert pairs[0][0].provenance.kind == "Cu"
    if (tmp_path / name).is_file():
        assert pairs[0][0].provenance.details["sha256"] == file_hash(tmp_path / name)


def test_mixed_systems_of_several_compositions(tmp_path):
    import dpdata

    copper, aluminium = trajectory(5), trajectory(4, symbol="Al")
    systems = dpdata.MultiSystems(system(copper), system(aluminium))
    systems.to_deepmd_npy_mixed(str(tmp_path / "mixed"))
    pairs, facts = read(tmp_path, "mixed", elements=("Al", "Cu"))
    assert facts["kept"] == 9
    kinds = [frame.provenance.kind for frame, _ in pairs]
    assert (kinds.count("Cu"), kinds.count("Al")) == (5, 4)
    assert len({frame.provenance.group for frame, _ in pairs}) == 2


@pytest.mark.parametrize(("name", "format_name"), [("OUTCAR", "vasp/outcar"), ("vasprun.xml", "vasp/xml")])
def test_vasps_outputs(tmp_path, name, format_name):
    write_inputs(
        tmp_path / "run", lithium_oxide(rattle=1), {"NSW": 4, "IBRION": 0, "TEBEG": 300, "POTIM": 0.5}
    )
    assert run_standin(tmp_path / "run").returncode == 0
    pairs, facts = read(tmp_path, f"run/{name}", elements=("Li", "O"))
    assert facts["files"][0]["format"] == format_name
    assert len(pairs) >= 4
    reference = ase.io.read(tmp_path / "run" / "vasprun.xml", index=0)
    frame, label = pairs[0]
    assert frame.symbols == ("Li", "Li", "O")
    assert label.energy_eV == pytest.approx(reference.get_potential_energy(force_consistent=True), abs=1e-5)
    assert np.linalg.norm(label.forces_eV_per_A) == pytest.approx(
        np.linalg.norm(reference.get_forces()), abs=1e-4
    )
    expected = -np.trace(reference.get_stress(voigt=False)) * reference.get_volume()
    assert np.trace(label.virial_eV) == pytest.approx(expected, rel=1e-3)


def test_of_one_vasp_run_in_a_folder_only_one_output_is_read(tmp_path):
    write_inputs(tmp_path / "run", lithium_oxide(rattle=1), {})
    assert run_standin(tmp_path / "run").returncode == 0
    _, facts = read(tmp_path, ".", elements=("Li", "O"))
    assert [each["name"] for each in facts["files"]] == ["run/OUTCAR"]


@pytest.mark.parametrize(
    ("name", "text", "format_name"),
    [("pw.out", PW_OUTPUT, "ase/espresso-out"), ("cp2k.out", CP2K_OUTPUT, "cp2k/output")],
)
def test_outputs_of_quantum_espresso_and_cp2k(tmp_path, name, text, format_name):
    (tmp_path / name).write_text(text)
    ((frame, label),), facts = read(
        tmp_path, name, elements=("Li",), missing_virials="keep", distance_min_fraction=0.3
    )
    assert facts["files"][0]["format"] == format_name
    assert frame.symbols == ("Li", "Li")
    assert label.energy_eV == pytest.approx(-14.8 * units.Hartree, rel=1e-6)
    assert label.forces_eV_per_A[0, 0] == pytest.approx(0.005 * units.Hartree / units.Bohr, rel=1e-5)
    if name == "pw.out":
        volume = (6.633 * units.Bohr) ** 3
        # Quantum ESPRESSO prints a positive stress under compression, as the virial has it.
        expected = 1e-5 * units.Rydberg / units.Bohr**3 * volume
        assert label.virial_eV[0, 0] == pytest.approx(expected, rel=1e-4)
    else:
        assert label.virial_eV is None


def test_labels_of_electrons_that_did_not_converge_are_not_taken(tmp_path):
    (tmp_path / "pw.out").write_text(PW_OUTPUT.replace("convergence has been", "convergence NOT"))
    ((_, label),), facts = read(tmp_path, "pw.out", elements=("Li",))
    assert label is None
    assert facts["counts"]["no label"] == 1


def test_type_numbers_need_elements(frames, tmp_path):
    write(frames, tmp_path, "npy")
    (tmp_path / "npy" / "type_map.raw").unlink()
    with pytest.raises(UserError, match=r"Type_0 are no elements.*type_map"):
        read(tmp_path, "npy")
    pairs, _ = read(tmp_path, "npy", type_map=["Cu"])
    assert pairs[0][0].symbols[0] == "Cu"


def test_structures_without_labels_are_taken_to_be_labelled(frames, tmp_path):
    system(frames).to_deepmd_npy(str(tmp_path / "npy"), set_size=5)
    for path in (tmp_path / "npy").glob("set.*/*.npy"):
        if path.stem not in ("coord", "box"):
            path.unlink()
    pairs, facts = read(tmp_path, "npy", same_level_of_theory=False)
    assert len(pairs) == len(frames)
    assert {label for _, label in pairs} == {None}
    assert facts["labels"] == "relabel"
    ase.io.write(tmp_path / "XDATCAR", frames, format="vasp-xdatcar")
    assert len(read(tmp_path, "XDATCAR", same_level_of_theory=False)[0]) == len(frames)
    ase.io.write(tmp_path / "POSCAR", frames[0], format="vasp")
    assert len(read(tmp_path, "POSCAR", same_level_of_theory=False)[0]) == 1


def test_folders_and_patterns(frames, tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    write(frames[:4], tmp_path / "a", "md.extxyz")
    write(frames[4:8], tmp_path / "a" / "deep", "npy")
    for name in ("notes.md", "odd"):
        (tmp_path / "a" / name).write_text("nothing")
    assert read(tmp_path, "a")[1]["kept"] == 8
    assert read(tmp_path, "a", "a/md.extxyz")[1]["kept"] == 8
    assert read(tmp_path, "a/*.extxyz")[1]["kept"] == 4
    for path, message in (
        ("b", "no such file or folder"),
        ("a/*.traj", "no file matches"),
        ("a/notes.md", "holds no frame"),
        ("a/odd", "format is not recognised"),
    ):
        with pytest.raises(UserError, match=message):
            read(tmp_path, path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short_is_named(frames, tmp_path, name):
    write(frames, tmp_path, name)
    victim = {"npy": "npy/set.001/force.npy", "raw": "raw/coord.raw", "mixed": "mixed/set.000/coord.npy"}
    found = list((tmp_path / name).rglob("coord.npy")) if name == "mixed" else []
    path = found[0] if found else tmp_path / victim.get(name, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 - 300])
    with pytest.raises(UserError, match=f"{name}.*(cannot be read as {FORMATS[name]}|breaks off in frame 7)"):
        read(tmp_path, name)


def test_every_so_many_frames_and_groups(frames, tmp_path):
    write(frames, tmp_path, "md.extxyz")
    pairs, _ = read(tmp_path, "md.extxyz", every=5)
    assert [frame.provenance.frame for frame, _ in pairs] == [0, 5, 10]

    def groups(**values):
        return [frame.provenance.group for frame, _ in read(tmp_path, "md.extxyz", **values)[0]]

    assert set(groups()) == {"existing_data/md.extxyz/Cu"}
    assert len(set(groups(group_by="frame"))) == 12
    assert [group[-6:] for group in groups(group_by="block", block_frames=5)] == ["block0"] * 5 + [
        "block1"
    ] * 5 + ["block2"] * 2


def test_groups_that_the_file_tells_are_kept(frames, tmp_path):
    told = [atoms.copy() for atoms in frames]
    for index, atoms in enumerate(told):
        atoms.info["group"] = f"run-{index // 6}"
    ase.io.write(tmp_path / "told.extxyz", told)
    source = ExistingData(kind="existing_data", paths=["told.extxyz"])
    found = list(source_frames(source, SourceContext(elements=("Cu",), base=tmp_path, seed=1)))
    assert [frame.provenance.group.rsplit("/", 1)[1] for frame in found] == ["run-0"] * 6 + ["run-1"] * 6
