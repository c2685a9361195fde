"""Pairs of elements as campaign files write them: ``Li-O``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import TypeVar

from llzo_al.config.base import Finding, KeyPath

Pair = tuple[str, str]
_T = TypeVar("_T")


def pair_elements(pair: str) -> Pair | None:
    """The two elements of a pair such as ``Li-O``, or None if the text is no pair."""
    parts = pair.split("-")
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


def same_pair(text: str, pair: Pair) -> bool:
    """Whether `text` means `pair`, in whichever order."""
    return sorted(pair_elements(text) or ()) == sorted(pair)


def of_pair(values: Mapping[str, _T], pair: Pair) -> _T | None:
    """What a mapping by pairs says of `pair`, in whichever order, or None."""
    return next((value for key, value in values.items() if same_pair(key, pair)), None)


def pairs_of(elements: Sequence[str], named: Sequence[str] | None = None) -> list[Pair]:
    """All pairs of `elements`, like pairs included, or the `named` ones, each in the order of `elements`."""
    if named is None:
        return list(combinations_with_replacement(elements, 2))
    order = list(elements).index
    pairs = []
    for text in named:
        first, second = sorted(text.split("-"), key=order)
        pairs.append((first, second))
    return pairs


def check_pair(pair: str, elements: Sequence[str], path: KeyPath) -> Iterable[Finding]:
    """Whether `pair` is two of the campaign's elements; `path` is the key that is told."""
    symbols = pair_elements(pair)
    listed = ", ".join(elements)
    if symbols is None:
        yield (
            path,
            f"{pair!r} given; allowed: two elements joined by a hyphen, such as {elements[0]}-{elements[-1]}",
        )
        return
    for symbol in dict.fromkeys(symbols):
        if symbol not in elements:
            yield path, f"{pair!r} holds {symbol}, an element outside the type map; `elements` lists {listed}"


def check_pairs(pairs: Mapping[KeyPath, str], elements: Sequence[str]) -> Iterable[Finding]:
    """Whether each is two of the campaign's elements, and none comes twice; by the key that is told."""
    seen: dict[tuple[str, ...], str] = {}
    for path, pair in pairs.items():
        yield from check_pair(pair, elements, path)
        same = tuple(sorted(pair_elements(pair) or (pair,)))
        if same in seen:
            yield path, f"{pair!r} is the same pair as {seen[same]!r}; each pair is listed once"
        seen[same] = pair
