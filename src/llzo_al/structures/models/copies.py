"""Frames of a finished structure model and of its deformed copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ase import Atoms

from llzo_al.config.initial_data.models import ModelCopies
from llzo_al.dataset.frames import Frame, Provenance
from llzo_al.structures.deform import deformed


def model_frames(
    atoms: Atoms,
    source: ModelCopies,
    *,
    name: str,
    structure_kind: str,
    details: Mapping[str, Any],
    seed: int,
) -> Iterator[Frame]:
    """The model as the keys of `ModelCopies` ask for it, one frame at a time.

    Copies of one model differ by small displacements and strains only: they are one group, so that a model is
    held out as a whole or not at all.

    Parameters
    ----------
    atoms
        The model.
    source
        The campaign file's section.
    name
        Name of the model, different for each model of a source.
    structure_kind
        Kind of structure for the reports.
    details
        What is known of the model, for the provenance.
    seed
        The campaign's seed.
    """
    for index, (copy, _, what) in enumerate(deformed(atoms, source, name=name, seed=seed)):
        provenance = Provenance(
            source=source.kind,
            kind=structure_kind,
            group=f"{source.kind}/{name}",
            frame=index,
            details={**details, **what},
        )
        yield Frame.from_atoms(copy, provenance)
