from __future__ import annotations

import io
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from dataset_helpers import PHYSICS, frames, make_frame
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.dataset.identity import (
    canonical_order,
    label_identities,
    label_identity,
    physics_hash,
    structure_hash,
)
from llzo_al.errors import UserError

ANY_PERIODICITY = st.tuples(st.booleans(), st.booleans(), st.booleans())


def back(atoms, frame: Frame) -> Frame:
    """The frame read back; POSCAR knows neither charge nor multiplicity."""
    read = Frame.from_atoms(atoms, frame.provenance)
    return replace(read, charge=frame.charge, multiplicity=frame.multiplicity)


def test_the_written_rule_is_kept():
    frame = Frame(
        symbols=("O", "Li"),
        positions_A=np.array([[0.0, 0.0, 0.0], [4.5, -0.5, 1.0]]),
        cell_A=4 * np.eye(3),
        provenance=Provenance(source="s", kind="k", group="g"),
    )
    import hashlib

    text = (
        '{"atoms":[["Li",500000,3500000,1000000],["O",0,0,0]],"cell":[[4000000,0,0],[0,4000000,0],'
        '[0,0,4000000]],"charge":0,"format":"structure v1","multiplicity":null,"periodic":[true,true,true]}'
    )
    assert structure_hash(frame) == "v1-" + hashlib.sha256(text.encode()).hexdigest()


@settings(max_examples=60, deadline=None)
@given(frame=frames(), direct=st.booleans(), wrap=st.booleans())
def test_poscar_by_ase(frame, direct, wrap):
    atoms = frame.to_atoms()
    if wrap:
        atoms.wrap()
    text = io.StringIO()
    ase.io.write(text, atoms, format="vasp", direct=direct, sort=True)
    read = ase.io.read(io.StringIO(text.getvalue()), format="vasp")
    assert structure_hash(back(read, frame)) == structure_hash(frame)


@settings(max_examples=60, deadline=None)
@given(frame=frames(), to_unit_cell=st.booleans())
def test_poscar_by_pymatgen(frame, to_unit_cell):
    if np.linalg.det(frame.cell_A) < 0:  # pymatgen would write the inverted structure
        frame = replace(frame, cell_A=frame.cell_A[[1, 0, 2]])
    structure = Structure(
        Lattice(frame.cell_A),
        frame.symbols,
        frame.positions_A,
        coords_are_cartesian=True,
        to_unit_cell=to_unit_cell,
    )
    text = Poscar(structure, sort_structure=True).get_str(significant_figures=16)
    read = Poscar.from_str(text).structure
    again = Frame(
        symbols=tuple(str(site.specie) for site in read),
        positions_A=read.cart_coords,
        cell_A=read.lattice.matrix,
        charge=frame.charge,
        multiplicity=frame.multiplicity,
        provenance=frame.provenance,
    )
    assert structure_hash(again) == structure_hash(frame)


@settings(max_examples=60, deadline=None)
@given(frame=frames(periodic=ANY_PERIODICITY))
def test_extended_xyz_by_ase(frame):
    text = io.StringIO()
    ase.io.write(text, frame.to_atoms(), format="extxyz")
    read = ase.io.read(io.StringIO(text.getvalue()), format="extxyz")
    assert structure_hash(Frame.from_atoms(read, frame.provenance)) == structure_hash(frame)


@settings(max_examples=60, deadline=None)
@given(frame=frames(periodic=ANY_PERIODICITY), data=st.data())
def test_order_and_lattice_translations_take_no_part(frame, data):
    order = data.draw(st.permutations(range(frame.n_atoms)))
    shift = np.array([[data.draw(st.integers(-3, 3)) for _ in range(3)] for _ in order]) * frame.periodic
    moved = replace(
        frame,
        symbols=tuple(frame.symbols[index] for index in order),
        positions_A=frame.positions_A[order] + shift @ frame.cell_A,
    )
    assert structure_hash(moved) == structure_hash(frame)
    wrapped_back = moved.positions_A[canonical_order(moved)] - frame.positions_A[canonical_order(frame)]
    whole = np.linalg.solve(frame.cell_A.T, wrapped_back.T).T
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(frame=frames(periodic=ANY_PERIODICITY), seed=st.integers(0, 1000))
def test_small_noise_takes_no_part(frame, seed):
    noise = np.random.default_rng(seed).uniform(-1e-8, 1e-8, frame.positions_A.shape)
    noisy = replace(frame, positions_A=frame.positions_A + noise, cell_A=frame.cell_A + noise[0])
    assert structure_hash(noisy) == structure_hash(frame)


