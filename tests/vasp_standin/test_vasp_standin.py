"""The stand-in for VASP's executable: that it does as VASP does, and that nobody gets at it by accident."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

from vasp_standin import standin_faults
from vasp_standin.potcars import VALENCE, dummy_potcar, write_dummy_potcars
from vasp_standin.standin_runs import lithium_oxide, run_many, run_standin, write_inputs

ROOT = Path(__file__).resolve().parents[2]


def overlapping():
    atoms = lithium_oxide()
    atoms.positions[1] = atoms.positions[0] + [0.3, 0, 0]
    return atoms


def left_handed():
    atoms = lithium_oxide()
    cell = np.array(atoms.cell)
    atoms.set_cell(cell[[1, 0, 2]], scale_atoms=False)
    return atoms


def rewrite(name, change):
    """A change of one input file's text."""

    def spoil(folder):
        path = folder / name
        path.write_text(change(path.read_text()))

    return spoil


def inputs(atoms=None, **incar):
    """Other inputs altogether."""
    return lambda folder: write_inputs(folder, atoms or lithium_oxide(), incar)


def no_cutoff(folder):
    rewrite("POTCAR", lambda text: "".join(x for x in text.splitlines(True) if "ENMAX" not in x))(folder)
    (folder / "INCAR").write_text("NSW = 0\n")


REFUSALS = {
    "no INCAR": (lambda f: (f / "INCAR").unlink(), "No INCAR found"),
    "no POSCAR": (lambda f: (f / "POSCAR").unlink(), "POSCAR"),
    "no POTCAR": (lambda f: (f / "POTCAR").unlink(), "POTCAR"),
    "empty POSCAR": (rewrite("POSCAR", lambda _: ""), "Error reading POSCAR"),
    "garbled value": (rewrite("INCAR", lambda _: "ENCUT = fast\n"), "Error reading item 'ENCUT'"),
    "unknown tag": (rewrite("INCAR", lambda _: "ENCUTT = 500\n"), "unknown tag ENCUTT"),
    "too few POTCARs": (
        rewrite("POTCAR", lambda _: dummy_potcar("Li_sv")),
        "incompatible with number of spec",
    ),
    "no cutoff": (no_cutoff, "no default cutoff"),
    "MAGMOM too short": (inputs(MAGMOM="2*0.6"), "Error reading item 'MAGMOM'"),
    "negative NELECT": (inputs(NELECT=-3), "not sufficient to hold all electrons"),
    "huge NELECT": (inputs(NELECT=400), "not sufficient to hold all electrons"),
    "tetrahedra": (inputs(ISMEAR=-5, KSPACING=9), "Tetrahedron method fails"),
    "KPOINTS": (lambda f: (f / "KPOINTS").write_text("mesh\n0\nGamma\n2 two 2\n"), "Error reading KPOINTS"),
    "scale": (rewrite("POSCAR", lambda t: t.replace("1.0\n", "1.0 1.0\n", 1)), "1 or 3 items on line 2"),
    "letters in POSCAR": (rewrite("POSCAR", lambda t: t.replace("0.25", "quarter", 1)), "syntax error"),
    "overlap": (inputs(overlapping()), "ZPOTRF failed"),
    "left-handed": (inputs(left_handed()), "triple product"),
    "dynamics without POTIM": (inputs(NSW=5, IBRION=0), "requires POTIM"),
}


MOTION = {
    "relax": {"NSW": 30, "IBRION": 2, "ISIF": 3, "EDIFFG": -0.05},
    "md": {"NSW": 5, "IBRION": 0, "MDALGO": 3, "ISIF": 2, "TEBEG": 300, "POTIM": 1, "SMASS": 0},
    "newtonian": {"NSW": 4, "IBRION": 0, "TEBEG": 300, "POTIM": 0.5},
    "unrelaxed": {"NSW": 4, "IBRION": 2, "EDIFFG": -0.05},
    "stopped": {"NSW": 9, "IBRION": 2, "EDIFFG": -1e-9},
}


