"""Labels that frames bring along, held to the limit that the labeller's own are held to."""

from __future__ import annotations

import logging
from collections import Counter

from llzo_al.campaign.campaign import Campaign
from llzo_al.dataset.frames import Frame, Label
from llzo_al.labelling.sanity import disbelief

_MOST_GROUPS = 3

_log = logging.getLogger(__name__)


class Belief:
    """Drops labels with forces beyond `failures.max_force_eV_per_A`, and counts them.

    A frame without its label is given to the labeller, as any other frame is.

    Parameters
    ----------
    campaign
        The campaign.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._limit_eV_per_A = campaign.config.failures.max_force_eV_per_A
        self._dropped: Counter[str] = Counter()

    def __call__(self, frame: Frame, label: Label | None) -> tuple[Frame, Label | None]:
        """The frame, with its label if that is believed."""
        if label is None or disbelief(label, max_force_eV_per_A=self._limit_eV_per_A) is None:
            return frame, label
        self._dropped[frame.provenance.group] += 1
        return frame, None

    def warn(self) -> None:
        """Say how many labels of which run or file were dropped, if there were any."""
        if not self._dropped:
            return
        told = [f"{count} of {group}" for group, count in self._dropped.most_common(_MOST_GROUPS)]
        if len(self._dropped) > _MOST_GROUPS:
            told.append(f"those of {len(self._dropped) - _MOST_GROUPS} more")
        _log.warning(
            "%d label(s) that came with their frames have forces beyond failures.max_force_eV_per_A "
            "(%g eV/Å) and are not believed; the frames are labelled again: %s",
            self._dropped.total(),
            self._limit_eV_per_A,
            ", ".join(told),
        )
