import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llzo_al.exploration.box import LammpsBox

CELLS = arrays(np.float64, (3, 3), elements=st.floats(-12, 12).map(lambda number: round(number, 6)))


@given(CELLS)
def test_the_box_is_the_cell_turned(cell):
    assume(abs(np.linalg.det(cell)) > 1.0)
    box = LammpsBox.of(cell)
    np.testing.assert_allclose(box.rotation @ box.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(box.to_frame(box.cell_A), cell, atol=3e-6)
    assert (np.diag(box.cell_A) > 0).all()
    assert not np.triu(box.cell_A, 1).any()


@given(CELLS, arrays(np.float64, (5, 3), elements=st.floats(-5, 5)))
def test_tensors_turn_like_the_vectors_that_they_are_made_of(cell, vectors):
    assume(abs(np.linalg.det(cell)) > 1.0)
    box = LammpsBox.of(cell)
    turned = box.to_frame(vectors)
    np.testing.assert_allclose(box.tensor_to_frame(vectors.T @ vectors), turned.T @ turned, atol=1e-9)


def test_an_orthogonal_cell_in_any_orientation_is_found():
    angle = 0.3
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    box = LammpsBox.of(np.round(np.diag([4.0, 5.0, 6.0]) @ turn, 6))
    assert box.orthogonal
    assert box.create_commands(2)[1].startswith("region cell block 0 ")
    assert not LammpsBox.of(np.array([[4.0, 0, 0], [1.0, 5, 0], [0, 0, 6]])).orthogonal


def test_a_flat_cell_is_refused():
    with pytest.raises(ValueError, match="no volume"):
        LammpsBox.of(np.diag([4.0, 5.0, 0.0]))
