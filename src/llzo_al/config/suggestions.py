"""What the user may have meant: "did you mean …?" for keys and values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from llzo_al.config.base import Section
from llzo_al.config.document import ListValue, ScalarValue, Value
from llzo_al.config.fields import accepts, children, item_annotation, options, split_unit, unit_of

_NUMBER = re.compile(r"\s*([-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?)\s*(\S.*)?")
_TRUTH_WORDS = {
    "yes": True,
    "on": True,
    "y": True,
    "no": False,
    "off": False,
    "n": False,
    "true": True,
    "false": False,
}


def for_key(key: str, model: type[Section], root: type[Section]) -> str:
    """Hint for an unknown key: a key of similar name, whatever its unit, or the section it belongs to."""
    names = list(model.model_fields)
    close = similar_key(key, names)
    if close is not None:
        unit = unit_of(close)
        return f"did you mean {close}{f' ({unit})' if unit else ''}?"
    homes = list(dict.fromkeys(_homes(key, root, "")))
    if homes:
        return f"it belongs to {' or '.join(homes)}"
    return f"allowed: {', '.join(names)}"


def similar_key(key: str, names: Iterable[str]) -> str | None:
    """The name that `key` looks like, units apart, or None."""
    known = {name.lower(): name for name in names}
    stem = split_unit(key)[0].lower()
    stems: dict[str, str] = {}
    for name in names:
        stems.setdefault(split_unit(name)[0].lower(), name)
    if key.lower() in known:
        return known[key.lower()]
    if stem in stems:
        return stems[stem]
    close = get_close_matches(key.lower(), known, n=1, cutoff=0.75)
    if close:
        return known[close[0]]
    close = get_close_matches(stem, stems, n=1, cutoff=0.7)
    return stems[close[0]] if close else None


def for_value(value: Value, annotation: Any, key: str) -> str:
    """Hint for a value of the wrong kind, empty if there is none."""
    if accepts(annotation, list):
        return _for_list(value, annotation, key)
    if not isinstance(value, ScalarValue):
        return ""
    if isinstance(value.value, str):
        return _for_text(value.value, annotation, key)
    if isinstance(value.value, float) and accepts(annotation, int) and value.value.is_integer():
        return f"write {int(value.value)}"
    if value.value is not None and (accepts(annotation, str) or options(annotation)):
        return f'to give it as text, put it in quotes: "{value.text}"'
    return ""


def for_option(text: str, allowed: Iterable[str]) -> str:
    """Hint for one of several words."""
    by_lower = {option.lower(): option for option in allowed}
    close = get_close_matches(text.lower().replace("-", "_"), by_lower, n=1, cutoff=0.5)
    return f"did you mean {by_lower[close[0]]}?" if close else ""


def _for_list(value: Value, annotation: Any, key: str) -> str:
    if not isinstance(value, ScalarValue) or value.value is None:
        return ""
    item = item_annotation(annotation)
    if isinstance(value.value, str) and not accepts(item, str):
        return _for_text(value.value, item, key) or for_option(value.value, options(annotation))
    return f"write a list: [{value.text}]"


def _for_text(text: str, annotation: Any, key: str) -> str:
    if accepts(annotation, bool) and text.lower() in _TRUTH_WORDS:
        return f"write {str(_TRUTH_WORDS[text.lower()]).lower()} (yes, no, on and off are texts in YAML 1.2)"
    words = options(annotation)
    if words:
        return for_option(text, words)
    if accepts(annotation, float) or accepts(annotation, int):
        match = _NUMBER.fullmatch(text)
        if match and match[2]:
            unit = unit_of(key)
            what = f"the unit is part of the key's name ({unit})" if unit else "this key takes a bare number"
            return f"write the number alone: {what}"
        if match:
            return f"write {match[1]} without quotes"
    return ""


def _homes(key: str, model: type[Section], path: str) -> Iterable[str]:
    if path and key in model.model_fields:
        yield path
    for name, child in children(model):
        yield from _homes(key, child, f"{path}.{name}" if path else name)


def sequence_of_sections(value: Value) -> str:
    """Hint where a list of sections is wanted and something else is given."""
    if isinstance(value, ListValue):
        return ""
    return "start each entry with a hyphen: `- kind: ...`"
