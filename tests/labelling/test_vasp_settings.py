"""VASP's settings, inputs and identity; nothing is run."""

import gzip
import shutil

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar, Potcar, PotcarSingle
from vasp_cases import ELEMENTS, STANDIN, frame_of, labeller, make_potcars, oxide, settings

from llzo_al.config.labelling import VASP
from llzo_al.dataset.identity import physics_hash
from llzo_al.errors import UserError
from llzo_al.labelling.vasp.command import (
    check_executable,
    check_parallel,
    commands,
    ranks,
    worker_environment,
)
from llzo_al.labelling.vasp.compare import changed_tags, same_value
from llzo_al.labelling.vasp.inputs import make_inputs
from llzo_al.labelling.vasp.potcars import FOLDERS
from llzo_al.structures.library import load_structure


@pytest.fixture(autouse=True)
def _potcars(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path_factory.mktemp("psp"))))


def inputs(frame, **given):
    return make_inputs(frame, settings(**given), ELEMENTS)


def test_the_papers_settings():
    made = inputs(frame_of(oxide()))
    incar = Incar.from_str(made.incar_text)
    expected = {
        "GGA": "Pe", "ENCUT": 500, "ISPIN": 2, "ISMEAR": 0, "SIGMA": 0.1, "EDIFF": 1e-4, "NSW": 0,
        "IBRION": -1, "ISIF": 2, "ISYM": 0, "LREAL": False, "LWAVE": False, "LCHARG": False,
        "PREC": "Accurate",
    }  # fmt: skip
    assert {tag: incar[tag] for tag in expected} == expected
    assert incar["MAGMOM"] == [0.6] * 12
    assert "KSPACING" not in incar


@pytest.mark.parametrize(("preset", "mesh"), [("kspacing-0.25", (2, 2, 2)), ("kspacing-0.20", (3, 3, 3))])
def test_kspacing_includes_two_pi(preset, mesh):
    # |b| = 2 pi / 13.134 angstrom = 0.478 per angstrom.
    frame = frame_of(load_structure("t-LLZO", base=None, primitive=False, supercell=[1, 1, 1]))
    made = inputs(frame, preset=preset)
    kpoints = Kpoints.from_str(made.kpoints)
    assert kpoints.kpts == [mesh]
    assert kpoints.style.name == "Gamma"
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(frame.cell_A).T, axis=1)
    spacing = settings(preset=preset).spacing_per_A
    assert all(length / n <= spacing < length / (n - 1) for length, n in zip(lengths, mesh, strict=True))


def test_gamma_only_in_a_box():
    dimer = Atoms("LiO", positions=[[6, 6, 5], [6, 6, 7]], cell=[12, 12, 12])
    assert inputs(frame_of(dimer)).gamma_only
    assert inputs(frame_of(dimer), kpoints_mesh=[2, 2, 2]).gamma_only
    dimer.pbc = True
    assert inputs(frame_of(dimer)).gamma_only
    assert inputs(frame_of(oxide()), kpoints_mesh=[2, 3, 4]).mesh == (2, 3, 4)


def test_poscar_holds_the_frame_whatever_its_order_and_handedness():
    for left_handed in (False, True):
        atoms = oxide(left_handed=left_handed)
        frame = frame_of(atoms)
        made = inputs(frame)
        structure = Poscar.from_str(made.poscar).structure
        assert np.linalg.det(structure.lattice.matrix) > 0
        assert [site.specie.symbol for site in structure] == ["Li"] * 8 + ["O"] * 4
        np.testing.assert_allclose(made.in_frame_order(structure.cart_coords), frame.positions_A, atol=1e-9)
        lattice = structure.lattice.matrix * (1 if made.right_handed else -1)
        np.testing.assert_allclose(lattice, frame.cell_A, atol=1e-9)


@pytest.mark.filterwarnings("ignore:POTCAR data with symbol")
def test_potcar_follows_poscar(tmp_path):
    made = inputs(frame_of(oxide()))
    made.write(tmp_path)
    assert [single.symbol for single in Potcar.from_file(str(tmp_path / "POTCAR"))] == ["Li_sv", "O"]
    assert made.titles == ("PAW_PBE Li_sv 01Jan2000", "PAW_PBE O 01Jan2000")
    other = inputs(frame_of(oxide()), potcar_symbols={"Li": "Li"})
    assert other.titles[0] == "PAW_PBE Li 01Jan2000"


