import numpy as np
import pytest
from model_checks import (
    ELEMENTS,
    by_name,
    charge,
    counts,
    density,
    same_where_both,
    shortest,
    shortest_of_pairs,
)

from llzo_al.config.initial_data import Amorphous
from llzo_al.errors import UserError
from llzo_al.structures.models.amorphous import PACKING_LIMITS_A, amorphous_frames
from llzo_al.structures.models.charges import neutral_counts


def frames(*, elements=ELEMENTS, seed=1, **changes):
    source = Amorphous(**{"kind": "amorphous", "copies": 1, "n_atoms": 100, **changes})
    return by_name(amorphous_frames(source, elements, seed=seed))


def test_boxes_have_the_density_the_neutrality_and_the_distances_asked_for():
    compositions = [{"Li": 7, "La": 3, "Zr": 2}, {"Li": 5, "La": 1, "Zr": 1}, {"La": 1.5, "Zr": 1}]
    named = frames(compositions=compositions, densities_g_per_cm3=[4.5, 5.1])
    assert len(named) == 6
    for frame in named.values():
        assert charge(frame) == 0
        assert density(frame) == pytest.approx(frame.provenance.details["density_g_per_cm3"], rel=1e-6)
        for pair, distance in shortest_of_pairs(frame).items():
            assert distance >= PACKING_LIMITS_A[pair] - 2e-6
    sizes = {frame.provenance.details["ratio"]: counts(frame) for frame in named.values()}
    assert sizes["Li7:La3:Zr2"] == {"Li": 28, "La": 12, "Zr": 8, "O": 48}
    assert sizes["Li5:La1:Zr1"] == {"Li": 35, "La": 7, "Zr": 7, "O": 42}
    # La3Zr2: 17 positive charges need a second formula unit.
    assert sizes["La1.5:Zr1"] == {"La": 18, "Zr": 12, "O": 51}


def test_cations_sit_among_oxygen():
    (frame,) = frames(n_atoms=192).values()
    symbols = np.array(frame.symbols)
    distances = frame.to_atoms().get_all_distances(mic=True) + 100 * np.eye(frame.n_atoms)
    nearest = symbols[distances.argmin(axis=1)]
    assert np.mean(nearest[symbols == "Zr"] == "O") > 0.95


def test_a_box_depends_on_its_name_only():
    few = frames(densities_g_per_cm3=[4.5])
    same_where_both(few, frames(densities_g_per_cm3=[5.0, 4.5], copies=2))
    assert not np.array_equal(
        next(iter(few.values())).positions_A,
        next(iter(frames(densities_g_per_cm3=[4.5], seed=2).values())).positions_A,
    )


def test_given_distances_come_before_the_defaults():
    (frame,) = frames(min_distances_A={"O-Li": 1.95}).values()
    assert shortest(frame, "Li", "O") >= 1.95 - 2e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"densities_g_per_cm3": [9.0]}, r"cannot be packed at 9 g/cm3: the closest .* lower the density"),
        ({"n_atoms": 23}, "smallest neutral cell of Li7 La3 Zr2 has 24 atoms"),
        ({"n_atoms": 24, "min_distances_A": {"La-La": 3.6}}, "too small for the shortest distance of La-La"),
        ({"compositions": [{"Li": 1, "F": 3}]}, "cannot be charge-balanced by oxygen"),
        ({"compositions": [{"Li": 1, "Xe": 3}]}, "no formal charge is known for 'Xe'"),
        ({"compositions": [{"Li": 1, "Ta": 1}]}, "Ta, outside the type map"),
        ({"min_distances_A": {"Li-Al": 2.0}}, "'Li-Al' is not two of"),
    ],
)
def test_what_cannot_be_made_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        frames(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compositions": [{"Li": 2, "O": 1}]}, r"compositions\[0\]: holds O"),
        ({"compositions": [{"Li": 0.0}]}, "holds no atom"),
        ({"densities_g_per_cm3": [4.5, 4.5]}, "listed twice"),
        ({"min_distances_A": {"Li-O": 1.7, "O-Li": 1.8}}, "the same pair as"),
    ],
)
def test_contradictions_are_found_in_the_file(changes, message):
    with pytest.raises(ValueError, match=message):
        Amorphous(kind="amorphous", **changes)


def test_ratios_are_exact_and_as_large_as_fits():
    assert neutral_counts({"Li": 7, "La": 3, "Zr": 2}, 192, where="x") == {
        "Li": 56,
        "La": 24,
        "Zr": 16,
        "O": 96,
    }
    assert neutral_counts({"Li": 0.5, "La": 0.5}, 8, where="x") == {"Li": 2, "La": 2, "O": 4}
    assert neutral_counts({"Li": 1}, 10, where="x") == {"Li": 6, "O": 3}
    assert neutral_counts({"Li": 1, "Zr": 0}, 3, where="x") == {"Li": 2, "O": 1}
