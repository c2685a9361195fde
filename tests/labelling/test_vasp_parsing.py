"""The reader of VASP's outputs, on files of the stand-in and on real ones where they are at hand."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from llzo_al.dataset.frames import LabelFailure
from llzo_al.labelling.vasp import outcar_text, vasprun
from llzo_al.labelling.vasp.outcar import read_outcar
from llzo_al.labelling.vasp.outputs import read_vasp_run
from llzo_al.labelling.vasp.vasprun import read_vasprun
from vasp_standin.standin_runs import lithium_oxide, run_many, write_inputs

REAL = Path(
    os.environ.get(
        "LLZO_AL_VASP_OUTPUTS", Path(__file__).resolve().parents[3] / "shared" / "data" / "vasp_outputs"
    )
)
needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="LLZO_AL_VASP_OUTPUTS names no folder of real files"
)

READERS = {"OUTCAR": read_outcar, "vasprun.xml": read_vasprun}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished and failed runs of the stand-in."""
    root = tmp_path_factory.mktemp("vasp")
    motion = {"NSW": 4, "IBRION": 0, "MDALGO": 3, "TEBEG": 300, "POTIM": 1, "SMASS": 0}
    jobs = {
        "static": (lithium_oxide(rattle=1), {}, ""),
        "md": (lithium_oxide(rattle=1), motion, ""),
        "relax": (lithium_oxide(rattle=1), {"NSW": 3, "IBRION": 2, "ISIF": 3, "EDIFFG": -1e-6}, ""),
        "unconverged": (lithium_oxide(rattle=1), {"NELM": 5}, ""),
        "nan": (lithium_oxide(rattle=1), {}, "nan"),
        "asterisks": (lithium_oxide(rattle=1), {}, "asterisks"),
    }
    folders = [write_inputs(root / name, atoms, tags) for name, (atoms, tags, _) in jobs.items()]
    assert set(run_many(folders, [fault for _, _, fault in jobs.values()])) == {0}
    return {folder.name: folder for folder in folders}


@pytest.fixture
def copy(runs, tmp_path):
    """A finished run to spoil."""

    def copied(name):
        return Path(shutil.copytree(runs[name], tmp_path / name))

    return copied


@pytest.mark.parametrize("name", READERS)
def test_a_step_holds_the_label_of_the_reference(runs, name, tmp_path):
    from llzo_al.config.labelling import ClassicalReference
    from llzo_al.dataset.frames import Frame, Provenance
    from llzo_al.labelling.classical import ClassicalLabeller

    atoms = lithium_oxide(rattle=1)
    frame = Frame.from_atoms(atoms, Provenance(source="test", kind="Li2O", group="g"))
    labeller = ClassicalLabeller(ClassicalReference(engine="classical_reference"), ("Li", "O"))
    [(_, label)] = list(labeller.label([frame], tmp_path))
    run = READERS[name](runs["static"] / name)
    [step] = run.steps
    assert run.complete
    assert step.converged
    assert run.symbols == ("Li", "Li", "O")
    assert run.species == ("Li", "O")
    assert run.potcar_titles == ("PAW_PBE Li_sv 01Jan2000", "PAW_PBE O 01Jan2000")
    assert run.kpoints == (5, 5, 5)
    assert run.gamma_centred is True
    assert step.energy_eV == pytest.approx(label.energy_eV, abs=1e-5)
    assert np.allclose(step.forces_eV_per_A, label.forces_eV_per_A, atol=2e-5)
    assert np.allclose(step.virial_eV, label.virial_eV, atol=2e-4)
    assert np.allclose(step.positions_A, atoms.positions, atol=1e-7)
    assert np.allclose(step.cell_A, np.array(atoms.cell), atol=1e-7)


