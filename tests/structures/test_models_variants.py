"""Variants of the published crystals of LLZO."""

import numpy as np
import pytest
from model_checks import ELEMENTS, HERE, by_name, charge, counts, same_where_both, shortest

from llzo_al.config.initial_data import Variants
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models import variants
from llzo_al.structures.models.sites import site_labels
from llzo_al.structures.models.variants import variant_frames

DOPED = (*ELEMENTS, "Al", "Ta")


def frames(*, elements=DOPED, seed=1, base=HERE, **changes):
    source = Variants(**{"kind": "variants", "copies": 1, **changes})
    return by_name(variant_frames(source, elements, base=base, seed=seed))


def only(named):
    (frame,) = named.values()
    return frame


def test_lithium_and_half_as_much_oxygen_go_or_come():
    named = frames(lithium_changes=[-4, 2])
    poor, rich = named.values()
    assert counts(poor) == {"Li": 52, "La": 24, "Zr": 16, "O": 94}
    assert counts(rich) == {"Li": 58, "La": 24, "Zr": 16, "O": 97}
    assert charge(poor) == charge(rich) == 0
    assert poor.provenance.kind == "t-LLZO Li-4"
    assert poor.provenance.details["oxygen_change"] == -2
    # Removed atoms leave the others where they are.
    parent = load_structure("t-LLZO", base=HERE)
    left = {tuple(position) for position in np.round(parent.positions, 6) + 0.0}
    assert {tuple(position) for position in poor.positions_A} <= left


def test_inserted_lithium_keeps_its_distances():
    frame = only(frames(lithium_changes=[3], compensation="none"))
    assert counts(frame)["Li"] == 59
    assert frame.provenance.details["formal_charge_e"] == 3
    assert frame.charge == 0
    assert frame.provenance.details["room_beyond_limits_A"] >= 0
    assert shortest(frame, "Li", "O") >= 1.7
    assert shortest(frame, "Li", "Li") >= 2.0
    assert shortest(frame, "Li", "Zr") >= 2.3


def test_unbalanced_lithium_is_reported():
    frame = only(frames(lithium_changes=[-1], compensation="none"))
    assert counts(frame)["O"] == 96
    assert frame.provenance.details["formal_charge_e"] == charge(frame) == -1


def test_sites_have_their_crystallographic_names():
    tetragonal = load_structure("t-LLZO", base=HERE)
    labels = site_labels(tetragonal, "t-LLZO", primitive=False)
    lithium = [label for label, symbol in zip(labels, tetragonal.symbols, strict=True) if symbol == "Li"]
    assert {label: lithium.count(label) for label in set(lithium)} == {"8a": 8, "16f": 16, "32g": 32}
    primitive = load_structure("t-LLZO", base=HERE, primitive=True)
    half = site_labels(primitive, "t-LLZO", primitive=True)
    assert sorted(set(half)) == sorted(set(labels))
    assert half.count("8a") == 4
    cubic = load_structure("c-LLZO", base=HERE)
    labels = site_labels(cubic, "c-LLZO", primitive=False)
    assert {"24d", "96h"} == {label for label, s in zip(labels, cubic.symbols, strict=True) if s == "Li"}


def test_aluminium_on_24d_with_lithium_vacancies():
    substitution = {"element": "Al", "replaces": "Li", "count": 2, "site": "24d", "min_distance_A": 4.0}
    frame = only(frames(structures=["c-LLZO"], lithium_changes=[0], substitutions=[substitution]))
    assert counts(frame) == {"Li": 50, "Al": 2, "La": 24, "Zr": 16, "O": 96}
    assert charge(frame) == 0
    atoms = frame.to_atoms()
    first, second = np.flatnonzero(np.array(frame.symbols) == "Al")
    assert atoms.get_distance(first, second, mic=True) >= 4.0
    oxygen = np.flatnonzero(np.array(frame.symbols) == "O")
    for place in (first, second):
        assert np.sort(atoms.get_distances(place, oxygen, mic=True))[:4] == pytest.approx(1.908, abs=2e-3)


def test_tantalum_on_zirconium_with_and_without_compensation():
    substitution = {"element": "Ta", "replaces": "Zr", "count": 4}
    balanced = only(frames(lithium_changes=[0], substitutions=[substitution]))
    assert counts(balanced) == {"Li": 52, "La": 24, "Zr": 12, "Ta": 4, "O": 96}
    assert charge(balanced) == 0
    charged = only(
        frames(lithium_changes=[0], substitutions=[substitution], substitution_compensation="none")
    )
    assert charged.provenance.details["formal_charge_e"] == charge(charged) == 4


def test_an_arrangement_depends_on_its_name_only():
    few = frames(lithium_changes=[-2], copies=2)
    same_where_both(few, frames(lithium_changes=[-4, -2], copies=3))
    first, second = few.values()
    assert not np.array_equal(first.positions_A, second.positions_A)
    assert first.provenance.group != second.provenance.group
    other = frames(lithium_changes=[-2], copies=2, seed=2)
    assert not np.array_equal(first.positions_A, next(iter(other.values())).positions_A)


def test_atoms_are_inserted_anew_where_one_of_them_found_no_room(monkeypatch):
    place, rooms = variants.Voids.place, []

    def second_finds_none(self, random):
        position, room_A = place(self, random)
        rooms.append(-0.001 if len(rooms) == 1 else room_A)
        return position, rooms[-1]

    monkeypatch.setattr(variants.Voids, "place", second_finds_none)
    (frame,) = frames(lithium_changes=[2]).values()
    assert len(rooms) == 2 + 3
    assert (frame.symbols.count("Li"), frame.symbols.count("O")) == (58, 97)
    assert frame.provenance.details["room_beyond_limits_A"] == pytest.approx(min(rooms[2:]), abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"substitutions": [{"element": "Al", "replaces": "Li", "count": 2, "site": "24e"}]},
            "'24e' .it has 16f, 32g, 8a",
        ),
        ({"substitutions": [{"element": "Ta", "replaces": "Zr", "count": 17}]}, "has 16 Zr to replace"),
        (
            {"substitutions": [{"element": "Ta", "replaces": "Zr", "count": 4, "min_distance_A": 12.0}]},
            "lower min_distance_A",
        ),
        ({"substitutions": [{"element": "Ga", "replaces": "Li", "count": 1}]}, "Ga, outside the type map"),
        ({"lithium_changes": [-60]}, "60 Li to remove, of 56"),
        ({"lithium_changes": [2], "min_distances_A": {"Li-O": 2.4}}, "no room for another Li"),
        ({"lithium_changes": [2], "min_distances_A": {"Li-F": 2.4}}, "'Li-F' is not two of"),
    ],
)
def test_what_cannot_be_made_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        frames(**{"lithium_changes": [0], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lithium_changes": [-3]}, "cannot be charge-balanced by oxygen"),
        ({"lithium_changes": [0]}, "that is the crystal itself"),
        ({"lithium_changes": [2], "min_distances_A": {"LiO": 2}}, "two elements joined by a hyphen"),
        (
            {"lithium_changes": [0], "substitutions": [{"element": "Li", "replaces": "Li", "count": 1}]},
            "the element that it replaces",
        ),
    ],
)
def test_contradictions_are_found_in_the_file(changes, message):
    with pytest.raises(ValueError, match=message):
        Variants(kind="variants", **changes)
