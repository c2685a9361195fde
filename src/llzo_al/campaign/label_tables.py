"""Lists, single labels and checks for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from llzo_al.campaign.label_checks import LabelChecks
from llzo_al.campaign.label_lists import SHORT, FailedLabel, LabelList
from llzo_al.dataset.comparison import MethodComparison
from llzo_al.dataset.consistency import Consistency
from llzo_al.dataset.statistics import Distribution
from llzo_al.labelling.causes import CAUSES

MOST_ROWS = 50
"""Failed labels, and frames that stand out, that a terminal shows."""


def render_list(found: LabelList) -> Iterator[RenderableType]:
    """The counts and the failed labels for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, title="labels", title_justify="left")
    table.add_column("")
    columns = {"labelled": "labelled", "pending": "waiting", "failed": "failed"}
    if any("excluded" in counts for counts in found.by_split.values()):
        columns["excluded"] = "above force cap"
    for title in columns.values():
        table.add_column(title, justify="right")
    for heading, groups in (("split", found.by_split), ("source", found.by_source)):
        for name, counts in groups.items():
            table.add_row(f"{heading}: {name}", *(str(counts.get(status, 0)) for status in columns))
        table.add_section()
    yield table
    if "excluded" in columns:
        yield Text(
            "labels above the force cap (dataset.force_cap_eV_per_A) are kept, but no training sees them"
        )
    for program, number in found.programs.items():
        yield Text(f"{number} computed by {program}")
    if found.recovered:
        yield Text(f"{found.recovered} label(s) succeeded after a failed attempt")
    for cause, count in found.causes.items():
        meaning = f" ({CAUSES[cause]})" if cause in CAUSES else ""
        yield Text(f"{count} failed: {cause}{meaning}")
    if found.failed:
        yield _failed_table(found.failed)
    if len(found.failed) > MOST_ROWS:
        yield Text(f"and {len(found.failed) - MOST_ROWS} more; --json lists all, --cause those of one cause")


def render_facts(facts: dict[str, Any]) -> Iterator[str]:
    """One frame for a terminal, line by line."""
    yield f"{facts['identity']}: {facts['status']}, {facts['split']}"
    yield f"  {facts['formula']}, {facts['n_atoms']} atoms"
    for provenance in facts["provenances"]:
        where = "initial data" if provenance["iteration"] < 0 else f"iteration {provenance['iteration']}"
        yield (
            f"  from {provenance['source']}, {provenance['kind']}, {where}, {provenance['group']} frame "
            f"{provenance['frame']}: {provenance['reason']}"
        )
    if "label" in facts:
        label = facts["label"]
        pressure = "unknown" if label["pressure_GPa"] is None else f"{label['pressure_GPa']:.2f} GPa"
        yield (
            f"  energy {label['energy_eV']:.6f} eV ({label['energy_eV_per_atom']:.4f} eV/atom), largest "
            f"force {label['max_force_eV_per_A']:.3f} eV/Å, net force "
            f"{label['net_force_eV_per_A']:.2e} eV/Å, pressure {pressure}, {label['wall_s']:.1f} s"
        )
        if label["program"]:
            yield f"  computed by {label['program']}"
    for attempt in facts["attempts"]:
        when = datetime.fromtimestamp(attempt["ended"], tz=UTC).strftime(" at %Y-%m-%d %H:%M UTC")
        yield (
            f"  attempt {attempt['number']} failed{when if attempt['ended'] else ''}: {attempt['cause']}: "
            f"{attempt['reason']}"
        )
    for path in facts["files"]:
        yield f"  files: {path}"
    if "failure" in facts and facts["failure"]["can_be_retried"]:
        yield "  try again with: llzo-al labels retry DIR --identity " + facts["identity"][:SHORT]
    elif "failure" in facts:
        yield "  it is not tried again: nothing would use its label any more"


def render_checks(found: LabelChecks) -> Iterator[RenderableType]:
    """The consistency checks for a terminal."""
    checks = found.consistency
    yield Text(f"{checks.n_labels} labels")
    if checks.compositions:
        yield _compositions(checks)
    yield _distributions(checks)
    for outlier in (
        *checks.energy_outliers,
        *checks.net_force_outliers,
        *checks.virial_outliers,
        *checks.still,
    )[:MOST_ROWS]:
        yield Text(f"  {outlier.identity[:SHORT]}  {outlier.kind}: {outlier.remark}")
    for duplicate in checks.duplicates[:MOST_ROWS]:
        yield Text(
            f"  {duplicate.first[:SHORT]} and {duplicate.second[:SHORT]} are one structure, "
            f"{duplicate.difference_meV_per_atom:.3g} meV/atom apart"
        )
    if found.comparisons:
        yield _comparisons(found.comparisons)
    for warning in checks.warnings:
        yield Text(f"stands out: {warning}", style="yellow")
    if not checks.warnings:
        yield Text("nothing stands out")


def _compositions(checks: Consistency) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="energy against composition", title_justify="left")
    for title in (
        "composition",
        "frames",
        "median eV/atom",
        "off the linear fit meV/atom",
        "spread meV/atom",
    ):
        table.add_column(title, justify="left" if title == "composition" else "right")
    for each in checks.compositions[:20]:
        table.add_row(
            each.formula,
            str(each.n_frames),
            f"{each.energy_eV_per_atom:.4f}",
            f"{each.residual_meV_per_atom:+.1f}",
            f"{each.spread_meV_per_atom:.1f}",
        )
    if len(checks.compositions) > 20:
        table.add_row(f"and {len(checks.compositions) - 20} more", "", "", "", "")
    return table


def _distributions(checks: Consistency) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="distributions", title_justify="left")
    for title in ("quantity", "values", "5 %", "median", "95 %", "99 %", "largest"):
        table.add_column(title, justify="left" if title == "quantity" else "right")
    rows: list[tuple[str, Distribution | None]] = [
        ("force on an atom (eV/Å)", checks.forces_eV_per_A),
        ("pressure (GPa)", checks.pressures_GPa),
        ("largest shear stress (GPa)", checks.shears_GPa),
        ("net force by the number of atoms (eV/Å)", checks.net_forces_eV_per_A),
    ]
    for name, values in rows:
        if values is not None:
            numbers = (values.p05, values.median, values.p95, values.p99, values.maximum)
            table.add_row(name, str(values.n), *(f"{number:.3g}" for number in numbers))
    return table


def _comparisons(comparisons: Sequence[MethodComparison]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="same frames, two methods", title_justify="left")
    for title in ("first", "second", "frames", "energy RMSE meV/atom", "force RMSE meV/Å", "stress RMSE GPa"):
        table.add_column(title, justify="left" if title in ("first", "second") else "right")
    for each in comparisons:
        stress = "–" if each.stress_rmse_GPa is None else f"{each.stress_rmse_GPa:.3g}"
        table.add_row(
            each.first,
            each.second,
            str(each.n_frames),
            f"{each.energy_rmse_meV_per_atom:.3g}",
            f"{each.force_rmse_meV_per_A:.3g}",
            stress,
        )
    return table


def _failed_table(failed: Sequence[FailedLabel]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("identity", "frame", "iteration", "cause", "attempts", "reason"):
        table.add_column(title, no_wrap=title == "identity")
    for row in failed[:MOST_ROWS]:
        first = row.reason.strip().splitlines()[0] if row.reason.strip() else ""
        iteration = "initial" if row.iteration < 0 else str(row.iteration)
        cells = (row.identity[:SHORT], f"{row.kind}, {row.formula}", iteration, row.cause, str(row.attempts))
        table.add_row(*(Text(cell) for cell in (*cells, first[:200])))
    return table
