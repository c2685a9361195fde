"""Any ASE calculator, and what all labellers that work through ASE share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Finding, Positive, Rule, Section


def _given_once(parameters: dict[str, Any], run: dict[str, Any]) -> Iterable[Finding]:
    for key in sorted(set(parameters) & set(run)):
        yield (
            ("run_parameters", key),
            f"{key} stands in `parameters` and in `run_parameters`; keep it in `parameters` if it changes "
            "the physics, and in `run_parameters` otherwise",
        )


def _retries_keep_physics(parameters: dict[str, Any], retries: list[dict[str, Any]]) -> Iterable[Finding]:
    for number, retry in enumerate(retries):
        for key in sorted(set(parameters) & set(retry)):
            yield (
                ("retry_parameters", number, key),
                f"{key} stands in `parameters`, so it changes the physics, and a later attempt has to have "
                "the same; leave it out here",
            )


class CalculatorJobs(Section):
    """How the jobs of a labeller that works through ASE run; nothing here changes a label."""

    engine: str
    """Which labeller."""
    virials: bool = True
    """Ask the calculator for stress where the frame is periodic."""
    threads: Count = 1
    """Cores that one labelling job uses."""
    timeout_s: Positive = 86400.0
    """Time limit of one label (seconds)."""
    memory_limit_GB: Positive | None = None
    """Memory that one labelling job may take, the programs that it starts included (GB, 10^9 bytes,
    resident); a frame that goes beyond it has failed with the cause "out of memory". By default no limit."""
    frames_per_job: Count = 8
    """Frames that one job labels, one after the other."""
    run_parameters: dict[str, Any] = {}
    """Keyword arguments of the calculator that do not change the physics (commands, directories, parallelism,
    mixing of densities); not part of a label's identity."""
    retry_parameters: list[dict[str, Any]] = []
    """What later attempts at a failed label change, as keyword arguments like `run_parameters`: the first
    entry holds for the second attempt, the last one for all that follow. By default nothing changes."""


class ASECalculator(CalculatorJobs):
    """Any ASE calculator, named by its import path."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("parameters", "run_parameters"), _given_once),
        Rule(("parameters", "retry_parameters"), _retries_keep_physics),
    )

    engine: Literal["ase"]
    """An ASE calculator."""
    calculator: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*[.:][A-Za-z_]\w*$")]
    """Import path of the calculator's class or factory, such as `ase.calculators.emt.EMT`."""
    parameters: dict[str, Any] = {}
    """Keyword arguments of the calculator that change its physics; part of each label's identity."""
    charge_parameter: str | None = None
    """Keyword argument by which the calculator takes a frame's total charge (elementary charges), such as
    `charge`; without it charged frames are refused."""
    multiplicity_parameter: str | None = None
    """Keyword argument by which the calculator takes a frame's spin multiplicity, such as `multiplicity`;
    without it frames with a given multiplicity are refused."""
    magnetic_moments_muB: dict[str, float] = {}
    """Initial magnetic moment of each atom of an element (Bohr magnetons), handed to the calculator with the
    frame; part of each label's identity. By default none are set."""
    version: str | None = None
    """Version of the code, setups or model behind the calculator; part of each label's identity."""