def test_the_free_energy_is_taken_not_the_one_at_zero_smearing(runs):
    text = (runs["static"] / "OUTCAR").read_text()
    free = float(text.rpartition("free  energy   TOTEN  =")[2].split()[0])
    other = float(text.rpartition("energy(sigma->0) =")[2].split()[0])
    assert abs(free - other) > 1e-3
    for name, read in READERS.items():
        assert read(runs["static"] / name).steps[0].energy_eV == pytest.approx(free, abs=1e-7)


@pytest.mark.parametrize("kind", ["md", "relax"])
def test_both_files_hold_the_same_ionic_steps(runs, kind):
    one, other = (read(runs[kind] / name) for name, read in READERS.items())
    assert len(one.steps) == len(other.steps) == {"md": 4, "relax": 3}[kind]
    for first, second in zip(one.steps, other.steps, strict=True):
        assert first.converged
        assert second.converged
        assert first.energy_eV == pytest.approx(second.energy_eV, abs=1e-7)
        assert np.allclose(first.positions_A, second.positions_A, atol=1e-5)
        assert np.allclose(first.cell_A, second.cell_A, atol=1e-7)
        assert np.allclose(first.forces_eV_per_A, second.forces_eV_per_A, atol=1e-6)
        assert np.allclose(first.virial_eV, second.virial_eV, atol=1e-4)
    cells = {round(float(np.linalg.det(step.cell_A)), 6) for step in one.steps}
    assert len(cells) == {"md": 1, "relax": 3}[kind]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_files_read_the_same(runs, tmp_path, name, suffix, pack):
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(pack((runs["md"] / name).read_bytes()))
    packed, plain = READERS[name](path), READERS[name](runs["md"] / name)
    assert packed.complete
    assert [step.energy_eV for step in packed.steps] == [step.energy_eV for step in plain.steps]


@pytest.mark.parametrize("name", READERS)
def test_no_cut_loses_a_finished_step_or_invents_one(runs, tmp_path, name):
    """At each of many places: the steps that were written before are there, unchanged, and nothing else."""
    text = (runs["md"] / name).read_text()
    end = {"OUTCAR": "free  energy   TOTEN", "vasprun.xml": "</calculation>"}[name]
    whole = [step.energy_eV for step in READERS[name](runs["md"] / name).steps]
    path = tmp_path / name
    for place in np.linspace(0, len(text) - 40, 60).astype(int):
        path.write_text(text[:place])
        run = READERS[name](path)
        finished = text[:place].count(end)
        energies = [step.energy_eV for step in run.steps]
        assert energies == whole[: len(energies)]
        assert finished - 1 <= len(energies) <= finished
        assert not run.complete or "General timing" in text[:place]


def test_a_broken_archive_gives_the_steps_before_the_break(runs, tmp_path):
    for name, read in READERS.items():
        data = gzip.compress((runs["md"] / name).read_bytes())
        for share in (0.5, 0.9):
            path = tmp_path / f"{name}.gz"
            path.write_bytes(data[: int(share * len(data))])
            assert not read(path).complete
        path.write_bytes(data[:200] + b"\0" * 50 + data[250:])
        with pytest.raises(OSError):  # noqa: PT011  (what was flipped is anywhere: nothing of it is believed)
            read(path)


@pytest.mark.parametrize("size", [70, 1000])
def test_the_size_of_blocks_does_not_matter(runs, monkeypatch, size):
    plain = {name: read(runs["md"] / name) for name, read in READERS.items()}
    monkeypatch.setattr(outcar_text, "_BLOCK", size)
    monkeypatch.setattr(vasprun, "_BLOCK", size)
    for name, read in READERS.items():
        again = read(runs["md"] / name)
        assert again.complete
        assert again.kpoints == plain[name].kpoints
        assert [s.energy_eV for s in again.steps] == [s.energy_eV for s in plain[name].steps]


def test_bands_and_densities_are_passed_over(copy):
    folder = copy("md")
    path = folder / "vasprun.xml"
    bands = "<eigenvalues>" + "<r> 1.0 1.0 </r>" * 5000 + "</eigenvalues><dos><i>1</i></dos>"
    path.write_text(path.read_text().replace("</calculation>", bands + "</calculation>"))
    run = read_vasprun(path)
    assert run.complete
    assert len(run.steps) == 4
    path.write_text(path.read_text()[: path.read_text().rindex("</eigenvalues>") - 50])
    run = read_vasprun(path)
    assert not run.complete
    assert len(run.steps) == 3