def test_folders_are_those_of_pymatgen():
    assert {name: PotcarSingle.functional_dir[name] for name in FOLDERS} == dict(FOLDERS)


def test_charge_and_multiplicity():
    atoms = Atoms("Li2", positions=[[6, 6, 5], [6, 6, 7]], cell=[12, 12, 12])
    made = inputs(frame_of(atoms, charge=1, multiplicity=2))
    assert made.incar["NELECT"] == 2 * 3 - 1  # ZVAL of Li_sv is 3
    assert made.incar["NUPDOWN"] == 1
    assert made.incar["MAGMOM"] == [0.5, 0.5]
    plain = inputs(frame_of(atoms))
    assert "NELECT" not in plain.incar
    assert "NUPDOWN" not in plain.incar


def test_overrides():
    made = inputs(
        frame_of(oxide()), incar={"encut": 600, "KPAR": 2, "ISPIN": 1}, magnetic_moments_muB={"Li": 0.1}
    )
    assert made.incar["ENCUT"] == 600
    assert made.incar["KPAR"] == 2
    assert "MAGMOM" not in made.incar
    assert (
        inputs(frame_of(oxide()), magnetic_moments_muB={"Li": 0.1}).incar["MAGMOM"] == [0.1] * 8 + [0.6] * 4
    )


def test_a_frame_without_a_cell_is_not_supported(tmp_path):
    frame = frame_of(Atoms("LiO", positions=[[0, 0, 0], [0, 0, 2]]))
    ((_, failure),) = labeller().label([frame], tmp_path)
    assert failure.cause == "not supported"


SAME = [
    {"command": "mpirun -n 4 vasp_std"},
    {"gamma_command": "vasp_gam"},
    {"threads": 4},
    {"frames_per_job": 3},
    {"timeout_s": 1.0},
    {"retry_incar": [{"ALGO": "Damped"}]},
    {"incar": {"NCORE": 4, "KPAR": 2, "ALGO": "Fast", "NELM": 60, "LWAVE": True, "ISYM": 2, "AMIX": 0.1}},
    {"incar": {"encut": 500.0}},
    {"keep_outputs": "all"},
    {"kspacing_per_A": 0.25},
]
OTHER = [
    {"incar": {"ENCUT": 520}},
    {"preset": "kspacing-0.20"},
    {"kpoints_mesh": [2, 2, 2]},
    {"incar": {"ISPIN": 1}},
    {"incar": {"SIGMA": 0.05}},
    {"incar": {"LREAL": "Auto"}},
    {"incar": {"EDIFF": 1e-6}},
    {"incar": {"IVDW": 12}},
    {"potcar_symbols": {"Li": "Li"}},
    {"magnetic_moments_muB": {"O": 2.0}},
]


def test_identity_is_the_physics():
    first = physics_hash(labeller().physics())
    assert {physics_hash(labeller(**given).physics()) for given in SAME} == {first}
    others = [physics_hash(labeller(**given).physics()) for given in OTHER]
    assert len({first, *others}) == 1 + len(OTHER)


def test_identity_follows_the_potcars_not_their_place(tmp_path, monkeypatch):
    first = physics_hash(labeller().physics())
    make_potcars(tmp_path / "moved")
    for path in (tmp_path / "moved").rglob("POTCAR.*"):
        path.write_text(path.read_text().replace("\n", "  \r\n"))
        with path.open("rb") as source, gzip.open(f"{path}.gz", "wb") as target:
            shutil.copyfileobj(source, target)
        path.unlink()
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "moved"))
    assert physics_hash(labeller().physics()) == first
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(make_potcars(tmp_path / "newer", date="02Feb2002")))
    assert physics_hash(labeller().physics()) != first


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"incar": {"ENCUTT": 500}}, "did you mean ENCUT"),
        ({"incar": {"ENCUT": "high"}}, "expected a number"),
        ({"incar": {"ISPIN": 1.5}}, "expected a whole number"),
        ({"incar": {"NSW": 5}}, "kind of run"),
        ({"incar": {"KSPACING": 0.3}}, "kspacing_per_A"),
        ({"incar": {"MAGMOM": [1]}}, "magnetic_moments_muB"),
        ({"incar": {"ENCUT": 500, "encut": 600}}, "same tag"),
        ({"incar": {"PREC": "Acurate"}}, "expected one of"),
        ({"retry_incar": [{"ALGO": "All"}, {"SIGMA": 0.2}]}, r"retry_incar\[1\].SIGMA"),
        ({"kpoints_mesh": [1, 1, 1], "kspacing_per_A": 0.3}, "keep one"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(given, told):
    with pytest.raises(ValidationError, match=told):
        VASP(engine="vasp", **given)


def test_potcars_that_are_missing_are_all_named(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="Zr_sv is a POTCAR of another element"):
        labeller(potcar_symbols={"La": "Zr_sv"})
    place = make_potcars(tmp_path)
    (place / "POT_GGA_PAW_PBE_54" / "POTCAR.La").unlink()
    (place / "POT_GGA_PAW_PBE_54" / "POTCAR.O").write_text("PAW_PBE O")
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(place))
    with pytest.raises(UserError) as caught:
        labeller(command="nosuch_launcher vasp_std").preflight()
    told = str(caught.value)
    assert "no POTCAR La of PBE_54" in told
    assert "POTCAR.O: is no whole POTCAR" in told
    assert "nosuch_launcher" in told


