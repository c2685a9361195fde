"""What the models say of each key: unit, type and allowed values in words, nested sections."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic.fields import FieldInfo

from llzo_al.config.base import Section, number

UNITS = {
    "meV_per_atom": "meV/atom",
    "meV_per_A": "meV/angstrom",
    "eV_per_A": "eV/angstrom",
    "per_A": "1/angstrom",
    "percent": "percent",
    "bar": "bar",
    "fs": "femtoseconds",
    "ps": "picoseconds",
    "A": "angstrom",
    "K": "kelvin",
    "s": "seconds",
}
"""Units that end a key's name, the longer ones first."""

FOREIGN_UNITS = (
    "ns",
    "us",
    "ms",
    "min",
    "h",
    "nm",
    "pm",
    "Ang",
    "angstrom",
    "eV",
    "meV",
    "GPa",
    "atm",
    "Pa",
    "C",
)
"""Units that no key uses, but that a user may try."""


@dataclass(frozen=True, kw_only=True)
class Variants:
    """Sections among which one key chooses.

    Attributes
    ----------
    key
        The key that chooses (`kind`, `engine`).
    models
        Section of each of its values.
    """

    key: str
    models: dict[str, type[Section]]


@dataclass(frozen=True, kw_only=True)
class Nested:
    """A key that holds a section, or a list of them.

    Attributes
    ----------
    content
        The section, or the variants to choose from.
    many
        Whether it is a list of sections.
    """

    content: type[Section] | Variants
    many: bool


def split_unit(key: str) -> tuple[str, str | None]:
    """Name without its unit, and the unit's suffix: ``timestep_fs`` is ``("timestep", "fs")``."""
    for suffix in (*UNITS, *FOREIGN_UNITS):
        if key.lower().endswith("_" + suffix.lower()):
            return key[: -len(suffix) - 1], suffix
    return key, None


def unit_of(key: str) -> str | None:
    """Unit of a key in words, or None for a bare number or text."""
    suffix = split_unit(key)[1]
    return UNITS.get(suffix) if suffix else None


def nested(field: FieldInfo) -> Nested | None:
    """The section that a field holds, None for a plain value."""
    annotation: Any = field.annotation
    discriminator = field.discriminator
    many = get_origin(annotation) is list
    if many:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        discriminator = next((item.discriminator for item in metadata if isinstance(item, FieldInfo)), None)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Nested(content=annotation, many=many)
    if isinstance(discriminator, str):
        key = discriminator
        models = {tag: model for model in get_args(annotation) for tag in tags(model, key)}
        return Nested(content=Variants(key=key, models=models), many=many)
    return None


def tags(model: type[Section], key: str) -> tuple[str, ...]:
    """Values of the key `key` that choose `model` among its siblings."""
    return get_args(model.model_fields[key].annotation)


def children(model: type[Section]) -> Iterable[tuple[str, type[Section]]]:
    """All keys of `model` that hold sections, each variant of them apart."""
    for name, field in model.model_fields.items():
        inner = nested(field)
        if inner is None:
            continue
        models = inner.content.models.values() if isinstance(inner.content, Variants) else [inner.content]
        for child in models:
            yield name, child


def minimum_length(field: FieldInfo) -> int:
    """Least number of entries of a list."""
    return next((item.min_length for item in field.metadata if isinstance(item, at.MinLen)), 0)


def allowed(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Allowed values in words: "a list of at least 1 number, each above 0"."""
    kind, limits = _words(annotation, tuple(metadata))
    return f"{kind} {limits}".strip()


def options(annotation: Any) -> tuple[str, ...]:
    """Texts that a key allows by name, empty if it allows none."""
    annotation, _ = _unwrap(annotation, ())
    if get_origin(annotation) is Literal:
        return tuple(value for value in get_args(annotation) if isinstance(value, str))
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(text for part in get_args(annotation) for text in options(part))
    return ()


def accepts(annotation: Any, kind: type) -> bool:
    """Whether a value of the plain type `kind` is among those that `annotation` allows."""
    annotation, _ = _unwrap(annotation, ())
    if get_origin(annotation) in (Union, types.UnionType):
        return any(accepts(part, kind) for part in get_args(annotation))
    return annotation is kind or get_origin(annotation) is kind


def item_annotation(annotation: Any) -> Any:
    """Annotation of the entries of a list or of the values of a mapping; the annotation itself otherwise."""
    annotation, _ = _unwrap(annotation, ())
    if get_origin(annotation) in (Union, types.UnionType):
        lists = [part for part in get_args(annotation) if item_annotation(part) is not _unwrap(part, ())[0]]
        return item_annotation(lists[0]) if lists else annotation
    if get_origin(annotation) in (list, dict):
        return get_args(annotation)[-1]
    return annotation


def _unwrap(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = (*more, *metadata)
    flat: list[Any] = []
    for item in metadata:
        flat.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    return annotation, tuple(flat)


_SINGULAR: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_PLURAL: dict[Any, str] = {bool: "truth values", int: "whole numbers", float: "numbers", str: "texts"}


def _words(annotation: Any, metadata: tuple[Any, ...]) -> tuple[str, str]:
    annotation, metadata = _unwrap(annotation, metadata)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not types.NoneType]
        return " or ".join(allowed(part) for part in parts), ""
    if origin is Literal:
        values = get_args(annotation)
        return ("one of " if len(values) > 1 else "") + ", ".join(str(value) for value in values), ""
    if origin is list:
        return _list_words(get_args(annotation)[0], metadata), ""
    if origin is dict:
        inner = get_args(annotation)[1]
        return "keys with values" + ("" if inner is Any else f", each {allowed(inner)}"), ""
    return _SINGULAR.get(annotation, "any value"), _limits(metadata)


def _list_words(item: Any, metadata: tuple[Any, ...]) -> str:
    low = next((entry.min_length for entry in metadata if isinstance(entry, at.MinLen)), 0)
    high = next((entry.max_length for entry in metadata if isinstance(entry, at.MaxLen)), None)
    inner, inner_metadata = _unwrap(item, ())
    plural = _PLURAL.get(inner, "entries")
    count = f"exactly {low} " if low and low == high else f"at least {low} " if low > 1 else ""
    limits = _limits(inner_metadata)
    return f"a list of {count}{plural}" + (f", each {limits}" if limits else "")


def _limits(metadata: tuple[Any, ...]) -> str:
    words: list[str] = []
    for item in metadata:
        if isinstance(item, at.Gt):
            words.append(f"above {_limit(item.gt)}")
        elif isinstance(item, at.Ge):
            words.append(f"at least {_limit(item.ge)}")
        elif isinstance(item, at.Lt):
            words.append(f"below {_limit(item.lt)}")
        elif isinstance(item, at.Le):
            words.append(f"at most {_limit(item.le)}")
        elif isinstance(item, at.MinLen) and item.min_length == 1:
            words.append("that is not empty")
        elif pattern := getattr(item, "pattern", None):
            words.append(f"that matches `{pattern}`")
    return " and ".join(words)


def _limit(value: Any) -> str:
    return number(value)
