"""What a model script may change in its process, and how that is put back when the script has run."""

from __future__ import annotations

import codecs
import contextlib
import io
import locale
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import numpy as np

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class OutputOfScript(io.RawIOBase):
    """The bottom of a script's standard output and error: text for `stream`, which a script cannot close.

    Scripts close `sys.stdout`, or put another wrapper around `sys.stdout.buffer` that closes it when it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: ReadableBuffer) -> int:
        self._stream.write(self._decoder.decode(bytes(data)))
        self._stream.flush()
        return memoryview(data).nbytes

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


@contextlib.contextmanager
def as_program(*arguments: str) -> Iterator[None]:
    """Let `sys.argv` hold these arguments, and standard output be standard error, for it carries results, while open.

    Afterwards what a script may have changed is as it was before: the folder, `sys.argv`, the standard streams, the
    environment, the filters of warnings, NumPy's treatment of floating-point errors and way of printing, the handlers
    of signals, the locale, and the limit of recursion. `os._exit` ends kir with the script.
    """
    with (
        # Restores the folder, which it does not change.
        contextlib.chdir(os.curdir),
        _environment_restored(),
        _streams_restored(),
        _signal_handlers_restored(),
        _interpreter_restored(),
        warnings.catch_warnings(),
        np.errstate(),
        np.printoptions(),
    ):
        sys.argv = list(arguments)
        yield


@contextlib.contextmanager
def _environment_restored() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def _streams_restored() -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    bottoms = [io.BufferedWriter(OutputOfScript(sys.stderr)) for _ in range(2)]
    own = [io.TextIOWrapper(bottom, "utf-8", "backslashreplace", line_buffering=True) for bottom in bottoms]
    sys.stdout, sys.stderr = own
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        for stream in own:
            # The script may have closed it, or taken its buffer.
            with contextlib.suppress(ValueError):
                stream.flush()


@contextlib.contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    """Put handlers back. Only the main thread can; and handlers that Python does not know, it cannot set again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextlib.contextmanager
def _interpreter_restored() -> Iterator[None]:
    argv, limit, language = sys.argv, sys.getrecursionlimit(), locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        sys.argv = argv
        sys.setrecursionlimit(limit)
        locale.setlocale(locale.LC_ALL, language)
