"""What a watched training tells of its progress."""

import time
from pathlib import Path

from llzo_al.progress import Progress, ProgressFile, read_progress
from llzo_al.training.lcurve import LabelScale
from llzo_al.training.watch import CurveWatch


def shown_at(directory: Path, done: int) -> Progress:
    """The progress as soon as it tells `done` steps."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for progress in read_progress(directory):
            if progress.done == done:
                return progress
        time.sleep(0.02)
    raise AssertionError(f"{done} steps were not told")


def test_the_start_of_a_training_is_not_counted_into_the_time_left(tmp_path):
    curve, shown = tmp_path / "lcurve.out", tmp_path / "progress"
    file = ProgressFile(shown / "train.json", task="train", total=500)
    file.update(0, "starting DeePMD-kit", force=True)
    file._started -= 60.0  # framework, data, graph
    watch = CurveWatch(
        curve,
        from_step=100,
        scale=LabelScale(energy_eV_per_atom=4.0, force_eV_per_A=3.0),
        progress=file,
        on_divergence=lambda _: None,
    )
    with watch:
        rows = ["#  step  rmse_trn  rmse_e_trn  rmse_f_trn  lr", "101 9.0e-01 1.0e-02 9.0e-01 1.0e-03"]
        curve.write_text("\n".join(rows) + "\n")
        first = shown_at(shown, 1)
        assert first.left_s is None
        assert first.detail == "force RMSE 900 meV/Å, energy RMSE 10.0 meV/atom"
        curve.write_text("\n".join([*rows, "110 9.0e-01 1.0e-02 8.0e-01 1.0e-03"]) + "\n")
        second = shown_at(shown, 10)
    assert second.left_s == (second.updated - second.started) / 9 * 490
    assert second.updated - second.started < 30