def test_a_cycle_at_its_limit_is_not_converged(runs):
    for name, read in READERS.items():
        [step] = read(runs["unconverged"] / name).steps
        assert step.electronic_steps == 5
        assert not step.converged


def test_a_cycle_that_was_stopped_before_its_criterion_is_not_converged(copy):
    """As STOPCAR with LABORT leaves it: fewer steps than NELM, and the energy still moving."""
    folder = copy("static")
    path = folder / "vasprun.xml"
    energies = read_vasprun(path).steps[0].energy_eV
    text = path.read_text()
    last = text.rindex("<scstep>")
    value = f"{energies:16.8f}"
    path.write_text(text[:last] + text[last:].replace(value, f"{energies - 0.5:16.8f}", 1))
    assert not read_vasprun(path).steps[0].converged
    outcar_path = folder / "OUTCAR"
    text = outcar_path.read_text()
    last = text.rindex("free energy    TOTEN")
    outcar_path.write_text(
        text[:last] + text[last:].replace(f"{energies:18.8f}", f"{energies - 0.5:18.8f}", 1)
    )
    assert not read_outcar(outcar_path).steps[0].converged


@pytest.mark.parametrize("fault", ["nan", "asterisks"])
def test_numbers_that_are_none_are_told_as_such(runs, fault):
    for name, read in READERS.items():
        [step] = read(runs[fault] / name).steps
        assert np.isnan(step.forces_eV_per_A).all()
        assert np.isnan(step.virial_eV).all()


def test_columns_that_run_together_are_told_apart(copy):
    path = copy("static") / "OUTCAR"
    plain = read_outcar(path).steps[0]
    text = path.read_text()
    begin = text.index("TOTAL-FORCE")
    table = text[begin:].replace("     -", "-", 40)
    path.write_text(text[:begin] + table)
    step = read_outcar(path).steps[0]
    assert np.allclose(step.forces_eV_per_A, plain.forces_eV_per_A)


