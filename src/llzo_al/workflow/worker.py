"""A local worker: takes fireworks of its categories, one at a time, for as long as its parent lives."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from fireworks import FWorker
from fireworks.core.rocket_launcher import launch_rocket

from llzo_al.process import die_with_parent
from llzo_al.workflow.launchpads import open_launchpad

POLL_S = 0.2


def work(campaign_dir: Path, *, name: str, categories: list[str], launchpad_file: Path | None) -> None:
    """Run what is ready, for ever; the driver ends the process."""
    launchpad = open_launchpad(campaign_dir, launchpad_file)
    worker = FWorker(
        name=name,
        category=categories,
        query={"spec._llzo_al_campaign": str(campaign_dir)},
        env={"campaign_dir": str(campaign_dir)},
    )
    while True:
        if not launchpad.run_exists(worker) or not launch_rocket(launchpad, worker, strm_lvl="WARNING"):
            time.sleep(POLL_S)


def main() -> None:
    """Entry of ``python -m llzo_al.workflow.worker``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign_dir", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--categories", required=True)
    parser.add_argument("--launchpad", type=Path, default=None)
    parser.add_argument("--parent", required=True, type=int)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    logging.basicConfig(level=logging.WARNING)
    work(
        arguments.campaign_dir,
        name=arguments.name,
        categories=arguments.categories.split(","),
        launchpad_file=arguments.launchpad,
    )


if __name__ == "__main__":
    main()
