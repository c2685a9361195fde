import pytest

from llzo_al.config.initial_data import Dimers
from llzo_al.errors import UserError
from llzo_al.structures.dimers import dimer_frames

ELEMENTS = ["Li", "La", "Zr", "O"]


def by_group(frames):
    groups = {frame.provenance.group: frame for frame in frames}
    assert len(groups) == len(frames)
    return groups


def test_dimers_cover_every_pair_at_every_distance():
    frames = dimer_frames(Dimers(kind="dimers", distance_min_A=1.0, distance_max_A=4.0, points=7), ELEMENTS)
    assert len(frames) == 10 * 7
    groups = by_group(frames)
    frame = groups["dimers/Li-O/03"]
    assert frame.symbols == ("Li", "O")
    assert frame.provenance.kind == "dimer Li-O"
    assert frame.provenance.source == "dimers"
    assert frame.provenance.details == {"distance_A": 2.5}
    for each in frames:
        distance = each.to_atoms().get_distance(0, 1, mic=True)
        assert distance == pytest.approx(each.provenance.details["distance_A"], abs=2e-6)


def test_named_pairs_only_in_the_campaigns_order():
    frames = dimer_frames(Dimers(kind="dimers", pairs=["O-Li"], points=2), ELEMENTS)
    assert [frame.symbols for frame in frames] == [("Li", "O")] * 2


@pytest.mark.parametrize("pair", ["Li-F", "LiO", "Li-O-O", "Li"])
def test_a_wrong_pair_is_named(pair):
    with pytest.raises(UserError, match=repr(pair)):
        dimer_frames(Dimers(kind="dimers", pairs=[pair]), ELEMENTS)


def test_a_pair_given_twice_is_refused():
    with pytest.raises(UserError, match="listed twice"):
        dimer_frames(Dimers(kind="dimers", pairs=["Li-O", "O-Li"]), ELEMENTS)
