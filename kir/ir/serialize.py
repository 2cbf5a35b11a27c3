"""Graphs as files: a zip archive, nothing compressed, with graph.json and the arrays as arrays/0.npy, arrays/1.npy …

A file is data that somebody else may have written. Reading it runs nothing from it: no pickle, and operators are looked
up among those of kir by name. Anything that `save_graph` would not write is a `FormatError` that says what was
expected; a graph that was read has passed `Graph.check`.

Attributes that JSON has no form for:

| value       | JSON                                     | note                                                     |
|-------------|------------------------------------------|----------------------------------------------------------|
| tuple       | ``[1, 2]``                               |                                                          |
| nan, inf    | ``{"float": "nan"}``                     | JSON has no such numbers                                 |
| DType       | ``{"dtype": "f32"}``                     |                                                          |
| Sym         | ``{"dim": "batch + 1"}``                 | read by `parse_dim`                                      |
| TensorType  | ``{"type": "f32[batch, 4]"}``            | read by `parse_type`                                     |
| Op          | ``{"op": "Relu", "attributes": {}}``     | what a Dense fuses                                       |
| Data        | ``{"array": 0, "dtype": "bf16"}``        | the member's number; bfloat16 and less are stored as bits |
| Body        | ``{"graph": {"name": "body", …}}``       | a graph inside an operator, without format and version   |
| Data of str | ``{"strings": ["a"], "shape": [1]}``     | a .npy of objects would be a pickle                      |
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import types
import typing
import zipfile
from collections.abc import Callable, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np

from kir.errors import FormatError, KirError
from kir.ir.body import Body
from kir.ir.dim_parser import parse_dim
from kir.ir.dims import Sym
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.op import Array, Op, field_names
from kir.ir.structural import Data
from kir.ir.types import NARROW, DType, TensorType, as_dtype, parse_type
from kir.support.files import replacing
from kir.support.limits import MAX_ATTRIBUTE_DEPTH, MAX_STRUCTURE_BYTES
from kir.support.mapped_files import require_unchanged
from kir.support.regular_files import open_regular

JSON: TypeAlias = "str | int | float | bool | list[JSON] | JSONObject | None"
JSONObject: TypeAlias = "dict[str, JSON]"
T = TypeVar("T")

# What the element types of ml_dtypes are stored as, which .npy files do not have.
AS_BITS: dict[DType, np.dtype[Any]] = {DType.BFLOAT16: np.dtype(np.uint16), **dict.fromkeys(NARROW, np.dtype(np.uint8))}

FORMAT = "kir graph"
VERSION = 1
STRUCTURE = "graph.json"
# Where the operators are that a file may name. They stand above this module, and are imported when a file is read.
OPERATORS = "kir.ops"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip member: the same graph gives the same bytes


def save_graph(graph: Graph, path: Path) -> None:
    """Write the live nodes of a graph. The same graph gives the same bytes; a failed save changes nothing.

    Raises:
        FormatError: the file cannot be written, or the one that constants are read from changed.
    """
    with replacing(path) as written, zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        writer = _Writer(archive)
        structure = writer.graph(graph)
        text = json.dumps(structure, allow_nan=False, separators=(",", ":"))
        archive.writestr(_member(STRUCTURE), text.encode("ascii"))
        require_unchanged(graph.constant_arrays())


def load_graph(path: Path) -> Graph:
    """Read what `save_graph` wrote.

    Raises:
        FormatError: the file cannot be read or is not a saved graph; the message names it and what was expected.
    """
    with open_regular(path, "a file of Graph.save") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                graph = _Reader(archive, os.fstat(file.fileno()).st_size).graph()
            graph.check()
        except (KirError, zipfile.BadZipFile, NotImplementedError, RuntimeError, RecursionError, EOFError) as error:
            # RuntimeError: an encrypted member; NotImplementedError: an unknown compression.
            raise FormatError(f"{path} is not a graph that kir saved: {error}") from error
    return graph


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info


# Writing


class _Writer:
    """Turns a graph into JSON, and puts its arrays into the archive on the way."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.arrays: dict[int, int] = {}  # the member's number, by the array's id

    def graph(self, graph: Graph) -> JSONObject:
        return {"format": FORMAT, "version": VERSION, **self.content(graph)}

    def content(self, graph: Graph) -> JSONObject:
        nodes = graph.order()
        numbers = {node: number for number, node in enumerate(nodes)}
        return {
            "name": graph.name,
            "metadata": dict(graph.metadata),
            "nodes": [self.node(node, numbers) for node in nodes],
        }

    def node(self, node: Node, numbers: Mapping[Node, int]) -> JSONObject:
        written = self.op(node.op)
        if node.inputs:
            written["inputs"] = [None if value is None else [numbers[value.node], value.index] for value in node.inputs]
        if node.origin is not None:
            written["origin"] = [node.origin.path, node.origin.layer]
        return written

    def op(self, op: Op) -> JSONObject:
        attributes = {name: self.attribute(value) for name, value in op.attributes().items()}
        return {"op": op.name, "attributes": attributes}

    def attribute(self, value: object) -> JSON:
        match value:
            case None | bool() | str():
                return value
            case int() | np.integer():
                return int(value)
            case float() | np.floating():
                return float(value) if math.isfinite(value) else {"float": str(float(value))}
            case tuple():
                return [self.attribute(item) for item in value]
            case DType():
                return {"dtype": str(value)}
            case Sym():
                return {"dim": str(value)}
            case TensorType():
                return {"type": str(value)}
            case Op():
                return self.op(value)
            case Data():
                return self.data(value.array)
            case Body():
                return {"graph": self.content(value.graph)}
        raise FormatError(
            f"cannot save an attribute of type {type(value).__name__}; expected what kir/ir/serialize.py lists"
        )

    def data(self, array: Array) -> JSONObject:
        dtype = as_dtype(array.dtype)
        if dtype is DType.STRING:
            strings: list[JSON] = [_require(item, str, "an array of strings") for item in array.ravel().tolist()]
            return {"strings": strings, "shape": list(array.shape)}
        if id(array) not in self.arrays:
            self.arrays[id(array)] = len(self.arrays)
            with self.archive.open(_member(_array_name(self.arrays[id(array)])), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, _plain(array, dtype), allow_pickle=False)
        return {"array": self.arrays[id(array)], "dtype": str(dtype)}


