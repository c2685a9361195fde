"""What every part of the campaign file shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

KeyPath = tuple[str | int, ...]
"""Path of a key in the campaign file: ``("initial_data", 1, "temperatures_K", 0)``."""

Finding = tuple[KeyPath, str]
"""A key, relative to the section that found it, and what is wrong with it."""

_MISSING = object()


@dataclass(frozen=True)
class Rule:
    """A condition between several keys of a section.

    Attributes
    ----------
    needs
        Dotted paths of the keys that it looks at; where one of them is absent or wrong itself, the rule is
        not applied.
    find
        Called with the values of these keys; yields what is wrong.
    """

    needs: tuple[str, ...]
    find: Callable[..., Iterable[Finding]]

    def findings(self, values: Mapping[str, Any]) -> list[Finding]:
        """What is wrong with `values`, which may lack keys."""
        arguments = [_lookup(values, path) for path in self.needs]
        if any(argument is _MISSING for argument in arguments):
            return []
        return list(self.find(*arguments))


class Section(BaseModel):
    """A part of the campaign file.

    Unknown keys are refused, values are not coerced (an integer is taken for a number), objects are frozen.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    def settings(self) -> dict[str, Any]:
        """JSON-serialisable values, for hashes and manifests."""
        return self.model_dump(mode="json")

    @classmethod
    def findings(cls, values: Mapping[str, Any]) -> list[Finding]:
        """Contradictions between the keys of this section, of which some may be missing from `values`."""
        return [finding for rule in cls.rules for finding in rule.findings(values)]

    @model_validator(mode="after")
    def _follows_rules(self) -> Self:
        findings = self.findings(self.model_dump()) if self.rules else []
        if findings:
            raise ValueError("; ".join(f"{key_path(path)}: {message}" for path, message in findings))
        return self


def key_path(path: KeyPath) -> str:
    """Write a path as people do: ``initial_data[1].temperatures_K[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def smaller(low: str, high: str) -> Rule:
    """Rule that `low` is smaller than `high`."""

    def find(low_value: float, high_value: float) -> Iterable[Finding]:
        if low_value >= high_value:
            yield (low,), f"is {number(low_value)}; must be smaller than {high} ({number(high_value)})"

    return Rule((low, high), find)


def at_most(low: str, high: str) -> Rule:
    """Rule that `low`, where given, is not larger than `high`."""

    def find(low_value: float | None, high_value: float) -> Iterable[Finding]:
        if low_value is not None and low_value > high_value:
            yield (low,), f"is {number(low_value)}; must not be larger than {high} ({number(high_value)})"

    return Rule((low, high), find)


def whole_multiple(interval: str, step: str) -> Rule:
    """Rule that `interval`, where given, is a whole number of `step`."""

    def find(interval_value: float | None, step_value: float) -> Iterable[Finding]:
        if interval_value is None:
            return
        count = interval_value / step_value
        if count < 0.5 or abs(count - round(count)) > 1e-6 * count:
            yield (
                (interval,),
                f"is {interval_value:g}; must be a whole multiple of {step} ({step_value:g}), "
                f"such as {max(round(count), 1) * step_value:g}",
            )

    return Rule((interval, step), find)


def fits_in(interval_fs: str, duration_ps: str) -> Rule:
    """Rule that an interval in femtoseconds, where given, is not longer than a duration in picoseconds."""

    def find(interval: float | None, duration: float) -> Iterable[Finding]:
        if interval is not None and interval > 1000 * duration * (1 + 1e-9):
            yield (
                (interval_fs,),
                f"is {interval:g}; longer than the run itself ({duration_ps} is {duration:g}, that is "
                f"{1000 * duration:g} fs)",
            )

    return Rule((interval_fs, duration_ps), find)


def all_different(key: str) -> Rule:
    """Rule that no entry of a list, where given, comes twice."""

    def find(entries: list[Any] | None) -> Iterable[Finding]:
        for index, entry in enumerate(entries or ()):
            if entry in (entries or [])[:index]:
                yield (key, index), f"{entry} is listed twice; each entry is listed once"

    return Rule((key,), find)


def number(value: float) -> str:
    """Write a number without a needless fraction: 2 for 2.0, 2147483648 as it is."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def _lookup(values: Mapping[str, Any], path: str) -> Any:
    here: Any = values
    for name in path.split("."):
        if not isinstance(here, Mapping) or name not in here:
            return _MISSING
        here = here[name]
    return here


Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Repeats = Annotated[list[Count], Field(min_length=3, max_length=3)]
TemperatureK = Annotated[float, Field(gt=0, le=20000)]
Temperatures = Annotated[list[TemperatureK], Field(min_length=1)]
TimestepFs = Annotated[float, Field(ge=0.01, le=10)]
CutoffA = Annotated[float, Field(gt=0, le=20)]
