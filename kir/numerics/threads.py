"""Threads for runs of the interpreter: of large arrays several at a time, which share the cores and the memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING

from kir.numerics.cost import Cost

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import ThreadpoolController

# Runs share the processor's cores where one of them computes more than this; see `cost`.
THREADED_WORK = 10**8
# What they take together, where there are several.
THREADED_BYTES = 4 << 30


def threads_for(cost: Cost, runs: int) -> int:
    """Return on how many threads to make so many runs: several gain where arrays are large."""
    if cost.work <= THREADED_WORK:
        return 1
    return max(1, min(os.cpu_count() or 1, runs, THREADED_BYTES // cost.bytes))


@contextmanager
def side_by_side(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads, on each of which BLAS works alone.

    What has not begun when an error ends this never does.
    """
    # Only for large models: they take 10 ms to import.
    from concurrent.futures import ThreadPoolExecutor

    with blas_alone():
        # What is set for the time of a verification holds on its threads, too.
        context = copy_context()
        pool = ThreadPoolExecutor(threads, initializer=lambda: [one.set(context[one]) for one in context])
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def blas_alone(is_needed: bool = True) -> Iterator[None]:
    """Let BLAS work on one thread.

    Its own threads would wait for one another while other programs are busy, which has made products thirty times as
    slow, and they do so at full speed.
    """
    if not is_needed:
        yield
        return
    with _pools().limit(limits=1, user_api="blas"):
        yield


def does_without_blas_threads(cost: Cost, runs: int) -> bool:
    """Return whether so many runs gain nothing from threads of BLAS: they are small, or have threads of their own."""
    return cost.work <= THREADED_WORK or threads_for(cost, runs) > 1


@cache
def _pools() -> ThreadpoolController:
    """Return the libraries of this process that have threads; NumPy's is loaded by now."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
