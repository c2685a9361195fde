"""Which frames are held out: whole groups, a share of every source, fixed by a seed before labelling."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Literal

from llzo_al.dataset.frames import Frame
from llzo_al.errors import StageError

_Stratum = tuple[int, str, str]


def assign_held_out(groups: Sequence[str], *, share: float, seed: int) -> frozenset[str]:
    """Groups that are never trained on.

    The different groups are ranked by the SHA-256 of seed and name, so that the choice depends neither on
    their order nor on a random generator's version.

    Parameters
    ----------
    groups
        Names of the groups (trajectories, or single structures); a repeated name counts once.
    share
        Share to hold out, rounded up to whole groups, 0 to 1.
    seed
        The campaign's seed.

    Returns
    -------
    frozenset of str
        With two groups or more and a share above 0: at least one, and never all of them.
    """
    if not 0 <= share <= 1:
        raise StageError(f"share of held-out frames: got {share}, expected 0 to 1")
    different = set(groups)
    if len(different) < 2 or share == 0:
        return frozenset()
    wanted = math.ceil(share * len(different) - 1e-9)
    ranked = sorted(different, key=lambda name: (_rank(seed, name), name))
    return frozenset(ranked[: min(max(wanted, 1), len(different) - 1)])


def split_frames(
    frames: Iterable[Frame], *, share: float, seed: int
) -> dict[str, Literal["training", "held-out"]]:
    """Split of each group of initial or explored frames.

    The share is taken from each iteration, source and kind of structure. Where no kind of a source has two
    groups but the source has, it is taken from the source as a whole, so that no source of two groups or more
    goes without held-out frames.

    Parameters
    ----------
    frames
        Frames, read once; those of one `Provenance.group` share their split.
    share, seed
        As for `assign_held_out`.

    Returns
    -------
    dict
        "training" or "held-out" of each group, in the order of first appearance.

    Raises
    ------
    StageError
        If one group has frames of two sources, kinds or iterations.
    """
    strata = _strata(frames)
    held_out: set[str] = set()
    for iteration, source in dict.fromkeys((iteration, source) for iteration, source, _ in strata.values()):
        kinds: dict[str, list[str]] = {}
        for group, (of_iteration, of_source, kind) in strata.items():
            if (of_iteration, of_source) == (iteration, source):
                kinds.setdefault(kind, []).append(group)
        chosen = _union(assign_held_out(groups, share=share, seed=seed) for groups in kinds.values())
        held_out |= chosen or assign_held_out(
            [group for groups in kinds.values() for group in groups], share=share, seed=seed
        )
    return {group: "held-out" if group in held_out else "training" for group in strata}


def _strata(frames: Iterable[Frame]) -> dict[str, _Stratum]:
    strata: dict[str, _Stratum] = {}
    for frame in frames:
        origin = frame.provenance
        stratum = (origin.iteration, origin.source, origin.kind)
        known = strata.setdefault(origin.group, stratum)
        if known != stratum:
            raise StageError(
                f"the group {origin.group!r} has frames of {known} and of {stratum} (iteration, source, "
                "kind), expected one of each; give the groups names of their own"
            )
    return strata


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _union(sets: Iterable[frozenset[str]]) -> set[str]:
    return {name for part in sets for name in part}
