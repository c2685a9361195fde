"""Presets of first-principles codes and universal potentials: what they ask of the code, their identity."""

import gzip
import os

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.io.espresso import read_espresso_in, read_fortran_namelist
from ase.units import Ry

from llzo_al.config.labelling import ABINIT, CP2K, GPAW, Espresso, UniversalPotential
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError
from llzo_al.labelling import ase_child
from llzo_al.labelling.base import make_labeller
from llzo_al.labelling.jobs import frame_record
from llzo_al.labelling.presets import abinit, cp2k, espresso, gpaw, universal
from llzo_al.labelling.presets.common import (
    NotConverged,
    NotSupported,
    Refused,
    Run,
    has_spin,
    initial_moments_muB,
    k_mesh,
    vacuum_along,
)
from llzo_al.labelling.presets.per_structure import MODULES, PerStructure

LI2O_A = 4.619


def li2o():
    return bulk("Li2O", "fluorite", a=LI2O_A, cubic=True)


def dimer(distance_A=1.7, box_A=12.0):
    return Atoms("LiO", [[0, 0, 0], [distance_A, 0, 0]], cell=[box_A] * 3, pbc=True)


def gpaw_settings(**keys):
    return GPAW(engine="gpaw", **{"version": "26.7.0", **keys})


# K-points, isolation, spins


@pytest.mark.parametrize(
    ("atoms", "spacing_per_A", "mesh"),
    [
        (li2o(), 0.25, (6, 6, 6)),  # 2 pi / 4.619 = 1.360 per angstrom; 5.44 spacings
        (li2o(), 0.20, (7, 7, 7)),
        (li2o() * (2, 1, 1), 0.25, (3, 6, 6)),
        (li2o(), 2 * np.pi / LI2O_A / 3, (3, 3, 3)),  # an exact fit stays
        (dimer(), 0.25, (1, 1, 1)),
        (fcc111("Al", (1, 1, 3), vacuum=8.0, periodic=True), 0.25, (11, 11, 1)),
    ],
)
def test_the_mesh_is_vasps(atoms, spacing_per_A, mesh):
    assert k_mesh(atoms, spacing_per_A=spacing_per_A, gap_A=8.0) == mesh


def test_vacuum_is_found_across_the_boundary():
    across = dimer()
    across.positions += [11.0, 5.0, 5.0]
    across.wrap()
    assert vacuum_along(across, 8.0) == (True, True, True)
    assert vacuum_along(dimer(box_A=8.0), 8.0) == (False, True, True)
    assert vacuum_along(li2o(), 8.0) == (False, False, False)


def test_spins_where_they_are_asked_for():
    crystal, molecule, triplet = li2o(), dimer(), li2o()
    triplet.info["multiplicity"] = 3
    for choice, expected in (
        ("isolated", [False, True, True]),
        ("always", [True, True, True]),
    ):
        settings = gpaw_settings(spin_polarised=choice).settings()
        assert [has_spin(atoms, settings) for atoms in (crystal, molecule, triplet)] == expected
    never = gpaw_settings(spin_polarised="never").settings()
    assert not has_spin(molecule, never)
    with pytest.raises(NotSupported, match="multiplicity 3"):
        has_spin(triplet, never)


def test_initial_moments_are_the_free_atoms_or_the_campaigns():
    assert initial_moments_muB(dimer(), gpaw_settings().settings()) == [1.0, 2.0]
    given = gpaw_settings(magnetic_moments_muB={"O": 0.4}).settings()
    assert initial_moments_muB(dimer(), given) == [1.0, 0.4]
    quartet = dimer()
    quartet.info["multiplicity"] = 4
    assert sum(initial_moments_muB(quartet, given)) == pytest.approx(3.0)


# Identity


def test_only_physics_is_part_of_the_identity(tmp_path, monkeypatch):
    (tmp_path / "Li.upf").write_text("lithium")
    monkeypatch.chdir(tmp_path)
    values = {
        "engine": "espresso",
        "pseudopotential_directory": ".",
        "pseudopotentials": {"Li": "Li.upf"},
    }
    plain = make_labeller(Espresso(**values), ["Li"]).physics()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "Li.upf").write_text("lithium")
    moved = Espresso(
        **{**values, "pseudopotential_directory": str(elsewhere)},
        command="mpirun -np 32 pw.x",
        threads=4,
        timeout_s=10.0,
        memory_limit_GB=2.0,
        frames_per_job=1,
        virials=False,
        run_parameters={"electrons": {"mixing_beta": 0.2}},
        retry_parameters=[{"electrons": {"mixing_beta": 0.1}}],
    )
    assert make_labeller(moved, ["Li"]).physics() == plain
    for change in ({"cutoff_eV": 900.0}, {"kspacing_per_A": 0.2}, {"smearing_eV": 0.05}, {"xc": "PBESOL"}):
        assert make_labeller(Espresso(**values, **change), ["Li"]).physics() != plain
    (elsewhere / "Li.upf").write_text("another lithium")
    assert make_labeller(moved, ["Li"]).physics() != plain