def test_each_file_stands_in_for_the_other(copy):
    for broken, used in (("vasprun.xml", "OUTCAR"), ("OUTCAR", "vasprun.xml")):
        folder = copy("md")
        text = (folder / broken).read_text()
        (folder / broken).write_text(text[: len(text) // 2])
        run = read_vasp_run(folder)
        assert run.source == used
        assert run.complete
        assert len(run.steps) == 4
        shutil.rmtree(folder)


def test_a_damaged_archive_is_passed_over_where_there_is_another_output(copy):
    folder = copy("static")
    data = gzip.compress((folder / "vasprun.xml").read_bytes())
    (folder / "vasprun.xml").unlink()
    (folder / "vasprun.xml.gz").write_bytes(data[:200] + b"\0" * 50 + data[250:])
    assert read_vasp_run(folder).source == "OUTCAR"
    (folder / "OUTCAR").unlink()
    with pytest.raises(OSError):  # noqa: PT011
        read_vasp_run(folder)


def test_of_two_broken_files_the_one_with_more_steps_is_taken(copy):
    folder = copy("md")
    for name, share in (("vasprun.xml", 0.4), ("OUTCAR", 0.85)):
        text = (folder / name).read_text()
        (folder / name).write_text(text[: int(share * len(text))])
    run = read_vasp_run(folder)
    assert run.source == "OUTCAR"
    assert not run.complete
    assert len(run.steps) == 3


# What each folder of real files gives: source, ionic steps, those that converged, complete; or the cause.
REAL_RUNS = {
    "crashed_large_cell": "crash",
    "md_h2o": ("vasprun.xml.gz", 10, 10, True),
    "md_npt": ("OUTCAR.gz", 10, 10, True),
    "out_of_memory": "out of memory",
    "poscar_error": "input refused",
    "postprocess": ("vasprun.xml.gz", 28, 28, True),
    "static_v5": ("vasprun.xml.gz", 1, 1, True),
    "unconverged_ch4": ("OUTCAR.gz", 3, 1, True),
    "unconverged_electronic": ("vasprun.xml.gz", 5, 0, True),
    "unconverged_ionic": ("vasprun.xml.gz", 2, 2, True),
    "unreadable_vasprun": ("vasprun.xml.gz", 5, 0, False),
    "zpotrf": "crash",
}


@needs_real
@pytest.mark.parametrize("name", REAL_RUNS)
def test_real_files(name):
    run = read_vasp_run(REAL / name)
    if isinstance(run, LabelFailure):
        assert run.cause == REAL_RUNS[name]
        return
    converged = sum(step.converged for step in run.steps)
    assert (run.source, len(run.steps), converged, run.complete) == REAL_RUNS[name]


@needs_real
@pytest.mark.parametrize("name", ["md_h2o", "md_npt", "postprocess", "static_v5", "unconverged_ch4"])
def test_real_files_against_dpdata(name, tmp_path):
    """Energies, forces, virials and volumes; dpdata turns cells: what turns is compared by its size."""
    import dpdata

    for file, form in (("OUTCAR", "vasp/outcar"), ("vasprun.xml", "vasp/xml")):
        packed = REAL / name / f"{file}.gz"
        if not packed.exists():
            continue
        plain = tmp_path / file
        plain.write_bytes(gzip.decompress(packed.read_bytes()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unconverged frames
            system = dpdata.LabeledSystem(str(plain), fmt=form)
        steps = [step for step in READERS[file](packed).steps if step.converged]
        assert len(system) == len(steps)
        assert np.allclose(system["energies"], [step.energy_eV for step in steps], atol=1e-8)
        sizes = np.linalg.norm([step.forces_eV_per_A for step in steps], axis=2)
        assert np.allclose(np.linalg.norm(system["forces"], axis=2), sizes, atol=1e-9)
        traces = [np.trace(step.virial_eV) for step in steps]
        assert np.allclose(np.trace(system["virials"], axis1=1, axis2=2), traces, rtol=1e-6, atol=1e-6)
        volumes = [abs(np.linalg.det(step.cell_A)) for step in steps]
        assert np.allclose(np.abs(np.linalg.det(system["cells"])), volumes, rtol=1e-9)


@needs_real
@pytest.mark.parametrize("name", ["md_h2o", "postprocess", "static_v5"])
def test_both_real_files_of_a_run_agree(name):
    one, other = read_outcar(REAL / name / "OUTCAR.gz"), read_vasprun(REAL / name / "vasprun.xml.gz")
    assert one.symbols == other.symbols
    assert one.potcar_titles == other.potcar_titles
    assert one.kpoints == other.kpoints
    assert one.gamma_centred == other.gamma_centred
    assert one.version.split("-")[0].split(".")[0] == other.version.split(".")[0]
    for tag in ("ISPIN", "ISMEAR", "SIGMA", "NELM", "EDIFF", "ISIF", "NELECT"):
        assert one.parameters[tag] == pytest.approx(other.parameters[tag], rel=0.1), tag
    assert one.parameters["ENCUT"] == pytest.approx(other.parameters["ENMAX"])
    for first, second in zip(one.steps, other.steps, strict=True):
        assert first.electronic_steps == second.electronic_steps
        assert first.energy_eV == pytest.approx(second.energy_eV, abs=1e-7)
        assert np.allclose(first.forces_eV_per_A, second.forces_eV_per_A, atol=2e-6)
        assert np.allclose(first.virial_eV, second.virial_eV, atol=1e-3)
        shift = (first.positions_A - second.positions_A) @ np.linalg.inv(first.cell_A)
        assert np.abs(shift - np.rint(shift)).max() < 1e-4
