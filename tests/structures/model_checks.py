"""What tests of structure models share."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from ase.neighborlist import neighbor_list

HERE = Path()
ELEMENTS = ("Li", "La", "Zr", "O")
CHARGES = {"Li": 1, "La": 3, "Zr": 4, "O": -2, "Al": 3, "Ta": 5}


def shortest(frame, *elements):
    """Shortest distance of the two elements, or of any two atoms (angstrom)."""
    atoms = frame.to_atoms()
    first, second, distances = neighbor_list("ijd", atoms, 5.0)
    if elements:
        symbols = np.array(frame.symbols)
        distances = distances[(symbols[first] == elements[0]) & (symbols[second] == elements[1])]
    return distances.min()


def shortest_of_pairs(frame):
    """Shortest distance of each pair of elements, in alphabetical order, up to 4 angstrom."""
    first, second, distances = neighbor_list("ijd", frame.to_atoms(), 4.0)
    found = {}
    for i, j, distance in zip(first, second, distances, strict=True):
        pair = tuple(sorted((frame.symbols[i], frame.symbols[j])))
        found[pair] = min(distance, found.get(pair, distance))
    return found


def density(frame):
    """Density in g/cm3, with Avogadro's number."""
    atoms = frame.to_atoms()
    return atoms.get_masses().sum() / 6.02214076e23 / (atoms.get_volume() * 1e-24)


def charge(frame):
    """Sum of the formal charges."""
    return sum(CHARGES[symbol] for symbol in frame.symbols)


def counts(frame):
    """Atoms of each element."""
    return dict(Counter(frame.symbols))


def by_name(frames):
    """Frames by group and index; no two share both, and the details are JSON."""
    frames = list(frames)
    named = {(frame.provenance.group, frame.provenance.frame): frame for frame in frames}
    assert len(named) == len(frames)
    for frame in frames:
        json.dumps(frame.provenance.details)
    return named


def same_where_both(few, many):
    """Whether the frames of `few` are in `many` as they are."""
    assert set(few) <= set(many)
    for name, frame in few.items():
        np.testing.assert_array_equal(frame.positions_A, many[name].positions_A)
        assert frame.symbols == many[name].symbols
