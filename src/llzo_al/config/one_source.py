"""One source of initial data put together outside a campaign file: from `key=value` and a campaign's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from llzo_al.config import suggestions
from llzo_al.config.base import Section
from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.document import DocumentError, parse_document
from llzo_al.config.fields import Variants, nested
from llzo_al.config.initial_data import Source
from llzo_al.config.load import LoadedCampaign
from llzo_al.config.validation import check_document
from llzo_al.errors import UserError


def source_kinds() -> dict[str, type[Section]]:
    """Section of every kind of source."""
    inner = nested(CampaignConfig.model_fields["initial_data"])
    if inner is None or not isinstance(inner.content, Variants):
        raise TypeError("initial_data is no list of variants")
    return inner.content.models


def check_kind(kind: str) -> None:
    """Refuse what is no kind of source.

    Raises
    ------
    UserError
        With the kinds that there are.
    """
    kinds = source_kinds()
    if kind not in kinds:
        hint = suggestions.for_option(kind, kinds)
        message = f"{kind!r} is no kind of source; allowed: {', '.join(kinds)}"
        raise UserError("; ".join(part for part in (message, hint) if part))


def build_source(kind: str, assignments: Sequence[str], base: Mapping[str, Any] | None = None) -> Source:
    """A source of `kind` whose keys are given as texts.

    Parameters
    ----------
    kind
        Kind of source.
    assignments
        Texts ``key=value``, the value written as in a campaign file.
    base
        Keys that hold where no assignment replaces them.

    Raises
    ------
    UserError
        If the kind, a key or a value is wrong: one message with every problem, each with its key.
    """
    check_kind(kind)
    given: dict[str, str] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {text!r}: expected key=value, such as points=20")
        if key.strip() in given:
            raise UserError(f"--set {text!r}: {key.strip()} is given twice; keep one of them")
        given[key.strip()] = value.strip()
    kept = {key: value for key, value in (base or {}).items() if key not in given and key != "kind"}
    lines = [f"kind: {kind}"]
    lines += [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in kept.items()]
    lines += [f"{json.dumps(key)}: {value}" for key, value in given.items()]
    try:
        document, problems = parse_document("\n".join(lines) + "\n")
    except DocumentError as error:
        raise UserError(f"{kind}: {_line(lines, error.problem.line)}: {error.problem}") from error
    problems += check_document(document, source_kinds()[kind])[1]
    if problems:
        raise UserError("\n".join(f"{kind}: {problem}" for problem in dict.fromkeys(map(str, problems))))
    adapter: TypeAdapter[Source] = TypeAdapter(Source)
    try:
        return adapter.validate_python(document.plain)
    except ValidationError as error:
        raise UserError(f"{kind}: {error}") from error


def _line(lines: Sequence[str], number: int) -> str:
    return lines[min(max(number, 1), len(lines)) - 1]


def find_source(loaded: LoadedCampaign, kind: str, number: int | None) -> Source:
    """The source of a campaign file that is meant: entry `number` of `initial_data`, or the first of `kind`.

    Raises
    ------
    UserError
        If there is no such source.
    """
    sources = loaded.config.initial_data
    listed = ", ".join(f"{place} ({source.kind})" for place, source in enumerate(sources))
    if number is None:
        found = [source for source in sources if source.kind == kind]
        if not found:
            raise UserError(f"{loaded.path}: initial_data has no source of kind {kind}; there are {listed}")
        return found[0]
    if not 0 <= number < len(sources):
        raise UserError(f"{loaded.path}: initial_data has no entry {number}; there are {listed}")
    if sources[number].kind != kind:
        raise UserError(
            f"{loaded.path}: initial_data[{number}] is of kind {sources[number].kind}, not {kind}; there are "
            f"{listed}"
        )
    return sources[number]
