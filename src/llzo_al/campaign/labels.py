"""Labelling of whatever waits for a label: jobs, attempts, and labels shared with other campaigns."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.label_log import LabelJobLog
from llzo_al.campaign.quarantine import quarantine, release
from llzo_al.config.places import label_store_path
from llzo_al.dataset.claims import Claims
from llzo_al.dataset.frames import Frame, Label, LabelFailure
from llzo_al.dataset.shared import SharedLabels
from llzo_al.errors import EngineError, LlzoAlError
from llzo_al.files import fingerprint
from llzo_al.labelling.sanity import disbelief, refusal
from llzo_al.progress import ProgressFile

WAIT_S = 2.0
"""How often a job looks whether another campaign has labelled the frame that both want."""

_log = logging.getLogger(__name__)


def shared_labels(campaign: Campaign) -> SharedLabels | None:
    """The label store that the campaign shares with others, if its file names one."""
    given = campaign.config.dataset.label_store
    if given is None:
        return None
    limit = campaign.config.failures.max_force_eV_per_A
    return SharedLabels(
        label_store_path(given, campaign.base),
        campaign.physics,
        believed=lambda label: disbelief(label, max_force_eV_per_A=limit) is None,
    )


def label_jobs(campaign: Campaign, identities: Sequence[str] | None = None) -> list[list[str]]:
    """Frames that wait for a label, cut into the jobs that the labeller wants.

    Labels that another campaign has made are taken over first. Frames of one composition share jobs where
    possible, and which frames share a job depends on nothing but the frames.
    """
    shared = shared_labels(campaign)
    if shared is not None:
        shared.exchange(campaign.store, identities)
    waiting = campaign.store.pending(identities, physics=campaign.physics)
    return _cut(waiting, campaign.labeller.frames_per_job)


def _cut(waiting: Sequence[tuple[str, Frame]], size: int) -> list[list[str]]:
    """Jobs of at most `size` frames: full ones of one composition each, then what is left of each."""
    ordered = sorted((_composition(frame), identity) for identity, frame in waiting)
    full: list[list[str]] = []
    rest: list[list[str]] = []
    for _, members in groupby(ordered, key=lambda item: item[0]):
        of_one = [identity for _, identity in members]
        whole = len(of_one) - len(of_one) % size
        full += [of_one[start : start + size] for start in range(0, whole, size)]
        left = of_one[whole:]
        place = next((job for job in rest if len(job) + len(left) <= size), None)
        if place is not None:
            place += left
        elif left:
            rest.append(left)
    return full + rest


def _composition(frame: Frame) -> tuple[tuple[str, int], ...]:
    return tuple((symbol, frame.symbols.count(symbol)) for symbol in sorted(set(frame.symbols)))


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Frames that one call of the labeller works on.

    Attributes
    ----------
    frames
        Identity and frame.
    earlier
        Failed attempts at each that count.
    numbers
        Number of the attempt at each, those that do not count included.
    """

    frames: Sequence[tuple[str, Frame]]
    earlier: int
    numbers: Mapping[str, int]

    @property
    def attempt(self) -> int:
        """Which attempt the labeller is told."""
        return self.earlier + 1

    @property
    def iteration(self) -> int:
        """Iteration that asked for the labels."""
        return max(frame.provenance.iteration for _, frame in self.frames)


def label_frames(campaign: Campaign, identities: Sequence[str]) -> dict[str, int]:
    """Label frames, storing each result as soon as it is there.

    Frames that have a label or have failed for good are passed over, so a repeated job costs nothing. One
    that fails is tried again, in a job of its own, as often as `failures.attempts` of the campaign file says.
    Where campaigns share their labels, what another one is labelling is waited for instead of labelled.

    Returns
    -------
    dict
        Numbers of frames ``labelled`` and ``failed`` by this call, and of labels ``shared`` by other
        campaigns.

    Raises
    ------
    EngineError
        If the labeller does not work at all.
    """
    shared = shared_labels(campaign)
    claims = None if shared is None else shared.claims()
    done = {"labelled": 0, "failed": 0, "shared": 0}
    told = False
    try:
        while True:
            if shared is not None:
                done["shared"] += shared.adopt(campaign.store, identities)
            waiting = campaign.store.pending(identities, physics=campaign.physics)
            waiting = _accepted(campaign, waiting, shared, done)
            if not waiting:
                return done
            ours = waiting
            if claims is not None:
                taken = claims.take([identity for identity, _ in waiting])
                ours = [pair for pair in waiting if pair[0] in taken]
            if ours:
                _run_job(campaign, _next_batch(campaign, ours), shared, claims, done)
            else:
                told = told or _say_waiting(campaign, len(waiting))
                time.sleep(WAIT_S)
            if claims is not None:
                claims.release()
    finally:
        if claims is not None:
            claims.release()


