"""The data set that one training sees: exported once, then fixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.failures import require_labels
from llzo_al.campaign.initial import initial_key, require_initial_data
from llzo_al.dataset.export import write_deepmd, write_extxyz
from llzo_al.dataset.records import Record, Split, usable
from llzo_al.errors import StageError
from llzo_al.files import fingerprint, finished, run_stage

MD_SOURCES = frozenset({"reference_md", "trajectories", "exploration"})


@dataclass(frozen=True, kw_only=True)
class ExportedDataset:
    """Training and held-out frames as DeePMD-kit reads them.

    Attributes
    ----------
    token
        Hash of what is in it.
    training_systems
        System directories, one for each composition, absolute.
    test_systems
        Held-out system directories for each test set, absolute.
    training
        Identities of the training frames.
    counts
        Frames in training, held out, and left out by the force cap.
    """

    token: str
    training_systems: tuple[Path, ...]
    test_systems: Mapping[str, tuple[Path, ...]]
    training: tuple[str, ...]
    counts: Mapping[str, int]


def test_set_name(record: Record) -> str:
    """Test set that a held-out frame belongs to: its source and kind of structure."""
    if record.frame.provenance.source == "dimers":
        return "dimers"
    return f"{record.frame.provenance.source}: {record.frame.provenance.kind}"


def is_md(test_set: str) -> bool:
    """Whether a test set comes from molecular dynamics, which is what stopping looks at."""
    return test_set.split(":")[0] in MD_SOURCES


def export_dataset(campaign: Campaign, directory: Path, *, before_iteration: int | None) -> ExportedDataset:
    """Write what is known so far as DeePMD-kit systems and extended XYZ.

    Parameters
    ----------
    campaign
        The campaign.
    directory
        Where the stage lives.
    before_iteration
        Only frames of earlier iterations (initial data are -1); None for all.

    Raises
    ------
    StageError
        If there is no usable training frame.
    """
    outputs = run_stage(
        directory,
        stage="dataset",
        key=_key(campaign, before_iteration),
        compute=lambda work: _write(campaign, work, before_iteration),
    )
    return _exported(directory, outputs)


def _write(campaign: Campaign, work: Path, before_iteration: int | None) -> dict[str, Any]:
    config = campaign.config
    require_initial_data(campaign)
    initial = _initial_records(campaign)
    require_labels(campaign, initial, "the initial data")
    cap = config.dataset.force_cap_eV_per_A
    training, excluded = usable(_known(campaign, "training", before_iteration), cap)
    held_out, held_out_excluded = usable(_known(campaign, "held-out", before_iteration), cap)
    if not training:
        raise StageError(_no_training_frame(campaign, len(excluded)))
    virials = config.training.trains_virials
    training_systems = write_deepmd(training, work / "training", elements=config.elements, virials=virials)
    test_systems = {
        name: _relative(
            write_deepmd(
                members, work / "held-out" / f"{number:02d}", elements=config.elements, virials=virials
            ),
            work,
        )
        for number, (name, members) in enumerate(sorted(_test_sets(held_out).items()))
    }
    write_extxyz(training, work / "training.extxyz")
    if held_out:
        write_extxyz(held_out, work / "held-out.extxyz")
    if before_iteration == 0:
        _say_failed(campaign, initial)
    return {
        "training": [record.identity for record in training],
        "held_out": [record.identity for record in held_out],
        "training_systems": _relative(training_systems, work),
        "test_systems": test_systems,
        "counts": {
            "training": len(training),
            "held_out": len(held_out),
            "excluded": len(excluded) + len(held_out_excluded),
        },
    }


def _say_failed(campaign: Campaign, records: Sequence[Record]) -> None:
    """Put into the log what the first data set goes without."""
    causes = Counter(record.failure.cause for record in records if record.failure is not None)
    if causes:
        campaign.say(
            f"{causes.total()} of {len(records)} labels of the initial data failed, and the campaign goes on "
            f"without them: {', '.join(f'{count} {cause}' for cause, count in causes.most_common())} "
            f"(`llzo-al labels {campaign.directory.root}` lists them)"
        )


def _known(campaign: Campaign, split: Split, before_iteration: int | None) -> list[Record]:
    return [
        record
        for record in campaign.store.records(split=split, physics=campaign.physics)
        if before_iteration is None or record.frame.provenance.iteration < before_iteration
    ]


def _test_sets(held_out: Sequence[Record]) -> dict[str, list[Record]]:
    sets: dict[str, list[Record]] = {}
    for record in held_out:
        sets.setdefault(test_set_name(record), []).append(record)
    return sets


def _no_training_frame(campaign: Campaign, n_excluded: int) -> str:
    causes = "; ".join(failed_labels(campaign)) or "no label failed"
    return (
        f"there is no usable training frame: {n_excluded} are beyond dataset.force_cap_eV_per_A, and of the "
        f"labels, {causes}. When the cause is mended, `llzo-al run --retry-failed` labels the failed frames "
        "again"
    )


def exported_dataset(
    campaign: Campaign, directory: Path, *, before_iteration: int | None
) -> ExportedDataset | None:
    """What `export_dataset` wrote with the present settings, or None; nothing is written."""
    outputs = finished(directory, _key(campaign, before_iteration))
    return None if outputs is None else _exported(directory, outputs)


def _key(campaign: Campaign, before_iteration: int | None) -> dict[str, Any]:
    return {
        "before_iteration": before_iteration,
        "initial": fingerprint(initial_key(campaign)),
        "force_cap_eV_per_A": campaign.config.dataset.force_cap_eV_per_A,
        "virials": campaign.config.training.trains_virials,
        **campaign.level_of_theory,
    }


def _exported(directory: Path, outputs: Mapping[str, Any]) -> ExportedDataset:
    return ExportedDataset(
        token=fingerprint([outputs["training"], outputs["held_out"]]),
        training_systems=tuple(directory / name for name in outputs["training_systems"]),
        test_systems={
            name: tuple(directory / system for system in systems)
            for name, systems in outputs["test_systems"].items()
        },
        training=tuple(outputs["training"]),
        counts=outputs["counts"],
    )


def failed_labels(campaign: Campaign, *, most: int = 3) -> list[str]:
    """The commonest reasons of failed labels, each with its count; those of one first line are one."""
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for record in campaign.store.records(labelled=False, physics=campaign.physics):
        if record.failure is not None:
            first = record.failure.reason.partition("\n")[0]
            reasons[first] += 1
            examples.setdefault(first, record.failure.reason)
    lines = [f"{count} failed: {examples[first]}" for first, count in reasons.most_common(most)]
    if len(reasons) > most:
        lines.append(f"{reasons.total() - sum(n for _, n in reasons.most_common(most))} failed otherwise")
    return lines


def _initial_records(campaign: Campaign) -> list[Record]:
    records = campaign.store.records(labelled=None, physics=campaign.physics)
    return [record for record in records if record.frame.provenance.iteration < 0]


def _relative(paths: Sequence[Path], directory: Path) -> list[str]:
    return [str(path.relative_to(directory)) for path in paths]
