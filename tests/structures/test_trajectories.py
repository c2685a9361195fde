"""Trajectories that exist already, written by ASE and in VASP's formats."""

import gzip
import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.io.trajectory import Trajectory
from ase.io.vasp import write_vasp_xdatcar
from pydantic import ValidationError

from llzo_al.config.initial_data import Trajectories
from llzo_al.errors import UserError
from llzo_al.structures.trajectories import trajectory_frames
from llzo_al.structures.trajectory_files import guess_format, read_frames

ELEMENTS = ("Cu", "Ni")


def dynamics(count=12, *, labels=True, seed=1):
    """Frames of an alloy that shakes."""
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[0] = "Ni"
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        frame = atoms.copy()
        frame.positions += random.normal(scale=0.05, size=(4, 3))
        if labels:
            frame.calc = EMT()
            frame.calc = SinglePointCalculator(
                frame,
                energy=frame.get_potential_energy(),
                forces=frame.get_forces(),
                stress=frame.get_stress(),
            )
        frames.append(frame)
    return frames


def source(*files, **settings):
    return Trajectories(kind="trajectories", files=list(files), **settings)


def snapshots(section, base, elements=ELEMENTS):
    return list(trajectory_frames(section, elements=elements, base=base))


def pack(path):
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


WRITERS = {
    "XDATCAR": lambda path, frames: write_vasp_xdatcar(path, frames),
    "run.traj": lambda path, frames: write(path, frames),
    "run.extxyz": lambda path, frames: write(path, frames),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("packed", [False, True])
def test_frames_come_back_from_every_format(tmp_path, name, packed):
    if packed and name == "run.traj":
        pytest.skip("read as it is")
    frames = dynamics()
    path = tmp_path / name
    WRITERS[name](path, frames)
    if packed:
        path = pack(path)
    pairs = snapshots(source(path.name, equilibration_frames=3, stride=2, temperature_K=900), tmp_path)
    assert [frame.provenance.details["index"] for frame, _ in pairs] == [4, 6, 8, 10]
    assert [frame.provenance.frame for frame, _ in pairs] == [0, 1, 2, 3]
    assert {frame.provenance.group for frame, _ in pairs} == {f"trajectories/{path.name}"}
    assert {frame.provenance.temperature_K for frame, _ in pairs} == {900}
    for (frame, label), original in zip(pairs, frames[4:11:2], strict=True):
        assert label is None
        assert frame.symbols == tuple(original.get_chemical_symbols())
        np.testing.assert_allclose(frame.cell_A, original.cell.array, atol=1e-6)
        shift = frame.positions_A - original.positions
        fractional = shift @ np.linalg.inv(original.cell.array)
        np.testing.assert_allclose(fractional, np.round(fractional), atol=1e-6)


@pytest.mark.parametrize("name", ["run.traj", "run.extxyz"])
def test_labels_come_along_only_where_the_level_of_theory_is_declared(tmp_path, name):
    frames = dynamics()
    WRITERS[name](tmp_path / name, frames)
    assert all(label is None for _, label in snapshots(source(name, stride=1), tmp_path))
    pairs = snapshots(source(name, stride=1, same_level_of_theory=True), tmp_path)
    for (_, label), original in zip(pairs, frames, strict=True):
        assert label.energy_eV == pytest.approx(original.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(label.forces_eV_per_A, original.get_forces(), atol=1e-6)
        np.testing.assert_allclose(
            label.virial_eV, -original.get_stress(voigt=False) * original.get_volume(), atol=1e-5
        )


def test_the_label_is_the_energy_that_forces_belong_to(tmp_path):
    frame = dynamics(1)[0]
    frame.calc = SinglePointCalculator(frame, energy=-1.0, free_energy=-1.5, forces=np.zeros((4, 3)))
    with Trajectory(tmp_path / "run.traj", "w") as written:
        written.write(frame)
    ((_, label),) = snapshots(source("run.traj", stride=1, same_level_of_theory=True), tmp_path)
    assert label.energy_eV == -1.5
    assert label.virial_eV is None


def step_of_vasprun(energy_eV, *, scsteps, shift=0.0):
    steps = "<scstep><energy><i name='e_fr_energy'>0</i></energy></scstep>" * scsteps
    return f"""<calculation>{steps}
      <structure><crystal><varray name="basis"><v>4 0 0</v><v>0 4 0</v><v>0 0 4</v></varray></crystal>
      <varray name="positions"><v>{shift} 0 0</v><v>0.5 0.5 1.25</v></varray></structure>
      <varray name="forces"><v>0.1 0 0</v><v>-0.1 0 0</v></varray>
      <varray name="stress"><v>10 0 0</v><v>0 20 0</v><v>0 0 30</v></varray>
      <energy><i name="e_fr_energy">{energy_eV}</i><i name="e_0_energy">7</i></energy></calculation>"""


def vasprun(path, steps):
    path.write_text(
        """<?xml version="1.0" encoding="ISO-8859-1"?><modeling><parameters><i name="NELM">6</i></parameters>
        <atominfo><array name="atoms"><set><rc><c>Cu </c><c>1</c></rc><rc><c>Ni</c><c>2</c></rc></set></array>
        </atominfo>"""
        + "".join(steps)
        + "</modeling>"
    )


def test_frames_of_vasprun_that_did_not_converge_are_labelled_again(tmp_path, caplog):
    vasprun(tmp_path / "vasprun.xml", [step_of_vasprun(-8.5, scsteps=5), step_of_vasprun(-8.0, scsteps=6)])
    pairs = snapshots(source("vasprun.xml", stride=1, same_level_of_theory=True), tmp_path)
    (frame, label), (_, unconverged) = pairs
    assert label.energy_eV == -8.5
    np.testing.assert_allclose(np.diag(label.virial_eV), np.array([10, 20, 30]) * 64 / 1602.1766208)
    np.testing.assert_allclose(frame.positions_A, [[0, 0, 0], [2, 2, 1]])  # 1.25 is wrapped
    assert unconverged is None
    assert "1 snapshots whose electrons did not converge" in caplog.text


def test_variable_cells_and_negative_scales_of_xdatcar(tmp_path):
    head = "title\n {scale}\n 2 0 0\n 0 2 0\n 0 0 {c}\n Cu Ni\n 1 1\n"
    body = "Direct configuration= {n}\n 0 0 0\n .5 .5 .5\n"
    text = head.format(scale=2, c=2) + body.format(n=1)
    text += head.format(scale=-64, c=4) + body.format(n=2) + body.format(n=3)
    (tmp_path / "XDATCAR_npt").write_text(text)
    first, second, third = [each.atoms for each in read_frames(tmp_path / "XDATCAR_npt", "xdatcar")]
    assert first.cell.lengths().tolist() == [4, 4, 4]
    assert second.get_volume() == pytest.approx(64)
    assert second.cell.lengths()[2] == pytest.approx(2 * second.cell.lengths()[0])
    np.testing.assert_array_equal(third.cell, second.cell)


def test_auto_takes_what_correlation_justifies_and_tells(tmp_path):
    """A distance that forgets at a known rate."""
    random = np.random.default_rng(5)
    value, memory, frames = 0.0, 0.8, []
    for _ in range(1200):
        value = memory * value + random.normal()
        frame = Atoms("CuNi", cell=[8, 8, 8], pbc=True, positions=[[0, 0, 0], [2.2 + 0.01 * value, 0, 0]])
        frames.append(frame)
    write(tmp_path / "run.traj", frames)
    pairs = snapshots(source("run.traj"), tmp_path)
    told = pairs[0][0].provenance.details["autocorrelation"]
    assert told["estimated"]
    assert "Cu-Ni pair sum" in told["reason"]
    stride = pairs[1][0].provenance.details["index"] - pairs[0][0].provenance.details["index"]
    assert stride == pytest.approx(9, abs=3)  # 2 tau = (1 + 0.8) / (1 - 0.8)
    assert len(pairs) == 1200 // stride


def test_a_file_too_short_for_an_estimate_takes_the_fallback(tmp_path):
    write(tmp_path / "run.extxyz", dynamics(12))
    pairs = snapshots(source("run.extxyz", fallback_stride=5), tmp_path)
    assert [frame.provenance.details["index"] for frame, _ in pairs] == [4, 9]
    told = pairs[0][0].provenance.details["autocorrelation"]
    assert not told["estimated"]
    assert "12 samples are too few" in told["reason"]


def test_each_file_of_a_pattern_is_a_trajectory_of_its_own(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write_vasp_xdatcar(tmp_path / name / "XDATCAR", dynamics(4))
    pairs = snapshots(source("*/XDATCAR", "a/XDATCAR", stride=2), tmp_path)
    groups = [frame.provenance.group for frame, _ in pairs]
    assert groups == ["trajectories/a/XDATCAR"] * 2 + ["trajectories/b/XDATCAR"] * 2
    assert [frame.provenance.kind for frame, _ in pairs] == ["a", "a", "b", "b"]


CUT = {
    "XDATCAR": r"3 whole frames it cannot be read \(ValueError: the last frame has 2 of its 4 atoms",
    "run.extxyz": r"3 whole frames it cannot be read \(ValueError: the last frame has 2 of its 4 atoms",
    "run.traj": "as traj",
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_breaks_off_is_an_error_unless_the_campaign_says_otherwise(tmp_path, name):
    WRITERS[name](tmp_path / name, dynamics(4))
    data = (tmp_path / name).read_bytes()
    if name == "run.traj":
        data = data[: len(data) // 2]
    else:
        data = b"\n".join(data.rstrip(b"\n").split(b"\n")[:-2]) + b"\n"
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=CUT[name]) as error:
        snapshots(source(name, stride=1), tmp_path)
    assert str(tmp_path / name) in str(error.value)
    if name != "run.traj":
        assert "skip_incomplete: true" in str(error.value)
        assert len(snapshots(source(name, stride=1, skip_incomplete=True), tmp_path)) == 3


def test_a_packed_file_that_breaks_off(tmp_path):
    write(tmp_path / "run.extxyz", dynamics(200))
    path = pack(tmp_path / "run.extxyz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"EOFError.*skip_incomplete"):
        snapshots(source("run.extxyz.gz", stride=1), tmp_path)


def without_cell(path):
    write(path, [Atoms("Cu2", positions=[[0, 0, 0], [2, 0, 0]])])


def not_finite(path):
    path.write_text('1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu nan 0 0\n')


@pytest.mark.parametrize(
    ("name", "make", "settings", "message"),
    [
        ("run.extxyz", without_cell, {}, r"frame 0 has no cell with a volume"),
        ("run.extxyz", not_finite, {}, r"frame 0 has positions or a cell that are not finite"),
        ("run.extxyz", lambda path: path.write_text("no number\n"), {}, "after 0 whole frames"),
        ("run.extxyz", lambda path: path.write_bytes(b"\x89PNG\xff\xfe"), {}, "after 0 whole frames"),
        ("run.traj", lambda path: path.write_text("not a trajectory"), {}, "as traj"),
        ("run.extxyz", lambda path: path.write_text(""), {"stride": 1}, "gives no snapshot"),
        ("OUTCAR", lambda path: path.write_text("vasp.6\n"), {}, "Incomplete OUTCAR"),
        ("vasprun.xml", lambda path: path.write_text("<modeling>"), {}, "no element found"),
        ("run.dat", lambda path: path.write_text("x"), {}, "its name does not tell what it is"),
        (
            "XDATCAR",
            lambda path: write_vasp_xdatcar(path, dynamics(3)),
            {"equilibration_frames": 9},
            "no snap",
        ),
    ],
)
def test_bad_files_are_told_by_name_and_frame(tmp_path, name, make, settings, message):
    make(tmp_path / name)
    with pytest.raises(UserError, match=message) as error:
        snapshots(source(name, **settings), tmp_path)
    assert name in str(error.value)


def test_foreign_elements_are_told(tmp_path):
    write(tmp_path / "run.extxyz", dynamics(2))
    with pytest.raises(UserError, match=r"run\.extxyz: frame 0 holds Ni, the campaign's elements are Cu, O"):
        snapshots(source("run.extxyz"), tmp_path, elements=("Cu", "O"))


def test_labels_that_are_promised_and_missing_are_told(tmp_path):
    write_vasp_xdatcar(tmp_path / "XDATCAR", dynamics(4))
    with pytest.raises(UserError, match="frame 0 has no energy, which same_level_of_theory promises"):
        snapshots(source("XDATCAR", stride=1, same_level_of_theory=True), tmp_path)


def test_missing_files_are_told(tmp_path):
    with pytest.raises(UserError, match="'runs/\\*' matches nothing in"):
        snapshots(source("runs/*"), tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder is not a file"):
        snapshots(source("folder"), tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{"files": []}, {"files": ["a", "a"]}, {"stride": 0}, {"stride": "often"}, {"temperature_K": 0}],
)
def test_sections_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError):
        Trajectories(**{"kind": "trajectories", "files": ["XDATCAR"], **settings})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("XDATCAR.gz", "xdatcar"),
        ("OUTCAR", "outcar"),
        ("vasprun.xml.xz", "vasprun"),
        ("md.traj", "traj"),
        ("md.extxyz.bz2", "extxyz"),
        ("md.dat", None),
    ],
)
def test_names_tell_the_format(tmp_path, name, expected):
    assert guess_format(tmp_path / name) == expected


def test_long_trajectories_are_streamed(tmp_path):
    """Memory does not grow with the length of a file."""

    def peak(count):
        with (tmp_path / f"XDATCAR{count}").open("w") as file:
            file.write("title\n 1\n 20 0 0\n 0 20 0\n 0 0 20\n Cu\n 100\n")
            rows = "".join(f" {index / 100} 0.5 0.5\n" for index in range(100))
            file.writelines(f"Direct configuration= {number}\n{rows}" for number in range(count))
        tracemalloc.start()
        kept = sum(
            1
            for _ in trajectory_frames(source(f"XDATCAR{count}", stride=1), elements=ELEMENTS, base=tmp_path)
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept == count
        return most

    peak(5)
    assert peak(400) < 1.5 * peak(40)
