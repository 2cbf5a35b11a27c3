"""Memory-mapped files, which somebody else may change or cut short while they are read.

Reading a page that is no longer in its file raises SIGBUS, which ends the process without a word and leaves what it was
about to write. Here the lost pages become zeros instead, and `require_unchanged`, which everything calls before its
results count, says what happened.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kir.errors import FormatError
from kir.support.regular_files import open_regular

Array = np.ndarray[Any, Any]

MAP_FIXED = 0x10  # on Linux, macOS and the BSDs; Python's mmap does not name it
SIGACTION_BYTES = 1024  # at least those of C's struct sigaction: 152 on Linux, 16 on macOS


def map_file(file: BinaryIO, label: str, offset: int = 0, size: int | None = None) -> Array:
    """Map bytes of an open file: an array of bytes that cannot be written to, and outlives the file object.

    Args:
        file: the file.
        label: what messages call it.
        offset: of the first byte.
        size: how many bytes; by default all that come.

    Raises:
        FormatError: the file has fewer bytes.
    """
    available = os.fstat(file.fileno()).st_size
    size = available - offset if size is None else size
    _require_bytes(label, available, offset, size)
    if size == 0:
        return np.zeros(0, np.uint8)
    # Mapping begins on a page, so what lies before is cut off.
    before = offset % mmap.ALLOCATIONGRANULARITY
    return np.frombuffer(map_pages(file, label, offset - before, before + size), np.uint8, offset=before)


def map_pages(file: BinaryIO, label: str, offset: int, size: int) -> mmap.mmap:
    """Map bytes of an open file that has them, from the beginning of a page. Nobody may close the mapping: where it lay
    would still be taken for its own.
    """
    mapped = mmap.mmap(file.fileno(), size, offset=offset, access=mmap.ACCESS_READ)
    _watch(mapped, file, os.fstat(file.fileno()), label)
    return mapped


def map_array(path: Path, expected: str, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]) -> Array:
    """Map an array that lies in a file. All arrays of one file share a mapping: each costs two open files, of which a
    process may have some thousand.

    Raises:
        FormatError: the file cannot be read, or has fewer bytes.
    """
    size = int(np.prod([*shape, dtype.itemsize], dtype=object))
    with open_regular(path, expected) as file:
        status = os.fstat(file.fileno())
        _require_bytes(str(path), status.st_size, offset, size)
        key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        whole = _shared.get(key)
        if whole is None:
            whole = _shared[key] = map_pages(file, str(path), 0, status.st_size)
    array: Array = np.frombuffer(whole, np.uint8, size, offset).view(dtype).reshape(shape)
    return array


def _require_bytes(label: str, available: int, offset: int, size: int) -> None:
    if size < 0 or offset + size > available:
        raise FormatError(f"{label} ends at byte {available}; expected {size} bytes at {offset}: copy it again")


def is_mapped(array: Any) -> bool:
    """Return whether an array is a view of a mapped file."""
    return isinstance(_owner(array), mmap.mmap)


def _owner(array: Any) -> Any:
    """Return what the memory of an array belongs to."""
    owner = array
    while isinstance(owner, memoryview | np.ndarray):
        owner = owner.obj if isinstance(owner, memoryview) else owner.base
    return owner


# Files that change


@dataclass
class _Mapping:
    """A mapping that somebody may still read: where it lies in memory, and the file as it was.

    `is_lost` says that its pages were replaced by zeros.
    """

    address: int
    length: int
    descriptor: int
    status: os.stat_result
    label: str
    is_lost: bool = False

    def has_changed(self) -> bool:
        try:
            now = os.fstat(self.descriptor)
        except OSError:  # as on a network, of a file that was removed there
            return True
        return (now.st_size, now.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns)

    def is_cut(self) -> bool:
        try:
            return os.fstat(self.descriptor).st_size < self.status.st_size
        except OSError:
            return True


# Threads that read a lost page at a time are told one after the other; all but the first find nothing left to replace.
MAX_IN_VAIN = 1000

_mappings: dict[int, _Mapping] = {}
_shared: weakref.WeakValueDictionary[tuple[int, ...], mmap.mmap] = weakref.WeakValueDictionary()
_lost: list[str] = []  # the labels of mappings whose pages had to become zeros, until that is said


def require_unchanged(arrays: Iterable[Array] | None = None) -> None:
    """Check that the files that arrays are mapped from are as they were when they were opened.

    Args:
        arrays: what was computed from; by default, all that is mapped. Pages that were lost count in any case, as
            whatever read them may have kept a copy.

    Raises:
        FormatError: a file was changed, so that what was computed from it means nothing.
    """
    if arrays is None:
        relevant = list(_mappings.values())
    else:
        keys = {id(_owner(array)) for array in arrays}
        relevant = [mapping for key, mapping in _mappings.items() if key in keys]
    changed = [*_lost, *(mapping.label for mapping in relevant if mapping.has_changed())]
    _lost.clear()
    if changed:
        raise FormatError(f"{changed[0]} was changed or cut short while it was read; wait until it is whole, and retry")


def _watch(mapped: mmap.mmap, file: BinaryIO, status: os.stat_result, label: str) -> None:
    address = np.frombuffer(mapped, np.uint8).ctypes.data
    descriptor = os.dup(file.fileno())
    key = id(mapped)
    _mappings[key] = _Mapping(address, len(mapped), descriptor, status, label)
    weakref.finalize(mapped, _forget, key, descriptor).atexit = False
    _survive_lost_pages()


def _forget(key: int, descriptor: int) -> None:
    _mappings.pop(key, None)
    os.close(descriptor)


_handler: Any = None  # what the C library calls; it must stay alive
_in_vain = 0  # how many signals in a row nothing was replaced for


def _survive_lost_pages() -> None:
    """Handle SIGBUS, where there is such a signal, from now on.

    The handler is called in the thread that read, in the middle of a C function, so Python's own `signal` module, which
    waits for that function to return, is of no use. The thread may be one that Python does not know, of a library that
    multiplies matrices: the handler waits for the interpreter's lock, which NumPy lets go of while such threads work.
    Processes that are forked keep the handler until they set their own, as the one of onnxruntime does.
    """
    global _handler
    if _handler is not None or not hasattr(signal, "SIGBUS") or sys.platform == "win32":
        return
    import ctypes

    libc = ctypes.PyDLL(None)  # which keeps the lock, so that no mapping goes while it is replaced
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
    number = int(signal.SIGBUS)
    before = ctypes.create_string_buffer(SIGACTION_BYTES)

    def replace(mapping: _Mapping) -> None:
        libc.mmap(mapping.address, mapping.length, mmap.PROT_READ, anonymous, -1, 0)

    def handle(_: int) -> None:
        if not _may_be_ours(replace):
            libc.sigaction(number, before, None)  # reading again raises it again, for whoever handled it before

    _handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(handle)
    libc.sigaction(number, None, before)
    libc.signal(number, ctypes.cast(_handler, ctypes.c_void_p))


def _may_be_ours(replace: Callable[[_Mapping], None]) -> bool:
    """Put zeros in place of the mappings whose files are shorter than they were; say whether to read once more."""
    global _in_vain
    cut = [(key, mapping) for key, mapping in list(_mappings.items()) if not mapping.is_lost and mapping.is_cut()]
    cut = [(key, mapping) for key, mapping in cut if _mappings.get(key) is mapping]
    for _, mapping in cut:
        mapping.is_lost = True
        _lost.append(mapping.label)
        replace(mapping)
    _in_vain = 0 if cut else _in_vain + 1
    return _in_vain <= MAX_IN_VAIN
