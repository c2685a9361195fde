"""Command line of llzo-al."""

from __future__ import annotations

import errno
import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer

from llzo_al import __version__
from llzo_al.commands import coverage, labels, structures, worker
from llzo_al.commands.arguments import CampaignDir, JsonOption, campaign_directory
from llzo_al.console import CONSOLE, ERRORS
from llzo_al.errors import ExitCode, LlzoAlError, UserError

app = typer.Typer(
    name="llzo-al",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Train a machine-learned potential for Li7La3Zr2O12 and its relatives by active learning.

One YAML file describes a campaign; [bold]run[/bold] starts it, and the same command continues it after any
interruption.

Exit codes: 0 converged (or the command succeeded), 2 a mistake in the input, 3 finished but not converged,
1 anything else.""",
)
_INTERRUPTED = 130

CampaignFile = Annotated[
    Path, typer.Argument(help="Campaign file (YAML).", metavar="FILE", show_default=False)
]
DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        help="Campaign directory instead of the one that the campaign file names.",
        show_default=False,
    ),
]
LaunchpadOption = Annotated[
    Path | None,
    typer.Option(
        "--launchpad",
        help="FireWorks launchpad file of a MongoDB, instead of the embedded LaunchPad.",
        show_default=False,
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llzo-al {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Directory to write campaign.yaml into.", metavar="DIR")],
    template: Annotated[
        str,
        typer.Option(
            help="quickstart (classical reference, minutes), vasp or production (GPAW); the last two at the "
            "papers' scale."
        ),
    ] = "quickstart",
) -> None:
    """Write a commented campaign file to start from, with a JSON schema for editors beside it.

    Example: [bold]llzo-al init my-campaign --template vasp[/bold]
    """
    from llzo_al.config.templates import write_template

    path = write_template(template, directory)
    CONSOLE.print(f"wrote {path}\nnext: llzo-al validate {path}", highlight=False, soft_wrap=True)


@app.command()
def validate(
    file: CampaignFile,
    as_json: JsonOption = False,
    here: Annotated[
        str,
        typer.Option(
            "--here",
            help="Kinds of task that this machine is to take, as for `llzo-al run --here` (control, train, "
            "md, label; all; none). What only the others need is not looked for.",
        ),
    ] = "all",
) -> None:
    """Check a campaign file without running anything, and print the plan.

    The plan counts structures, labels, trainings and MD steps, and says what is missing on this machine and
    what follows from changes since the last run. A campaign directory that cannot be used is refused.

    Examples: [bold]llzo-al validate examples/quickstart/campaign.yaml[/bold]; on the login node of a cluster
    [bold]llzo-al validate campaign.yaml --here control[/bold]
    """
    from llzo_al.campaign.changed import changes_since_the_last_run
    from llzo_al.campaign.directory import CampaignDirectory
    from llzo_al.config.load import load_campaign
    from llzo_al.config.plan import make_plan, render_plan
    from llzo_al.preflight import check_place, check_training, missing_to_run

    kinds = worker.kinds_of_task(here, "--here")
    loaded = load_campaign(file)
    check_training(loaded)
    with ERRORS.status("counting structures") as shown:
        plan = make_plan(loaded, tell=shown.update)
    missing = [*plan.unknown, *missing_to_run(loaded.config, tasks=kinds)]
    changes = changes_since_the_last_run(loaded)
    if as_json:
        CONSOLE.print_json(json.dumps({"plan": plan.as_json(), "missing": missing, "changes": changes}))
    else:
        CONSOLE.print(render_plan(plan))
        for line in changes:
            CONSOLE.print(f"changed since the last run: {line}", highlight=False, soft_wrap=True)
        for line in missing:
            CONSOLE.print(f"missing: {line}", style="yellow", highlight=False, soft_wrap=True)
        if not missing:
            CONSOLE.print("nothing is missing on this machine", highlight=False)
    check_place(CampaignDirectory(loaded.campaign_dir), loaded.path)
    if missing:
        raise typer.Exit(ExitCode.USER_ERROR)


@app.command()
def run(
    file: CampaignFile,
    directory: DirectoryOption = None,
    launchpad: LaunchpadOption = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Label frames again whose label failed before, where it is still of use."
        ),
    ] = False,
    here: Annotated[
        str,
        typer.Option(
            "--here",
            help="With --launchpad: kinds of task for this machine (control, train, md, label; all; none). "
            "The others wait for `llzo-al worker` elsewhere.",
        ),
    ] = "all",
) -> None:
    """Run a campaign, or continue it: the same command does both.

    Finished labels, trainings and MD runs are never repeated; an interrupted training goes on from its last
    checkpoint and an interrupted MD run from its restart file.

    Example: [bold]llzo-al run examples/quickstart/campaign.yaml[/bold]
    """
    from llzo_al.running import run_campaign

    kinds = worker.kinds_of_task(here, "--here")
    if launchpad is None and here != "all":
        raise UserError(
            f"--here {here}: nobody else could do the rest; name a MongoDB with --launchpad, or leave it out"
        )
    code = run_campaign(
        file,
        directory=directory,
        launchpad_file=launchpad,
        here=kinds,
        retry_failed=retry_failed,
        console=CONSOLE,
    )
    raise typer.Exit(code)


@app.command()
def status(directory: CampaignDir, as_json: JsonOption = False) -> None:
    """Show where a campaign stands: what runs, what is done, what failed.

    Example: [bold]llzo-al status examples/quickstart/llzo-quickstart[/bold]
    """
    from llzo_al.running import print_status

    print_status(campaign_directory(directory), console=CONSOLE, as_json=as_json)


@app.command()
def report(directory: CampaignDir, as_json: JsonOption = False) -> None:
    """Write report/index.html and report/report.json, and print a table and where the results lie.

    The page holds coverage, errors, labels, times, settings, versions, and how to use the potential and its
    data set in other programs; the JSON file all its numbers.

    Example: [bold]llzo-al report examples/quickstart/llzo-quickstart[/bold]
    """
    from llzo_al.campaign.campaign import Campaign
    from llzo_al.campaign.facts import write_campaign_report
    from llzo_al.reporting.table import results, table

    campaign = Campaign.open(campaign_directory(directory))
    with ERRORS.status("writing the report"):
        facts, page = write_campaign_report(campaign)
    if as_json:
        typer.echo((page.parent / "report.json").read_text(encoding="utf-8"))
        return
    CONSOLE.print(table(facts))
    for line in (*results(facts, campaign.directory.root), f"report: {page}"):
        CONSOLE.print(line, highlight=False, soft_wrap=True)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say which parts of the software stack are present on this machine, and whether they work.

    The exit code is 1 where no campaign can run yet: that takes a DeePMD-kit backend, LAMMPS with its pair
    style, and the LaunchPad. Parts that only some campaigns need (GPU, MongoDB, VASP, ...) do not count.

    Example: [bold]llzo-al doctor[/bold]
    """
    from llzo_al.doctor import as_json as checks_as_json
    from llzo_al.doctor import diagnose, ready, render

    with ERRORS.status("asking every part of the software stack"):
        checks = diagnose()
    if as_json:
        CONSOLE.print_json(checks_as_json(checks))
    else:
        CONSOLE.print(render(checks))
    if not ready(checks):
        raise typer.Exit(ExitCode.FAILURE)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lpad(context: typer.Context, directory: CampaignDir, launchpad: LaunchpadOption = None) -> None:
    """Run FireWorks' own lpad on a campaign's LaunchPad; its web page too.

    Examples: [bold]llzo-al lpad DIR get_wflows[/bold], [bold]llzo-al lpad DIR webgui -s[/bold]
    """
    from llzo_al.workflow.launchpads import lpad_command

    raise typer.Exit(lpad_command(campaign_directory(directory), launchpad, context.args))


app.add_typer(labels.app, name="labels")
app.command("structures")(structures.structures)
app.command("coverage")(coverage.coverage)
app.command("worker")(worker.worker)


def main() -> None:
    """Entry of the ``llzo-al`` command."""
    sys.exit(int(_main(sys.argv[1:])))


def _main(arguments: list[str]) -> int:
    try:
        result = app(args=arguments, prog_name="llzo-al", standalone_mode=False)
    except LlzoAlError as error:
        ERRORS.print(f"llzo-al: {error}", style="red", highlight=False, soft_wrap=True)
        return error.exit_code
    except typer.Abort:
        return ExitCode.FAILURE
    except typer.TyperException as error:
        if message := error.format_message():  # without one, the help has been printed
            ERRORS.print(
                f"llzo-al: {message}\nllzo-al --help, and --help after any command, say what is allowed",
                highlight=False,
                soft_wrap=True,
            )
        return ExitCode.USER_ERROR
    except OSError as error:
        return _tell_os_error(error)
    except Exception as error:  # noqa: BLE001  (the last resort: told to the user, kept in a file)
        with tempfile.NamedTemporaryFile(
            "w", prefix="llzo-al-", suffix=".log", delete=False, encoding="utf-8"
        ) as handle:
            traceback.print_exc(file=handle)
        ERRORS.print(
            f"llzo-al: unexpected {type(error).__name__}: {error}\nThis is a defect of the program; the "
            f"details are in {handle.name}. What was finished is kept.",
            style="red",
            highlight=False,
            soft_wrap=True,
        )
        return ExitCode.FAILURE
    if result == _INTERRUPTED:
        ERRORS.print("llzo-al: interrupted; run the same command again to continue", highlight=False)
        return ExitCode.FAILURE
    return result if isinstance(result, int) else ExitCode.CONVERGED


def _tell_os_error(error: OSError) -> ExitCode:
    """What a disk or the rights on it refused, in words."""
    about = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy, code = "free some space and run the same command again", ExitCode.FAILURE
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        remedy, code = "make it writable or choose another directory", ExitCode.USER_ERROR
    else:
        remedy, code = "see to its cause and run the same command again", ExitCode.FAILURE
    reason = error.strerror or str(error)
    ERRORS.print(
        f"llzo-al: {about}{reason}; {remedy}. What was finished is kept.",
        style="red",
        highlight=False,
        soft_wrap=True,
    )
    return code
