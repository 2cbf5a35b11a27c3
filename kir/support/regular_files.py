"""Opening files that may be anything: only regular ones are read, and none makes kir wait."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kir.errors import FormatError


@contextmanager
def open_regular(path: Path, expected: str) -> Iterator[BinaryIO]:
    """Open a regular file for reading, without a buffer, while the context is open.

    A pipe would be waited for, and a device has no end. Both look like files until they are open, so they are opened
    without waiting, and looked at then.

    Args:
        path: the file.
        expected: what is expected of it, for messages: "an ONNX file".

    Raises:
        FormatError: there is no such file, it is no regular one, or it cannot be read.
    """
    try:
        file = open(path, "rb", 0, opener=_open_without_waiting)  # noqa: SIM115 (errors of opening alone are caught)
    except FileNotFoundError:
        raise FormatError(f"there is no file {path}; expected {expected}") from None
    except IsADirectoryError:
        raise FormatError(f"cannot read {path}: it is a folder; expected {expected}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise FormatError(f"cannot read {path}: {reason}; expected {expected}") from None
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FormatError(f"cannot read {path}: it is a pipe or a device; expected {expected}, as a regular file")
        try:
            yield file
        except OSError as error:
            raise FormatError(f"cannot read {path}: {error.strerror or error}; expected {expected}") from None


def read_regular(path: Path, expected: str, most: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        FormatError: as `open_regular`; or the file has more than `most` bytes, and none of them was read.
    """
    with open_regular(path, expected) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise FormatError(f"{path} has {size} bytes; at most {most} are read; expected {expected}")
        return file.read()


def require_regular(path: Path, expected: str) -> None:
    """Check that a file can be opened as `open_regular` does; for files that a library opens itself.

    Raises:
        FormatError: as `open_regular`.
    """
    with open_regular(path, expected):
        pass


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
