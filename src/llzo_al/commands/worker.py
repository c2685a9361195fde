"""``llzo-al worker``: work for a campaign that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llzo_al.commands.arguments import CampaignDir, campaign_directory
from llzo_al.console import CONSOLE
from llzo_al.errors import UserError

KINDS = ("control", "train", "md", "label")


def kinds_of_task(text: str, option: str) -> tuple[str, ...]:
    """Kinds of task of an option: a list with commas, "all" or "none".

    Raises
    ------
    UserError
        If there is no such kind.
    """
    if text in ("all", "none"):
        return KINDS if text == "all" else ()
    named = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in named if word not in KINDS]
    if unknown or not named:
        raise UserError(
            f"{option} {text!r}: unknown kind of task {', '.join(map(repr, unknown)) or '(none given)'}; "
            f"expected a list of {', '.join(KINDS)}, or all"
        )
    return tuple(kind for kind in KINDS if kind in named)


def worker(
    directory: CampaignDir,
    launchpad: Annotated[
        Path,
        typer.Option(
            "--launchpad",
            help="FireWorks launchpad file of the MongoDB that the campaign runs on.",
            show_default=False,
        ),
    ],
    tasks: Annotated[
        str, typer.Option("--tasks", help="Kinds of task to take: control, train, md, label, or all.")
    ] = "all",
    idle_s: Annotated[
        float, typer.Option("--idle-s", min=0.0, help="End after so many seconds without a task.")
    ] = 300.0,
    fworker: Annotated[
        Path | None,
        typer.Option(
            "--fworker",
            help="FireWorks worker file of this machine (my_fworker.yaml). Tasks get what stands under its "
            "`env`, such as `vasp_cmd`; which tasks are taken is said by --tasks alone.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Work for a campaign that `llzo-al run --launchpad` drives elsewhere: one task after the other.

    This is what a queue's job on another node runs. The node must see the campaign directory and reach the
    MongoDB. A training or an MD run gets all cores of the job. If the job ends in the middle of a task
    (its time limit, scancel, a node that fails), the task goes to another worker and starts from its last
    checkpoint; labels that are stored are not computed again. VASP dynamics that stop before the job's time
    limit end the worker too, so that they go on in another job.

    Example: [bold]llzo-al worker campaign.yaml --launchpad my_launchpad.yaml --tasks label,md[/bold]
    """
    from llzo_al.workflow.worker import work_elsewhere

    def say(text: str) -> None:
        CONSOLE.print(text, highlight=False, soft_wrap=True)

    categories = kinds_of_task(tasks, "--tasks")
    if not categories:
        raise UserError(
            "--tasks none: a worker needs something to do; expected control, train, md, label or all"
        )
    root = campaign_directory(directory)
    work_elsewhere(
        root,
        launchpad_file=launchpad.resolve(),
        categories=categories,
        idle_s=idle_s,
        say=say,
        worker_file=None if fworker is None else fworker.resolve(),
    )
