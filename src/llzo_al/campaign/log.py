"""The campaign's log, which `llzo-al run` shows: what its stages say, and what the library warns of."""

from __future__ import annotations

import logging
import time

from llzo_al.campaign.directory import CampaignDirectory


def say(directory: CampaignDirectory, message: str, *details: str) -> None:
    """Add a line, and an indented one for each detail, to ``logs/campaign.log``."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    lines = [f"{stamp}  {message}", *(f"    {detail}" for detail in details)]
    with directory.log.open("a", encoding="utf-8") as handle:
        handle.write("\n".join(lines) + "\n")


class WarningsInLog(logging.Handler):
    """Puts this program's warnings into the campaign's log.

    Such as a trajectory that ended early, a relaxation that did not converge, a file that breaks off.

    Parameters
    ----------
    directory
        The campaign directory.
    """

    def __init__(self, directory: CampaignDirectory) -> None:
        super().__init__(logging.WARNING)
        self._directory = directory

    def emit(self, record: logging.LogRecord) -> None:
        """Write one warning down."""
        try:
            say(self._directory, *f"warning: {record.getMessage()}".splitlines())
        except OSError:
            self.handleError(record)
