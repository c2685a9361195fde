"""What LAMMPS computes forces with, as data: pair commands and what they need around them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llzo_al.errors import UserError

_PLAIN = re.compile(r"[A-Za-z0-9_./+,:=@%-]+")


@dataclass(frozen=True, kw_only=True)
class LammpsPotential:
    """A potential for LAMMPS (units metal), with atom types 1 to n in the order of the run's elements.

    Attributes
    ----------
    commands
        The `pair_style` and `pair_coeff` lines, without variables.
    charges_e
        Charge of each element (elementary charges); None without charges (then `atom_style atomic`).
    models
        Absolute paths of the model files; with several, the first one drives the run and the others only
        say how far the committee disagrees.
    needs_deepmd
        Whether the pair style comes from DeePMD-kit's plugin.
    deviation_file
        File, relative to the run's directory, to which the pair style writes the committee's deviation;
        None without a committee.
    deviation_interval_steps
        Steps between lines of `deviation_file`; 0 without a committee.
    """

    commands: tuple[str, ...]
    charges_e: tuple[float, ...] | None = None
    models: tuple[str, ...] = ()
    needs_deepmd: bool = False
    deviation_file: str | None = None
    deviation_interval_steps: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LammpsPotential:
        """Potential from what `as_dict` gave."""
        charges = data["charges_e"]
        return cls(
            commands=tuple(data["commands"]),
            charges_e=None if charges is None else tuple(charges),
            models=tuple(data["models"]),
            needs_deepmd=data["needs_deepmd"],
            deviation_file=data["deviation_file"],
            deviation_interval_steps=data["deviation_interval_steps"],
        )


def deepmd_potential(
    models: Sequence[Path],
    elements: Sequence[str],
    *,
    deviation_interval_steps: int,
    deviation_file: str = "model_devi.out",
) -> LammpsPotential:
    """DeePMD-kit models as a LAMMPS potential.

    The first model drives the run. With two or more models LAMMPS evaluates all of them at every
    `deviation_interval_steps`-th step and writes the standard deviation of the forces over the committee:
    its maximum, minimum and mean over the atoms, in absolute terms.

    Parameters
    ----------
    models
        Frozen (and compressed) model files.
    elements
        Elements in the order of the run's atom types.
    deviation_interval_steps
        Steps between evaluations of the whole committee; must divide the run's frame interval.
    deviation_file
        Where the deviations go, relative to the run's directory.

    Raises
    ------
    UserError
        If a model file is missing.
    ValueError
        If there is no model, or the interval is not positive.
    """
    if not models:
        raise ValueError("a DeePMD potential needs at least one model file")
    if deviation_interval_steps < 1:
        raise ValueError(f"deviation_interval_steps is {deviation_interval_steps}, expected at least 1")
    files = tuple(str(Path(model).resolve()) for model in models)
    for file in files:
        if not Path(file).is_file():
            raise UserError(f"{file}: the model file is missing; train (or freeze) the model first")
    style = "pair_style deepmd " + " ".join(quoted(file) for file in files)
    committee = len(files) > 1
    if committee:
        style += f" out_freq {deviation_interval_steps} out_file {quoted(deviation_file)}"
    return LammpsPotential(
        commands=(style, "pair_coeff * * " + " ".join(elements)),
        models=files,
        needs_deepmd=True,
        deviation_file=deviation_file if committee else None,
        deviation_interval_steps=deviation_interval_steps if committee else 0,
    )


def quoted(word: str) -> str:
    """`word` as one word of a LAMMPS command, taken literally.

    Raises
    ------
    UserError
        If LAMMPS has no way to write it (a quote or a line break inside).
    """
    if _PLAIN.fullmatch(word):
        return word
    if "'" in word or not word.isprintable():
        raise UserError(f"{word!r}: LAMMPS cannot read a path with a quote or line break; rename the folder")
    return f"'{word}'"
