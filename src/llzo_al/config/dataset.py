"""How labels enter the data set."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llzo_al.config.base import Positive, Section


class Dataset(Section):
    """How labels enter the data set."""

    label_store: Annotated[str, Field(min_length=1)] | None = None
    """A file that several campaigns share their labels through, relative to the campaign file
    (`../labels.sqlite`): what one of them has labelled with the same settings no other labels again, and what
    one is labelling the others wait for. By default labels are kept in the campaign directory only, where
    those of this campaign are in any case."""
    held_out_share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Share of every source and of every iteration that is never trained on: whole trajectories, chosen
    with the campaign's seed, at least one where a source has two or more."""
    force_cap_eV_per_A: Positive = 50.0
    """Frames with a larger force component norm on any atom stay stored but are not used."""
