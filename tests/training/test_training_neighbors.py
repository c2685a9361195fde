"""Neighbour counts against ASE's neighbour list and against DeePMD-kit's own rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from llzo_al.evaluation.systems import LabelledSystem
from llzo_al.training.neighbors import Neighbors, count_neighbors

ELEMENTS = ("Li", "La", "O")


def system(symbols: list[str], positions, cells, *, periodic: bool = True) -> LabelledSystem:
    positions, cells = np.asarray(positions, dtype=float), np.asarray(cells, dtype=float)
    return LabelledSystem(
        path=Path("/data"),
        symbols=tuple(symbols),
        periodic=periodic,
        positions_A=positions,
        cells_A=cells,
        energies_eV=np.zeros(len(positions)),
        forces_eV_per_A=np.zeros_like(positions),
        virials_eV=None,
    )


def by_ase(item: LabelledSystem, cutoff: float) -> tuple[list[int], float]:
    most, shortest = [0] * len(ELEMENTS), np.inf
    for positions, cell in zip(item.positions_A, item.cells_A, strict=True):
        atoms = Atoms(list(item.symbols), positions=positions, cell=cell, pbc=item.periodic)
        first, second, distances = neighbor_list("ijd", atoms, cutoff)
        for index, element in enumerate(ELEMENTS):
            of_element = np.array(item.symbols)[second] == element
            counts = np.bincount(first[of_element], minlength=1)
            most[index] = max(most[index], int(counts.max(initial=0)))
        if len(distances):
            shortest = min(shortest, float(distances.min()))
    return most, shortest


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n_atoms=st.integers(1, 9),
    length=st.floats(2.5, 9.0),
    cutoff=st.floats(2.0, 6.0),
    periodic=st.booleans(),
)
def test_same_as_ase(seed: int, n_atoms: int, length: float, cutoff: float, periodic: bool):
    rng = np.random.default_rng(seed)
    cells = length * (np.eye(3) + rng.uniform(-0.3, 0.3, (2, 3, 3)))
    positions = rng.uniform(-1.5, 2.5, (2, n_atoms, 3)) @ cells
    item = system(
        [ELEMENTS[index] for index in rng.integers(0, 3, n_atoms)], positions, cells, periodic=periodic
    )
    found = count_neighbors([item], elements=ELEMENTS, cutoff_A=cutoff)
    most, shortest = by_ase(item, cutoff)
    assert list(found.most) == most
    if np.isfinite(shortest):
        assert found.min_distance_A == pytest.approx(shortest)


def test_several_systems_are_counted_together():
    pair = system(["Li", "O"], [[[0, 0, 0], [1.9, 0, 0]]], [np.eye(3) * 20])
    chain = system(["La"], [[[0, 0, 0]]], [np.diag([2.5, 20, 20])])
    found = count_neighbors([pair, chain], elements=ELEMENTS, cutoff_A=6.0)
    assert found.most == (1, 4, 1)
    assert found.min_distance_A == pytest.approx(1.9)


def test_selection_has_deepmds_margin():
    neighbors = Neighbors(most=(31, 14, 9, 44, 0), min_distance_A=1.4)
    assert neighbors.selection == (36, 16, 12, 48, 4)
    assert neighbors.fits(neighbors.selection)
    assert neighbors.fits((31, 14, 9, 44, 0))
    assert not neighbors.fits((31, 13, 9, 44, 0))
    assert not neighbors.fits((36, 16))
