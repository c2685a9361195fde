"""Points of a parity plot: kept together, thinned alike, written and read back."""

from __future__ import annotations

import numpy as np
import pytest

from llzo_al.evaluation.parity import Parity, join, read_parity, write_parity


def points(n_frames: int, n_components: int, *, offset: float = 0.0) -> Parity:
    energies, forces = np.arange(n_frames, dtype=float), np.arange(n_components, dtype=float)
    return Parity(
        energies_eV_per_atom=offset + energies,
        predicted_energies_eV_per_atom=offset + energies + 0.25,
        forces_eV_per_A=offset + forces,
        predicted_forces_eV_per_A=offset + forces - 0.5,
    )


def test_sets_of_one_kind_are_joined_in_order():
    both = join([points(2, 3), points(1, 2, offset=10.0)])
    assert both.energies_eV_per_atom.tolist() == [0, 1, 10]
    assert both.predicted_forces_eV_per_A.tolist() == [-0.5, 0.5, 1.5, 9.5, 10.5]


def test_a_sample_keeps_labels_and_predictions_together_and_all_directions():
    sample = join([points(5, 9000)], most=300)
    assert len(sample.energies_eV_per_atom) == 5
    assert len(sample.forces_eV_per_A) == 300
    assert np.array_equal(sample.predicted_forces_eV_per_A, sample.forces_eV_per_A - 0.5)
    assert set(sample.forces_eV_per_A.astype(int) % 3) == {0, 1, 2}
    assert np.array_equal(join([points(5, 9000)], most=300).forces_eV_per_A, sample.forces_eV_per_A)


def test_written_and_read(tmp_path):
    kinds = {"exploration: t-LLZO": points(3, 7), "dimers": points(1, 6)}
    write_parity(tmp_path / "parity.npz", kinds)
    found = read_parity(tmp_path / "parity.npz")
    assert list(found) == list(kinds)
    for kind, expected in kinds.items():
        for name, values in vars(expected).items():
            assert np.array_equal(getattr(found[kind], name), values)


@pytest.mark.parametrize("written", [True, False])
def test_without_points(tmp_path, written):
    if written:
        write_parity(tmp_path / "parity.npz", {})
    assert read_parity(tmp_path / "parity.npz") == {}
