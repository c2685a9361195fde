"""Any ASE calculator."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from llzo_al.config.base import Count, Positive, Section


class ASECalculator(Section):
    """Any ASE calculator, named by its import path."""

    engine: Literal["ase"]
    """An ASE calculator."""
    calculator: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*[.:][A-Za-z_]\w*$")]
    """Import path of the calculator's class or factory, such as `ase.calculators.emt.EMT`."""
    parameters: dict[str, Any] = {}
    """Keyword arguments of the calculator that change its physics; part of each label's identity."""
    run_parameters: dict[str, Any] = {}
    """Keyword arguments that do not change the physics (commands, directories, parallelism); not part of a
    label's identity."""
    version: str | None = None
    """Version of the code, setups or model behind the calculator; part of each label's identity."""
    virials: bool = True
    """Ask the calculator for stress where the frame is periodic."""
    threads: Count = 1
    """Cores that one labelling job uses."""
    timeout_s: Positive = 86400.0
    """Time limit of one label (seconds)."""
    frames_per_job: Count = 8
    """Frames that one job labels, one after the other."""
