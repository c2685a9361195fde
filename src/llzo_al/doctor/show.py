"""Checks for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from llzo_al.doctor.check import Check, Status
from llzo_al.doctor.diagnosis import ready

if TYPE_CHECKING:
    from rich.table import Table

_CAN = "A campaign with the classical reference can run here."
_CANNOT = (
    "No campaign can run here yet: that takes a DeePMD-kit backend, LAMMPS with its pair style, "
    "and the LaunchPad."
)
_STYLES = {Status.OK: "green", Status.MISSING: "yellow", Status.BROKEN: "bold red"}


def render(checks: Sequence[Check]) -> Table:
    """A table of `checks` for the terminal, with what can be done about each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=_CAN if ready(checks) else _CANNOT, caption_justify="left")
    table.add_column("part", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("remedy", overflow="fold")
    for check in checks:
        status = Text(check.status.value, style=_STYLES[check.status])
        table.add_row(Text(check.name), status, Text(check.detail), Text(check.remedy))
    return table


def as_json(checks: Sequence[Check]) -> str:
    """`checks` as JSON: ``{"ready": bool, "checks": [{"name", "status", "detail", "remedy"}, ...]}``."""
    return json.dumps({"ready": ready(checks), "checks": [asdict(check) for check in checks]}, indent=2)
