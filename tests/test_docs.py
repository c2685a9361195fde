"""The documentation keeps its word: links lead somewhere, YAML is valid, commands and options exist."""

import importlib
import io
import re
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from llzo_al import cli
from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.document import parse_document
from llzo_al.config.validation import check_document

ROOT = Path(__file__).parents[1]
SITE = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*SITE, *(ROOT / name / "README.md" for name in ("", "examples", "workflows"))]
FILES = [*PAGES, *ROOT.glob("examples/*/*.yaml"), *ROOT.glob("configs/*"), *ROOT.glob("workflows/*.yaml")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
REPOSITORY_PATH = re.compile(r"`((?:configs|docs|examples|tests|workflows)/[\w./-]+)")
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^[ #$]*|`|&& )llzo-al ([^`#\n]+)", re.MULTILINE)
COMMANDS = get_command(cli.app)
BASE = {
    "name": "base",
    "elements": ["Li", "La", "Zr", "O", "Al"],
    "initial_data": [{"kind": "dimers"}],
    "labelling": {"engine": "gpaw"},
    "exploration": {"structures": ["t-LLZO"], "temperatures_K": [300]},
}


def relative(path):
    return str(path.relative_to(ROOT))


def anchors(page):
    """Anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target
    for path in REPOSITORY_PATH.findall(text):
        assert (ROOT / path.rstrip(".")).exists(), path


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in SITE}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_what_is_to_be_imported_is_there(page):
    text = page.read_text(encoding="utf-8")
    names = set(re.findall(r"(?:`|^::: )(llzo_al(?:\.\w+)+)", text, re.MULTILINE))
    names |= {
        ".".join(pair) for pair in re.findall(r"^from (llzo_al[\w.]*) import (\w+)$", text, re.MULTILINE)
    }
    assert {name for name in names if not importable(name)} == set()


def importable(name):
    try:
        return importlib.import_module(name) is not None
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)


def yaml_blocks():
    for page in PAGES:
        for number, block in enumerate(YAML_BLOCK.findall(page.read_text(encoding="utf-8"))):
            yield pytest.param(block, id=f"{relative(page)}-{number}")


@pytest.mark.parametrize("block", list(yaml_blocks()))
def test_yaml_is_part_of_a_campaign_file(block):
    data = YAML(typ="safe").load(block)
    sections = {"initial_data": data} if isinstance(data, list) else data
    merged = BASE | {
        key: {**BASE.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in sections.items()
    }
    document, problems = parse_document(dumped(merged))
    _, more = check_document(document, CampaignConfig)
    assert [str(problem) for problem in (*problems, *more)] == []


def dumped(data):
    text = io.StringIO()
    YAML(typ="safe").dump(data, text)
    return text.getvalue()


def commands():
    for file in FILES:
        for line in COMMAND.findall(file.read_text(encoding="utf-8")):
            given = re.split(r"\s{2,}", line.strip())[0]  # what follows is an explanation
            yield pytest.param(given, id=f"{relative(file)}: {given}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_and_options_exist(line):
    words = shlex.split(re.sub(r"[\[\]]|\.\.\.", "", line))
    command = COMMANDS
    while inner := getattr(command, "commands", {}):
        if words and words[0] in inner:
            command = inner[words.pop(0)]
        elif command.name == "labels":
            command = inner["list"]
        else:
            break
    assert command.name != "llzo-al" or words[:1] in ([], ["--help"], ["--version"]), line
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    if command.name != "lpad":  # passes on the options of FireWorks' own command
        assert {word for word in words if word.startswith("--")} <= known, line
