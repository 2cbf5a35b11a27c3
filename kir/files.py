"""Writing files so that a failure leaves what was there untouched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kir.errors import FormatError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends well and is removed otherwise.

    Raises:
        FormatError: the target cannot be written.
    """
    if path.is_dir():
        raise FormatError(f"cannot write {path}: it is a folder; expected the name of a file")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            written = Path(folder) / path.name
            yield written
            os.replace(written, path)
    except OSError as error:
        raise FormatError(f"cannot write {path}: {error.strerror or error}") from error
