"""Python's garbage collector, which searches everything that is new: in vain while a graph of many nodes is built."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch the collector off for a block, or as a decorator for a function: it takes up to half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # What is new counts as old from here on; else the next allocation would have all of it searched after all.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
