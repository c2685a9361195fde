"""A YAML document with the line of every key and value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from llzo_al.config.base import KeyPath, key_path

MAX_NODES = 100_000
"""More keys and values than this are no campaign file (aliases of aliases grow without end)."""

_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NULL = ("", "~", "null", "Null", "NULL")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OPENED = ("while parsing a flow", "while scanning a quoted")
_PLAIN_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map")


@dataclass(frozen=True)
class Problem:
    """Something wrong with the file.

    Attributes
    ----------
    line
        Line number, from 1.
    path
        The key's path, empty for the file as a whole.
    message
        What was given, what is allowed.
    """

    line: int
    path: KeyPath
    message: str

    def __str__(self) -> str:
        return f"{key_path(self.path)}: {self.message}" if self.path else self.message


@dataclass(frozen=True)
class ScalarValue:
    """A single value: text, number, truth value or None."""

    value: str | int | float | bool | None
    text: str
    line: int

    @property
    def plain(self) -> Any:
        """The value as Python's own types."""
        return self.value


@dataclass(frozen=True)
class ListValue:
    """A list."""

    items: tuple[ScalarValue | ListValue | SectionValue, ...]
    line: int

    @property
    def plain(self) -> Any:
        """The value as Python's own types."""
        return [item.plain for item in self.items]


@dataclass(frozen=True)
class SectionValue:
    """Keys with values; `key_lines` holds the line of each key."""

    entries: dict[str, ScalarValue | ListValue | SectionValue]
    key_lines: dict[str, int]
    line: int

    @property
    def plain(self) -> Any:
        """The value as Python's own types."""
        return {key: value.plain for key, value in self.entries.items()}


Value = ScalarValue | ListValue | SectionValue


class DocumentError(Exception):
    """The text is not a YAML mapping at all; holds the one problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse_document(text: str) -> tuple[SectionValue, list[Problem]]:
    """Read a YAML 1.2 text whose top level is a mapping.

    Returns
    -------
    SectionValue
        The document.
    list of Problem
        What is wrong with it apart from its meaning: duplicate keys, tags, keys that are no text, numbers
        that are not finite.

    Raises
    ------
    DocumentError
        If the text cannot be read as a YAML mapping.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        if node is None:
            raise DocumentError(
                Problem(1, (), "the file is empty; `llzo-al init DIR` writes one to start from")
            )
        reader = _Reader()
        document = reader.value(node, (), node.start_mark.line + 1)
    except MarkedYAMLError as error:
        raise DocumentError(_syntax(error, text)) from error
    except YAMLError as error:
        first_line = str(error).splitlines()[0]
        raise DocumentError(Problem(_line_of(error, text), (), f"not YAML: {first_line}")) from error
    except RecursionError as error:
        raise DocumentError(Problem(1, (), "lists or sections are nested too deeply")) from error
    if not isinstance(document, SectionValue):
        message = f"{given(document)} given; expected keys and values, one `key: value` on each line"
        raise DocumentError(Problem(document.line, (), message))
    return document, reader.problems


def given(value: Value) -> str:
    """What the user wrote, short enough for a message."""
    if isinstance(value, SectionValue):
        return "a section with keys" if value.entries else "an empty section"
    if isinstance(value, ListValue):
        return "a list" if value.items else "an empty list"
    if value.value is None:
        return "nothing"
    if isinstance(value.value, str):
        text = value.value if len(value.value) <= 60 else value.value[:57] + "..."
        return repr(text)
    return value.text


def line_at(document: SectionValue, path: KeyPath) -> int:
    """Line of the key or list entry at `path`, or of the innermost section around it that is there."""
    here: Value = document
    line = document.line
    for part in path:
        if isinstance(here, SectionValue) and isinstance(part, str) and part in here.entries:
            line = here.key_lines[part]
            here = here.entries[part]
        elif isinstance(here, ListValue) and isinstance(part, int) and part < len(here.items):
            here = here.items[part]
            line = here.line
        else:
            break
    return line


