"""Errors of a potential: by hand, against numpy, and pooled."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llzo_al.evaluation.errors import ErrorSummary, pool, summarise


def arrays(n_frames: int, n_atoms: int, seed: int):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(-10, 2, n_frames),
        rng.normal(-10, 2, n_frames),
        rng.normal(0, 1, (n_frames, n_atoms, 3)),
        rng.normal(0, 1, (n_frames, n_atoms, 3)),
        rng.normal(0, 3, (n_frames, 3, 3)),
        rng.normal(0, 3, (n_frames, 3, 3)),
    )


def of(n_frames: int, n_atoms: int, seed: int, *, virials: bool = True) -> ErrorSummary:
    energies, energies_0, forces, forces_0, virial, virial_0 = arrays(n_frames, n_atoms, seed)
    return summarise(
        energies_eV=energies,
        reference_energies_eV=energies_0,
        forces_eV_per_A=forces,
        reference_forces_eV_per_A=forces_0,
        virials_eV=virial if virials else None,
        reference_virials_eV=virial_0 if virials else None,
    )


def test_definitions_by_hand():
    # Two frames of two atoms: energy errors of 4 and -2 eV are 2 and -1 eV/atom.
    forces = np.zeros((2, 2, 3))
    forces[0, 0] = [3.0, 0.0, -4.0]
    virials = np.zeros((2, 3, 3))
    virials[1, 0, 1] = 6.0
    summary = summarise(
        energies_eV=[4.0, -2.0],
        reference_energies_eV=[0.0, 0.0],
        forces_eV_per_A=forces,
        reference_forces_eV_per_A=np.zeros((2, 2, 3)),
        virials_eV=virials,
        reference_virials_eV=np.zeros((2, 3, 3)),
    )
    assert summary.n_frames == 2
    assert summary.n_atoms == 4
    assert summary.energy_rmse_meV_per_atom == pytest.approx(1000 * math.sqrt((4 + 1) / 2))
    assert summary.energy_mae_meV_per_atom == pytest.approx(1500)
    assert summary.force_rmse_meV_per_A == pytest.approx(1000 * math.sqrt(25 / 12))
    assert summary.force_mae_meV_per_A == pytest.approx(1000 * 7 / 12)
    assert summary.force_error_max_eV_per_A == 4.0
    assert summary.virial_rmse_meV_per_atom == pytest.approx(1000 * math.sqrt(9 / 18))
    assert summary.virial_mae_meV_per_atom == pytest.approx(1000 * 3 / 18)


def test_against_numpy():
    energies, energies_0, forces, forces_0, virial, virial_0 = arrays(5, 7, 3)
    summary = of(5, 7, 3)
    assert summary.force_rmse_meV_per_A == pytest.approx(1000 * np.sqrt(np.mean((forces - forces_0) ** 2)))
    assert summary.energy_rmse_meV_per_atom == pytest.approx(
        1000 * np.sqrt(np.mean((energies - energies_0) ** 2)) / 7
    )
    assert summary.virial_rmse_meV_per_atom == pytest.approx(
        1000 * np.sqrt(np.mean((virial - virial_0) ** 2)) / 7
    )


def test_without_virials_there_is_no_virial_error():
    summary = of(3, 2, 0, virials=False)
    assert summary.virial_rmse_meV_per_atom is None
    assert summary.virial_mae_meV_per_atom is None
    pooled = pool([summary, of(4, 2, 1)])
    assert pooled.n_virial_frames == 4
    assert pooled.virial_rmse_meV_per_atom == pytest.approx(of(4, 2, 1).virial_rmse_meV_per_atom)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=5),
    seed=st.integers(0, 2**16),
)
def test_pooling_equals_all_frames_at_once(sizes: list[tuple[int, int]], seed: int):
    parts = [of(n_frames, n_atoms, seed + number) for number, (n_frames, n_atoms) in enumerate(sizes)]
    forces, energies, virials = [], [], []
    for number, (n_frames, n_atoms) in enumerate(sizes):
        e, e_0, f, f_0, v, v_0 = arrays(n_frames, n_atoms, seed + number)
        energies.append((e - e_0) / n_atoms)
        forces.append((f - f_0).ravel())
        virials.append((v - v_0).ravel() / n_atoms)
    pooled = pool(parts)

    def rms(values: list) -> float:
        return 1000 * float(np.sqrt(np.mean(np.concatenate(values) ** 2)))

    assert pooled.energy_rmse_meV_per_atom == pytest.approx(rms(energies))
    assert pooled.force_rmse_meV_per_A == pytest.approx(rms(forces))
    assert pooled.virial_rmse_meV_per_atom == pytest.approx(rms(virials))
    assert pooled.force_error_max_eV_per_A == max(part.force_error_max_eV_per_A for part in parts)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), count=st.integers(2, 5))
def test_pooling_does_not_depend_on_grouping(seed: int, count: int):
    parts = [of(1 + number, 2, seed + number) for number in range(count)]
    nested = pool([pool(parts[:1]), pool(parts[1:])])
    assert nested.as_dict() == pytest.approx(pool(reversed(parts)).as_dict())


def test_json_round_trip_keeps_the_sums():
    for summary in (of(3, 4, 5), of(3, 4, 5, virials=False)):
        text = json.dumps(summary.as_dict(), allow_nan=False)
        assert ErrorSummary.from_dict(json.loads(text)) == summary


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energies_eV": [0.0, 0.0]}, r"energies is \(2,\).*\(1,\)"),
        ({"forces_eV_per_A": np.zeros((1, 3, 3))}, r"forces is \(1, 3, 3\).*\(1, 2, 3\)"),
        ({"energies_eV": [np.nan]}, "predicted energies.*not finite"),
        ({"reference_forces_eV_per_A": np.full((1, 2, 3), np.inf)}, "reference forces.*not finite"),
    ],
)
def test_bad_arrays_are_refused(change: dict, message: str):
    good = {
        "energies_eV": [0.0],
        "reference_energies_eV": [0.0],
        "forces_eV_per_A": np.zeros((1, 2, 3)),
        "reference_forces_eV_per_A": np.zeros((1, 2, 3)),
    }
    with pytest.raises(ValueError, match=message):
        summarise(**(good | change))


def test_no_frames_have_no_errors():
    with pytest.raises(ValueError, match="no frames"):
        pool([])
    with pytest.raises(ValueError, match="no frames"):
        summarise(
            energies_eV=[],
            reference_energies_eV=[],
            forces_eV_per_A=np.zeros((0, 2, 3)),
            reference_forces_eV_per_A=np.zeros((0, 2, 3)),
        )
