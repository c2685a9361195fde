"""What a changed campaign file means for the labels that are stored."""

from __future__ import annotations

from dataclasses import replace

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.input_files import changed_files, look
from llzo_al.campaign.labels import shared_labels
from llzo_al.config.changes import Change, Consequence, consequence_of, describe_changes
from llzo_al.config.load import LoadedCampaign
from llzo_al.dataset.identity import label_identities, physics_hash
from llzo_al.dataset.store import LabelStore


def changes_in_words(loaded: LoadedCampaign, before: Campaign) -> list[str]:
    """One line for each changed key and input file, then one that counts the labels; empty without a change.

    Parameters
    ----------
    loaded
        The campaign file as it is now.
    before
        The campaign as it was at its last run.
    """
    after = Campaign(directory=before.directory, config=loaded.config, base=loaded.base)
    changes = describe_changes(before.config.settings(), loaded.config.settings())
    files = _files_in_words(loaded, before)
    if not changes and not files:
        return []
    same = physics_hash(before.physics) == physics_hash(after.physics)
    lines = [*(str(_as_it_is(change, same)) for change in changes), *files]
    if before.directory.labels.exists():
        lines.append(_stay(before) if same else _paid_again(before, after))
    return lines


def changes_since_the_last_run(loaded: LoadedCampaign) -> list[str]:
    """`changes_in_words` for a campaign that was run before; empty for one that was not."""
    root = loaded.campaign_dir
    if not (root / "campaign.yaml").exists() or not (root / "campaign.json").exists():
        return []
    return changes_in_words(loaded, Campaign.open(root))


def _files_in_words(loaded: LoadedCampaign, before: Campaign) -> list[str]:
    """A line for each file that the campaign file still names and whose content has changed."""
    now = look(loaded.config, loaded.base, before.input_files)
    return [
        f"{each.key}: {each.name} holds something else than before: {consequence_of((each.section,)).value}"
        for each in changed_files(before.input_files, now)
    ]


def _as_it_is(change: Change, same_physics: bool) -> Change:
    """A change of `labelling` that leaves the physics alone makes no label invalid."""
    if same_physics and change.consequence is Consequence.NEW_LABELS:
        return replace(change, consequence=Consequence.FUTURE_LABELS)
    return change


def _stay(before: Campaign) -> str:
    count = len(before.store.identities(labelled=True, physics=before.physics))
    return f"labels: all {count} that are stored stay valid; none is paid for again"


def _paid_again(before: Campaign, after: Campaign) -> str:
    """Counts for another level of theory: what stays stored, what is known, what is paid for again."""
    records = list(before.store.records(physics=before.physics))
    initial = [record.frame for record in records if record.frame.provenance.iteration < 0]
    wanted = label_identities(initial, after.physics)
    known = set(before.store.identities(labelled=True, physics=after.physics)) | _shared(after)
    again = sum(identity not in known for identity in wanted)
    later = len(records) - len(initial)
    return (
        f"labels: the {len(records)} of the settings before stay stored and are not used; of the initial "
        f"data's, {len(wanted) - again} are stored with the new settings already and {again} are paid for "
        f"again; the {later} of the iterations are chosen and paid for anew"
    )


def _shared(after: Campaign) -> set[str]:
    given = shared_labels(after)
    store: LabelStore | None = None if given is None else given.store
    return set() if store is None else set(store.identities(labelled=True, physics=after.physics))
