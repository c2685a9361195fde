"""The consistency checks on a campaign's labels, and other methods' labels of the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.labels import shared_labels
from llzo_al.dataset.comparison import MethodComparison, compare_methods
from llzo_al.dataset.consistency import Consistency, check_labels
from llzo_al.dataset.identity import physics_hash
from llzo_al.dataset.records import Record
from llzo_al.dataset.store import LabelStore
from llzo_al.errors import UserError


@dataclass(frozen=True, kw_only=True)
class LabelChecks:
    """What the checks of a campaign's labels found.

    Attributes
    ----------
    consistency
        Of the labels that the campaign uses.
    comparisons
        Of each two methods that have frames in common.
    """

    consistency: Consistency
    comparisons: tuple[MethodComparison, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            **self.consistency.as_dict(),
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
        }


def check_campaign_labels(campaign: Campaign, against: Sequence[Path] = ()) -> LabelChecks:
    """Check the labels of a campaign.

    Parameters
    ----------
    campaign
        The campaign. Labels of other methods in its own store and in the one that it shares are compared with
        those that it uses.
    against
        Campaign directories, or label stores, whose labels are compared too.

    Raises
    ------
    UserError
        If one of `against` is neither.
    """
    others = {path: _store(path) for path in against}
    stores = [campaign.store, *others.values()]
    shared = shared_labels(campaign)
    if shared is not None:
        stores.append(shared.store)
    own = physics_hash(campaign.physics)
    methods = _methods(stores, own)
    comparisons = [
        compared
        for path, store in others.items()
        if (compared := _elsewhere(campaign, store, str(path), own)) is not None
    ]
    for one, other in combinations(methods, 2):
        names = (_name(methods[one][0], one), _name(methods[other][0], other))
        compared = compare_methods(_records(methods[one]), _records(methods[other]), names=names)
        if compared is not None:
            comparisons.append(compared)
    return LabelChecks(
        consistency=check_labels(campaign.store.records(physics=campaign.physics)),
        comparisons=tuple(comparisons),
    )


def _elsewhere(campaign: Campaign, store: LabelStore, place: str, own: str) -> MethodComparison | None:
    """The campaign's own method in another store: the same labels, unless two machines disagree."""
    name = _name(campaign.physics, own)
    here, there = (list(each.records(physics=campaign.physics)) for each in (campaign.store, store))
    return compare_methods(here, there, names=(name, f"{name} in {place}"))


_Method = tuple[dict[str, Any], list[LabelStore]]


def _methods(stores: Sequence[LabelStore], own: str) -> dict[str, _Method]:
    """Physics and the stores that hold labels of it, by its hash; the campaign's own comes first."""
    found: dict[str, _Method] = {}
    for store in stores:
        for key, physics in store.physics_in_use().items():
            found.setdefault(key, (physics, []))[1].append(store)
    return dict(sorted(found.items(), key=lambda item: (item[0] != own, item[0])))


def _records(method: _Method) -> list[Record]:
    physics, stores = method
    records = {record.identity: record for store in stores for record in store.records(physics=physics)}
    return list(records.values())


def _name(physics: dict[str, Any], key: str) -> str:
    """A method in a few words: its engine, what is most telling of it, and the beginning of its hash."""
    words = [str(physics[name]) for name in ("engine", "calculator", "xc", "functional") if name in physics]
    return f"{' '.join(words) or 'labels'} [{key[:8]}]"


def _store(path: Path) -> LabelStore:
    if path.is_file():
        return LabelStore(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such campaign directory or label store; name one that exists")
    directory = CampaignDirectory(path.resolve())
    directory.check()
    return LabelStore(directory.labels)
