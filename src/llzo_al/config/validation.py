"""Every problem of a campaign file at once, each with its line."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from llzo_al.config import suggestions
from llzo_al.config.base import KeyPath, Section
from llzo_al.config.document import ListValue, Problem, ScalarValue, SectionValue, Value, given, line_at
from llzo_al.config.fields import Nested, Variants, allowed, item_annotation, minimum_length, nested, options


def check_document(document: SectionValue, model: type[Section]) -> tuple[dict[str, Any], list[Problem]]:
    """Compare a document with the model of its top level.

    Returns
    -------
    dict
        Values that are right, with defaults, nested as the document is; wrong ones are absent. What depends
        on several keys can be checked on these.
    list of Problem
        All problems, in the order they were found.
    """
    checker = _Checker(model)
    values = checker.section(document, model, (), document.line)
    for path, message in checker.contradictions:
        checker.problems.append(Problem(line_at(document, path), path, message))
    return values, checker.problems


@cache
def _adapter(model: type[Section], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


class _Checker:
    def __init__(self, root: type[Section]) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.contradictions: list[tuple[KeyPath, str]] = []

    def report(self, line: int, path: KeyPath, message: str, *hints: str) -> None:
        self.problems.append(Problem(line, path, "; ".join([message, *(hint for hint in hints if hint)])))

    def section(self, value: SectionValue, model: type[Section], path: KeyPath, line: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key in value.entries:
            if key not in model.model_fields:
                hint = suggestions.for_key(key, model, self.root)
                self.report(value.key_lines[key], (*path, key), "unknown key", hint)
        for name, field in model.model_fields.items():
            if name in value.entries:
                self._field(value.entries[name], value.key_lines[name], model, name, path, values)
            elif field.is_required():
                self._missing(model, name, path, line)
            else:
                default = field.get_default(call_default_factory=True)
                values[name] = default.model_dump() if isinstance(default, Section) else default
        self.contradictions += [((*path, *where), message) for where, message in model.findings(values)]
        return values

    def _missing(self, model: type[Section], name: str, path: KeyPath, line: int) -> None:
        field = model.model_fields[name]
        inner = nested(field)
        if inner is None:
            wanted = allowed(field.annotation, field.metadata)
        elif inner.many:
            wanted = "a list of sections, each started by `- `"
        else:
            wanted = "a section with keys"
        self.report(line, (*path, name), f"this required key is missing; expected {wanted}")

    def _field(
        self,
        value: Value,
        key_line: int,
        model: type[Section],
        name: str,
        path: KeyPath,
        values: dict[str, Any],
    ) -> None:
        field = model.model_fields[name]
        inner = nested(field)
        here = (*path, name)
        if inner is None:
            self._leaf(value, model, name, here, values)
        elif inner.many:
            self._sections(value, field, inner, here, values)
        else:
            checked = self._one_section(value, inner, here, key_line)
            if checked is not None:
                values[name] = checked

    def _sections(
        self, value: Value, field: FieldInfo, inner: Nested, path: KeyPath, values: dict[str, Any]
    ) -> None:
        if not isinstance(value, ListValue):
            self.report(
                value.line,
                path,
                f"{given(value)} given; expected a list of sections",
                suggestions.sequence_of_sections(value),
            )
            return
        if len(value.items) < minimum_length(field):
            self.report(value.line, path, "an empty list given; expected at least one entry")
        values[str(path[-1])] = [
            self._one_section(item, inner, (*path, index), item.line) or {}
            for index, item in enumerate(value.items)
        ]

    def _one_section(self, value: Value, inner: Nested, path: KeyPath, line: int) -> dict[str, Any] | None:
        if not isinstance(value, SectionValue):
            hint = ""
            if isinstance(value, ScalarValue) and value.value is None:
                hint = "write its keys below it, indented, or leave the line out"
            self.report(value.line, path, f"{given(value)} given; expected a section with keys", hint)
            return None
        model = inner.content
        if isinstance(model, Variants):
            chosen = self._variant(value, model, path, line)
            if chosen is None:
                return None
            model = chosen
        return self.section(value, model, path, line)

    def _variant(
        self, value: SectionValue, variants: Variants, path: KeyPath, line: int
    ) -> type[Section] | None:
        words = f"allowed: {', '.join(variants.models)}"
        choice = value.entries.get(variants.key)
        here = (*path, variants.key)
        if choice is None:
            near = suggestions.similar_key(variants.key, list(value.entries))
            hint = f"did you mean it by `{near}`?" if near else ""
            self.report(line, here, f"this required key is missing; {words}", hint)
            return None
        tag = choice.value if isinstance(choice, ScalarValue) else None
        if isinstance(tag, str) and tag in variants.models:
            return variants.models[tag]
        hint = suggestions.for_option(tag, variants.models) if isinstance(tag, str) else ""
        self.report(choice.line, here, f"{given(choice)} given; {words}", hint)
        return None

    def _leaf(
        self, value: Value, model: type[Section], name: str, path: KeyPath, values: dict[str, Any]
    ) -> None:
        field = model.model_fields[name]
        try:
            values[name] = _adapter(model, name).validate_python(value.plain)
        except ValidationError as error:
            seen: set[KeyPath] = set()
            for entry in error.errors(include_url=False, include_context=False, include_input=False):
                wrong, rest = _locate(value, entry["loc"])
                if rest in seen:
                    continue
                seen.add(rest)
                whole = not rest
                annotation = field.annotation if whole else item_annotation(field.annotation)
                expected = allowed(annotation, field.metadata if whole else ())
                if isinstance(wrong, ListValue) and not wrong.items:
                    expected += " with at least one entry"
                hint = suggestions.for_value(wrong, annotation, name)
                wanted = "allowed" if whole and options(annotation) else "expected"
                what = _what(wrong)
                self.report(wrong.line, (*path, *rest), f"{what} given; {wanted}: {expected}", hint)


def _what(value: Value) -> str:
    if isinstance(value, ListValue) and value.items:
        count = len(value.items)
        return f"a list of {count} {'entry' if count == 1 else 'entries'}"
    return given(value)


def _locate(value: Value, location: tuple[int | str, ...]) -> tuple[Value, KeyPath]:
    """The part of `value` that pydantic's location means, and its path without names of union members."""
    path: list[int | str] = []
    for part in location:
        if isinstance(value, ListValue) and isinstance(part, int) and part < len(value.items):
            value = value.items[part]
        elif isinstance(value, SectionValue) and isinstance(part, str) and part in value.entries:
            value = value.entries[part]
        else:
            continue
        path.append(part)
    return value, tuple(path)
