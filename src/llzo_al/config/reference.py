"""Reference of the campaign file, made from the models: a page for people and a JSON schema for editors.

``python -m llzo_al.config.reference`` writes both; with ``--check`` it only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from llzo_al.config.base import Section
from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.fields import Nested, Variants, allowed, nested, unit_of
from llzo_al.files import write_atomic

PAGE = "configuration.md"
SCHEMA = "campaign.schema.json"

_INTRODUCTION = """\
<!-- Written by `python -m llzo_al.config.reference`; change the models in src/llzo_al/config instead. -->

# The campaign file

A campaign is described by one YAML file. Keys that are not listed here are refused. Units are part of a key's
name (`timestep_fs`, `temperatures_K`), so values are bare numbers. An integer is taken where a number is
wanted; texts are not turned into numbers, nor `yes` and `no` into truth values (YAML 1.2: write `true` or
`false`). Relative paths start from the directory of the campaign file.

`llzo-al validate FILE` checks a file and prints what it would do; the JSON schema
[`campaign.schema.json`](campaign.schema.json) lets editors complete, explain and check keys.

A key without a default is required.
"""


def json_schema() -> dict[str, Any]:
    """JSON schema of the campaign file."""
    schema = CampaignConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_rewrapping(schema)}


def markdown() -> str:
    """The reference page."""
    parts = [_INTRODUCTION, *_section("Top level", CampaignConfig, 2)]
    for name, field in CampaignConfig.model_fields.items():
        inner = nested(field)
        if inner is not None:
            parts += _nested(name, field, inner)
    return "\n".join(parts)


def _nested(path: str, field: FieldInfo, inner: Nested) -> Iterator[str]:
    if isinstance(inner.content, Variants):
        variants = inner.content
        yield f"## `{path}`\n"
        many = "A list; each entry's" if inner.many else "Its"
        choices = ", ".join(f"`{tag}`" for tag in variants.models)
        yield f"{_one_line(field.description)} {many} `{variants.key}` is one of {choices}.\n"
        for tag, model in variants.models.items():
            yield from _section(f"`{path}` with `{variants.key}: {tag}`", model, 3)
            yield from _below(f"{path}[{tag}]", model)
        return
    yield from _section(f"`{path}`", inner.content, 2)
    yield from _below(path, inner.content)


def _below(path: str, model: type[Section]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = nested(field)
        if inner is not None:
            yield from _nested(f"{path}.{name}", field, inner)


def _section(title: str, model: type[Section], level: int) -> Iterator[str]:
    yield f"{'#' * level} {title}\n"
    yield cleandoc(model.__doc__ or "") + "\n"
    yield "| Key | Meaning | Unit | Allowed | Default |"
    yield "| --- | --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        yield _row(name, field)
    yield ""


def _row(name: str, field: FieldInfo) -> str:
    inner = nested(field)
    if inner is None:
        values = allowed(field.annotation, field.metadata)
        default = "" if field.is_required() else f"`{_yaml(field.get_default(call_default_factory=True))}`"
    else:
        values = "a list of sections, see below" if inner.many else "a section, see below"
        default = "" if field.is_required() else "its defaults"
    cells = [f"`{name}`", _one_line(field.description), unit_of(name) or "", values, default]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _yaml(value: Any) -> str:
    return "null" if value is None else json.dumps(value)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _without_rewrapping(schema: Any) -> Any:
    """The schema with descriptions on one line each."""
    if isinstance(schema, dict):
        return {
            key: _one_line(value)
            if key == "description" and isinstance(value, str)
            else _without_rewrapping(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_without_rewrapping(item) for item in schema]
    return schema


def documents() -> dict[str, str]:
    """Text of each generated file by its name in docs/reference."""
    return {PAGE: markdown(), SCHEMA: json.dumps(json_schema(), indent=2) + "\n"}


def outdated(directory: Path) -> list[Path]:
    """Generated files in `directory` that are missing or differ from what the models say."""
    return [
        directory / name
        for name, text in documents().items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them.

    Returns
    -------
    int
        0, or 1 if ``--check`` found a file that is out of date.
    """
    parser = argparse.ArgumentParser(prog="python -m llzo_al.config.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    parser.add_argument("--directory", type=Path, default=Path("docs/reference"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    stale = outdated(options.directory)
    if options.check:
        for path in stale:
            sys.stderr.write(f"{path}: out of date; run python -m llzo_al.config.reference\n")
        return 1 if stale else 0
    for path in stale:
        write_atomic(path, documents()[path.name])
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
