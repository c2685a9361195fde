"""Blocks cut from a large cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Finding, Positive, Repeats, Rule, smaller
from llzo_al.config.initial_data.amorphous import Melt
from llzo_al.config.initial_data.models import ModelCopies


def _one_parent(structure: str | None, melt: Any) -> Iterable[Finding]:
    if (structure is None) == (melt is None):
        given = "both are given" if structure is not None else "neither is given"
        yield (
            ("structure",),
            f"{given}: the large cell is either a structure (a name or a file) or a random `melt`",
        )


class Blocks(ModelCopies):
    """Blocks cut from a large periodic cell and put into an empty box, as clusters with free surfaces."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("structure", "melt"), _one_parent),
        smaller("vacuum_min_A", "box_length_A"),
        *ModelCopies.rules,
    )

    kind: Literal["blocks"]
    """Pieces of a large cell in an empty box."""
    structure: str | None = None
    """The large cell: a file that ASE reads, such as the last frame of a melt's trajectory, or a built-in
    crystal, relative to the campaign file."""
    frame: int = -1
    """Which structure of a file with several; -1 is the last one, 0 the first."""
    parent_supercell: Repeats = [1, 1, 1]
    """Repetitions of `structure` that make the large cell."""
    melt: Melt | None = None
    """Instead of `structure`: a random box as from the source `amorphous`."""
    divisions: Repeats = [4, 4, 4]
    """Blocks along the three lattice vectors of the large cell (4 x 4 x 4 of a melt of 5184 atoms: 64 blocks
    of about 81 atoms)."""
    box_length_A: Positive = 40.0
    """Edge of the cubic box that each block is put into (angstrom)."""
    vacuum_min_A: Positive = 10.0
    """Least distance along each axis between a block and its image (angstrom); a box that is too small for it
    is refused."""
    max_blocks: Count | None = None
    """Blocks that are kept, a random choice; by default all."""
    min_atoms: Annotated[int, Field(ge=1)] = 2
    """Blocks with fewer atoms are left out."""
