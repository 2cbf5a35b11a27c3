"""Reading an ONNX file, which is untrusted: protobuf, initializers, attributes.

Weights in a second file are memory-mapped: they stay on disk until somebody reads them. That file must lie in the
model's own folder.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, numpy_helper

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.numbers import intended
from kir.types import DType

Array = np.ndarray[Any, Any]

_NAMES = {"FLOAT": DType.FLOAT32, "DOUBLE": DType.FLOAT64} | {dtype.name: dtype for dtype in DType}
_DTYPES = {number: _NAMES[name] for name, number in TensorProto.DataType.items() if name in _NAMES}
MAX_RANK = 32  # far above any model's; NumPy stops at 64


def load(source: Path | ModelProto) -> tuple[ModelProto, Path | None]:
    """The model and the folder that its external data may lie in.

    Raises:
        FormatError: the file cannot be read or is no ONNX model.
    """
    if isinstance(source, ModelProto):
        return _check(source, "the model"), None
    path = Path(source)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}; expected an ONNX file") from None
    except DecodeError as error:
        raise FormatError(f"{path} is not an ONNX file: {error}") from None
    return _check(model, str(path)), path.parent


def _check(model: ModelProto, what: str) -> ModelProto:
    if not model.HasField("graph"):
        raise FormatError(f"{what} is not an ONNX model: it has no graph")
    if not model.opset_import:
        raise FormatError(f"{what} does not say which opset it is written in; expected an opset_import")
    return _without_functions(model, what) if model.functions else model


def _without_functions(model: ModelProto, what: str) -> ModelProto:
    """The model with the bodies of its own functions in place of their calls."""
    from onnx.inliner import inline_local_functions

    try:
        return inline_local_functions(model)
    except Exception as error:  # whatever the C++ code says of a broken model
        raise FormatError(f"the functions of {what} cannot be put in place of their calls: {error}") from None


def opset_versions(model: ModelProto) -> dict[str, int]:
    """The version of every domain of operators that the model imports; ONNX's own is ""."""
    return {domain_of(entry): entry.version for entry in model.opset_import}


def domain_of(entry: Any) -> str:
    """The domain that a node or an import names; ONNX's own, which has two names, is ""."""
    return "" if entry.domain == "ai.onnx" else str(entry.domain)


