"""Reading an ONNX file, which is untrusted: protobuf, initializers, attributes.

Weights in a second file are memory-mapped: they stay on disk until somebody reads them. That file must lie in the
model's own folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto, TensorProto, numpy_helper

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.functions import without_functions
from kir.importers.onnx_file.numbers import intended
from kir.ir.packing import stored_bytes, unpacked
from kir.ir.types import NARROW, DType
from kir.ops.onnx_forms import DTYPES, TYPE_NAMES
from kir.support.limits import MAX_COUNT, MAX_INT64, MAX_RANK, MAX_RATIO
from kir.support.mapped_files import map_array
from kir.support.onnx_files import locate, parse_file

Array = np.ndarray[Any, Any]

# The installed onnx may be too old for the newest.
_DTYPES = {
    TensorProto.DataType.Value(name.upper()): dtype
    for name, dtype in DTYPES.items()
    if name.upper() in TensorProto.DataType.keys()  # noqa: SIM118 - protobuf's enumeration is no mapping
}


def load(source: Path | ModelProto) -> tuple[ModelProto, Path | None]:
    """Return the model and the folder that its external data may lie in.

    Raises:
        FormatError: the file cannot be read or is no ONNX model.
    """
    if isinstance(source, ModelProto):
        return _check(source, "the model"), None
    path = Path(source)
    return _check(parse_file(path, ModelProto), str(path)), path.parent


def _check(model: ModelProto, what: str) -> ModelProto:
    if not model.HasField("graph"):
        raise FormatError(f"{what} is not an ONNX model: it has no graph")
    if not model.opset_import:
        raise FormatError(f"{what} does not say which opset it is written in; expected an opset_import")
    return without_functions(model, what) if model.functions else model


def opset_versions(model: ModelProto) -> dict[str, int]:
    """Return the version of every domain of operators that the model imports; ONNX's own is ""."""
    return {domain_of(entry): entry.version for entry in model.opset_import}


def domain_of(entry: NodeProto | OperatorSetIdProto) -> str:
    """Return the domain that a node or an import names; ONNX's own, which has two names, is ""."""
    return "" if entry.domain == "ai.onnx" else str(entry.domain)


def read_dtype(number: int, what: str) -> DType:
    """Return the element type with this number in ONNX.

    Raises:
        UnsupportedError: kir has no such element type.
        FormatError: neither has ONNX.
    """
    dtype = _DTYPES.get(number)
    if dtype is not None:
        return dtype
    try:
        name = TensorProto.DataType.Name(number)
    except ValueError:
        raise FormatError(f"{what} has the element type {number}, which ONNX does not know") from None
    raise UnsupportedError(f"{what} has elements of type {name.lower()}; kir has none of that type")


def element_number(dtype: DType) -> int:
    """Return the number of an element type in ONNX."""
    return int(TensorProto.DataType.Value(TYPE_NAMES[dtype].upper()))


def read_tensor(tensor: TensorProto, folder: Path | None) -> Array:
    """Return the array of a TensorProto.

    Raises:
        FormatError: its data and its shape disagree, or its data cannot be reached.
        UnsupportedError: kir has no such element type.
    """
    what = f"the tensor {tensor.name!r}"
    dtype = read_dtype(tensor.data_type, what)
    shape = tuple(tensor.dims)
    if len(shape) > MAX_RANK or min(shape, default=0) < 0:
        raise FormatError(
            f"{what} has the shape {list(shape[: MAX_RANK + 1])}; expected at most {MAX_RANK} sizes of 0 or more"
        )
    if math.prod(size or 1 for size in shape) > MAX_INT64:
        raise FormatError(f"{what} has the shape {list(shape)}, whose product is over {MAX_INT64}; expected its data's")
    if tensor.data_location == TensorProto.EXTERNAL:
        return _read_external(tensor, dtype, folder)
    if tensor.HasField("raw_data"):
        data = tensor.raw_data
        if dtype is DType.STRING or len(data) != stored_bytes(dtype.numpy, math.prod(shape)):
            raise FormatError(f"{what} of shape {list(shape)} has {len(data)} bytes; that does not fit")
        if dtype in NARROW:
            return unpacked(np.frombuffer(data, np.uint8), dtype.numpy, shape)
        return np.frombuffer(data, dtype.numpy.newbyteorder("<")).reshape(shape)
    try:
        if dtype is DType.STRING:  # numpy_helper drops the zeros at the end of texts
            return np.array([text.decode() for text in tensor.string_data], object).reshape(shape)
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OverflowError, DecodeError) as error:
        raise FormatError(f"the data of {what} cannot be read: {error}") from None


def read_sparse_tensor(sparse: SparseTensorProto, folder: Path | None) -> Array:
    """Return the dense array of a sparse tensor.

    Raises:
        FormatError: its indices do not fit its shape, or the dense array would be out of all proportion.
        UnsupportedError: kir has no such element type.
    """
    values, indices = read_tensor(sparse.values, folder), read_tensor(sparse.indices, folder)
    what = f"the sparse tensor {sparse.values.name!r}"
    shape = tuple(sparse.dims)
    if len(shape) > MAX_RANK or min(shape, default=0) < 0:
        raise FormatError(f"{what} has the shape {list(shape[:MAX_RANK])}; expected sizes of 0 or more")
    size = math.prod(shape)
    if size > max(MAX_COUNT, MAX_RATIO * values.size):
        raise FormatError(f"{what} has {values.size} values of {size}; that many are not made dense: write a dense one")
    if indices.dtype != np.int64 or values.ndim != 1:
        raise FormatError(f"{what} has values {values.shape} at indices of {indices.dtype}; expected a list, and int64")
    places = indices if indices.ndim == 2 else indices.reshape(-1)
    limits = np.array(shape if places.ndim == 2 else size)
    fits = places.shape[1:] == limits.shape and len(places) == len(values)
    if not fits or (places.size and not ((places >= 0) & (places < limits)).all()):
        raise FormatError(f"{what} of shape {list(shape)} has indices that do not fit its values")
    dense = np.zeros(shape, values.dtype)
    if places.ndim == 2:
        dense[tuple(places.T)] = values
    else:
        dense.reshape(-1)[places] = values
    return dense