def test_preflight_passes_here():
    labeller().preflight()
    labeller(command=">>vasp_cmd<<", check_command=False).preflight()


def test_commands(monkeypatch, tmp_path):
    monkeypatch.delenv("LLZO_AL_VASP_CMD", raising=False)
    with pytest.raises(UserError, match="LLZO_AL_VASP_CMD"):
        commands(settings(command=">>vasp_cmd<<"))
    for name, value in worker_environment({"vasp_cmd": "srun -n 8 vasp_std", "campaign_dir": "/x"}).items():
        monkeypatch.setenv(name, value)
    assert commands(settings(command=">>vasp_cmd<<"))[0] == ["srun", "-n", "8", "vasp_std"]
    monkeypatch.setenv("WHERE", "/opt/vasp")
    assert commands(settings(command="$WHERE/vasp_std"))[0] == ["/opt/vasp/vasp_std"]
    with pytest.raises(UserError, match="split"):
        commands(settings(command="vasp 'std"))
    check_executable(STANDIN.split(), "command")
    with pytest.raises(UserError, match="vasp_std of the command"):
        check_executable(["env", "vasp_std"], "command")
    script = tmp_path / "vasp_std"
    script.write_text("")
    with pytest.raises(UserError, match="chmod"):
        check_executable([str(script)], "command")


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("srun -n 32 vasp_std", 32),
        ("mpirun -np 16 vasp_std", 16),
        ("srun --ntasks=8 vasp_std", 8),
        ("mpirun -n4 vasp_std", 4),
        ("srun vasp_std", None),
    ],
)  # fmt: skip
def test_processes_that_a_command_starts(command, count):
    assert ranks(command.split()) == count
    assert labeller(command=command).threads == (count or 1)


def test_parallel_settings_fit_the_command():
    words = ["srun", "-n", "32", "vasp_std"]
    check_parallel(settings(incar={"KPAR": 2, "NCORE": 8}, threads=32), words)
    for given, told in (
        ({"incar": {"KPAR": 3}}, "KPAR: is 3"),
        ({"incar": {"KPAR": 4, "NCORE": 16}}, "NCORE: is 16.*KPAR = 4"),
        ({"incar": {"NCORE": 4, "NPAR": 8}}, "two ways"),
        ({"threads": 16}, "starts 32 processes"),
        ({"incar": {"KPAR": 2}, "retry_incar": [{"NCORE": 5}]}, r"retry_incar\[0\].NCORE"),
    ):
        with pytest.raises(UserError, match=told):
            check_parallel(settings(**given), words)


def test_values_that_vasp_repeats_in_its_own_way():
    assert same_value("Accurate", "accura")
    assert same_value("Auto", True)
    assert same_value(1e-4, 0.0001)
    assert same_value(False, "F")
    assert not same_value(500, 400)
    assert not same_value("PE", "PS")
    assert not same_value(None, 0.05)
    assert not same_value(False, None)
    asked = {"ENCUT": 500, "ALGO": "Normal"}
    assert list(changed_tags(asked, {"ENCUT": 500.0, "ALGO": "All", "NCORE": 2}, "INCAR")) == []
    assert list(changed_tags(asked, {"ENCUT": 500, "ISMEAR": 1}, "INCAR")) == [
        "ISMEAR in INCAR is 1, asked for not given"
    ]


def test_a_foreign_element_is_named():
    frame = frame_of(Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]], cell=[9, 9, 9]))
    with pytest.raises(UserError, match="Cl, Na"):
        inputs(frame)
