"""Stops a program at each of its calls that change files: as if it were killed there, or as if the call failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from kir.errors import KirError

# The functions written in C that change files, wherever they are called from: `os.replace`, `file.write` …
OPENING = {"open", "close", "flock"}
WRITING = {"write", "writelines", "flush", "fsync", "truncate", "ftruncate"}
NAMING = frozenset({"rename", "replace", "unlink", "remove", "link", "symlink", "mkdir", "rmdir"})
DESCRIBING = {"chmod", "fchmod", "chown", "fchown", "utime"}
CHANGING = NAMING | OPENING | WRITING | DESCRIBING
KILLED = 9


# A file is closed even if that fails: what was not written before is what fails.
FAILING = CHANGING - {"close"}


@contextmanager
def stopped_at(number: int, stop: Callable[[], None], functions: frozenset[str] = CHANGING) -> Iterator[None]:
    """While open, `stop` is called instead of the call of this number, counted from 1, of one of the functions."""
    count = 0

    def count_call(frame: FrameType, event: str, function: Any) -> None:
        nonlocal count
        if event == "c_call" and function.__name__ in functions:
            count += 1
            if count == number:
                sys.setprofile(None)
                stop()

    sys.setprofile(count_call)
    try:
        yield
    finally:
        sys.setprofile(None)


def is_killed_at(number: int, program: Callable[[], object], functions: frozenset[str] = CHANGING) -> bool:
    """Run a program in another process, which ends at the call of this number. False: it ran to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with stopped_at(number, lambda: os._exit(KILLED), functions):
                program()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED), f"the program failed before its call {number}"
    return status == KILLED


def fails_at(number: int, error: OSError, program: Callable[[], object]) -> tuple[list[str], KirError | None]:
    """Run a program whose call of this number raises an error.

    Returns:
        The names of the functions that were under way, none if there is no such call; and what the program raised.
    """
    callers: list[str] = []

    def fail() -> None:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            callers.append(frame.f_code.co_name)
            frame = frame.f_back
        raise error

    try:
        with stopped_at(number, fail, FAILING):
            program()
    except KirError as raised:
        return callers, raised
    return callers, None