def _accepted(
    campaign: Campaign,
    waiting: Sequence[tuple[str, Frame]],
    shared: SharedLabels | None,
    done: dict[str, int],
) -> list[tuple[str, Frame]]:
    """Those that a labeller is asked for; the others have failed without it."""
    settings = campaign.config.failures
    known = {} if shared is None else shared.find([identity for identity, _ in waiting])
    accepted = []
    for identity, frame in waiting:
        refused = refusal(
            frame,
            min_distance_fraction=settings.min_distance_fraction,
            min_distances_A=settings.min_distances_A,
        )
        if refused is None and identity in known and (label := known[identity].label) is not None:
            # Another campaign has it and this one does not believe it: computing it again tells nothing.
            refused = disbelief(label, max_force_eV_per_A=settings.max_force_eV_per_A)
        if refused is None:
            accepted.append((identity, frame))
            continue
        number = len(campaign.store.attempts([identity]).get(identity, ())) + 1
        stored = quarantine(campaign, identity, frame, refused, number=number)
        done["failed"] += campaign.store.add_failure(identity, stored)
    return accepted


def _say_waiting(campaign: Campaign, number: int) -> bool:
    campaign.say(f"waits for {number} label(s) that another campaign with the same label store is making")
    return True


def _next_batch(campaign: Campaign, waiting: Sequence[tuple[str, Frame]]) -> _Batch:
    """Those with the fewest attempts behind them."""
    known = campaign.store.attempts([identity for identity, _ in waiting])
    counted = {
        identity: sum(attempt.counted for attempt in known.get(identity, ())) for identity, _ in waiting
    }
    fewest = min(counted.values())
    frames = [pair for pair in waiting if counted[pair[0]] == fewest]
    numbers = {identity: len(known.get(identity, ())) + 1 for identity, _ in frames}
    return _Batch(frames=frames, earlier=fewest, numbers=numbers)


def _run_job(
    campaign: Campaign,
    batch: _Batch,
    shared: SharedLabels | None,
    claims: Claims | None,
    done: dict[str, int],
) -> None:
    """Give one batch to the labeller and store what it gives."""
    job = fingerprint([batch.attempt, *(identity for identity, _ in batch.frames)])[:12]
    directory = campaign.directory.label_jobs / job
    directory.mkdir(parents=True, exist_ok=True)
    name = campaign.labeller.name
    again = f" (attempt {batch.attempt})" if batch.earlier else ""
    progress = ProgressFile(
        campaign.progress_file(f"job-{job}"),
        task=f"label with {name}{again}",
        total=len(batch.frames),
        unit="labels",
    )
    about = {"job": job, "iteration": batch.iteration, "attempt": batch.attempt}
    failed = 0
    try:
        with LabelJobLog(campaign.directory, directory, about, beat=_renewal(claims)) as log:
            for number, (index, result) in enumerate(_results(campaign, batch, directory), start=1):
                identity, frame = batch.frames[index]
                if isinstance(result, Label):
                    campaign.store.add_label(identity, result, frame=frame)
                    if shared is not None:
                        shared.deposit([(frame, result)])
                    release(campaign, identity)
                    log.labelled(result.wall_s)
                    done["labelled"] += 1
                else:
                    final = _store_failure(campaign, batch, index, result, directory)
                    log.failed(result.cause)
                    done["failed"] += final
                    failed += 1
                progress.update(number, f"{failed} failed" if failed else "")
    finally:
        progress.close()
    shutil.rmtree(directory, ignore_errors=True)


def _store_failure(
    campaign: Campaign, batch: _Batch, index: int, failure: LabelFailure, directory: Path
) -> bool:
    """Quarantine a failed attempt; returns whether it was the last."""
    identity, frame = batch.frames[index]
    number = batch.numbers[identity]
    stored = quarantine(campaign, identity, frame, failure, number=number, job=directory, index=index)
    final = batch.attempt >= campaign.config.failures.attempts.allowed(failure.cause)
    campaign.store.add_failure(identity, stored, final=final)
    return final


def _results(
    campaign: Campaign, batch: _Batch, directory: Path
) -> Iterator[tuple[int, Label | LabelFailure]]:
    """What the labeller gives, by the frame's place in the batch; what is not believed is a failure."""
    limit = campaign.config.failures.max_force_eV_per_A
    frames = [frame for _, frame in batch.frames]
    missing = set(range(len(frames)))
    for index, result in campaign.labeller.label(frames, directory, attempt=batch.attempt):
        missing.discard(index)
        wrong = disbelief(result, max_force_eV_per_A=limit) if isinstance(result, Label) else None
        yield index, wrong or result
    if missing:
        raise EngineError(
            f"{campaign.labeller.name} ended without a result for {len(missing)} of {len(frames)} frames; "
            f"see {directory}"
        )


def _renewal(claims: Claims | None) -> Callable[[], None]:
    """Renews claims in time when it is called often."""
    if claims is None:
        return lambda: None
    last = time.monotonic()

    def renew() -> None:
        nonlocal last
        if time.monotonic() - last < claims.lease_s / 4:
            return
        try:
            claims.renew()
            last = time.monotonic()
        except LlzoAlError as error:  # the label itself is worth more than the claim on it
            _log.warning("%s", error)

    return renew