def _array_name(number: int) -> str:
    return f"arrays/{number}.npy"


def _plain(array: Array, dtype: DType) -> Array:
    """Return an array in the one layout that is written: C order, little-endian, types of ml_dtypes as their bits."""
    array = np.asarray(array, order="C")
    if dtype in AS_BITS:
        array = array.view(AS_BITS[dtype])
    return array.astype(_stored_dtype(dtype), copy=False)


def _stored_dtype(dtype: DType) -> np.dtype[Any]:
    return AS_BITS.get(dtype, dtype.numpy).newbyteorder("<")


# Reading


class _Reader:
    """Rebuilds a graph from what may be anything."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        self.left = size  # how many bytes may still be read
        self.arrays: dict[tuple[int, DType], Data] = {}
        self.ops = _operators()
        self.tagged: dict[frozenset[str], Callable[[JSONObject, int], object]] = {
            frozenset({"float"}): lambda given, depth: _read_float(given["float"]),
            frozenset({"dtype"}): lambda given, depth: _read_dtype(given["dtype"]),
            frozenset({"dim"}): lambda given, depth: parse_dim(_require(given["dim"], str, "the text of a size")),
            frozenset({"type"}): lambda given, depth: _read_type(given["type"]),
            frozenset({"op", "attributes"}): self.op,
            frozenset({"graph"}): self.body,
            frozenset({"array", "dtype"}): lambda given, depth: self.data(given["array"], _read_dtype(given["dtype"])),
            frozenset({"strings", "shape"}): lambda given, depth: _read_strings(given["strings"], given["shape"]),
        }

    def graph(self) -> Graph:
        return self.content(self.structure(), 0)

    def body(self, given: JSONObject, depth: int) -> Body:
        content = _require_keys(_require(given["graph"], dict, "a graph"), {"name", "metadata", "nodes"})
        return Body(self.content(content, depth))

    def content(self, structure: JSONObject, depth: int) -> Graph:
        graph = Graph(_require(structure["name"], str, "a graph name"))
        for key, value in _require(structure["metadata"], dict, "metadata").items():
            graph.metadata[key] = _require(value, str, f"a text for the metadata {key!r}")
        nodes: list[Node] = []
        for number, given in enumerate(_require(structure["nodes"], list, "a list of nodes")):
            try:
                nodes.append(self.node(graph, nodes, given, depth))
            except (KirError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
                # Operators check their inputs and trust the kinds of their attributes, which a file may have wrong.
                raise FormatError(f"node {number}: {error}") from error
        return graph

    def structure(self) -> JSONObject:
        try:
            info = self.archive.getinfo(STRUCTURE)
        except KeyError:
            raise FormatError(f"it has no member {STRUCTURE}") from None
        if info.file_size > MAX_STRUCTURE_BYTES:
            raise FormatError(f"{STRUCTURE} has {info.file_size} bytes; expected at most {MAX_STRUCTURE_BYTES}")
        try:
            structure = json.loads(self.read(info).decode("ascii"), parse_constant=_refuse_number)
        except ValueError as error:
            raise FormatError(f"{STRUCTURE} is not JSON: {error}") from error
        _require(structure, dict, f"an object in {STRUCTURE}")
        if structure.get("format") != FORMAT or structure.get("version") != VERSION:
            given = f"format {structure.get('format')!r}, version {structure.get('version')!r}"
            raise FormatError(f"it says {given}; expected {FORMAT!r}, version {VERSION}: save it with this kir")
        return _require_keys(structure, {"format", "version", "name", "metadata", "nodes"})

    def node(self, graph: Graph, nodes: list[Node], given: JSON, depth: int) -> Node:
        node = _require_keys(_require(given, dict, "an object"), {"op", "attributes"}, {"inputs", "origin"})
        op = self.op(node, depth)
        inputs = [_read_value(nodes, value) for value in _require(node.get("inputs", []), list, "a list of inputs")]
        return graph.add(op, *inputs, origin=_read_origin(node.get("origin")))

    def op(self, given: JSONObject, depth: int) -> Op:
        name = _require(given["op"], str, "an operator name")
        attributes = _require(given["attributes"], dict, "an object of attributes")
        if name not in self.ops:
            raise FormatError(f"unknown operator {name!r}; expected one that `kir ops` lists")
        cls = self.ops[name]
        _require_keys(attributes, set(field_names(cls)))
        values = {key: self.attribute(value, depth + 1) for key, value in attributes.items()}
        for key, hint in _field_hints(name).items():
            if key in values and not _fits(values[key], hint):
                raise FormatError(f"{name} cannot have {key}={_shorten(values[key])}; expected {hint}")
        return cls(**values)

    def attribute(self, given: JSON, depth: int) -> object:
        if depth > MAX_ATTRIBUTE_DEPTH:
            raise FormatError(f"attributes are nested over {MAX_ATTRIBUTE_DEPTH} deep; expected two or three levels")
        if isinstance(given, list):
            return tuple(self.attribute(item, depth + 1) for item in given)
        if not isinstance(given, dict):
            return given
        read = self.tagged.get(frozenset(given))
        if read is None:
            raise FormatError(f"unknown attribute form with the keys {sorted(given)}")
        return read(given, depth)

    def data(self, number: JSON, dtype: DType) -> Data:
        key = (_require(number, int, "an array's number"), dtype)
        if key not in self.arrays:
            self.arrays[key] = Data(self.array(_array_name(key[0]), dtype))
        return self.arrays[key]

    def array(self, name: str, dtype: DType) -> Array:
        try:
            info = self.archive.getinfo(name)
        except KeyError:
            raise FormatError(f"it has no member {name}") from None
        data = self.read(info)
        try:
            shape, stored, start = _read_header(data)
            array = np.ndarray(shape, stored, data, start)  # not writable, as the bytes are not
        except (ValueError, TypeError, OverflowError, SyntaxError) as error:
            raise FormatError(f"{name} is no .npy file of the kind written here: {error}") from error
        expected = _stored_dtype(dtype)
        if stored != expected:
            raise FormatError(f"{name} holds {stored}; expected {expected} for {dtype}")
        return array.view(dtype.numpy) if dtype in AS_BITS else array.astype(dtype.numpy, copy=False)

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Return a member's bytes. No member is compressed or read twice, so that no more than the file is read."""
        self.left -= info.file_size
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or self.left < 0:
            raise FormatError(
                f"{info.filename} declares {info.file_size} bytes and takes {info.compress_size}; expected members "
                "that are stored without compression and are no larger than the file together"
            )
        return self.archive.read(info)