def prepared(root):
    """Folder and failure of every run that the tests look at."""
    jobs = {name: (write_inputs(root / name, lithium_oxide(rattle=1), t), "") for name, t in MOTION.items()}
    jobs["unrelaxed"] = (root / "unrelaxed", "unconverged-ionic")
    (root / "stopped" / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    for name in ("static", "species", "defaults"):
        jobs[name] = (write_inputs(root / name, lithium_oxide(rattle=1)), "")
    (root / "species" / "POTCAR").write_text(dummy_potcar("O") + dummy_potcar("Li_sv"))
    (root / "defaults" / "INCAR").write_text("NSW = 0\nISMEAR = 0\n")
    for name in standin_faults.FAULTS:
        if name not in ("slow", "unconverged-ionic"):
            jobs[name] = (write_inputs(root / name, lithium_oxide(rattle=1)), name)
    for name, (spoil, _) in REFUSALS.items():
        jobs[name] = (write_inputs(root / name.replace(" ", "_"), lithium_oxide()), "")
        spoil(jobs[name][0])
    return jobs


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Folder and exit code of every run."""
    jobs = prepared(tmp_path_factory.mktemp("vasp"))
    codes = run_many([folder for folder, _ in jobs.values()], [fault for _, fault in jobs.values()])
    return {name: (folder, code) for (name, (folder, _)), code in zip(jobs.items(), codes, strict=True)}


@pytest.fixture
def runs(outcomes):
    """A static run, a relaxation and dynamics, finished."""
    names = ("static", "relax", "md")
    assert [outcomes[name][1] for name in names] == [0, 0, 0]
    return {name: outcomes[name][0] for name in names}


def classical_label(atoms):
    """The label of the classical reference, from the labeller itself."""
    from llzo_al.config.labelling import ClassicalReference
    from llzo_al.dataset.frames import Frame, Provenance
    from llzo_al.labelling.classical import ClassicalLabeller

    frame = Frame.from_atoms(atoms, Provenance(source="test", kind="Li2O", group="g"))
    labeller = ClassicalLabeller(ClassicalReference(engine="classical_reference"), ("Li", "La", "Zr", "O"))
    return frame, labeller


def test_files_of_a_run_hold_the_classical_reference(runs, tmp_path):
    import ase.io

    frame, labeller = classical_label(lithium_oxide(rattle=1))
    [(_, label)] = list(labeller.label([frame], tmp_path))
    for name in ("OUTCAR", "vasprun.xml"):
        atoms = ase.io.read(runs["static"] / name)
        assert atoms.get_chemical_symbols() == ["Li", "Li", "O"]
        assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(label.energy_eV, abs=1e-5)
        assert np.allclose(atoms.get_forces(), label.forces_eV_per_A, atol=2e-5)
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        assert np.allclose(virial, label.virial_eV, atol=2e-4)


def test_pymatgen_reads_a_static_run_a_relaxation_and_dynamics(runs):
    import ase.io
    from pymatgen.io.vasp import Poscar
    from pymatgen.io.vasp.outputs import Oszicar, Outcar, Vasprun

    counts = {}
    for kind, folder in runs.items():
        run = Vasprun(folder / "vasprun.xml", parse_potcar_file=False)
        assert run.converged
        assert run.incar["ENCUT"] == 500
        assert run.parameters["EDIFF"] == pytest.approx(1e-4)
        counts[kind] = len(run.ionic_steps)
        assert not Outcar(folder / "OUTCAR").is_stopped
        assert len(Oszicar(folder / "OSZICAR").ionic_steps) == counts[kind]
        assert len(ase.io.read(folder / "XDATCAR", index=":")) == counts[kind]
    assert counts["static"] == 1
    assert 2 <= counts["relax"] < 30
    assert counts["md"] == 5
    last = Vasprun(runs["relax"] / "vasprun.xml", parse_potcar_file=False).ionic_steps[-1]
    assert np.linalg.norm(last["forces"], axis=1).max() < 0.05
    assert np.abs(Poscar.from_file(runs["md"] / "CONTCAR").velocities).max() > 0


def test_dpdata_reads_both_formats(runs):
    import dpdata

    for folder in runs.values():
        outcar = dpdata.LabeledSystem(str(folder / "OUTCAR"), fmt="vasp/outcar")
        vasprun = dpdata.LabeledSystem(str(folder / "vasprun.xml"), fmt="vasp/xml")
        assert np.allclose(outcar["energies"], vasprun["energies"], atol=1e-6)
        assert np.allclose(outcar["forces"], vasprun["forces"], atol=1e-5)
        assert np.allclose(outcar["virials"], vasprun["virials"], atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_no_handler_or_validator_of_custodian_objects(runs):
    import inspect

    from custodian.custodian import ErrorHandler
    from custodian.vasp import handlers, validators

    checked = 0
    for folder in (runs["static"], runs["relax"]):
        for name, kind in inspect.getmembers(handlers, inspect.isclass):
            if not issubclass(kind, ErrorHandler) or kind.__module__ != handlers.__name__:
                continue
            handler = kind(wall_time=10**9) if name == "WalltimeHandler" else kind()
            assert not handler.check(str(folder)), name
            checked += 1
        for validator in (validators.VasprunXMLValidator(), validators.VaspFilesValidator()):
            assert not validator.check(str(folder))
    assert checked >= 30


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_end_with_a_message_and_exit_code_1(name, outcomes):
    folder, code = outcomes[name]
    assert REFUSALS[name][1] in (folder / "vasp.out").read_text()
    assert code == 1
    assert not (folder / "CONTCAR").exists() or not (folder / "CONTCAR").read_text()


def test_species_of_potcar_win_over_those_of_poscar_with_a_warning(outcomes):
    """As in VASP, which goes on: whoever reads its outputs has to compare."""
    folder, code = outcomes["species"]
    assert code == 0
    assert "POTCAR overwrites the type information" in (folder / "vasp.out").read_text()
    assert "<c>O </c><c>   1</c>" in (folder / "vasprun.xml").read_text()


def test_inputs_without_kpoints_and_cutoff_take_the_defaults_of_vasp(outcomes):
    text = (outcomes["defaults"][0] / "OUTCAR").read_text()
    assert "ENCUT  =  499.0 eV" in text  # the largest ENMAX
    assert "KPOINTS: Gamma 5x5x5" in text  # 2 pi / (2.67 angstrom 0.5 per angstrom) = 4.7


def test_messages_are_the_ones_that_custodian_knows(outcomes):
    from custodian.vasp.handlers import StdErrHandler, VaspErrorHandler

    for name in (*standin_faults.STDOUT_FATAL, *standin_faults.STDOUT_WARNING):
        handler = VaspErrorHandler()
        assert handler.check(str(outcomes[name][0])), name
        assert name in handler.errors
    handler = StdErrHandler()
    assert handler.check(str(outcomes["out-of-memory"][0]))
    assert handler.errors == {"out_of_memory"}


def test_failures_show_as_those_of_vasp(outcomes):
    codes = {name: code for name, (_, code) in outcomes.items()}
    assert codes["segfault"] == -11
    assert codes["killed"] == codes["hang"] == -9
    assert codes["crash"] == codes["zbrent"] == codes["out-of-memory"] == 1
    assert codes["missing-library"] == 127
    finished = (
        "unconverged",
        "truncated-outcar",
        "truncated-vasprun",
        "truncated-both",
        "empty",
        "nan",
        "eddrmm",
    )
    assert [codes[name] for name in finished] == [0] * len(finished)

    def text(name, file="OUTCAR"):
        return (outcomes[name][0] / file).read_text()

    assert "EDIFF was not reached" in text("unconverged")
    assert text("unconverged", "OSZICAR").count("DAV:") == 60
    assert text("unconverged", "vasprun.xml").count("<scstep>") == 60
    for name in ("crash", "killed", "zbrent", "hang"):
        assert "Iteration" in text(name)
        assert "TOTAL-FORCE" not in text(name)
        assert "</modeling>" not in text(name, "vasprun.xml")
    for file in ("OUTCAR", "vasprun.xml", "OSZICAR", "CONTCAR"):
        assert text("empty", file) == ""
        assert not (outcomes["no-output"][0] / file).exists()
    assert "</modeling>" in text("truncated-outcar", "vasprun.xml")
    assert "General timing" not in text("truncated-outcar")
    assert "General timing" in text("truncated-vasprun")
    assert "</modeling>" not in text("truncated-vasprun", "vasprun.xml")
    assert "NaN" in text("nan")
    assert "NaN" in text("nan", "vasprun.xml")
    assert "**************" in text("asterisks")
    assert "ENCUT  =  400.0 eV" in text("other-encut")


def test_an_unconverged_relaxation_takes_all_its_steps(outcomes):
    folder, code = outcomes["unrelaxed"]
    assert code == 0
    assert "reached required accuracy" not in (folder / "OUTCAR").read_text()
    assert (folder / "OSZICAR").read_text().count("F=") == 4


def test_stopcar_ends_a_run_after_its_step(outcomes):
    folder, code = outcomes["stopped"]
    assert code == 0
    assert (folder / "OSZICAR").read_text().count("F=") == 1


def test_dynamics_go_on_from_the_velocities_in_contcar(outcomes, tmp_path):
    first, _ = outcomes["newtonian"]
    second = write_inputs(tmp_path / "second", lithium_oxide(), MOTION["newtonian"])
    (second / "POSCAR").write_text((first / "CONTCAR").read_text())
    assert run_many([second]) == [0]

    def kinetic(folder):
        lines = (folder / "OSZICAR").read_text().splitlines()
        return [float(line.split("EK=")[1].split()[0]) for line in lines if "EK=" in line]

    assert kinetic(second)[0] == pytest.approx(kinetic(first)[-1], rel=1e-4)


def test_the_command_runs_and_failures_can_be_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("LLZO_STANDIN_STATE", str(tmp_path / "count"))
    folder = write_inputs(tmp_path / "run", lithium_oxide())
    codes = [run_standin(folder, "crash:run=1").returncode, run_standin(folder, "crash:run=1").returncode]
    assert codes == [1, 0]
    assert standin_faults._applies("first=2", 2)
    assert not standin_faults._applies("first=2", 3)
    assert standin_faults._applies("every=3", 6)
    assert not standin_faults._applies("every=3", 7)
    assert run_standin(folder, "no-such-failure").returncode == 1
    assert "no failure 'no-such-failure'" in (folder / "std_err.txt").read_text()


def test_pymatgen_finds_the_dummy_potcars(tmp_path, monkeypatch):
    from pymatgen.core import SETTINGS
    from pymatgen.io.vasp.inputs import Potcar

    write_dummy_potcars(tmp_path, list(VALENCE), "PBE_54")
    write_dummy_potcars(tmp_path, list(VALENCE), "PBE_64")
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for functional in ("PBE_54", "PBE_64"):
            potcar = Potcar(["Li_sv", "La", "Zr_sv", "O"], functional=functional)
            assert [single.nelectrons for single in potcar] == [3.0, 11.0, 12.0, 6.0]
    for text in (tmp_path / "README", tmp_path / "POT_PAW_PBE_64" / "POTCAR.O"):
        assert "test" in text.read_text()


def test_the_numbers_are_those_of_the_classical_reference():
    import ast

    from llzo_al.config.labelling import ClassicalReference
    from llzo_al.labelling.classical import lammps_potential

    tree = ast.parse((Path(__file__).parent / "standin_engine.py").read_text())
    [call] = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "POTENTIAL"]
    written = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    settings = ClassicalReference(engine="classical_reference")
    wanted = lammps_potential(settings, ("Li", "La", "Zr", "O"))
    assert written == {"commands": wanted.commands, "charges_e": wanted.charges_e}


def test_nothing_of_it_is_in_the_installed_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/llzo_al"]}
    assert not any("standin" in str(entry) for entry in project["project"]["scripts"].items())
    for path in (ROOT / "src").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            words = path.read_bytes().lower()
            for word in (b"vasp_standin", b"standin", b"llzo_standin", b"stand-in"):
                assert word not in words, f"{path} speaks of {word.decode()}"
