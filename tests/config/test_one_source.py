"""A source put together from `key=value`: same rules and messages as a campaign file."""

import pytest

from campaigns import write_tiny
from llzo_al.config.load import load_campaign
from llzo_al.config.one_source import build_source, find_source, source_kinds
from llzo_al.errors import UserError


def test_values_are_written_as_in_a_campaign_file():
    source = build_source("dimers", ["points=5", "starts_A={Li-O: 1.2}", "pairs=[Li-O]", "box_length_A=30"])
    assert (source.kind, source.points, source.starts_A, source.pairs) == (
        "dimers",
        5,
        {"Li-O": 1.2},
        ["Li-O"],
    )
    assert source.distance_max_A == 4.0


def test_assignments_replace_keys_of_the_base():
    base = build_source("dimers", ["points=5", "spacing_growth=2"]).settings()
    source = build_source("dimers", ["points=7"], base)
    assert (source.points, source.spacing_growth) == (7, 2)


@pytest.mark.parametrize(
    ("kind", "assignments", "message"),
    [
        ("dimer", [], "'dimer' is no kind of source; allowed: dimers, .*did you mean dimers"),
        ("dimers", ["pionts=3"], "dimers: pionts: unknown key; did you mean points"),
        ("dimers", ["points=1"], "dimers: points: 1 given; expected: a whole number at least 2"),
        ("dimers", ["points"], "--set 'points': expected key=value"),
        ("dimers", ["points=3", "points=4"], "points is given twice"),
        ("dimers", ["pairs=[Li-O"], "not YAML"),
        ("dimers", ["distance_min_A=5"], "distance_min_A: is 5; must be smaller than distance_max_A"),
        ("dimers", ["kind=crystals"], "kind: the key is given twice"),
        ("crystals", [], "crystals: structures: this required key is missing"),
    ],
)
def test_mistakes_are_told_by_key(kind, assignments, message):
    with pytest.raises(UserError, match=message):
        build_source(kind, assignments)


def test_several_mistakes_are_told_at_once():
    with pytest.raises(UserError) as raised:
        build_source("dimers", ["points=1", "box=3"])
    assert len(str(raised.value).splitlines()) == 2


def test_the_source_of_a_campaign_file(tmp_path):
    loaded = load_campaign(write_tiny(tmp_path))
    assert find_source(loaded, "crystals", None).structures == ["Li2O"]
    assert find_source(loaded, "dimers", 0).points == 4
    with pytest.raises(UserError, match=r"initial_data\[1\] is of kind crystals, not dimers"):
        find_source(loaded, "dimers", 1)
    with pytest.raises(UserError, match=r"no entry 9; there are 0 \(dimers\), 1 \(crystals\)"):
        find_source(loaded, "dimers", 9)
    with pytest.raises(UserError, match="no source of kind slabs"):
        find_source(loaded, "slabs", None)


def test_every_kind_of_the_campaign_file_is_known():
    assert {"dimers", "crystals", "reference_md"} <= set(source_kinds())