def read_dtype(number: int, what: str) -> DType:
    """The element type with this number in ONNX.

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


def read_tensor(tensor: TensorProto, folder: Path | None) -> Array:
    """The array of a TensorProto.

    Raises:
        FormatError: its data and its shape disagree, or its data cannot be reached.
        UnsupportedError: kir has no such element type.
    """
    what = f"the tensor {tensor.name!r}"
    dtype = read_dtype(tensor.data_type, what)
    shape = tuple(tensor.dims)
    if len(shape) > MAX_RANK or min(shape, default=0) < 0:
        raise FormatError(f"{what} has the shape {list(shape)}; expected at most {MAX_RANK} sizes of 0 or more")
    if tensor.data_location == TensorProto.EXTERNAL:
        return _read_external(tensor, dtype, folder)
    if tensor.HasField("raw_data"):
        data = tensor.raw_data
        if dtype is DType.STRING or len(data) != math.prod(shape) * dtype.itemsize:
            raise FormatError(f"{what} of shape {list(shape)} has {len(data)} bytes; that does not fit")
        return np.frombuffer(data, dtype.numpy.newbyteorder("<")).reshape(shape)
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError, DecodeError) as error:
        raise FormatError(f"the data of {what} cannot be read: {error}") from None
    return np.asarray(array, object) if dtype is DType.STRING else np.asarray(array)


def _read_external(tensor: TensorProto, dtype: DType, folder: Path | None) -> Array:
    what = f"the external data of the tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _external_path(entries.get("location", ""), folder, what)
    count = math.prod(tensor.dims)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(count * dtype.itemsize)))
        size = path.stat().st_size
    except (ValueError, OSError) as error:
        raise FormatError(f"{what} cannot be read: {error}") from None
    if dtype is DType.STRING or length != count * dtype.itemsize or offset < 0 or offset + length > size:
        raise FormatError(
            f"{what} is said to be {length} bytes at {offset} of {path.name}, which has {size}; expected "
            f"{count * dtype.itemsize} bytes inside the file for {dtype}{list(tensor.dims)}"
        )
    shape = tuple(tensor.dims)
    if count == 0:
        return np.zeros(shape, dtype.numpy)
    return np.memmap(path, dtype.numpy.newbyteorder("<"), "r", offset, shape)


def _external_path(location: str, folder: Path | None, what: str) -> Path:
    """Raises FormatError if the file lies, or is linked to, outside the folder: it could be any file at all."""
    if folder is None:
        raise FormatError(f"{what} lies in a file, and the model was not given as one; give its path")
    parts = PureWindowsPath(location).parts  # splits at both kinds of slash, and knows drives
    if not parts or ".." in parts or PureWindowsPath(location).anchor or os.path.isabs(location):
        raise FormatError(f"{what} is said to lie in {location!r}; expected a file in the model's own folder")
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(root.joinpath(*parts)))
    if not path.is_relative_to(root):
        raise FormatError(f"{what} lies in {location!r}, which links out of the model's folder; put the file there")
    if not path.is_file():
        raise FormatError(f"{what} lies in {location!r}, which is no file; put it beside the model")
    return path


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

    @classmethod
    def of(cls, index: int, node: NodeProto) -> NodeTexts:
        """What a node says, without absent inputs at the end.

        Raises:
            FormatError: one is no UTF-8 text, which protobuf gives as bytes.
        """
        domain = node.domain
        own = "" if domain == "ai.onnx" else domain
        texts = cls(node.name, node.op_type, own, list(node.input), list(node.output), list(node.attribute), node)
        names = (
            node.name,
            texts.op_type,
            domain,
            *texts.inputs,
            *texts.outputs,
            *[attribute.name for attribute in texts.attributes],
        )
        if bytes in map(type, names):
            raise FormatError(f"node {texts.name or index} ({texts.op_type}) has a name that is no UTF-8 text")
        while texts.inputs and not texts.inputs[-1]:
            texts.inputs.pop()
        return texts


_MISSING: Any = object()


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
        """The names of attributes that nobody asked for, sorted."""
        return sorted(self._found.keys() - self._read)

    def has(self, name: str) -> bool:
        return name in self._found

    def integer(self, name: str, default: int | None = _MISSING) -> Any:
        found = self._get(name, AttributeProto.INT, default)
        return found.i if isinstance(found, AttributeProto) else found

    def number(self, name: str, default: float | None = _MISSING) -> Any:
        """A float, as it was meant: see `intended`."""
        found = self._get(name, AttributeProto.FLOAT, default)
        return intended(found.f) if isinstance(found, AttributeProto) else found

    def text(self, name: str, default: str | None = _MISSING) -> Any:
        found = self._get(name, AttributeProto.STRING, default)
        return found.s.decode("utf-8", "replace") if isinstance(found, AttributeProto) else found

    def integers(self, name: str, default: tuple[int, ...] | None = _MISSING) -> Any:
        found = self._get(name, AttributeProto.INTS, default)
        return tuple(found.ints) if isinstance(found, AttributeProto) else found

    def numbers(self, name: str, default: tuple[float, ...] | None = _MISSING) -> Any:
        found = self._get(name, AttributeProto.FLOATS, default)
        return tuple(map(intended, found.floats)) if isinstance(found, AttributeProto) else found

    def texts(self, name: str, default: tuple[str, ...] | None = _MISSING) -> Any:
        found = self._get(name, AttributeProto.STRINGS, default)
        if not isinstance(found, AttributeProto):
            return found
        return tuple(text.decode("utf-8", "replace") for text in found.strings)

    def tensor(self, name: str, default: Array | None = _MISSING) -> Any:
        found = self._get(name, AttributeProto.TENSOR, default)
        return read_tensor(found.t, self._folder) if isinstance(found, AttributeProto) else found

    def _get(self, name: str, type: int, default: Any) -> Any:
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
