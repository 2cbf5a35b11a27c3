"""HDF5 files of strangers: datasets reached through hard links alone, checked before memory is taken.

Nothing leads out of the file: soft and external links, virtual datasets and external storage are refused. A
contiguous dataset is not read at all: it becomes a view of the memory-mapped file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from kir.errors import FormatError, KirError
from kir.importers.keras_file.attributes import read_texts
from kir.importers.sections import Section
from kir.ir.op import Array
from kir.support.limits import MAX_RATIO, most_unpacked
from kir.support.mapped_files import map_file

if TYPE_CHECKING:
    import h5py

# What HDF5 itself undoes when chunks are read: 1 is deflate, 2 shuffle, 3 a checksum.
KNOWN_FILTERS = (1, 2, 3)

# Floats, integers, booleans, and opaque bytes, which is how bfloat16 lies in HDF5.
KNOWN_KINDS = "fiubV"


class Hdf5File:
    """An HDF5 file in a section of another file. Used inside `open_hdf5`."""

    def __init__(self, section: Section, file: h5py.File) -> None:
        self.section = section
        self.root = file
        self._last_way: list[tuple[str, Any]] = []
        self._mapped: Array | None = None
        self._unpacked_bytes = 0

    def find(self, name: str, start: h5py.Group | None = None) -> Any:
        """Return the group or dataset of a name, reached through hard links alone; None when there is none.

        Raises:
            FormatError: a part of the way is another kind of link.
        """
        import h5py  # start-up time

        # HDF5 takes long to open a group, and names that are asked for one after the other mostly lie in the same ones.
        parts, way = name.split("/"), self._last_way if start is None else []
        pairs = zip(parts, way, strict=False)
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1][0], pairs))
        del way[shared:]
        here = way[-1][1] if way else self.root if start is None else start
        for part in parts[shared:]:
            link = here.get(part, getlink=True) if part not in ("", ".") and isinstance(here, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise FormatError(
                    f"{self.section.label}: {name} is reached through a {type(link).__name__}; links are not followed"
                )
            here = here[part]
            way.append((part, here))
        return here

    def find_dataset(self, name: str, start: h5py.Group | None = None) -> h5py.Dataset | None:
        """Return the dataset of a name; None when there is none.

        Raises:
            FormatError: it keeps its numbers elsewhere, holds no numbers, or is packed in an unknown way.
        """
        import h5py  # start-up time

        found = self.find(name, start)
        if not isinstance(found, h5py.Dataset):
            return None
        if found.external or found.is_virtual:
            raise FormatError(f"{self.section.label}: {name} keeps its numbers in another file; they are not followed")
        if found.shape is None or found.dtype.kind not in KNOWN_KINDS or found.dtype.subdtype or found.dtype.names:
            raise FormatError(f"{self.section.label}: {name} is of type {found.dtype}; expected an array of numbers")
        properties = found.id.get_create_plist()
        unknown = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())} - set(KNOWN_FILTERS)
        if unknown:
            raise FormatError(
                f"{self.section.label}: {name} is packed with the HDF5 filters {sorted(unknown)}; expected gzip or none"
            )
        return found

    def read(self, dataset: h5py.Dataset) -> Array:
        """Return the numbers of a dataset: a view of the mapped file where they lie in one piece.

        Raises:
            FormatError: there are fewer bytes in the file than the shape says, or far fewer once they are unpacked.
        """
        size = int(np.prod([*dataset.shape, dataset.dtype.itemsize], dtype=object))
        if not size:
            return np.empty(dataset.shape, dataset.dtype)
        stored = dataset.id.get_storage_size()
        if dataset.chunks is not None:
            return self._read_chunks(dataset, size, stored)
        if stored != size:
            raise FormatError(
                f"{self.section.label}: {dataset.name} has {size} bytes, of which {stored} are in the file"
            )
        offset = dataset.id.get_offset()
        if offset is None or self.root.userblock_size:
            return np.asarray(dataset[()])
        if offset + size > self.section.size:
            raise FormatError(f"{self.section.label}: {dataset.name} reaches past the end of the file")
        array: Array = self._map()[offset : offset + size].view(dataset.dtype).reshape(dataset.shape)
        return array

    def _read_chunks(self, dataset: h5py.Dataset, size: int, stored: int) -> Array:
        """Unpack chunks into memory; how much of it all of them together take is limited."""
        largest_chunk = int(np.prod([*dataset.chunks, dataset.dtype.itemsize], dtype=object))
        self._unpacked_bytes += max(size, largest_chunk)
        if self._unpacked_bytes > most_unpacked(self.section.size) or stored > self.section.size:
            raise FormatError(
                f"{self.section.label}: {dataset.name} would unpack from {stored} to {size} bytes; at most "
                f"{MAX_RATIO} times the size of the file are read"
            )
        return np.asarray(dataset[()])

    def _map(self) -> Array:
        if self._mapped is None:
            self._mapped = map_file(self.section.file, self.section.label, self.section.offset, self.section.size)
        return self._mapped

    def text(self, owner: h5py.Group, name: str) -> str | None:
        """Return an attribute that holds one text; None when there is none.

        Raises:
            FormatError: it is something else.
        """
        texts = self._texts(owner, name)
        if texts is not None and len(texts) != 1:
            raise FormatError(f"{self.section.label}: the attribute {name} holds no text, as Keras writes it")
        return None if texts is None else texts[0]

    def names(self, owner: h5py.Group, name: str) -> list[str] | None:
        """Return an attribute that is a list of names; long ones are in parts, "weight_names0", "weight_names1", …"""
        found = self._texts(owner, name)
        if found is not None:
            return found
        parts: list[str] = []
        for index in itertools.count():
            part = self._texts(owner, f"{name}{index}")
            if part is None:
                return parts if index else None
            parts += part
        return parts

    def _texts(self, owner: h5py.Group, name: str) -> list[str] | None:
        import h5py  # start-up time

        if self.root.userblock_size:
            raise FormatError(f"{self.section.label} begins with a user block, which Keras does not write")
        try:
            return read_texts(self.section.open(), h5py.h5o.get_info(owner.id).addr, name)
        except FormatError as error:
            raise FormatError(f"{self.section.label}: {error}") from None


@contextmanager
def open_hdf5(section: Section) -> Iterator[Hdf5File]:
    """Open HDF5 in a section of a file.

    Raises:
        FormatError: it is no HDF5 file, or is damaged wherever it is read while the context is open.
    """
    import h5py  # start-up time

    try:
        with h5py.File(section.open(), "r") as file:
            yield Hdf5File(section, file)
    except KirError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError, EOFError) as error:
        raise FormatError(f"cannot read {section.label}: {error}; expected an HDF5 file that Keras wrote") from None