@pytest.mark.parametrize("axis", range(3))
def test_atoms_at_0_and_1_are_one_place(axis):
    positions = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    frame = make_frame(1, "LiO", positions_A=positions)
    for sign in (1, -1):
        for noise in (0, 1e-8, -1e-8):
            moved = positions + noise
            moved[0] += sign * frame.cell_A[axis]
            assert structure_hash(replace(frame, positions_A=moved)) == structure_hash(frame)


def test_no_wrapping_along_a_vector_without_periodicity():
    frame = make_frame(1, periodic=(True, True, False))
    moved = frame.positions_A.copy()
    moved[0] += frame.cell_A[2]
    assert structure_hash(replace(frame, positions_A=moved)) != structure_hash(frame)
    moved[0] += frame.cell_A[0] - frame.cell_A[2]
    assert structure_hash(replace(frame, positions_A=moved)) == structure_hash(frame)


def test_a_missing_vector_without_periodicity_is_no_obstacle():
    cell = np.array([[5.0, 0, 0], [1.0, 6.0, 0], [0, 0, 0]])
    frame = make_frame(1, cell_A=cell, periodic=(True, True, False))
    moved = frame.positions_A + cell[0] - 2 * cell[1]
    assert structure_hash(replace(frame, positions_A=moved)) == structure_hash(frame)
    molecule = make_frame(1, cell_A=np.zeros((3, 3)), periodic=(False, False, False))
    assert structure_hash(molecule) == structure_hash(replace(molecule, symbols=molecule.symbols))


@pytest.mark.parametrize(
    "change",
    [
        {"positions_A": make_frame(0).positions_A + np.array([[2e-6, 0, 0], [0] * 3, [0] * 3, [0] * 3])},
        {"cell_A": make_frame(0).cell_A + np.diag([0, 0, 2e-6])},
        {"symbols": ("O", "Li", "La", "O")},
        {"periodic": (True, True, False)},
        {"charge": 1},
        {"multiplicity": 1},
    ],
)
def test_what_changes_the_physics_changes_the_hash(change):
    frame = make_frame(0)
    assert structure_hash(replace(frame, **change)) != structure_hash(frame)


def test_provenance_takes_no_part():
    frame = make_frame(0)
    other = replace(frame, provenance=Provenance(source="exploration", kind="x", group="y", iteration=3))
    assert structure_hash(other) == structure_hash(frame)
    assert label_identity(other, PHYSICS) == label_identity(frame, PHYSICS)


def test_physics_changes_the_label_and_its_spelling_does_not():
    frame = make_frame(0)
    assert label_identity(frame, {"a": 6, "b": (1, 2)}) == label_identity(frame, {"b": [1.0, 2], "a": 6.0})
    assert label_identity(frame, {"a": 6}) != label_identity(frame, {"a": 6.5})
    assert label_identity(frame, {"a": True}) != label_identity(frame, {"a": 1})
    assert label_identities([frame], {"a": 6}) == [label_identity(frame, {"a": 6})]


@pytest.mark.parametrize(
    ("physics", "where"),
    [({"a": {"b": [1, object()]}}, r"physics\.a\.b\[1\]"), ({"a": float("nan")}, "finite")],
)
def test_physics_that_json_cannot_hold_is_named(physics, where):
    with pytest.raises(UserError, match=where):
        physics_hash(physics)


def test_dependent_vectors_are_refused():
    frame = make_frame(0, cell_A=np.array([[5.0, 0, 0], [10.0, 0, 0], [0, 0, 5.0]]))
    with pytest.raises(UserError, match="linearly dependent"):
        structure_hash(frame)
