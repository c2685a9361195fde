"""``llzo-al labels``: what is labelled, what failed and why, and whether the labels can be trusted."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from llzo_al.commands import labels_ingest
from llzo_al.commands.arguments import CampaignDir, JsonOption, campaign_directory
from llzo_al.console import CONSOLE

CauseOption = Annotated[
    list[str] | None,
    typer.Option("--cause", help='Only labels that failed of this cause, such as "time limit".'),
]
IdentityOption = Annotated[
    list[str] | None,
    typer.Option("--identity", help="Only this frame, by its identity or the beginning of it."),
]


class _ListByDefault(TyperGroup):
    """A group in which ``labels DIR`` means ``labels list DIR``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` name; what is no command and no misspelt one is a directory."""
        name = args[0]
        misspelt = get_close_matches(name, self.commands) and not Path(name).exists()
        if name not in self.commands and not name.startswith("-") and not misspelt:
            args = ["list", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_ListByDefault,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""List, show, retry and check the labels of a campaign.

[bold]llzo-al labels DIR[/bold] is short for [bold]llzo-al labels list DIR[/bold].

Example: [bold]llzo-al labels examples/quickstart/llzo-quickstart[/bold]""",
)


@app.command("list")
def list_labels(
    directory: CampaignDir,
    cause: CauseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the labels by status, split and source, and list those that failed with their causes.

    Example: [bold]llzo-al labels list examples/quickstart/llzo-quickstart[/bold]
    """
    from llzo_al.campaign.label_lists import label_list
    from llzo_al.campaign.label_tables import render_list

    found = label_list(_open(directory), causes=cause)
    if as_json:
        CONSOLE.print_json(json.dumps(found.as_dict()))
        return
    for part in render_list(found):
        CONSOLE.print(part, highlight=False)


@app.command("show")
def show_label(
    directory: CampaignDir,
    identity: Annotated[
        str, typer.Argument(help="Identity of the frame, or the beginning of it.", metavar="IDENTITY")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show one frame: where it came from, its label, or why it has none and which files are kept.

    Example: [bold]llzo-al labels show examples/quickstart/llzo-quickstart v1-3fa9[/bold]
    """
    from llzo_al.campaign.label_lists import find_record, label_facts
    from llzo_al.campaign.label_tables import render_facts

    campaign = _open(directory)
    facts = label_facts(campaign, find_record(campaign, identity))
    if as_json:
        CONSOLE.print_json(json.dumps(facts))
        return
    for line in render_facts(facts):
        CONSOLE.print(line, highlight=False, soft_wrap=True, markup=False)


@app.command("retry")
def retry_labels(directory: CampaignDir, cause: CauseOption = None, identity: IdentityOption = None) -> None:
    """Have failed labels tried again at the next run, all attempts anew.

    Frames of closed iterations are left alone: nothing would use their labels. Refused while the campaign
    runs, and once the data set of its final training is written.

    Example: [bold]llzo-al labels retry examples/quickstart/llzo-quickstart --cause "time limit"[/bold]
    """
    from llzo_al.campaign.label_lists import retry

    again, left = retry(_open(directory), causes=cause, identities=identity)
    CONSOLE.print(f"{again} failed label(s) are tried again at the next run", highlight=False)
    if left:
        CONSOLE.print(f"{left} of closed iterations are left alone", highlight=False)


@app.command("check")
def check(
    directory: CampaignDir,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            help="Another campaign directory, or label store, whose labels of the same frames are compared.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 1 if anything stands out.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look whether the labels fit together, as one would before training on them.

    Energies against the composition, forces and stresses, net forces, one structure with two energies, and
    labels of the same frames by two methods. What stands out is a reason to look, not a verdict: the exit
    code is 0 all the same, unless --strict is given.

    Example: [bold]llzo-al labels check examples/quickstart/llzo-quickstart --against ../with-vasp[/bold]
    """
    from llzo_al.campaign.label_checks import check_campaign_labels
    from llzo_al.campaign.label_tables import render_checks

    found = check_campaign_labels(_open(directory), against or ())
    if as_json:
        CONSOLE.print_json(json.dumps(found.as_dict()))
    else:
        for part in render_checks(found):
            CONSOLE.print(part, highlight=False)
    if strict and found.consistency.warnings:
        raise typer.Exit(1)


app.command("ingest")(labels_ingest.ingest)


def _open(directory: Path) -> Any:
    from llzo_al.campaign.campaign import Campaign

    return Campaign.open(campaign_directory(directory).resolve())
