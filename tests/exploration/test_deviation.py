import pytest

from llzo_al.errors import EngineError
from llzo_al.exploration.deviation import DeviationReader, cut_deviations

HEADER = "#       step   max_devi_v  min_devi_v  avg_devi_v  max_devi_f  min_devi_f  avg_devi_f\n"


def line(step, largest=0.5, mean=0.1):
    return f"  {step}  1e-3 1e-4 5e-4  {largest:.6e}  1e-3  {mean:.6e}\n"


def test_lines_are_read_as_they_come(tmp_path):
    path = tmp_path / "model_devi.out"
    path.write_text(HEADER + line(0, 0.25, 0.125))
    reader = DeviationReader(path)
    assert reader.at(0) == (0.25, 0.125)
    assert reader.at(0) == (0.25, 0.125)
    path.write_text(path.read_text() + line(10) + line(20, 1.0, 0.5)[:20])
    assert reader.at(10) == (0.5, 0.1)
    with pytest.raises(EngineError, match="expected a model deviation of step 20 last, found step 10"):
        reader.at(20)
    path.write_text(HEADER + line(0, 0.25, 0.125) + line(10) + line(20, 1.0, 0.5))
    assert reader.at(20) == (1.0, 0.5)


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "model_devi.out"
    path.write_text("0 1 2\n")
    with pytest.raises(EngineError, match="expected 7 columns"):
        DeviationReader(path).at(0)


def test_cut_leaves_what_is_before_the_step(tmp_path):
    path = tmp_path / "model_devi.out"
    cut_deviations(path, 10)
    assert not path.exists()
    path.write_text(HEADER + line(0) + line(10) + line(20) + line(30)[:9])
    cut_deviations(path, 20)
    assert path.read_text() == HEADER + line(0) + line(10)
