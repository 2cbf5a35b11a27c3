"""The content of an ONNX file, read without its weights: they stay where they are until somebody compares them.

Only the fields of `ModelProto` and `GraphProto` are walked by hand, to set the initializers aside; everything else is
parsed by protobuf itself. Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from kir.errors import FormatError
from kir.exporters.onnx_file.emitter import Array
from kir.ir.packing import is_narrow, packed, stored_bytes, unpacked
from kir.support.mapped_files import map_array, map_file
from kir.support.onnx_files import locate, parse_model
from kir.support.protobuf import DELIMITED, BrokenMessageError, Field, field_head, field_number, walk_fields
from kir.support.regular_files import open_regular

# Of a larger initializer only what stands beside its raw data is parsed.
MAX_PARSED_BYTES = 1 << 16

_GRAPH = field_number(ModelProto, "graph")
_INITIALIZER = field_number(GraphProto, "initializer")
_RAW_DATA = field_number(TensorProto, "raw_data")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file: `head` says everything but its elements, if these lie in `raw` or in a file in `folder`."""

    head: TensorProto
    raw: memoryview | None = None
    folder: Path | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.head.dims)

    @property
    def is_outside(self) -> bool:
        """Whether the elements are not in `head`."""
        return self.raw is not None or self.head.data_location == TensorProto.EXTERNAL

    def elements(self) -> memoryview:
        """Return the bytes of the elements, little-endian and in row-major order: views of the file where it is large.

        Raises:
            FormatError: they cannot be read; or the tensor has strings, which are in `head`.
        """
        what = f"the tensor {self.head.name!r}"
        if self.head.data_location == TensorProto.EXTERNAL:
            return self._external_elements(what)
        if self.raw is not None:
            return self.raw
        if self.head.HasField("raw_data"):
            return memoryview(self.head.raw_data)
        try:
            array: Array = numpy_helper.to_array(self.head)
        except (ValueError, TypeError, OverflowError, DecodeError) as error:
            raise FormatError(f"the data of {what} cannot be read: {error}") from None
        array = packed(array)
        return memoryview(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())

    def array(self) -> Array:
        """Return the elements as an array; for small tensors.

        Raises:
            FormatError: they cannot be read.
            ValueError, KeyError: they are no array of the type and the shape that the tensor states.
        """
        dtype = helper.tensor_dtype_to_np_dtype(self.head.data_type)
        if is_narrow(dtype):
            return unpacked(np.frombuffer(self.elements(), np.uint8), dtype, self.shape)
        return np.frombuffer(self.elements(), dtype.newbyteorder("<")).astype(dtype).reshape(self.shape)

    def _external_elements(self, what: str) -> memoryview:
        if self.folder is None:
            raise FormatError(f"the external data of {what} lies in a file, and the model was not given as one")
        place = locate(self.head.name, {entry.key: entry.value for entry in self.head.external_data}, self.folder)
        length = self.nbytes if place.length is None else place.length
        if length == 0:
            return memoryview(b"")
        return map_array(place.path, "external data", np.dtype(np.uint8), place.offset, (length,)).data

    @property
    def nbytes(self) -> int:
        """How many bytes the elements take; of strings, 8 each."""
        return stored_bytes(helper.tensor_dtype_to_np_dtype(self.head.data_type), math.prod(self.shape))


@dataclass(frozen=True)
class FileContent:
    """A model without the initializers of its graph, and those, in order."""

    model: ModelProto
    initializers: tuple[StoredTensor, ...]


def read_content(model: Path | bytes) -> FileContent:
    """Read a file, or a serialized model. Time and memory: O(nodes and initializers), not their elements.

    Raises:
        FormatError: it cannot be read, or goes past a limit.
    """
    if isinstance(model, bytes):
        return _read(model, "the model", None)
    with open_regular(model, "an ONNX file") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise FormatError(f"{model} is not an ONNX file: it is empty")
        return _read(map_file(file, str(model)).data, str(model), model.parent)


def _read(content: bytes | memoryview, what: str, folder: Path | None) -> FileContent:
    data = memoryview(content)
    around: list[bytes | memoryview] = []
    graph: list[bytes | memoryview] = []
    tensors: list[StoredTensor] = []
    try:
        for field in walk_fields(data, 0, len(data)):
            if not _is(field, _GRAPH):
                around.append(data[field.begin : field.end])
                continue
            for part in walk_fields(data, field.start, field.end):
                if _is(part, _INITIALIZER):
                    tensors.append(_read_tensor(data, part, what, folder))
                else:
                    graph.append(data[part.begin : part.end])
    except BrokenMessageError as error:
        raise FormatError(
            f"{what} is not an ONNX file: the field at byte {error.position} of {len(data)} is cut off or of no known "
            "kind; expected a protobuf message, complete"
        ) from None
    inner = b"".join(graph)
    light = b"".join([*around, field_head(ModelProto, "graph", len(inner)), inner])
    return FileContent(parse_model(light, ModelProto, what), tuple(tensors))


def _is(field: Field, number: int) -> bool:
    return field.number == number and field.kind == DELIMITED


def _read_tensor(data: memoryview, field: Field, what: str, folder: Path | None) -> StoredTensor:
    raw = None
    content = data[field.start : field.end]
    if len(content) > MAX_PARSED_BYTES:
        beside: list[memoryview] = []
        for part in walk_fields(data, field.start, field.end):
            if _is(part, _RAW_DATA):
                raw = data[part.start : part.end]  # of several, the last one counts
            else:
                beside.append(data[part.begin : part.end])
        content = memoryview(b"".join(beside))
    head = TensorProto()
    try:
        head.ParseFromString(bytes(content))
    except DecodeError as error:
        raise FormatError(f"{what} has an initializer that is no tensor: {error}") from None
    return StoredTensor(head, raw, folder)