def test_gpaws_version_and_setups_are_part_of_the_identity(tmp_path, monkeypatch):
    for element in ("Li", "O"):
        with gzip.open(tmp_path / f"{element}.PBE.gz", "wb") as handle:
            handle.write(element.encode())
    monkeypatch.setenv("GPAW_SETUP_PATH", str(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", lambda package: "26.7.0")
    labeller = make_labeller(GPAW(engine="gpaw"), ["Li", "O"])
    before = labeller.physics()
    assert before["version"]["gpaw"] == "26.7.0"
    assert set(before["version"]["setups"]) == {"Li", "O"}
    (tmp_path / "O.PBE.gz").write_bytes(b"other")
    assert labeller.physics() != before
    monkeypatch.setattr("importlib.metadata.version", lambda package: "27.1.0")
    assert labeller.physics()["version"]["gpaw"] == "27.1.0"
    monkeypatch.setattr("llzo_al.labelling.presets.recipes.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"no PAW setup Zr\.PBE .*gpaw-data"):
        make_labeller(GPAW(engine="gpaw"), ["Zr"]).physics()


def test_a_given_version_needs_nothing_installed():
    assert make_labeller(gpaw_settings(), ["Li"]).physics()["version"] == "26.7.0"


@pytest.mark.parametrize(
    ("family", "package"),
    [("mace", "mace-torch"), ("sevennet", "sevenn"), ("orb", "orb-models"), ("mattersim", "mattersim")],
)
def test_a_universal_potential_that_is_not_installed_names_its_package(family, package):
    labeller = make_labeller(UniversalPotential(engine="universal_potential", family=family), ["Li"])
    with pytest.raises(UserError, match=f"pip install {package}"):
        labeller.preflight()
    pinned = UniversalPotential(engine="universal_potential", family=family, version="1")
    with pytest.raises(UserError, match=rf"labelling\.family: .*pip install {package}"):
        make_labeller(pinned, ["Li"]).preflight()


# Preflight


def test_preflight_finds_missing_files_and_programs(tmp_path):
    values = {"pseudopotential_directory": str(tmp_path), "pseudopotentials": {"Li": "Li.upf"}}
    with pytest.raises(UserError, match=r"labelling\.pseudopotentials\.Li: .*Li\.upf"):
        make_labeller(Espresso(engine="espresso", **values), ["Li"]).preflight()
    (tmp_path / "Li.upf").write_text("lithium")
    nowhere = make_labeller(Espresso(engine="espresso", **values, command="pw.nowhere -nk 2"), ["Li"])
    with pytest.raises(UserError, match=r"labelling\.command: 'pw\.nowhere -nk 2'.*no program"):
        nowhere.preflight()
    with pytest.raises(UserError, match=r"labelling\.pseudopotentials: files end in \.upf"):
        make_labeller(ABINIT(engine="abinit", **values), ["Li"]).preflight()
    with pytest.raises(UserError, match=r"labelling\.command: .*CP2K"):
        make_labeller(CP2K(engine="cp2k", command="cp2k_nowhere"), ["Li"]).preflight()


def test_physics_may_not_come_through_the_back_door(tmp_path):
    settings = CP2K(engine="cp2k", command="true", retry_parameters=[{}, {"cutoff": 100}])
    with pytest.raises(UserError, match=r"run_parameters\.cutoff.*retry_parameters\[1\]"):
        make_labeller(settings, ["Li"]).preflight()
    with pytest.raises(Refused, match="kpts"):
        gpaw.check(gpaw_settings().settings(), Run(directory=tmp_path, parameters={"kpts": [1, 1, 1]}))


# What the codes are asked for


def test_gpaws_parameters_follow_the_frame():
    settings = gpaw_settings(kspacing_per_A=0.5, setups={"Li": "1"}).settings()
    crystal = gpaw.parameters(settings, li2o())
    assert crystal["kpts"] == {"size": (3, 3, 3), "gamma": True}
    assert not crystal["spinpol"]
    assert crystal["mode"] == {"name": "pw", "ecut": 800.0}
    assert crystal["setups"] == {"Li": "1"}
    ion = dimer()
    ion.info |= {"charge": -1, "multiplicity": 3}
    isolated = gpaw.parameters(settings, ion)
    assert isolated["kpts"]["size"] == (1, 1, 1)
    assert isolated["spinpol"]
    assert isolated["charge"] == -1
    assert isolated["occupations"] == {"name": "fermi-dirac", "width": 0.1, "fixmagmom": True}


def espresso_settings(tmp_path, **keys):
    for element in ("Li", "O"):
        (tmp_path / f"{element}.upf").write_text(element)
    values = {
        "engine": "espresso",
        "pseudopotential_directory": str(tmp_path),
        "pseudopotentials": {"Li": "Li.upf", "O": "O.upf"},
    }
    return Espresso(**{**values, **keys}).settings()


def test_the_input_of_pw_x(tmp_path):
    settings = espresso_settings(tmp_path, kspacing_per_A=0.5, cutoff_eV=80 * Ry, density_cutoff_eV=640 * Ry)
    run = Run(directory=tmp_path / "run", parameters={"electrons": {"mixing_beta": 0.3}})
    espresso.build(settings, li2o(), run).write_inputfiles(li2o(), ["energy"])
    text = (run.directory / "espresso.pwi").read_text()
    with (run.directory / "espresso.pwi").open() as handle:
        again = read_espresso_in(handle)
    np.testing.assert_allclose(again.get_scaled_positions(), li2o().get_scaled_positions(), atol=1e-6)
    lists, _ = read_fortran_namelist(text.splitlines(keepends=True))
    assert lists["system"]["ecutwfc"] == pytest.approx(80)
    assert lists["system"]["ecutrho"] == pytest.approx(640)
    assert lists["system"]["degauss"] == pytest.approx(0.1 / Ry)
    assert lists["system"]["nosym"] is True
    assert lists["system"]["input_dft"] == "PBE"  # not what the pseudopotentials were made for
    assert lists["control"]["tprnfor"] is True
    assert lists["control"]["tstress"] is True
    assert lists["electrons"] == {"conv_thr": pytest.approx(1e-6 / Ry), "mixing_beta": 0.3}
    assert "K_POINTS automatic\n3 3 3  0 0 0" in text


def test_the_input_of_pw_x_for_a_charged_triplet(tmp_path):
    ion = dimer()
    ion.info |= {"charge": 1, "multiplicity": 3}
    settings = espresso_settings(tmp_path, virials=False)
    run = Run(directory=tmp_path / "run")
    calculator = espresso.build(settings, ion, run)
    calculator.write_inputfiles(ion, ["energy"])
    lists, _ = read_fortran_namelist((run.directory / "espresso.pwi").read_text().splitlines(keepends=True))
    assert lists["system"]["nspin"] == 2
    assert lists["system"]["tot_charge"] == 1
    assert lists["system"]["tot_magnetization"] == 2
    assert lists["control"]["tstress"] is False
    assert "K_POINTS gamma" in (run.directory / "espresso.pwi").read_text()
    (run.directory / "espresso.pwo").write_text("   convergence NOT achieved after 100 iterations")
    with pytest.raises(NotConverged):
        espresso.verify(calculator, run)


@pytest.mark.parametrize("text", ['  z_valence="    6.00E+00"', "    6.00000000000      Z valence\n"])
def test_pw_x_is_told_moments_as_shares_of_the_valence(tmp_path, text):
    settings = espresso_settings(tmp_path, magnetic_moments_muB={"Li": 1.0, "O": 1.5})
    (tmp_path / "O.upf").write_text(f"<UPF>\n{text}\n")
    molecule = dimer()
    espresso.build(settings, molecule, Run(directory=tmp_path / "run")).write_inputfiles(molecule, ["energy"])
    lists, _ = read_fortran_namelist((tmp_path / "run/espresso.pwi").read_text().splitlines(keepends=True))
    told = {value for key, value in lists["system"].items() if key.startswith("starting_magnetization")}
    assert told == {0.25, 0.9}  # lithium's file tells nothing, and none is polarised beyond that


def test_abinit_is_told_functional_and_fine_grid(tmp_path):
    for element in ("Li", "O"):
        (tmp_path / f"{element}.xml").write_text(element)
    values = {
        "engine": "abinit",
        "command": "true",
        "pseudopotential_directory": str(tmp_path),
        "pseudopotentials": {"Li": "Li.xml", "O": "O.xml"},
    }
    run = Run(directory=tmp_path / "run")
    with pytest.raises(Refused, match=r"fine grid.*pawecutdg: 1600"):
        abinit.check(ABINIT(**values, cutoff_eV=800).settings(), run)
    given = {**values, "parameters": {"pawecutdg": 1600}}
    with pytest.raises(Refused, match=r"SCAN given; known are LDA, PBE, .*ixc"):
        abinit.check(ABINIT(**given, xc="SCAN").settings(), run)
    settings = ABINIT(**given, xc="PBEsol").settings()
    abinit.check(settings, run)
    abinit.build(settings, li2o(), run).write_inputfiles(li2o(), ["energy", "forces"])
    assert "ixc -116133\n" in (tmp_path / "run" / "abinit.in").read_text()


def test_a_frame_with_an_element_without_pseudopotential_is_refused(tmp_path):
    with pytest.raises(NotSupported, match="no file for Zr"):
        espresso.build(espresso_settings(tmp_path), bulk("Zr"), Run(directory=tmp_path / "run"))


def test_the_input_of_abinit(tmp_path):
    for element in ("Li", "O"):
        (tmp_path / f"{element}-oncv.psp8").write_text(element)
    settings = ABINIT(
        engine="abinit",
        pseudopotential_directory=str(tmp_path),
        pseudopotentials={"Li": "Li-oncv.psp8", "O": "O-oncv.psp8"},
        kspacing_per_A=0.5,
        parameters={"pawecutdg": 600.0},
    ).settings()
    run = Run(directory=tmp_path / "run", parameters={"diemix": 0.3})
    abinit.build(settings, li2o(), run).write_inputfiles(li2o(), ["energy", "forces"])
    text = (run.directory / "abinit.in").read_text()
    words = " ".join(text.split())
    for part in (
        *("ecut 1090.0 eV", "ngkpt 3 3 3", "kptopt 2", "nsym 1", "tolvrs 1e-10", "occopt 7", "tsmear 0.1 eV"),
        *("diemix 0.3", "ixc 11", "nsppol 1", "pawecutdg 600.0 eV", "nstep 100", "optstress 1"),
    ):
        assert part in words, part
    assert f'pseudos "{run.directory / "pseudopotentials" / "Li.psp8"}' in text
    (run.directory / "abinit.log").write_text("--- !ScfConvergenceWarning\n")
    with pytest.raises(NotConverged):
        abinit.verify(None, run)


def kinds_of(root):
    sections = root.get_subsection("FORCE_EVAL/SUBSYS").subsections
    return {section.params: section.keywords for section in sections}


def test_the_template_of_cp2k_is_what_ase_reads():
    from ase.calculators.cp2k import parse_input

    settings = CP2K(
        engine="cp2k", kspacing_per_A=0.5, basis_sets={"O": "TZVP-MOLOPT-GTH"}, potentials={"O": "GTH-PBE-q6"}
    ).settings()
    root = parse_input(cp2k.template(settings, li2o()))
    dft = root.get_subsection("FORCE_EVAL/DFT")
    assert [word for word in dft.keywords if "BASIS_SET_FILE_NAME" in word] == [
        "BASIS_SET_FILE_NAME BASIS_MOLOPT",
        "BASIS_SET_FILE_NAME BASIS_MOLOPT_UCL",
    ]
    smear = root.get_subsection("FORCE_EVAL/DFT/SCF/SMEAR")
    assert "ELECTRONIC_TEMPERATURE [K] 1160.45" in smear.keywords
    assert kinds_of(root) == {
        "Li": ["BASIS_SET DZVP-MOLOPT-SR-GTH", "POTENTIAL GTH-PBE"],
        "O": ["BASIS_SET TZVP-MOLOPT-GTH", "POTENTIAL GTH-PBE-q6"],
    }
    isolated = parse_input(cp2k.template(settings, dimer()))
    assert "MAGNETIZATION 2.0000" in kinds_of(isolated)["O"]
    assert "KPOINTS" not in cp2k.template(settings, dimer())


def test_cp2ks_mesh_is_gamma_centred_and_written_out():
    points = np.array(cp2k.k_points((2, 3, 1)))
    assert points[:, 3].sum() == pytest.approx(1.0)
    full = {tuple(np.round(sign * point[:3] % 1.0, 6) % 1.0) for point in points for sign in (1, -1)}
    assert full == {(i / 2, round(j / 3, 6), 0.0) for i in range(2) for j in range(3)}
    assert len(points) == 4


def test_a_universal_potential_knows_no_charge(tmp_path):
    ion = dimer()
    ion.info["charge"] = 1
    settings = UniversalPotential(engine="universal_potential", family="mace", version="1").settings()
    with pytest.raises(NotSupported):
        universal.build(settings, ion, Run(directory=tmp_path))


# One calculator for each structure


class Counting(EMT):
    """EMT that counts its calculations."""

    calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        Counting.calls += 1
        assert atoms.get_initial_magnetic_moments().tolist() == [1.0] * len(atoms)
        super().calculate(atoms, properties, system_changes)


class Plain(Calculator):
    """Energy and forces, and no free energy."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 1.0, "forces": np.zeros((len(atoms), 3))}


class Preset:
    """A preset of EMT."""

    def __init__(self, make):
        self.make = make
        self.built = 0

    def check(self, settings, run):
        pass

    def build(self, settings, atoms, run):
        self.built += 1
        atoms.set_initial_magnetic_moments([1.0] * len(atoms))
        return self.make()

    def verify(self, calculator, run):
        pass


def test_a_calculator_stays_as_long_as_only_atoms_move(tmp_path, monkeypatch):
    preset = Preset(Counting)
    monkeypatch.setattr("importlib.import_module", lambda name: preset)
    calculator = PerStructure("gpaw", {}, Run(directory=tmp_path))
    monkeypatch.undo()
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator
    Counting.calls = 0
    atoms.get_forces()
    atoms.get_potential_energy(force_consistent=True)
    stress = atoms.get_stress()
    assert (preset.built, Counting.calls) == (1, 1)
    atoms.rattle(0.05, seed=1)
    atoms.get_forces()
    assert (preset.built, Counting.calls) == (1, 2)
    atoms.set_cell(np.array(atoms.cell) * 1.01, scale_atoms=True)
    assert not np.allclose(atoms.get_stress(), stress)
    assert preset.built == 2
    atoms.info["charge"] = 1
    atoms.rattle(0.05, seed=2)
    atoms.get_forces()
    assert preset.built == 3


def test_what_the_code_does_not_have_is_not_made_up(tmp_path, monkeypatch):
    preset = Preset(Plain)
    monkeypatch.setattr("importlib.import_module", lambda name: preset)
    calculator = PerStructure("gpaw", {}, Run(directory=tmp_path))
    monkeypatch.undo()
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator
    assert atoms.get_potential_energy() == 1.0
    for ask in (lambda: atoms.get_potential_energy(force_consistent=True), atoms.get_stress):
        with pytest.raises(PropertyNotImplementedError):
            ask()


class Shell(Plain):
    """A code of its own process, which works in a directory until it is closed."""

    place = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        Shell.place.mkdir()

    def close(self):
        assert Shell.place.is_dir()


def test_a_codes_process_ends_before_its_directory_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: Preset(Shell))
    spec = {"preset": "cp2k", "settings": {}, "run_parameters": {}, "threads": 1, "virials": True}
    frames = ase_child._Frames(spec, tmp_path)
    monkeypatch.undo()
    record = frame_record(Frame.from_atoms(li2o(), Provenance(source="test", kind="test", group="test")))
    for index in range(2):
        Shell.place = tmp_path / f"frame-{index}"
        assert frames.label({"index": index, **record})["energy_eV"] == 1.0
        assert not Shell.place.exists()


def test_every_preset_has_its_module():
    import importlib

    for name in MODULES.values():
        module = importlib.import_module(name)
        assert callable(module.check)
        assert callable(module.build)
        assert callable(module.verify)


def test_a_command_that_fails_is_a_crash(tmp_path, monkeypatch):
    """The whole way through the child, with a program that is no pw.x."""
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    settings = Espresso(**espresso_settings(tmp_path, command="false", version="none"))
    labeller = make_labeller(settings, ["Li", "O"])
    frame = Frame.from_atoms(li2o(), Provenance(source="test", kind="test", group="test"))
    ((index, failure),) = labeller.label([frame], tmp_path / "job")
    assert index == 0
    assert failure.cause == "crash"
    assert (tmp_path / "job" / "frame-0" / "espresso.pwi").exists()
