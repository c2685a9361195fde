"""Interfaces of published crystals: LLZO, lithium metal, Li2O."""

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from model_checks import ELEMENTS, HERE, by_name, counts, shortest

from llzo_al.config.initial_data import Interfaces
from llzo_al.errors import UserError
from llzo_al.structures.models.interfaces import interface_frames
from llzo_al.structures.models.matching import lattice_matches


def frames(*, elements=ELEMENTS, **changes):
    source = Interfaces(**{"kind": "interfaces", **changes})
    return list(by_name(interface_frames(source, elements, base=HERE, seed=1)).values())


def test_llzo_on_lithium_metal():
    (frame,) = frames(substrate_thickness_A=5.0)
    details = frame.provenance.details
    assert frame.provenance.kind == "interface t-LLZO | Li"
    # The (001) cell of LLZO, 13.134 angstrom wide, on 13 cells of lithium: sqrt(13) x 3.51 = 12.656.
    assert details["area_A2"] == pytest.approx(13.134**2, abs=1e-2)
    assert details["mismatch"] == pytest.approx(13.134 / (np.sqrt(13) * 3.51) - 1, abs=1e-4)
    film = details["film_atoms"]
    assert film % 13 == 0
    assert details["substrate_atoms"] == 96
    assert counts(frame)["Li"] == 28 + film
    assert frame.n_atoms == 96 + film
    assert details["formal_charge_e"] == 0


def test_gaps_on_both_sides_and_the_film_within():
    (frame,) = frames(substrate_thickness_A=5.0, gap_A=2.5)
    atoms = frame.to_atoms()
    details = frame.provenance.details
    length = details["substrate_thickness_A"] + details["film_thickness_A"] + 2 * 2.5
    assert atoms.cell[2] == pytest.approx([0, 0, length], abs=2e-3)
    is_film = np.arange(len(atoms)) >= details["substrate_atoms"]
    first, second, distances = neighbor_list("ijd", atoms, 4.0)
    assert distances[is_film[first] != is_film[second]].min() >= 2.5 - 1e-3
    assert distances[~is_film[first] & ~is_film[second]].min() == pytest.approx(1.891, abs=1e-3)
    # The body-centred film is wider by 3.8 percent in its plane.
    a = 3.51 * (1 + details["mismatch"])
    nearest = np.sqrt(2 * (a / 2) ** 2 + (3.51 / 2) ** 2)
    assert distances[is_film[first] & is_film[second]].min() == pytest.approx(nearest, abs=2e-3)


def test_vacuum_over_the_film():
    (frame,) = frames(substrate_thickness_A=5.0, vacuum_A=12.0)
    heights = np.sort(frame.positions_A[:, 2] % frame.cell_A[2, 2])
    spaces = np.diff([*heights, heights[0] + frame.cell_A[2, 2]])
    assert spaces.max() == pytest.approx(12.0, abs=1e-3)


def test_several_matches_are_the_smallest_ones():
    made = frames(substrate_thickness_A=5.0, matches=2, vacuum_A=10.0)
    areas = [frame.provenance.details["area_A2"] for frame in made]
    assert areas == pytest.approx([13.134**2, 2 * 13.134**2], abs=1e-2)
    assert made[1].provenance.details["mismatch"] < made[0].provenance.details["mismatch"]


def test_two_oxides():
    (frame,) = frames(film="Li2O", substrate="t-LLZO", substrate_thickness_A=5.0, max_area_A2=200.0)
    assert shortest(frame) == pytest.approx(1.891, abs=1e-3)
    assert frame.provenance.details["mismatch"] <= 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"max_mismatch": 0.002, "max_area_A2": 200.0},
            r"24 pairs were tried; the nearest has a mismatch of 0.038 on 172.5 square angstrom",
        ),
        ({"max_area_A2": 100.0}, "one cell alone has 172.5: raise max_area_A2"),
        ({"max_atoms": 50}, r"has \d+ atoms, more than max_atoms \(50\)"),
        ({"substrate": "Li2O", "max_area_A2": 2000.0}, "pairs of cells, more than 100,000"),
        ({"film": "Cu"}, "neither a built-in crystal"),
        ({"elements": ("La", "Zr", "O")}, "Li, outside the type map"),
    ],
)
def test_what_cannot_be_made_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        frames(**changes)


def test_matches_of_a_square_and_a_larger_square():
    square = np.array([[3.0, 0, 0], [0, 3.0, 0]])
    found = lattice_matches(square, 2.02 * square, max_area_A2=40.0, max_mismatch=0.02, where="x")
    assert found[0].area_A2 == pytest.approx((6.06) ** 2)
    assert found[0].mismatch == pytest.approx(0.01)


def test_no_plane_is_refused_in_the_file():
    with pytest.raises(ValueError, match=r"film_miller: is \[0, 0, 0\]"):
        Interfaces(kind="interfaces", film_miller=[0, 0, 0])