def _read_external(tensor: TensorProto, dtype: DType, folder: Path | None) -> Array:
    if folder is None:
        raise FormatError(
            f"the external data of the tensor {tensor.name!r} lies in a file, and the model was not given as one; give "
            "its path"
        )
    place = locate(tensor.name, {entry.key: entry.value for entry in tensor.external_data}, folder)
    shape = tuple(tensor.dims)
    size = stored_bytes(dtype.numpy, math.prod(shape))
    if dtype is DType.STRING or place.length not in (None, size) or place.offset + size > place.available:
        raise FormatError(
            f"the external data of the tensor {tensor.name!r} is said to be {place.length or size} bytes at "
            f"{place.offset} of {place.path.name}, which has {place.available}; expected {size} bytes inside the file "
            f"for {dtype}{list(shape)}"
        )
    if size == 0:
        return np.zeros(shape, dtype.numpy)
    if dtype in NARROW:
        packed = map_array(place.path, "external data", np.dtype(np.uint8), place.offset, (size,))
        return unpacked(np.asarray(packed), dtype.numpy, shape)
    return map_array(place.path, "external data", dtype.numpy.newbyteorder("<"), place.offset, shape)


@dataclass(slots=True)
class NodeTexts:
    """The texts of a node, and the node. Protobuf makes them anew whenever one asks for them."""

    name: str
    op_type: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: list[AttributeProto]
    node: NodeProto

    @property
    def full_type(self) -> str:
        """The operator's type; that of another domain than ONNX's own with its name."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    @classmethod
    def of(cls, index: int, node: NodeProto) -> NodeTexts:
        """Return what a node says, without absent inputs at the end.

        Raises:
            FormatError: one is no UTF-8 text, which protobuf gives as bytes.
        """
        name, op_type, domain = node.name, node.op_type, node.domain
        # Slices: protobuf makes a list of one in half the time that `list` takes.
        inputs, outputs, attributes = node.input[:], node.output[:], node.attribute[:]
        if bytes in map(type, (name, op_type, domain, *inputs, *outputs, *[one.name for one in attributes])):
            raise FormatError(f"node {name or index} ({op_type}) has a name that is no UTF-8 text")
        while inputs and not inputs[-1]:
            inputs.pop()
        return cls(name, op_type, "" if domain == "ai.onnx" else domain, inputs, outputs, attributes, node)


_MISSING: Any = object()


def _reader(kind: int, read: Callable[[AttributeProto], object]) -> Callable[..., Any]:
    """Return a method of `Attributes` that reads an attribute of a kind."""

    def reader(self: Attributes, name: str, default: object = _MISSING) -> Any:
        found = self._get(name, kind, default)
        return read(found) if isinstance(found, AttributeProto) else found

    return reader


class Attributes:
    """The attributes of a node, read by name and type; remembers which were read.

    Every reader takes a default for an absent attribute; without one, absence is an error.

    Raises:
        FormatError: an attribute is of another type than asked for, given twice, or absent without a default.
    """

    def __init__(self, node: NodeTexts, folder: Path | None) -> None:
        self._folder = folder
        self._node = node
        self._found: dict[str, AttributeProto] = {}
        self._read: set[str] = set()
        for attribute in node.attributes:
            if attribute.name in self._found:
                raise FormatError(f"{self._what} has the attribute {attribute.name!r} twice")
            self._found[attribute.name] = attribute

    @property
    def _what(self) -> str:
        return f"node {self._node.name!r} ({self._node.op_type})"

    def unread(self) -> list[str]:
        """Return the names of attributes that nobody asked for, sorted."""
        return sorted(self._found.keys() - self._read) if self._found else []

    def has(self, name: str) -> bool:
        return name in self._found

    integer = _reader(AttributeProto.INT, lambda found: found.i)
    # Floats, as they were meant: see `intended`.
    number = _reader(AttributeProto.FLOAT, lambda found: intended(found.f))
    numbers = _reader(AttributeProto.FLOATS, lambda found: tuple(map(intended, found.floats)))
    integers = _reader(AttributeProto.INTS, lambda found: tuple(found.ints))
    text = _reader(AttributeProto.STRING, lambda found: found.s.decode("utf-8", "replace"))
    texts = _reader(
        AttributeProto.STRINGS, lambda found: tuple(one.decode("utf-8", "replace") for one in found.strings)
    )

    graph = _reader(AttributeProto.GRAPH, lambda found: found.g)

    def tensor(self, name: str, default: Array | None = _MISSING) -> Any:
        found = self._get(name, AttributeProto.TENSOR, default)
        return read_tensor(found.t, self._folder) if isinstance(found, AttributeProto) else found

    def _get(self, name: str, type: int, default: object) -> Any:
        self._read.add(name)
        if name not in self._found:
            if default is _MISSING:
                raise FormatError(f"{self._what} lacks the attribute {name!r}")
            return default
        attribute = self._found[name]
        if attribute.type != type or attribute.ref_attr_name:
            given, wanted = (_type_name(number) for number in (attribute.type, type))
            raise FormatError(f"{self._what} has the attribute {name!r} of type {given}; expected {wanted}")
        return attribute


def _type_name(number: int) -> str:
    try:
        return str(AttributeProto.AttributeType.Name(number))
    except ValueError:
        return str(number)
