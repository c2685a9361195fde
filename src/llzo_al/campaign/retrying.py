"""Failed labels are put back among those that wait, where something would still use them."""

from __future__ import annotations

from collections.abc import Collection

from llzo_al.campaign import closing, final
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.dataset_stage import exported_dataset
from llzo_al.dataset.records import Record


def put_back(
    campaign: Campaign,
    *,
    causes: Collection[str] | None = None,
    identities: Collection[str] | None = None,
) -> tuple[int, int]:
    """Put the failed labels of the initial data and of open iterations back among those that wait.

    Those of the initial data serve the next data set that is written; a closed iteration takes no more.

    Parameters
    ----------
    campaign
        The campaign.
    causes, identities
        Only those that failed of these causes, only these frames; all by default.

    Returns
    -------
    tuple of int
        How many were put back, and how many were left because their iteration is closed.
    """
    wanted = [
        record
        for record in campaign.store.records(labelled=False, physics=campaign.physics)
        if record.failure is not None
        and (causes is None or record.failure.cause in causes)
        and (identities is None or record.identity in identities)
    ]
    first_open = closing.first_open_iteration(campaign)
    again = [record.identity for record in wanted if not _of_closed(record, first_open)]
    return campaign.store.retry(again), len(wanted) - len(again)


def fixed_in_words(campaign: Campaign) -> str:
    """Why no label is tried again once the loop has stopped and its data set is written; "" before."""
    number = closing.first_open_iteration(campaign)
    made = closing.decision(campaign, number - 1) if number > 0 else None
    if made is None or not made.stop:
        return ""
    if exported_dataset(campaign, campaign.directory.final / "dataset", before_iteration=number) is None:
        return ""
    done = final.finished_final(campaign) is not None
    state = "the campaign is finished" if done else "the loop has stopped"
    key = "stopping.min_iterations" if made.converged else "stopping.max_iterations"
    return (
        f"no failed label is tried again: {state} and its data set is fixed, so nothing would use the label. "
        f"With {key} above {number} in the campaign file the loop goes on, and `llzo-al run FILE "
        "--retry-failed` tries the initial data's failed labels again; those of closed iterations are left "
        "alone"
    )


def can_be_retried(campaign: Campaign, record: Record) -> bool:
    """Whether something would use the label of a frame that failed."""
    return (
        record.failure is not None
        and not _of_closed(record, closing.first_open_iteration(campaign))
        and not fixed_in_words(campaign)
    )


def _of_closed(record: Record, first_open: int) -> bool:
    return 0 <= record.frame.provenance.iteration < first_open
