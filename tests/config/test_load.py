"""Campaign files, good and bad."""

from __future__ import annotations

import re
import string
import sys
from pathlib import Path

import pytest
from bad_campaigns import BAD, GOOD
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llzo_al.config.base import Section
from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.document import parse_document
from llzo_al.config.fields import children
from llzo_al.config.load import load_campaign
from llzo_al.config.validation import check_document
from llzo_al.errors import ExitCode, UserError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "campaign.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        load_campaign(write(tmp_path, text))
    assert caught.value.exit_code == ExitCode.USER_ERROR
    return str(caught.value)


def test_good_file(tmp_path):
    path = write(tmp_path, GOOD)
    loaded = load_campaign(path)
    assert loaded.config.training.learning_rate == 0.001
    assert isinstance(loaded.config.training.learning_rate, float)
    assert loaded.config.initial_data[1].timestep_fs == 2.0
    assert loaded.config.exploration.guard.min_distances_A == {"Li-O": 1.3}
    assert loaded.text == GOOD
    assert loaded.path == path
    assert loaded.base == tmp_path
    assert loaded.campaign_dir == tmp_path / "demo"
    assert list(tmp_path.iterdir()) == [path]


def test_settings_can_be_read_back(tmp_path):
    config = load_campaign(write(tmp_path, GOOD)).config
    assert CampaignConfig.model_validate(config.settings()) == config


def test_directory_is_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    loaded = load_campaign(write(tmp_path, GOOD + "directory: runs/first\n"))
    assert loaded.campaign_dir == tmp_path / "runs" / "first"


def test_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    loaded = load_campaign(write(tmp_path, GOOD + "directory: ~/runs\n"))
    assert loaded.campaign_dir == tmp_path / "home" / "runs"


@pytest.mark.parametrize("case", BAD)
def test_bad_file(tmp_path, case):
    old, new, line, message = BAD[case]
    assert GOOD.count(old) >= 1
    told = message_of(tmp_path, GOOD.replace(old, new, 1))
    matching = [entry for entry in told.splitlines() if message in entry]
    assert matching, told
    where = re.search(r"campaign\.yaml:(\d+): ", matching[0])
    assert where is not None, told
    assert int(where[1]) == line, told


@pytest.mark.parametrize("case", sorted(set(BAD) - {"unknown section"}))
def test_one_mistake_is_one_problem(tmp_path, case):
    # A mistake may also leave a required key out or break the one that follows, but makes no more noise.
    old, new, _, _ = BAD[case]
    told = message_of(tmp_path, GOOD.replace(old, new, 1))
    assert len([entry for entry in told.splitlines() if re.search(r"campaign\.yaml:\d+: ", entry)]) <= 3


def test_all_problems_at_once_in_the_order_of_lines(tmp_path):
    text = (
        GOOD.replace("name: demo", "name: a b")
        .replace("[600, 900]", "[0, hot]")
        .replace("  steps: 1000", "  stepps: 5\n  committee_size: 1")
        .replace("engine: classical_reference", "engine: qchem")
        .replace("  temperatures_K: [600]\n", "")
        + "stopping: {min_iterations: 9, max_iterations: 2}\n"
    )
    told = message_of(tmp_path, text)
    first, *entries = told.splitlines()
    assert first == f"{tmp_path / 'campaign.yaml'}: 8 problems"
    lines = [int(re.search(r"campaign\.yaml:(\d+): ", entry)[1]) for entry in entries]
    assert lines == [1, 8, 8, 11, 13, 14, 16, 21]


def test_contradiction_is_found_beside_an_unrelated_mistake(tmp_path):
    told = message_of(tmp_path, GOOD.replace("timestep_fs: 2", "timestep_fs: 3\n    replicas: none"))
    assert "initial_data[1].snapshot_interval_fs: is 100" in told
    assert "initial_data[1].replicas: 'none' given" in told


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"camp\.yaml: no such campaign file; `llzo-al init"):
        load_campaign(tmp_path / "camp.yaml")
    write(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"camp\.yaml: no such campaign file; there is campaign\.yaml in"):
        load_campaign(tmp_path / "camp.yaml")
    with pytest.raises(UserError, match="nowhere does not exist"):
        load_campaign(tmp_path / "nowhere" / "camp.yaml")


