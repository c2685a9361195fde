"""Finished runs of VASP enter a campaign: made by the stand-in, or real where they are at hand."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from campaigns import make_tiny, write_tiny
from llzo_al.campaign.ingest import ingest
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.errors import UserError
from llzo_al.labelling.vasp.found import find_runs
from vasp_standin.potcars import VALENCE, dummy_potcar, write_dummy_potcars
from vasp_standin.standin_runs import lithium_oxide, run_many, write_inputs

REAL = Path(
    os.environ.get(
        "LLZO_AL_VASP_OUTPUTS", Path(__file__).resolve().parents[3] / "shared" / "data" / "vasp_outputs"
    )
)
needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="LLZO_AL_VASP_OUTPUTS names no folder of real files"
)

SAME = {"KSPACING": 1.0, "PREC": "Accurate"}
"""What makes the stand-in's static INCAR that of the campaign below."""

VASP_SECTION = "engine: vasp\n  command: vasp_std\n  kspacing_per_A: 1.0"

# Failure of VASP, and what becomes of the run: the cause of its refusal, or the labels that it gives.
FAILURES = {
    "unconverged": "not converged",
    "zbrent": "crash",
    "brmix": "crash",
    "edddav": "crash",
    "zpotrf": "crash",
    "pricel": "crash",
    "real_optlay": "crash",
    "rspher": "crash",
    "posmap": "crash",
    "pssyevx": "crash",
    "eddiag": "crash",
    "brions": "crash",
    "too_few_bands": "crash",
    "out-of-memory": "out of memory",
    "segfault": "crash",
    "missing-library": "crash",
    "crash": "truncated output",
    "killed": "truncated output",
    "hang": "truncated output",
    "disk-full": "truncated output",
    "truncated-both": "truncated output",
    "empty": "empty output",
    "no-output": "empty output",
    "nan": "not finite",
    "asterisks": "not finite",
    "huge-forces": "absurd forces",
    "other-encut": "settings changed",
    "truncated-outcar": 1,
    "truncated-vasprun": 1,
    "eddrmm": 1,
    "subspacematrix": 1,
}

# Changes of INCAR, and words of the refusal.
DIFFERENT = {
    "ENCUT": ({"ENCUT": 400}, "ENCUT is 400.0, the campaign has 500"),
    "ISPIN": ({"ISPIN": 1}, "ISPIN is 1, the campaign has 2"),
    "SIGMA": ({"SIGMA": 0.05}, "SIGMA is 0.05, the campaign has 0.1"),
    "EDIFF": ({"EDIFF": "1E-6"}, "EDIFF is 1e-06, the campaign has 0.0001"),
    "LREAL": ({"LREAL": "Auto"}, "LREAL is"),
    "LASPH": ({"LASPH": ".TRUE."}, "LASPH is True, the campaign has False"),
    "IVDW": ({"IVDW": 11}, "IVDW is 11, the campaign has 0"),
    "LDAU": ({"LDAU": ".TRUE."}, "LDAU is True"),
    "GGA": ({"GGA": "PS"}, "GGA is PS, the campaign has PE"),
    "KPOINTS": ({"KSPACING": 0.5}, "the k-point mesh is 5x5x5, by the campaign's rule it is 3x3x3"),
    "ICHARG": ({"ICHARG": 11}, "ICHARG = 11: the charge density was not made self-consistent"),
}


