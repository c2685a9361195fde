"""Kill small campaigns at random moments, resume them, and count what was lost or done twice.

    python tests/benchmarks/kill_campaign.py --kills 30 --seed 1
    LLZO_AL_MONGODB=localhost:27017 python tests/benchmarks/kill_campaign.py --kills 30 --seed 1 --mongodb

Half of the kills are of the parent process alone, half of every process group of the campaign, all with
SIGKILL; `--others` more are in turn SIGTERM and SIGINT of the parent and SIGKILL of one worker.
Half of the moments are uniform in time after the start, half follow the first sight of an engine of a random
kind. Half of the restarts follow at once, half when orphans would have been seen. With `--mongodb` all
campaigns, which have one name, live in one new database of the server that LLZO_AL_MONGODB names. Ends with
1 if anything was lost, repeated or left alive, or a campaign did not finish.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from launchpad_worlds import mongodb_database

from interruptions import ENGINES, SETTLE_S, InterruptedCampaign

MAX_KILLS = 8
"""Kills of one campaign, after which it may run to its end."""
HORIZON_S = 30.0
"""Uniform moments lie within this time after a start."""
AFTER_S = 2.0
"""Other moments lie within this time after an engine was first seen."""


@dataclass
class Tally:
    """Counts over all campaigns."""

    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    campaigns: int = 0
    unfinished: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    labels: int = 0
    stages: int = 0
    lost: int = 0
    repeated: int = 0
    repeated_stages: int = 0
    orphans: int = 0
    again: int = 0


def schedule(kills: int, others: int, rng: random.Random) -> list[str]:
    """Kinds of kill in random order."""
    kinds = [("parent", "group")[number % 2] for number in range(kills)]
    kinds += [("SIGTERM", "SIGINT", "worker")[number % 3] for number in range(others)]
    rng.shuffle(kinds)
    return kinds


def await_moment(campaign: InterruptedCampaign, rng: random.Random) -> str | None:
    """Wait for a random moment; what runs then, or None if the campaign ended before."""
    if rng.random() < 0.5:
        until = time.monotonic() + rng.uniform(0.2, HORIZON_S)
        alive = campaign.wait_until(lambda: time.monotonic() > until)
    else:
        kind, delay = rng.choice(sorted(ENGINES.values())), rng.uniform(0.0, AFTER_S)
        limit = time.monotonic() + HORIZON_S
        alive = campaign.wait_until(lambda: kind in campaign.engines() or time.monotonic() > limit)
        until = time.monotonic() + delay
        alive = alive and campaign.wait_until(lambda: time.monotonic() > until)
    return (", ".join(sorted(campaign.engines())) or "no engine") if alive else None


def run(campaign: InterruptedCampaign, kinds: list[str], rng: random.Random, tally: Tally) -> None:
    """Run one campaign to its end, using up kinds of kill from the end of the list."""
    campaign.start()
    for _ in range(MAX_KILLS):
        moment = await_moment(campaign, rng) if kinds else None
        if moment is None:
            break
        how, settle = kinds[-1], rng.random() < 0.5
        if not campaign.kill(how, settle=settle):
            break
        kinds.pop()
        tally.kills[how] += 1
        tally.moments[moment] += 1
        print(f"kill {sum(tally.kills.values())}: {how} during {moment}", flush=True)
        if how == "worker":
            continue
        campaign.start()
        if not settle:
            campaign.settle()
    code = campaign.finish()
    found = campaign.findings
    tally.campaigns += 1
    if code not in (0, 3):
        tally.unfinished.append(f"{campaign.root}: exit code {code}, see {campaign.output}")
    tally.violations += [f"{campaign.root}: {sentence}" for sentence in found.violations()]
    last = campaign.look()
    tally.labels += len(last.labels)
    tally.stages += len(last.manifests)
    tally.lost += len(found.lost_labels)
    tally.repeated += len(found.repeated_labels)
    tally.repeated_stages += len(found.repeated_stages)
    tally.orphans += len(found.orphans)
    tally.again += found.calculated_again


def report(tally: Tally, wall_s: float) -> str:
    """Markdown table of the counts."""
    kinds = ", ".join(f"{name} {number}" for name, number in sorted(tally.kills.items()))
    rows = [
        ("campaigns", tally.campaigns),
        ("kills", f"{sum(tally.kills.values())} ({kinds})"),
        *((f"kills during: {moment}", number) for moment, number in tally.moments.most_common()),
        ("labels in the end", tally.labels),
        ("finished stages in the end", tally.stages),
        ("lost labels", tally.lost),
        ("repeated labels", tally.repeated),
        ("finished trainings, MD runs and other stages done again", tally.repeated_stages),
        (f"orphans {SETTLE_S:g} s after a kill", tally.orphans),
        ("campaigns that did not finish", len(tally.unfinished)),
        ("labels that were being computed at a kill, computed again", tally.again),
        ("wall time", f"{wall_s / 60:.1f} min"),
    ]
    return "\n".join(["| | count |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--others", type=int, default=0, help="further kills, of other kinds")
    parser.add_argument("--dir", type=Path, default=None, help="where the campaigns are kept")
    parser.add_argument("--mongodb", action="store_true", help="on the server that LLZO_AL_MONGODB names")
    arguments = parser.parse_args()
    if arguments.mongodb and not os.environ.get("LLZO_AL_MONGODB"):
        parser.error("--mongodb: name a server in LLZO_AL_MONGODB, such as localhost:27017")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore SIGINT
    place = arguments.dir or Path(tempfile.mkdtemp(prefix="llzo-al-kills-"))
    rng = random.Random(arguments.seed)
    kinds = schedule(arguments.kills, arguments.others, rng)
    tally = Tally()
    started = time.monotonic()
    with mongodb_database() if arguments.mongodb else nullcontext() as database:
        while kinds and not tally.unfinished:
            campaign = InterruptedCampaign(place / f"campaign-{tally.campaigns}")
            if database is not None:
                (place / "my_launchpad.yaml").write_text(json.dumps(database))
                campaign.options = ["--launchpad", str(place / "my_launchpad.yaml")]
            run(campaign, kinds, rng, tally)
            print(f"campaign {tally.campaigns} ended; {len(kinds)} kills left", flush=True)
    print(report(tally, time.monotonic() - started))
    problems = tally.violations + tally.unfinished
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
