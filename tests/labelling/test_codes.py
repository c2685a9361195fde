"""Quantum ESPRESSO, ABINIT, CP2K and CHGNet really run: forces and stress against energy differences.

``pytest -m dft tests/labelling/test_codes.py`` takes some minutes; each test is left out where its code or
its pseudopotentials are missing. pw.x: Debian's ``quantum-espresso`` with ``quantum-espresso-data``; ABINIT:
Debian's ``abinit`` with the PAW sets of ``gpaw-data``, which it reads; CP2K: Debian's ``cp2k`` with
``cp2k-data``; CHGNet from PyPI, whose package holds its weights.
"""

from __future__ import annotations

import gzip
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from llzo_al.config.labelling import ABINIT, CP2K, Espresso, UniversalPotential
from llzo_al.dataset.frames import Frame, Label, LabelFailure, Provenance
from llzo_al.labelling.base import make_labeller
from llzo_al.labelling.presets.recipes import gpaw_setup_directories

pytestmark = [pytest.mark.dft, pytest.mark.timeout(1800)]

PROVENANCE = Provenance(source="test", kind="test", group="test")
ESPRESSO_FILES = Path("/usr/share/espresso/pseudo")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def li2o():
    atoms = bulk("Li2O", "fluorite", a=4.62)
    atoms.rattle(0.08, seed=3)
    return atoms


def o2(box_A=6.0):
    bond_A = 1.30 * np.array([0.60, 0.64, 0.48])
    atoms = Atoms("O2", [[0, 0, 0], bond_A], cell=[box_A, box_A + 0.3, box_A + 0.6], pbc=True)
    atoms.positions += 1.1
    return atoms


def label_all(settings, structures, directory):
    """Labels, all by one labeller; a failure ends the test."""
    labeller = make_labeller(settings, sorted(set(structures[0].get_chemical_symbols())))
    labeller.preflight()
    frames = [Frame.from_atoms(atoms, PROVENANCE) for atoms in structures]
    found = dict(labeller.label(frames, directory))
    for result in found.values():
        assert isinstance(result, Label), result
    return [found[index] for index in range(len(frames))]


def moved(atoms, step_A, direction):
    """The atoms displaced forth and back along `direction`."""
    copies = []
    for sign in (1, -1):
        copy = atoms.copy()
        copy.positions += sign * step_A * direction
        copies.append(copy)
    return copies


def strained(atoms, strain):
    """The cell strained forth and back by the symmetric tensor `strain`."""
    copies = []
    for sign in (1, -1):
        copy = atoms.copy()
        copy.set_cell(np.array(atoms.cell) @ (np.eye(3) + sign * strain), scale_atoms=True)
        copies.append(copy)
    return copies


def check_derivatives(settings, atoms, directory, *, step_A=0.01, stress=True):
    """Forces to 1 %, shear stresses (which a fixed cutoff does not spoil) to 3 %; returns the label."""
    direction = np.zeros((len(atoms), 3))
    direction[0], direction[-1] = (0.6, 0.64, 0.3), (-0.2, -0.4, -0.2)
    direction /= np.linalg.norm(direction)
    shear = 0.01 * np.array([[0.0, 0.3, 0.3], [0.3, 0.0, 1.0], [0.3, 1.0, 0.0]])
    structures = [atoms, *moved(atoms, step_A, direction)]
    if stress:
        structures += strained(atoms, shear)
    label, *others = label_all(settings, structures, directory)
    slope = -(others[0].energy_eV - others[1].energy_eV) / (2 * step_A)
    assert np.sum(label.forces_eV_per_A * direction) == pytest.approx(slope, rel=0.01)
    if stress:
        work_eV = -(others[2].energy_eV - others[3].energy_eV) / 2
        assert np.sum(label.virial_eV * shear) == pytest.approx(work_eV, rel=0.03)
    return label


def espresso(files, **keys):
    if not all((ESPRESSO_FILES / name).is_file() for name in files.values()):
        pytest.skip("Debian's quantum-espresso-data is not installed")
    values = {"pseudopotential_directory": str(ESPRESSO_FILES), "pseudopotentials": files}
    return Espresso(engine="espresso", **values, **keys)


def oxygen(**keys):
    return espresso(
        {"O": "O.pbe-rrkjus.UPF"}, cutoff_eV=408, density_cutoff_eV=3265, vacuum_gap_A=3.0, **keys
    )


@needs("pw.x")
def test_pw_x_on_li2o(tmp_path):
    files = {"Li": "Li.pbesol-s-rrkjus_psl.0.2.1.UPF", "O": "O.pbesol-n-rrkjus_psl.0.1.UPF"}
    settings = espresso(files, cutoff_eV=816, density_cutoff_eV=5442, kspacing_per_A=0.8)
    label = check_derivatives(settings, li2o(), tmp_path)
    assert label.virial_eV.shape == (3, 3)


@needs("pw.x")
def test_pw_x_on_a_molecule_with_spins(tmp_path):
    """The triplet comes by itself; the singlet that is asked for lies above it."""
    settings = oxygen(virials=False)
    singlet = o2()
    singlet.info["multiplicity"] = 1
    label = check_derivatives(settings, o2(), tmp_path / "triplet", stress=False)
    (above,) = label_all(settings, [singlet], tmp_path / "singlet")
    assert above.energy_eV - label.energy_eV > 0.5


@needs("pw.x")
def test_pw_x_that_does_not_converge(tmp_path):
    settings = oxygen(run_parameters={"electrons": {"electron_maxstep": 2}})
    labeller = make_labeller(settings, ["O"])
    ((_, failure),) = labeller.label([Frame.from_atoms(o2(), PROVENANCE)], tmp_path)
    assert isinstance(failure, LabelFailure)
    assert failure.cause == "not converged"


@needs("abinit")
def test_abinit_on_li2o(tmp_path):
    (tmp_path / "sets").mkdir()
    for element in ("Li", "O"):
        found = [path for place in gpaw_setup_directories() for path in place.glob(f"{element}.PBE.gz")]
        if not found:
            pytest.skip("gpaw-data is not installed, and GPAW_SETUP_PATH names no folder of PAW sets")
        (tmp_path / "sets" / f"{element}.xml").write_bytes(gzip.decompress(found[0].read_bytes()))
    settings = ABINIT(
        engine="abinit",
        pseudopotential_directory=str(tmp_path / "sets"),
        pseudopotentials={"Li": "Li.xml", "O": "O.xml"},
        cutoff_eV=800,
        kspacing_per_A=0.8,
        parameters={"pawecutdg": 1600},
    )
    label = check_derivatives(settings, li2o(), tmp_path / "job")
    # GPAW itself, with the same sets and 800 eV.
    by_gpaw = [[-1.1566, -0.5206, -0.1289], [0.6251, 0.2759, 0.2320], [0.5315, 0.2447, -0.1031]]
    np.testing.assert_allclose(label.forces_eV_per_A, by_gpaw, atol=0.02)


@needs("cp2k.psmp")
def test_cp2k_on_a_molecule_with_spins(tmp_path):
    settings = CP2K(engine="cp2k", cutoff_eV=4082, vacuum_gap_A=3.0)
    check_derivatives(settings, o2(), tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("chgnet") is None, reason="chgnet is not installed")
def test_chgnet_on_li2o(tmp_path):
    settings = UniversalPotential(engine="universal_potential", family="chgnet")
    check_derivatives(settings, li2o(), tmp_path, step_A=0.002)