def test_directory_instead_of_a_file(tmp_path):
    with pytest.raises(UserError, match="is a directory, expected a campaign file; `llzo-al init`"):
        load_campaign(tmp_path)
    write(tmp_path, GOOD)
    with pytest.raises(
        UserError, match=r"is a directory, expected a campaign file; did you mean .*campaign\.yaml\?"
    ):
        load_campaign(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that nobody can read")
def test_file_that_cannot_be_read():
    with pytest.raises(UserError, match="cannot be read"):
        load_campaign(Path("/proc/self/mem"))


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_empty_file(tmp_path, text):
    told = message_of(tmp_path, text)
    assert "empty" in told or "nothing given; expected keys and values" in told


@pytest.mark.parametrize("text", ["just text\n", "- a\n- b\n", "5\n"])
def test_file_without_keys(tmp_path, text):
    assert "campaign.yaml:1: " in message_of(tmp_path, text)


def test_other_encodings(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_bytes(GOOD.replace("name: demo", "name: demo # é").encode("latin-1"))
    with pytest.raises(UserError, match=r"campaign\.yaml:1: is not UTF-8 text"):
        load_campaign(path)
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(UserError, match="is not UTF-8 text"):
        load_campaign(path)
    path.write_bytes(GOOD.encode("utf-8-sig"))
    assert load_campaign(path).config.name == "demo"


def test_control_character(tmp_path):
    assert "campaign.yaml:3: not YAML" in message_of(tmp_path, "a: 1\nb: 2\nname: de\x00mo\n")


def test_windows_line_ends(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_bytes(GOOD.replace("\n", "\r\n").replace("  steps", "  stepps").encode())
    with pytest.raises(UserError, match=r"campaign\.yaml:13: training\.stepps"):
        load_campaign(path)


def test_too_deep_and_too_large(tmp_path):
    assert "nested too deeply" in message_of(tmp_path, "a: " + "[" * 5000 + "]" * 5000)
    assert "too large" in message_of(tmp_path, "#" * 2_000_000)
    laughs = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "far too many" in message_of(tmp_path, laughs)


def test_aliases_and_merged_sections(tmp_path):
    text = GOOD.replace("  - kind: reference_md\n", "  - &md\n    kind: reference_md\n").replace(
        "labelling:", "  - <<: *md\n    temperatures_K: [1200]\nlabelling:"
    )
    sources = load_campaign(write(tmp_path, text)).config.initial_data
    assert sources[1].temperatures_K == [600, 900]
    assert sources[2].temperatures_K == [1200]
    assert sources[2].timestep_fs == sources[1].timestep_fs == 2.0


def test_off_is_a_word_where_words_are_allowed(tmp_path):
    loaded = load_campaign(write(tmp_path, GOOD + "coverage: {descriptor: {compression: off}}\n"))
    assert loaded.config.coverage.descriptor.compression == "off"


def test_structure_file_beside_the_campaign_file(tmp_path, monkeypatch):
    from ase.build import bulk

    bulk("Li").write(tmp_path / "lithium.vasp", format="vasp")
    monkeypatch.chdir("/")
    text = GOOD.replace("structures: [t-LLZO]", "structures: [lithium.vasp]")
    assert load_campaign(write(tmp_path, text)).config.exploration.structures == ["lithium.vasp"]
    bulk("Cu").write(tmp_path / "lithium.vasp", format="vasp")
    assert "lithium.vasp holds Cu, outside the type map" in message_of(tmp_path, text)


def test_campaign_directory_that_is_a_file(tmp_path):
    (tmp_path / "demo").write_text("")
    assert "which is a file; choose another name" in message_of(tmp_path, GOOD)


def all_sections() -> set[type[Section]]:
    found: set[type[Section]] = {CampaignConfig}
    waiting = [CampaignConfig]
    while waiting:
        for _, child in children(waiting.pop()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def test_every_key_is_described():
    assert len(all_sections()) >= 14
    for section in all_sections():
        assert section.__doc__, section
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


key_names = st.text(string.ascii_letters + "_", min_size=1, max_size=20).filter(
    lambda key: all(key not in section.model_fields for section in all_sections())
)
SECTION_LINES = {
    "": 1,
    "  steps": 13,
    "  engine": 11,
    "  structures": 16,
    "    pairs": 5,
    "    min_distances_A": 19,
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=key_names, where=st.sampled_from(sorted(SECTION_LINES)))
def test_an_unknown_key_is_always_named_with_its_line(tmp_path, key, where):
    lines = GOOD.splitlines()
    line = SECTION_LINES[where]
    indent = where[: len(where) - len(where.lstrip())]
    lines.insert(line - 1, f'{indent}"{key}": 1')
    told = message_of(tmp_path, "\n".join(lines))
    assert re.search(rf"campaign\.yaml:{line}: (\S*\.)?{key}: unknown key; ", told), told


values = st.one_of(
    st.integers(-3, 3),
    st.floats(-2, 2, allow_nan=False).map(lambda number: round(number, 2)),
    st.booleans(),
    st.none(),
    st.sampled_from(["auto", "nvt", "t-LLZO", "yes", "600 K", "2"]),
    st.lists(st.integers(-1, 3), max_size=4),
    st.lists(st.sampled_from(["Li", "t-LLZO", "Li-O"]), max_size=2),
    st.dictionaries(st.sampled_from(["steps", "Li-O"]), st.integers(-1, 2), max_size=2),
)
SECTIONS = [
    "training",
    "exploration",
    "stopping",
    "selection",
    "dataset",
    "coverage",
    "resources",
    "labelling",
]


@st.composite
def edits(draw):
    section = draw(st.sampled_from(SECTIONS))
    data = {
        "name": "demo",
        "initial_data": [{"kind": "dimers"}],
        "labelling": {"engine": "classical_reference"},
        "exploration": {"structures": ["t-LLZO"], "temperatures_K": [600]},
    }
    models = dict(children(CampaignConfig))
    keys = draw(st.lists(st.sampled_from(sorted(models[section].model_fields)), min_size=1, max_size=4))
    data[section] = data.get(section, {}) | {key: draw(values) for key in keys}
    return data


@settings(max_examples=200, deadline=None)
@given(data=edits())
def test_the_line_by_line_check_agrees_with_the_models(data):
    import json

    text = json.dumps(data)
    document, problems = parse_document(text)
    assert not problems
    assert document.plain == data
    _, problems = check_document(document, CampaignConfig)
    try:
        CampaignConfig.model_validate(data)
    except ValidationError:
        assert problems, data
    else:
        assert not problems, [str(problem) for problem in problems]