@pytest.fixture(scope="module")
def psp(tmp_path_factory):
    """A folder of dummy POTCARs."""
    return write_dummy_potcars(tmp_path_factory.mktemp("psp"), list(VALENCE))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of runs, made at once: good ones, failed ones, and such with other settings."""
    root = tmp_path_factory.mktemp("runs")
    motion = {"NSW": 4, "IBRION": 0, "MDALGO": 3, "TEBEG": 300, "TEEND": 300, "POTIM": 1, "SMASS": 0}
    jobs = [(f"good/{i}", lithium_oxide(rattle=i), {}, "") for i in range(1, 9)]
    jobs += [("md", lithium_oxide(rattle=20), motion, "")]
    jobs += [("relax", lithium_oxide(rattle=20), {"NSW": 3, "IBRION": 2, "EDIFFG": -1e-9}, "")]
    jobs += [(f"failed/{name}", lithium_oxide(rattle=30), {}, name) for name in FAILURES]
    jobs += [
        (f"different/{name}", lithium_oxide(rattle=40), tags, "") for name, (tags, _) in DIFFERENT.items()
    ]
    folders = [write_inputs(root / name, atoms, {**SAME, **tags}) for name, atoms, tags, _ in jobs]
    run_many(folders, [fault for *_, fault in jobs])
    return root


@pytest.fixture
def campaign(tmp_path, psp, monkeypatch):
    """A campaign of Li and O that labels with VASP."""
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(psp))
    return make_tiny(tmp_path, **{"engine: classical_reference": VASP_SECTION})


def outcomes(summary):
    return {Path(run.file): run for run in summary.runs}


def labelled(campaign):
    return list(campaign.store.records(physics=campaign.physics))


def test_labels_enter_with_frame_provenance_and_split(campaign, made):
    summary = ingest(campaign, [made / "good", made / "md"])
    assert (summary.count("entered"), summary.count("refused")) == (9, 0)
    assert (summary.total("labels"), summary.total("duplicates")) == (12, 0)
    records = labelled(campaign)
    assert len(records) == 12
    assert {record.split for record in records} <= {"training", "held-out"}
    groups = {}
    for record in records:
        provenance = record.frame.provenance
        assert provenance.source == "ingest"
        assert provenance.kind == "Li2O"
        assert provenance.iteration == -1
        assert Path(provenance.details["file"]).name == "vasprun.xml"
        assert provenance.details["vasp_version"] == "6.4.2"
        assert len(provenance.details["checksum"]) == 64
        groups.setdefault(provenance.group, set()).add(record.split)
    assert len(groups) == 9
    assert all(len(splits) == 1 for splits in groups.values())
    moving = [r.frame.provenance for r in records if r.frame.provenance.temperature_K == 300]
    assert sorted(p.frame for p in moving) == sorted(p.details["ionic_step"] for p in moving) == [0, 1, 2, 3]


def test_a_label_is_the_one_in_the_file(campaign, made):
    import ase.io

    ingest(campaign, [made / "good" / "3"])
    [record] = labelled(campaign)
    atoms = ase.io.read(made / "good" / "3" / "vasprun.xml")
    assert record.frame.symbols == tuple(atoms.get_chemical_symbols())
    assert np.allclose(record.frame.positions_A, atoms.positions, atol=1e-6)
    energy_eV = atoms.get_potential_energy(force_consistent=True)
    assert record.label.energy_eV == pytest.approx(energy_eV, abs=1e-7)
    assert np.allclose(record.label.forces_eV_per_A, atoms.get_forces(), atol=1e-7)
    virial_eV = -atoms.get_stress(voigt=False) * atoms.get_volume()
    assert np.allclose(record.label.virial_eV, virial_eV, atol=1e-6)


def test_doing_it_again_enters_nothing_twice(campaign, made, tmp_path):
    ingest(campaign, [made / "good"])
    before = [(r.identity, r.provenances) for r in labelled(campaign)]
    again = ingest(campaign, [made / "good"])
    assert (again.count("entered"), again.count("known"), again.total("labels")) == (0, 8, 0)
    moved = shutil.copytree(made / "good", tmp_path / "moved")
    assert ingest(campaign, [moved]).count("known") == 8
    (campaign.directory.labels.parent / "ingest.jsonl").unlink()
    anew = ingest(campaign, [made / "good"])
    assert (anew.total("labels"), anew.total("duplicates"), anew.total("conflicts")) == (0, 8, 0)
    assert [(r.identity, r.provenances) for r in labelled(campaign)] == before


def test_an_interruption_leaves_no_frame_without_its_label(campaign, made):
    def stop(done, total, labels):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(campaign, [made / "good", made / "md"], tell=stop)
    assert len(labelled(campaign)) == 3
    assert campaign.store.pending(physics=campaign.physics) == []
    summary = ingest(campaign, [made / "good", made / "md"])
    assert (summary.count("known"), summary.count("entered")) == (3, 6)
    assert len(labelled(campaign)) == 12


def test_a_dry_run_stores_nothing(campaign, made):
    summary = ingest(campaign, [made / "good"], dry_run=True)
    assert summary.total("labels") == 8
    assert summary.log is None
    assert labelled(campaign) == []
    assert not (campaign.directory.labels.parent / "ingest.jsonl").exists()


def test_every_thins_a_trajectory_out(campaign, made):
    assert ingest(campaign, [made / "md"], every=2).total("labels") == 2
    assert sorted(r.frame.provenance.frame for r in labelled(campaign)) == [0, 2]
    more = ingest(campaign, [made / "md"])
    assert (more.total("labels"), more.total("duplicates")) == (2, 2)


def test_steps_of_a_relaxation_are_kept_though_it_did_not_end(campaign, made):
    assert ingest(campaign, [made / "relax"]).total("labels") == 3


def test_a_frame_that_waits_gets_its_label(campaign, made):
    frame = Frame.from_atoms(lithium_oxide(rattle=2), Provenance(source="test", kind="Li2O", group="g"))
    [identity] = campaign.store.request([frame], physics=campaign.physics, split="candidate")
    ingest(campaign, [made / "good"])
    [record] = campaign.store.records(identities=[identity], physics=campaign.physics)
    assert record.split == "candidate"
    assert [p.source for p in record.provenances] == ["test", "ingest"]
    assert campaign.store.pending(physics=campaign.physics) == []


def test_runs_with_the_inputs_that_the_campaign_itself_writes_are_its_own(campaign, tmp_path):
    from llzo_al.labelling.vasp.inputs import make_inputs

    frame = Frame.from_atoms(lithium_oxide(rattle=50), Provenance(source="test", kind="Li2O", group="g"))
    [identity] = campaign.store.request([frame], physics=campaign.physics, split="training")
    make_inputs(frame, campaign.config.labelling, campaign.config.elements).write(tmp_path / "run")
    assert run_many([tmp_path / "run"]) == [0]
    for name in ("vasprun.xml", "OUTCAR"):
        [run] = ingest(campaign, [tmp_path / "run" / name]).runs
        assert run.outcome == "entered", run.reason
    [record] = labelled(campaign)
    assert record.identity == identity


def test_every_failure_is_refused_with_its_cause_or_gives_what_is_good(campaign, made):
    summary = ingest(campaign, [made / "failed"])
    found = {
        Path(run.file).relative_to(made / "failed").parts[0]: run.labels or run.duplicates or run.cause
        for run in summary.runs
    }
    assert found == FAILURES
    assert all(run.reason for run in summary.runs if run.outcome == "refused")
    lines = [json.loads(line) for line in summary.log.read_text().splitlines()]
    assert len(lines) == len(FAILURES)
    assert {line["outcome"] for line in lines} == {"entered", "refused"}
    # All of them are of one structure, which is stored once.
    assert len(labelled(campaign)) == 1


def test_other_levels_of_theory_are_refused_with_what_differs(campaign, made):
    summary = ingest(campaign, [made / "different"])
    assert summary.count("entered") == 0
    for run in summary.runs:
        name = Path(run.file).parent.name
        assert DIFFERENT[name][1] in run.reason, name
        others = set(DIFFERENT) - {name}
        assert not any(f"{other} is" in run.reason for other in others), run.reason
    assert labelled(campaign) == []


def test_outcar_alone_tells_the_same_differences(campaign, made, tmp_path):
    for name in DIFFERENT:
        shutil.copytree(made / "different" / name, tmp_path / name, ignore=lambda *_: ["vasprun.xml"])
    summary = ingest(campaign, [tmp_path / name for name in DIFFERENT])
    assert summary.count("entered") == 0
    for run in summary.runs:
        name = Path(run.file).parent.name
        assert name in ("KPOINTS", "ICHARG") or f"{name} is" in run.reason, (name, run.reason)


def test_a_numerical_difference_can_be_accepted_and_is_kept_with_the_label(campaign, made):
    summary = ingest(campaign, [made / "different" / "EDIFF"], accept=["ediff"])
    assert summary.total("labels") == 1
    [record] = labelled(campaign)
    assert list(record.frame.provenance.details["accepted"]) == ["EDIFF"]
    assert ingest(campaign, [made / "different" / "ENCUT"], accept=["EDIFF"]).count("entered") == 0
    with pytest.raises(UserError, match="--accept ENCUT: labels that differ in this are of another level"):
        ingest(campaign, [made / "different"], accept=["ENCUT"])


def test_other_potcars_and_other_elements_are_refused(campaign, made, tmp_path):
    other = shutil.copytree(made / "good" / "1", tmp_path / "potcar")
    text = (other / "vasprun.xml").read_text()
    (other / "vasprun.xml").write_text(text.replace("Li_sv 01Jan2000", "Li_sv 02Feb2020"))
    foreign = shutil.copytree(made / "good" / "1", tmp_path / "foreign")
    (foreign / "vasprun.xml").write_text(text.replace("PAW_PBE O 01Jan2000", "PAW_PBE S 01Jan2000"))
    runs = outcomes(ingest(campaign, [other, foreign]))
    assert "POTCAR PAW_PBE Li_sv 02Feb2020" in runs[other / "vasprun.xml"].reason
    assert "holds S; the campaign's elements are Li, O" in runs[foreign / "vasprun.xml"].reason


def test_a_mesh_without_gamma_is_refused(campaign, tmp_path):
    folder = write_inputs(tmp_path / "run", lithium_oxide(), {**SAME, "KSPACING": 1.2})
    (folder / "KPOINTS").write_text("mesh\n0\nMonkhorst-Pack\n4 4 4\n0 0 0\n")
    assert run_many([folder]) == [0]
    for name in ("vasprun.xml", "OUTCAR"):
        [run] = ingest(campaign, [folder / name], accept=["EDIFF"]).runs
        assert run.outcome == "refused"
        assert "the k-point mesh" in run.reason


def test_charged_cells_keep_their_charge(campaign, tmp_path):
    folder = write_inputs(tmp_path / "run", lithium_oxide(), {**SAME, "NELECT": 11})
    broken = write_inputs(tmp_path / "broken", lithium_oxide(), {**SAME, "NELECT": 11.5})
    assert run_many([folder, broken]) == [0, 0]
    runs = outcomes(ingest(campaign, [folder, broken]))
    assert "no whole number" in runs[broken / "vasprun.xml"].reason
    [record] = labelled(campaign)
    assert record.frame.charge == 1


def test_names_of_files_do_not_matter_much(made, tmp_path):
    source = made / "good" / "1"
    for number in (1, 2):
        (tmp_path / f"vasprun.xml.relax{number}.gz").write_bytes(b"x")
        (tmp_path / f"OUTCAR.relax{number}.gz").write_bytes(b"x")
    (tmp_path / "frame7_OUTCAR").write_bytes(b"x")
    deep = tmp_path / "a" / "b"
    shutil.copytree(source, deep)
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / "OSZICAR.gz").write_bytes(b"")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("nothing")
    found = [
        (run.vasprun and run.vasprun.name, run.outcar and run.outcar.name, run.directory.name)
        for run in find_runs([tmp_path, deep, deep / "OUTCAR"])
    ]
    assert sorted(found, key=str) == sorted(
        [
            ("vasprun.xml.relax1.gz", "OUTCAR.relax1.gz", tmp_path.name),
            ("vasprun.xml.relax2.gz", "OUTCAR.relax2.gz", tmp_path.name),
            (None, "frame7_OUTCAR", tmp_path.name),
            ("vasprun.xml", "OUTCAR", "b"),
            (None, "OUTCAR", "b"),
            (None, None, "dead"),
        ],
        key=str,
    )


def test_outcar_gives_the_same_frames_as_vasprun(campaign, made, tmp_path):
    """The positions of a static run have enough digits in both, so that the second is a duplicate."""
    ingest(campaign, [made / "good"])
    for number in range(1, 9):
        packed = tmp_path / f"OUTCAR.{number}.gz"
        packed.write_bytes(gzip.compress((made / "good" / str(number) / "OUTCAR").read_bytes()))
    again = ingest(campaign, [tmp_path])
    assert again.count("entered") == 8
    assert again.total("labels") + again.total("duplicates") == 8
    assert again.total("duplicates") >= 4  # positions that lie between two grid points may fall to either
    assert again.total("conflicts") == 0


def test_one_frame_with_two_energies_is_told(campaign, made, tmp_path):
    ingest(campaign, [made / "good" / "1"])
    other = shutil.copytree(made / "good" / "1", tmp_path / "other")
    text = (other / "vasprun.xml").read_text()
    [record] = labelled(campaign)
    energy_eV = record.label.energy_eV
    before, old, after = text.rpartition(f"{energy_eV:16.8f}")
    (other / "vasprun.xml").write_text(f"{before}{energy_eV - 1:16.8f}{after}")
    assert old
    [run] = ingest(campaign, [other]).runs
    assert (run.labels, run.duplicates, run.conflicts) == (0, 1, 1)
    [record] = labelled(campaign)
    assert record.label.energy_eV == energy_eV


def test_what_is_taken_with_reserve_is_told(campaign, made, psp, tmp_path, capsys):
    from llzo_al.cli import _main

    ingest(campaign, [made / "md"])
    largest = sorted(record.max_force_eV_per_A for record in labelled(campaign))
    limit = float(largest[1] + largest[2]) / 2  # two of four steps are below
    early = shutil.copytree(made / "md", tmp_path / "early")
    (early / "OUTCAR").unlink()
    text = (early / "vasprun.xml").read_text()
    (early / "vasprun.xml").write_text(text[: text.rindex("<calculation>")])
    section = (
        f"dataset: {{force_cap_eV_per_A: {limit}}}\nfailures: {{max_force_eV_per_A: {limit}}}\nlabelling:\n"
    )
    changes = {"engine: classical_reference": VASP_SECTION, "labelling:\n": section}
    strict = write_tiny(tmp_path / "strict", **changes)
    arguments = ["labels", "ingest", str(made / "md"), str(early), "--into", str(strict), "--dry-run"]
    assert _main(arguments) == 0
    text = capsys.readouterr().out
    assert "2 runs: 2 would be entered" in text
    assert "ionic steps would be left out: absurd forces" in text
    assert "1 of the runs that would be entered end early" in text
    assert _main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["complete"] == 1
    assert told["left_out"] == {"absurd forces": 7 - told["labels"]}
    assert 2 <= told["left_out"]["absurd forces"] <= 4
    loose = write_tiny(tmp_path / "loose", **{"engine: classical_reference": VASP_SECTION})
    arguments = ["labels", "ingest", str(made / "different"), "--into", str(loose), "--accept", "EDIFF"]
    assert _main([*arguments, "--dry-run"]) == 0
    assert "  1 accepted all the same: EDIFF is 1e-06, the campaign has 0.0001\n" in capsys.readouterr().out
    assert _main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["accepted"] == {"EDIFF": {"EDIFF is 1e-06, the campaign has 0.0001": 1}}
    assert (told["left_out"], told["complete"]) == ({}, 1)


def test_mistakes_of_the_user_are_told(campaign, made, tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        ingest(campaign, [tmp_path / "nowhere"])
    note = tmp_path / "notes.txt"
    note.write_text("nothing")
    with pytest.raises(UserError, match=r"is neither an OUTCAR nor a vasprun\.xml by its name"):
        ingest(campaign, [note])
    classical = make_tiny(tmp_path / "classical")
    with pytest.raises(UserError, match="can only enter a campaign that labels with vasp"):
        ingest(classical, [made / "good"])
    junk = tmp_path / "junk"
    junk.mkdir()
    (junk / "OUTCAR").write_bytes(os.urandom(5000))
    (junk / "vasprun.xml.gz").write_bytes(b"no archive")
    (junk / "my_vasprun.xml").write_text("<modeling><calculation>")
    assert {run.cause for run in ingest(campaign, [junk]).runs} == {"truncated output"}


def test_the_command(made, psp, tmp_path, monkeypatch, capsys):
    from llzo_al.cli import _main

    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(psp))
    file = write_tiny(tmp_path, **{"engine: classical_reference": VASP_SECTION})
    arguments = ["labels", "ingest", str(made / "good"), str(made / "different"), "--into", str(file)]
    assert _main(arguments) == 0
    text = capsys.readouterr().out
    assert "19 runs: 8 entered, 0 entered before, 11 refused" in text
    assert "refused: settings changed" in text
    assert "ENCUT is 400.0, the campaign has 500" in text
    assert _main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["entered"], told["known"], told["refused"]) == (0, 8, 11)
    assert {run["cause"] for run in told["refused_runs"]} == {"settings changed", "not supported"}
    assert _main(["labels", "ingest", str(made / "different"), "--into", str(file)]) == 1
    assert _main(["labels", "ingest", str(tmp_path / "nowhere"), "--into", str(file)]) == 2
    assert _main(["labels", "ingest", str(made / "good"), "--into", str(tmp_path / "nothing")]) == 2


@needs_real
def test_real_dynamics_enter_a_campaign_of_their_own_settings(tmp_path, monkeypatch):
    """Ten steps of water; the campaign is given the INCAR, the mesh and POTCARs of these names."""
    from llzo_al.labelling.vasp.vasprun import read_vasprun

    run = read_vasprun(REAL / "md_h2o" / "vasprun.xml.gz")
    folder = write_dummy_potcars(tmp_path / "psp", ["Li_sv"]) / "POT_GGA_PAW_PBE_54"
    oxygen = dummy_potcar("O", date="08Apr2002")
    hydrogen = dummy_potcar("O", date="15Jun2001").replace("PAW_PBE O", "PAW_PBE H").replace("=O:", "=H:")
    (folder / "POTCAR.O").write_text(oxygen)
    (folder / "POTCAR.H").write_text(hydrogen.replace("6.000", "1.000"))
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "psp"))
    tags = {
        "ENCUT": run.parameters["ENMAX"],
        "ISPIN": run.parameters["ISPIN"],
        "ISMEAR": run.parameters["ISMEAR"],
        "SIGMA": run.parameters["SIGMA"],
        "EDIFF": run.parameters["EDIFF"],
        "LASPH": run.parameters["LASPH"],
        "LREAL": "A" if run.parameters["LREAL"] else False,
        "PREC": "Normal" if run.parameters["PREC"].lower().startswith("n") else "Accurate",
    }
    section = "engine: vasp\n  command: vasp_std\n  kpoints_mesh: [1, 1, 1]\n"
    section += "  potcar_symbols: {H: H, O: O}\n  incar: " + json.dumps(tags)
    text = {"engine: classical_reference": section, "elements: [Li, O]": "elements: [Li, H, O]"}
    campaign = make_tiny(tmp_path, **text)
    summary = ingest(campaign, [REAL / "md_h2o"])
    assert [run.reason for run in summary.runs] == [""]
    assert summary.total("labels") == 10
    refused = ingest(campaign, [REAL])
    assert refused.count("known") == 1
    assert refused.count("refused") == len(list(REAL.glob("*/"))) - 1


@needs_real
def test_every_real_folder_is_refused_by_a_campaign_of_other_elements(campaign):
    summary = ingest(campaign, [REAL])
    causes = {Path(run.file).relative_to(REAL).parts[0]: run.cause for run in summary.runs}
    assert causes == {
        "crashed_large_cell": "crash",
        "md_h2o": "not supported",
        "md_npt": "not supported",
        "out_of_memory": "out of memory",
        "poscar_error": "input refused",
        "postprocess": "not supported",
        "static_v5": "not supported",
        "unconverged_ch4": "not supported",
        "unconverged_electronic": "not supported",
        "unconverged_ionic": "not supported",
        "unreadable_vasprun": "not supported",
        "zpotrf": "crash",
    }
