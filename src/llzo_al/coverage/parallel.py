"""Elements measured at once, in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from threadpoolctl import threadpool_limits

from llzo_al.errors import StageError
from llzo_al.process import die_with_parent, usable_cores

Result = TypeVar("Result")


def run_jobs(
    jobs: Sequence[Callable[[], Result]],
    sizes: Sequence[int],
    processes: int,
    *,
    begins: Callable[[int], None] | None = None,
) -> list[Result]:
    """Results of the jobs, in their order.

    Parameters
    ----------
    jobs
        Functions without arguments; with more than one process they have to be picklable.
    sizes
        How much work each is: the largest are started first.
    processes
        Largest number of processes; with one, or one job, all is done in this one.
    begins
        Called with the number of each job before it begins, where they are done one after the other.

    Raises
    ------
    StageError
        If a process was killed, by the system for want of memory most likely.
    """
    workers = min(processes, len(jobs))
    if workers < 2:
        results = []
        for number, job in enumerate(jobs):
            if begins is not None:
                begins(number)
            results.append(job())
        return results
    order = sorted(range(len(jobs)), key=lambda number: -sizes[number])
    context = multiprocessing.get_context("spawn")  # a forked process would share the locks of threads
    threads = max(usable_cores() // workers, 1)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(os.getpid(), threads)
    ) as pool:
        futures = {number: pool.submit(jobs[number]) for number in order}
        try:
            return [futures[number].result() for number in range(len(jobs))]
        except BrokenProcessPool as error:
            raise StageError(
                f"a process that measures coverage was killed; {workers} at once may need more memory than "
                "there is: use fewer"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(parent: int, threads: int) -> None:
    die_with_parent(parent)
    threadpool_limits(limits=threads)