@dataclass
class _Reader:
    problems: list[Problem] = field(default_factory=list)
    _count: int = 0
    _open: list[int] = field(default_factory=list)

    def value(self, node: Node, path: KeyPath, key_line: int) -> Value:
        self._count += 1
        if id(node) in self._open or self._count > MAX_NODES:
            raise DocumentError(
                Problem(key_line, path, "an alias (*) that holds itself, or far too many of them")
            )
        tag = str(node.tag)
        if tag.removeprefix("tag:yaml.org,2002:") not in _PLAIN_TAGS:
            self.problems.append(Problem(key_line, path, f"the tag {tag} is not allowed; leave it out"))
        self._open.append(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            if isinstance(node, SequenceNode):
                return self._sequence(node, path)
            if isinstance(node, ScalarNode):
                return self._scalar(str(node.value), node, path, key_line)
            raise DocumentError(Problem(key_line, path, f"{node.tag} is no value, list or section"))
        finally:
            self._open.pop()

    def _sequence(self, node: SequenceNode, path: KeyPath) -> ListValue:
        items = tuple(
            self.value(item, (*path, index), item.start_mark.line + 1)
            for index, item in enumerate(node.value)
        )
        return ListValue(items, node.start_mark.line + 1)

    def _mapping(self, node: MappingNode, path: KeyPath) -> SectionValue:
        entries: dict[str, Value] = {}
        key_lines: dict[str, int] = {}
        inherited: list[SectionValue] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if isinstance(key_node, ScalarNode) and key_node.value == "<<" and key_node.style is None:
                inherited.extend(self._merged(value_node, path, line))
                continue
            key = self._key(key_node, path, line)
            if key is None:
                continue
            if key in entries:
                message = f"the key is given twice, first in line {key_lines[key]}; keep one of them"
                self.problems.append(Problem(line, (*path, key), message))
                continue
            entries[key] = self.value(value_node, (*path, key), line)
            key_lines[key] = line
        for source in inherited:
            for key, value in source.entries.items():
                if key not in entries:
                    entries[key], key_lines[key] = value, source.key_lines[key]
        return SectionValue(entries, key_lines, node.start_mark.line + 1)

    def _merged(self, node: Node, path: KeyPath, line: int) -> Iterator[SectionValue]:
        parts = node.value if isinstance(node, SequenceNode) else [node]
        for part in parts:
            value = self.value(part, path, line)
            if isinstance(value, SectionValue):
                yield value
            else:
                self.problems.append(Problem(line, path, "`<<` takes the alias (*) of a section only"))

    def _key(self, node: Node, path: KeyPath, line: int) -> str | None:
        if not isinstance(node, ScalarNode):
            self.problems.append(Problem(line, path, "a list or section is used as a key; keys are names"))
            return None
        if node.style is None and not isinstance(_resolve(node.value), str):
            message = f"the key {node.value or '(nothing)'} is no name; keys are names, in quotes if need be"
            self.problems.append(Problem(line, path, message))
            return None
        return str(node.value)

    def _scalar(self, text: str, node: ScalarNode, path: KeyPath, key_line: int) -> ScalarValue:
        value = _resolve(text) if node.style is None else text
        # The mark of an empty value stands at whatever follows it.
        line = key_line if value is None and not text else node.start_mark.line + 1
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.append(Problem(line, path, f"{text} given; expected a finite number"))
            value = 0.0
        return ScalarValue(value, text, line)


def _resolve(text: str) -> str | int | float | bool | None:
    """Value of an unquoted scalar by YAML 1.2's core schema, with underscores in numbers."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if _NOT_FINITE.fullmatch(text):
        return math.nan
    return text


def _syntax(error: MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    what = error.problem or error.context or "cannot be read"
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\\t" in what or here.startswith("\t") or "\t" in here[: len(here) - len(here.lstrip())]:
        return Problem(line, (), "a tab in the indentation; YAML is indented with spaces only")
    if error.context_mark is not None and (error.context or "").startswith(_OPENED):
        opened = (error.context or "").split(" ", 2)[2]
        return Problem(
            error.context_mark.line + 1, (), f"not YAML: {opened} opened here is not closed: {what}"
        )
    if "another document" in what:
        return Problem(line, (), "a second document starts here (`---`); a campaign file holds one")
    if "mapping values are not allowed" in what:
        what += " (is a text with a colon without quotes, or the line indented too deeply?)"
    context = f", {error.context}" if error.context and error.context not in what else ""
    return Problem(line, (), f"not YAML: {what}{context}")


def _line_of(error: YAMLError, text: str) -> int:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
