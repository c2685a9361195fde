import numpy as np
import pytest
from ase.data import atomic_numbers, covalent_radii

from llzo_al.config.initial_data import Dimers
from llzo_al.errors import UserError
from llzo_al.structures.dimers import dimer_frames, pair_distances_A

ELEMENTS = ["Li", "La", "Zr", "O"]


def dimers(**keys):
    return Dimers(kind="dimers", **keys)


def distances(source, name, elements=ELEMENTS):
    """Distances of one pair, measured on its frames."""
    return np.array(
        [
            frame.to_atoms().get_distance(0, 1, mic=True)
            for frame in dimer_frames(source, elements)
            if frame.provenance.kind == f"dimer {name}"
        ]
    )


def test_every_pair_like_pairs_too_in_the_campaigns_order():
    frames = list(dimer_frames(dimers(points=2), ELEMENTS))
    pairs = list(dict.fromkeys(frame.symbols for frame in frames))
    assert len(frames) == 20
    assert pairs == [
        *(("Li", "Li"), ("Li", "La"), ("Li", "Zr"), ("Li", "O"), ("La", "La")),
        *(("La", "Zr"), ("La", "O"), ("Zr", "Zr"), ("Zr", "O"), ("O", "O")),
    ]
    assert len({frame.provenance.group for frame in frames}) == 20


def test_provenance_says_the_distance():
    for frame in dimer_frames(dimers(), ELEMENTS):
        distance_A = frame.to_atoms().get_distance(0, 1, mic=True)
        assert frame.provenance.source == "dimers"
        assert frame.provenance.details == {"distance_A": pytest.approx(distance_A, abs=2e-6)}
        np.testing.assert_allclose(frame.positions_A.mean(axis=0), 10.0, atol=1e-6)


def test_an_even_grid_from_one_start_for_all_pairs():
    source = dimers(distance_min_A=1.4, points=6, start_fraction=0.0, spacing_growth=1)
    for name in ("Li-O", "La-La"):
        np.testing.assert_allclose(distances(source, name), np.linspace(1.4, 4.0, 6), atol=2e-6)


def test_the_grid_is_denser_where_the_curve_is_steep():
    spacings = np.diff(distances(dimers(points=21, spacing_growth=5), "Zr-O"))
    assert spacings[-1] / spacings[0] == pytest.approx(5, rel=1e-3)
    np.testing.assert_allclose(spacings[1:] / spacings[:-1], 5 ** (1 / 19), rtol=1e-3)


def test_each_pair_starts_by_its_own_radii_but_not_below_the_shortest_distance():
    for name in ("Li-Li", "La-La", "Zr-O", "O-O", "Li-O"):
        radii_A = sum(covalent_radii[atomic_numbers[symbol]] for symbol in name.split("-"))
        found = distances(dimers(start_fraction=0.5), name)
        assert found[0] == pytest.approx(max(1.0, 0.5 * radii_A), abs=2e-6)
        assert found[-1] == pytest.approx(4.0, abs=2e-6)
    assert distances(dimers(), "La-La")[0] > 2 * distances(dimers(), "Li-O")[0]


def test_a_pairs_own_start_takes_the_rules_place_in_either_order():
    source = dimers(starts_A={"O-Li": 0.8, "La-La": 2.5})
    assert distances(source, "Li-O")[0] == pytest.approx(0.8)
    assert distances(source, "La-La")[0] == pytest.approx(2.5)
    assert distances(source, "O-O")[0] == pytest.approx(1.0)


