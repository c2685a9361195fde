"""What a changed campaign file means for a campaign that has begun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from llzo_al.config.base import KeyPath, key_path
from llzo_al.config.initial_data import MaterialsProject
from llzo_al.config.labelling.vasp import VASP_WORKING_KEYS
from llzo_al.config.labelling.vasp_tags import NEUTRAL

_ABSENT = object()


class Consequence(Enum):
    """What is done again after a change; the value says it to the user."""

    NOTHING = "nothing is redone"
    NEW_LABELS = (
        "another level of theory: every frame needs a new label and all iterations are run anew; the old "
        "labels stay stored and are not mixed in"
    )
    NEW_TYPE_MAP = (
        "another type map: all iterations are run anew; stored labels are used again for the frames that "
        "they belong to"
    )
    INITIAL_DATA = (
        "initial frames are made anew and those without a label are labelled; frames that have one stay in "
        "the data sets; closed iterations stay as they are, trainings of the open and later iterations and "
        "the final training see the new data"
    )
    DATASET = (
        "data sets of the open and later iterations and of the final training are written and trained on "
        "anew; labels and closed iterations stay"
    )
    TRAINING = (
        "trainings of the open and later iterations and the final training are run anew, with what follows "
        "from them; labels and closed iterations stay"
    )
    COMMITTEE = (
        "the open and later iterations and the final training train models that are missing, or go without "
        "some, and MD runs of the open iteration are run anew; trained models, labels and closed iterations "
        "stay"
    )
    FINAL = "the final training is run anew; labels and iterations stay"
    EXPLORATION = (
        "MD runs of the open iteration are run anew, with what follows from them; later iterations use it; "
        "labels and closed iterations stay"
    )
    ASSESSMENT = (
        "assessment and selection of the open iteration are done anew; later iterations use it; labels and "
        "closed iterations stay"
    )
    DECISION = "only the decision whether to stop is taken again, on the iterations that are closed"
    SUCCESS = "only the check that enough labels succeeded is made anew; nothing is redone"
    FUTURE_LABELS = "labels made from now on; those already stored stay as they are"


# The longest matching path counts.
_CONSEQUENCES: dict[str, Consequence] = {
    "name": Consequence.NOTHING,
    "directory": Consequence.NOTHING,
    "elements": Consequence.NEW_TYPE_MAP,
    "seed": Consequence.INITIAL_DATA,
    "initial_data": Consequence.INITIAL_DATA,
    **{f"initial_data.{key}": Consequence.NOTHING for key in MaterialsProject.places},
    "labelling": Consequence.NEW_LABELS,
    "labelling.run_parameters": Consequence.NOTHING,
    "labelling.threads": Consequence.NOTHING,
    "labelling.frames_per_job": Consequence.NOTHING,
    "labelling.timeout_s": Consequence.FUTURE_LABELS,
    "labelling.memory_limit_GB": Consequence.FUTURE_LABELS,
    "labelling.retry_parameters": Consequence.FUTURE_LABELS,
    "labelling.device": Consequence.FUTURE_LABELS,
    "labelling.virials": Consequence.FUTURE_LABELS,
    **{f"labelling.{key}": Consequence.NOTHING for key in VASP_WORKING_KEYS},
    **{f"labelling.incar.{tag}": Consequence.NOTHING for tag in NEUTRAL},
    "dataset.held_out_share": Consequence.INITIAL_DATA,
    "dataset.label_store": Consequence.FUTURE_LABELS,
    "failures": Consequence.FUTURE_LABELS,
    "failures.min_success_share": Consequence.SUCCESS,
    "failures.quarantine_limit_MB": Consequence.NOTHING,
    "dataset.force_cap_eV_per_A": Consequence.DATASET,
    "training": Consequence.TRAINING,
    "training.checkpoint_steps": Consequence.NOTHING,
    "training.final_steps": Consequence.FINAL,
    "training.committee_size": Consequence.COMMITTEE,
    "exploration": Consequence.EXPLORATION,
    "coverage": Consequence.ASSESSMENT,
    "selection": Consequence.ASSESSMENT,
    "stopping": Consequence.DECISION,
    "resources": Consequence.NOTHING,
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One key that differs between two campaign files.

    Attributes
    ----------
    path
        The key.
    old, new
        Its values, None where it was absent.
    consequence
        What is done again.
    """

    path: KeyPath
    old: Any
    new: Any
    consequence: Consequence

    @property
    def key(self) -> str:
        """The key as people write it: ``training.steps``."""
        return key_path(self.path)

    def __str__(self) -> str:
        return f"{self.key}: {_short(self.old)} -> {_short(self.new)}: {self.consequence.value}"


def describe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Compare the settings of two campaign files (`CampaignConfig.settings()`).

    Returns
    -------
    list of Change
        One for each key that differs, in the order of the new file; empty if the campaigns are the same.
    """
    return [
        Change(path=path, old=before, new=after, consequence=consequence_of(path))
        for path, before, after in _differences(old, new, ())
    ]


def consequence_of(path: KeyPath) -> Consequence:
    """What changing the key at `path` leads to."""
    names = [str(part) for part in path if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        known = _CONSEQUENCES.get(".".join(names[:length]))
        if known is not None:
            return known
    return Consequence.NEW_LABELS


def _differences(old: Any, new: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for choice in ("engine", "kind"):
            if old.get(choice) != new.get(choice):
                yield (*path, choice), old.get(choice), new.get(choice)
                return
        for key in dict.fromkeys([*new, *old]):
            before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
            if before is _ABSENT and isinstance(after, Mapping) and after:
                before = {}
            if after is _ABSENT and isinstance(before, Mapping) and before:
                after = {}
            yield from _differences(before, after, (*path, key))
    elif _sections(old) and _sections(new):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else _ABSENT
            after = new[index] if index < len(new) else _ABSENT
            yield from _differences(before, after, (*path, index))
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield path, None if old is _ABSENT else old, None if new is _ABSENT else new


def _sections(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _short(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return str(value.get("kind", value.get("engine", "a section")))
    text = ", ".join(map(_short, value)) if isinstance(value, list) else str(value)
    text = f"[{text}]" if isinstance(value, list) else text
    return text if len(text) <= 80 else text[:77] + "..."
