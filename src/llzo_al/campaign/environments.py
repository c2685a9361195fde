"""Description of a campaign's environments: what it was trained on, and what MD visited."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llzo_al.campaign.campaign import Campaign
from llzo_al.coverage.deepmd import DeepmdDescriber
from llzo_al.coverage.descriptors import Describer, SoapDescriber, environments_of, stored_environments
from llzo_al.coverage.environments import EnvironmentSet
from llzo_al.dataset.frames import Frame
from llzo_al.progress import ProgressFile

IN_MEMORY = 1_000_000
"""Environments up to which a set is described in memory (1.7 GB with the default descriptor)."""
BATCH = 200
"""Frames that are described at once where the set is written to disk."""


def describer(campaign: Campaign, model: Callable[[], Path]) -> Describer:
    """What describes environments: SOAP, or a model, which is looked for only where it is needed."""
    settings, elements = campaign.config.coverage.descriptor, campaign.config.elements
    return (
        DeepmdDescriber(model(), elements) if settings.kind == "deepmd" else SoapDescriber(settings, elements)
    )


def describe(
    frames: Sequence[Frame],
    described_by: Describer,
    folder: Path,
    *,
    cache: Path | None = None,
    progress: ProgressFile | None = None,
) -> EnvironmentSet:
    """Environments of some frames: in memory, or in `folder` where they would not fit.

    Parameters
    ----------
    frames
        What to describe.
    described_by
        Makes the descriptors.
    folder
        For the descriptors of a large set; for those of a small one, of which an interrupted stage made some.
    cache
        File that keeps the descriptors of a small set for later.
    progress
        Told of the frames that are described.
    """
    if sum(frame.n_atoms for frame in frames) <= IN_MEMORY:
        folder.mkdir(parents=True, exist_ok=True)
        kept = cache or folder / "descriptors.npz"
        return environments_of(frames, described_by, cache=kept, progress=progress)
    told = None if progress is None else progress.update
    return stored_environments(_batched(frames), described_by, folder, told=told)


def _batched(frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
    for start in range(0, len(frames), BATCH):
        yield frames[start : start + BATCH]


def describe_training(
    campaign: Campaign,
    identities: Sequence[str],
    described_by: Describer,
    work: Path,
    *,
    progress: ProgressFile | None = None,
) -> EnvironmentSet:
    """Environments of the frames with these identities, computed once per frame and campaign.

    Those of a large set are computed each time, in `work`.
    """
    frames = [
        record.frame for record in campaign.store.records(identities=identities, physics=campaign.physics)
    ]
    cache = campaign.directory.labels.parent / "descriptors.npz"
    return describe(frames, described_by, work / "training", cache=cache, progress=progress)