def test_repulsion_at_the_default_starts_is_large_but_not_absurd():
    """The screened nuclear repulsion (Ziegler, Biersack, Littmark) bounds the forces nearby."""

    def force_eV_per_A(name, distance_A):
        first, second = (atomic_numbers[symbol] for symbol in name.split("-"))
        length_A = 0.46850 / (first**0.23 + second**0.23)
        weights, decays = np.array(
            [[0.18175, 0.50986, 0.28022, 0.02817], [3.19980, 0.94229, 0.40290, 0.20162]]
        )
        terms = weights * np.exp(-decays * distance_A / length_A)
        coulomb_eV_A = 14.3996 * first * second
        return coulomb_eV_A / distance_A * (terms.sum() / distance_A + (terms * decays).sum() / length_A)

    for name in ("Li-Li", "Li-La", "Li-Zr", "Li-O", "La-La", "La-Zr", "La-O", "Zr-Zr", "Zr-O", "O-O"):
        start_A = pair_distances_A(dimers(), tuple(name.split("-")))[0]
        assert 3 < force_eV_per_A(name, start_A) < 100, name
    assert force_eV_per_A("La-La", 1.0) > 1000


def test_charge_and_multiplicity_of_a_pair_reach_its_frames():
    source = dimers(charges={"O-Li": -1}, multiplicities={"O-O": 3, "Li-O": 1}, points=2)
    found = {frame.symbols: (frame.charge, frame.multiplicity) for frame in dimer_frames(source, ["Li", "O"])}
    assert found == {("Li", "Li"): (0, None), ("Li", "O"): (-1, 1), ("O", "O"): (0, 3)}
    atoms = next(dimer_frames(dimers(pairs=["O-O"], multiplicities={"O-O": 3}), ["Li", "O"])).to_atoms()
    assert atoms.info == {"multiplicity": 3}


def test_named_pairs_only_in_the_campaigns_order():
    frames = dimer_frames(dimers(pairs=["O-Li"], points=2), ELEMENTS)
    assert [frame.symbols for frame in frames] == [("Li", "O")] * 2


@pytest.mark.parametrize("pair", ["Li-F", "LiO", "Li-O-O", "Li"])
def test_a_wrong_pair_is_named(pair):
    for keys in ({"pairs": [pair]}, {"starts_A": {pair: 1.5}}, {"charges": {pair: 1}}):
        with pytest.raises(UserError, match=rf"initial_data \(dimers\): {next(iter(keys))}.*{pair!r}"):
            next(dimer_frames(dimers(**keys), ELEMENTS))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pairs": ["Li-O", "O-Li"]}, "same pair as 'Li-O'; each pair is listed once"),
        ({"starts_A": {"Li-O": 1.2, "O-Li": 1.3}}, "same pair as 'Li-O'; each pair is listed once"),
        ({"pairs": ["Li-O"], "starts_A": {"O-O": 1.2}}, "'O-O' is not among `pairs`, which lists Li-O"),
        ({"distance_max_A": 2.0}, r"distance_max_A: is 2; La-La starts at 2.28 by start_fraction \(0.55\)"),
    ],
)
def test_what_does_not_fit_the_elements_is_named(keys, message):
    with pytest.raises(UserError, match=message):
        list(dimer_frames(dimers(**keys), ELEMENTS))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"distance_min_A": 4.0, "distance_max_A": 1.0}, "distance_min_A: is 4; must be smaller"),
        ({"starts_A": {"Li-O": 4.5}}, r"starts_A.Li-O: is 4.5; must be smaller than distance_max_A \(4\)"),
        ({"box_length_A": 8.0}, "box_length_A: is 8; must be more than twice"),
        ({"multiplicities": {"O-O": 2}}, r"16 electrons, so its multiplicity \(2S \+ 1\) is odd"),
        ({"multiplicities": {"Li-O": 1}}, "11 electrons, .* is even"),
        ({"multiplicities": {"Li-O": 2}, "charges": {"O-Li": -1}}, "charge -1 has 12 electrons, .* is odd"),
        ({"spacing_growth": 0.5}, "greater than or equal to 1"),
        ({"points": 1}, "greater than or equal to 2"),
    ],
)
def test_contradictions_are_named(keys, message):
    with pytest.raises(ValueError, match=message):
        dimers(**keys)
