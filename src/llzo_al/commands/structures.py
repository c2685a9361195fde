"""``llzo-al structures``: the structures of one source, written, summed up and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llzo_al.commands.arguments import JsonOption
from llzo_al.console import CONSOLE, ERRORS
from llzo_al.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from llzo_al.structures.summary import KindSummary, Summary

_MOST_ROWS = 40

KindArgument = Annotated[
    str,
    typer.Argument(
        help="Kind of source, as under `initial_data`: dimers, crystals, materials_project, reference_md, "
        "trajectories, existing_data, orderings, variants, slabs, amorphous, blocks or interfaces.",
        metavar="KIND",
        show_default=False,
    ),
]
OutOption = Annotated[Path, typer.Option("--out", help="Directory to write into.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A key of the source, written as in a campaign file.", metavar="KEY=VALUE"),
]
FromOption = Annotated[
    Path | None,
    typer.Option("--from", help="Campaign file whose source of this kind is taken.", show_default=False),
]
SourceOption = Annotated[
    int | None,
    typer.Option(
        "--source", help="Which entry of its `initial_data`, from 0.", metavar="N", show_default=False
    ),
]
ElementsOption = Annotated[
    str | None,
    typer.Option(
        "--elements", help="Elements of the type map.", metavar="Li,La,Zr,O", show_default="Li,La,Zr,O"
    ),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed.", min=0, show_default="1")]


def structures(
    kind: KindArgument,
    out: OutOption,
    assignments: SetOption = None,
    campaign_file: FromOption = None,
    source_number: SourceOption = None,
    elements: ElementsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the structures of one source of initial data, without a campaign.

    Writes frames.extxyz (each frame with where it comes from), summary.json and overview.png, and prints
    densities, shortest distances and compositions. Keys that are not set have their defaults, or the values
    of the campaign file given with [bold]--from[/bold], which is also needed where a labeller has to run
    molecular dynamics or relaxations.

    Example: [bold]llzo-al structures dimers --set points=20 --set "starts_A={O-O: 0.9}" --out dimers[/bold]

    Example: [bold]llzo-al structures crystals --from campaign.yaml --out crystals[/bold]
    """
    from llzo_al.campaign.one_source import make_structures
    from llzo_al.config.load import load_campaign
    from llzo_al.config.one_source import build_source, check_kind, find_source
    from llzo_al.structures.sources import SourceContext

    check_kind(kind)
    if source_number is not None and campaign_file is None:
        raise UserError("--source names an entry of a campaign file; give the file with --from")
    loaded = None if campaign_file is None else load_campaign(campaign_file)
    given = None if loaded is None else find_source(loaded, kind, source_number).settings()
    source = build_source(kind, assignments or [], given)
    config = None if loaded is None else loaded.config
    context = SourceContext(
        elements=_elements(elements) or (tuple(config.elements) if config else ("Li", "La", "Zr", "O")),
        base=Path.cwd() if loaded is None else loaded.base,
        seed=seed if seed is not None else config.seed if config else 1,
        trains_virials=config.training.trains_virials if config else True,
    )
    with ERRORS.status(f"{kind}: making structures") as shown:
        made = make_structures(
            source, context, out, labelling=config.labelling if config else None, tell=shown.update
        )
    if as_json:
        CONSOLE.print_json(
            json.dumps({"files": [str(path) for path in made.files], **made.summary.as_dict()})
        )
        return
    CONSOLE.print(render(made.summary, kind))
    for line in _details(made.summary):
        CONSOLE.print(line, highlight=False, soft_wrap=True)
    for line in made.report:
        CONSOLE.print(line, highlight=False, soft_wrap=True)
    if made.labelled:
        CONSOLE.print(f"{made.labelled:,} of them have a label", highlight=False)
    CONSOLE.print("wrote " + ", ".join(map(str, made.files)), highlight=False, soft_wrap=True)


def _elements(text: str | None) -> tuple[str, ...] | None:
    """Elements of an option such as Li,La,Zr,O.

    Raises
    ------
    UserError
        If one is no chemical symbol or comes twice.
    """
    if text is None:
        return None
    from ase.data import atomic_numbers

    elements = tuple(part.strip() for part in text.split(","))
    for index, symbol in enumerate(elements):
        if atomic_numbers.get(symbol, 0) == 0:
            raise UserError(f"--elements: {symbol!r} is no chemical symbol; write them like Li,La,Zr,O")
        if symbol in elements[:index]:
            raise UserError(f"--elements: {symbol} is listed twice; each element is listed once")
    return elements


def render(summary: Summary, title: str) -> Table:
    """The table of what was made, a line for each kind of structure."""
    from rich.table import Table

    table = Table(title=f"{title}: {summary.frames:,} structures", title_justify="left")
    table.add_column("structure")
    table.add_column("frames", justify="right")
    table.add_column("atoms", justify="right")
    table.add_column("density (g/cm³)", justify="right")
    table.add_column("shortest distance (Å)")
    table.add_column("composition")
    table.add_column("formal charge", justify="right")
    rows = list(summary.kinds.items())
    for name, kind in rows[:_MOST_ROWS]:
        table.add_row(name, *_row(kind))
    if len(rows) > _MOST_ROWS:
        table.add_row(f"… and {len(rows) - _MOST_ROWS} more: see summary.json")
    return table


def _details(summary: Summary) -> list[str]:
    """A line for each kind of structure of whose structures the source tells numbers."""
    lines = []
    for name, kind in list(summary.kinds.items())[:_MOST_ROWS]:
        told = [
            f"{key} {_span(low, kind.details_high[key], '{:.4g}')}" for key, low in kind.details_low.items()
        ]
        if told:
            lines.append(f"{name}: {', '.join(told)}")
    return lines


def _row(kind: KindSummary) -> tuple[str, ...]:
    densities, closest = kind.densities_g_per_cm3, kind.shortest_pair
    (common, _), *others = kind.compositions.most_common()
    charges = sorted(charge for charge in kind.formal_charges if charge is not None)
    return (
        f"{kind.frames:,}",
        _span(kind.atoms_min, kind.atoms_max, "{:,.0f}"),
        _span(min(densities), max(densities), "{:.2f}") if densities else "–",
        f"{closest[1]:.2f} {closest[0]}" if closest else "–",
        common + (f" and {len(others)} more" if others else ""),
        _span(charges[0], charges[-1], "{:+d}").replace("+0", "0") if charges else "–",
    )


def _span(low: float, high: float, form: str) -> str:
    first, last = form.format(low), form.format(high)
    return first if first == last else f"{first} to {last}"
