import numpy as np
import pytest

from exploration_cases import start_frame
from llzo_al.dataset.frames import Provenance
from llzo_al.errors import StageError
from llzo_al.exploration.trajectory import (
    Snapshot,
    TrajectoryWriter,
    cut_trajectory,
    read_trajectory,
    scan_trajectory,
)

FRAME = start_frame("t-LLZO", primitive=True)


def snapshots(count, *, committee=True):
    rng = np.random.default_rng(3)
    for index in range(count):
        virial = rng.normal(size=(3, 3), scale=50)
        yield Snapshot(
            step=20 * index,
            time_ps=0.02 * index,
            positions_A=FRAME.positions_A + rng.normal(scale=0.1, size=FRAME.positions_A.shape),
            cell_A=FRAME.cell_A * (1 + 0.001 * index),
            energy_eV=float(rng.normal(-4000)),
            forces_eV_per_A=rng.normal(size=FRAME.positions_A.shape),
            virial_eV=virial + virial.T,
            temperature_K=float(rng.normal(600, 20)),
            force_deviation_max_eV_per_A=float([0.1, 0.7, 0.3][index % 3]) if committee else None,
            force_deviation_mean_eV_per_A=0.05 if committee else None,
        )


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "trajectory.extxyz"
    with TrajectoryWriter(path, FRAME.symbols) as writer:
        for snapshot in snapshots(3):
            writer.append(snapshot)
    return path


@pytest.mark.parametrize("committee", [True, False])
def test_round_trip(tmp_path, committee):
    path = tmp_path / "t.extxyz"
    with TrajectoryWriter(path, FRAME.symbols) as writer:
        for snapshot in snapshots(2, committee=committee):
            writer.append(snapshot)
    origin = Provenance(source="exploration", kind="t-LLZO", group="g", iteration=2, details={"a": 1})
    frames = read_trajectory(path, provenance=origin)
    assert len(frames) == 2
    for index, (snapshot, read) in enumerate(zip(snapshots(2, committee=committee), frames, strict=True)):
        assert read.frame.symbols == FRAME.symbols
        assert read.frame.periodic == (True, True, True)
        np.testing.assert_allclose(read.frame.positions_A, snapshot.positions_A, atol=6e-7)
        np.testing.assert_allclose(read.frame.cell_A, snapshot.cell_A, atol=6e-7)
        np.testing.assert_allclose(read.forces_eV_per_A, snapshot.forces_eV_per_A, atol=6e-9)
        np.testing.assert_allclose(read.virial_eV, snapshot.virial_eV, atol=1e-8)
        for name in ("step", "time_ps", "energy_eV", "temperature_K", "force_deviation_max_eV_per_A"):
            assert getattr(read, name) == getattr(snapshot, name), name
        assert read.force_deviation_mean_eV_per_A == snapshot.force_deviation_mean_eV_per_A
        assert read.frame.provenance.frame == index
        assert read.frame.provenance.details == {"a": 1, "step": snapshot.step}
        assert read.frame.provenance.kind == "t-LLZO"


def test_a_scan_tells_steps_and_the_largest_deviation_so_far(written):
    scan = scan_trajectory(written)
    assert scan.steps == (0, 20, 40)
    assert scan.ends[-1] == written.stat().st_size
    assert scan.max_deviation_eV_per_A == (0.1, 0.7, 0.7)


def test_a_frame_cut_anywhere_is_not_counted(written):
    whole = written.read_bytes()
    scan = scan_trajectory(written)
    for length in [*range(scan.ends[1] + 1, scan.ends[1] + 400), *range(len(whole) - 200, len(whole))]:
        written.write_bytes(whole[:length])
        assert scan_trajectory(written).steps == (0, 20), length
    cut_trajectory(written, 2, scan_trajectory(written))
    assert written.read_bytes() == whole[: scan.ends[1]]
    cut_trajectory(written, 0, scan_trajectory(written))
    assert written.read_bytes() == b""


def test_a_damaged_or_missing_file_is_named(written):
    written.write_bytes(written.read_bytes()[:-300])
    with pytest.raises(StageError, match=r"trajectory\.extxyz: cannot be read"):
        read_trajectory(written)
    with pytest.raises(StageError, match=r"none\.extxyz: cannot be read"):
        read_trajectory(written.with_name("none.extxyz"))