def _read_header(data: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return the shape, the dtype and the offset of the first element of a .npy file, whose length must fit them."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"it has version {version}; expected (1, 0)")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    size = math.prod(shape) * dtype.itemsize
    if fortran_order or dtype.hasobject or min(shape, default=0) < 0 or stream.tell() + size != len(data):
        raise ValueError(f"its header says {dtype}{list(shape)}, which does not fit {len(data)} bytes in C order")
    return shape, dtype, stream.tell()


def _read_value(nodes: list[Node], given: JSON) -> Value | None:
    if given is None:
        return None
    match given:
        case [int(number), int(index)] if not isinstance(number, bool) and not isinstance(index, bool):
            if 0 <= number < len(nodes) and 0 <= index < len(nodes[number].outputs):
                return nodes[number].outputs[index]
    raise FormatError(f"the input {given!r} is not [node, output] of one of the {len(nodes)} nodes before")


def _read_origin(given: JSON) -> Origin | None:
    match given:
        case None:
            return None
        case [str(path), str(layer)]:
            return Origin(path, layer)
    raise FormatError(f"the origin {given!r} is not [path, layer]")


def _read_float(given: JSON) -> float:
    if isinstance(given, str) and given in ("nan", "inf", "-inf"):
        return float(given)
    raise FormatError(f"{given!r} is no special number; expected 'nan', 'inf' or '-inf'")


def _read_dtype(given: JSON) -> DType:
    return as_dtype(_require(given, str, "a dtype's name"))


def _read_type(given: JSON) -> TensorType:
    type = parse_type(_require(given, str, "the text of a type"))
    if any(isinstance(size, int) and size < 0 for size in type.shape):
        raise FormatError(f"the type {type} has a negative size")
    return type


@cache
def _operators() -> dict[str, type[Op]]:
    """Return the operators that a file may name."""
    found: dict[str, type[Op]] = importlib.import_module(OPERATORS).all_ops()
    return found


@cache
def _field_hints(name: str) -> dict[str, Any]:
    return typing.get_type_hints(_operators()[name])


def _fits(value: object, hint: Any) -> bool:
    """Return whether an attribute's value is of the type that its field declares."""
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_fits(value, option) for option in arguments)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        hints = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        return len(hints) == len(value) and all(map(_fits, value, hints))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _read_strings(strings: JSON, shape: JSON) -> Data:
    sizes = [_require(size, int, "a size") for size in _require(shape, list, "a shape")]
    items = [_require(item, str, "a string") for item in _require(strings, list, "a list of strings")]
    if any(size < 0 for size in sizes) or math.prod(sizes) != len(items):
        raise FormatError(f"{len(items)} strings do not fill the shape {sizes}")
    array = np.empty(len(items), object)
    array[:] = items
    return Data(array.reshape(sizes))


def _refuse_number(text: str) -> NoReturn:
    raise FormatError(f"{STRUCTURE} has the number {text}, which JSON does not have")


def _require(given: JSON, kind: type[T], what: str) -> T:
    if not isinstance(given, kind) or (kind is int and isinstance(given, bool)):
        raise FormatError(f"expected {what}, received {_shorten(given)}")
    return given


def _require_keys(given: JSONObject, required: Set[str], optional: Set[str] = frozenset()) -> JSONObject:
    if not required <= set(given) <= required | optional:
        raise FormatError(f"expected the keys {sorted(required)}, received {sorted(given)}")
    return given


def _shorten(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
