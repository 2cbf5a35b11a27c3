"""Pieces of an ONNX file, cut out to run alone: the nodes between some values, with the initializers that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

from kir.exporters.onnx_file.content import FileContent, StoredTensor
from kir.exporters.onnx_file.emitter import onnx_dtype
from kir.ir.op import Array
from kir.ir.types import as_dtype

# Initializers up to this size are compared by content, larger ones by name.
MAX_COMPARED_BYTES = 4096

# Nodes of one operator, with the computation of its sizes. What has more was not written by kir.
MAX_NODES = 500

SUBGRAPHS = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})


@dataclass(frozen=True)
class Piece:
    """Nodes of a file from `inputs` to `outputs`, in order, and the initializers that they read.

    `key` is equal for pieces that compute the same of inputs that are given in the same order.
    """

    nodes: tuple[NodeProto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    initializers: tuple[str, ...]
    key: object


class PieceCutter:
    """A file to cut pieces out of. O(nodes) once; a piece is O(its nodes)."""

    def __init__(self, content: FileContent) -> None:
        self._model = content.model
        self._initializers = {tensor.head.name: tensor for tensor in content.initializers}
        self._nodes = content.model.graph.node
        self._makers = {name: index for index, node in enumerate(self._nodes) for name in node.output if name}
        self._contents: dict[str, object] = {}

    def cut(self, outputs: Sequence[str], inputs: Sequence[str], is_given: Callable[[str], bool]) -> Piece | None:
        """Return the nodes that compute some outputs, back to values that are given.

        None if the file does not compute the outputs from such values alone, if there are too many nodes, or some with
        subgraphs, which may read any value.

        Args:
            outputs: names of values.
            inputs: the names of values that they are computed from, as far as they are known.
            is_given: whether to stop at a value, too.
        """
        found: dict[int, None] = {}
        given = dict.fromkeys(inputs)
        initializers: dict[str, None] = {}
        pending = list(reversed(outputs))
        seen = set(pending)
        while pending:
            name = pending.pop()
            if name not in outputs and (name in given or is_given(name)):
                given[name] = None
            elif name in self._makers:
                index = self._makers[name]
                if index in found:
                    continue
                found[index] = None
                new = [read for read in self._nodes[index].input if read and read not in seen]
                seen.update(new)
                pending += reversed(new)
            elif name in self._initializers:
                initializers[name] = None
            else:
                return None
        nodes = tuple([self._nodes[index] for index in sorted(found)])
        if (
            not nodes
            or len(nodes) > MAX_NODES
            or any(one.type in SUBGRAPHS for node in nodes for one in node.attribute)
        ):
            return None
        key = self._key_of(nodes, tuple(given), outputs, initializers)
        read = {name for node in nodes for name in node.input}
        return Piece(nodes, tuple(name for name in given if name in read), tuple(outputs), tuple(initializers), key)

    def constant_bytes(self, piece: Piece) -> int:
        """Return how many bytes of initializers a piece reads."""
        return sum(self._initializers[name].nbytes for name in piece.initializers)

    def find_reader(self, output: str, name: str) -> str | None:
        """Return what the last node before a value gives that reads another value directly; None if there is none."""
        pending, seen = [output], {output}
        while pending and len(seen) < MAX_NODES:
            made = pending.pop()
            node = self._nodes[self._makers[made]] if made in self._makers else None
            if node is None:
                continue
            if name in node.input:
                return made
            new = [read for read in node.input if read and read not in seen]
            seen.update(new)
            pending += new
        return None

    def join(self, pieces: Mapping[str, Piece], types: Mapping[str, Array]) -> ModelProto:
        """Return one model of several pieces that have nothing in common but initializers.

        Args:
            pieces: by a prefix for the names of their values.
            types: an array of the type of each input, by prefix and name; its first size may be another.
        """
        graph = GraphProto(name="pieces")
        for prefix, piece in pieces.items():
            constants = set(piece.initializers)
            for node in piece.nodes:
                copy = graph.node.add()
                copy.CopyFrom(node)
                copy.ClearField("metadata_props")
                copy.name = prefix + node.name if node.name else ""
                for names in (copy.input, copy.output):
                    names[:] = [_renamed(name, prefix, constants) for name in names]
            graph.input.extend(_input_info(prefix + name, types[prefix + name]) for name in piece.inputs)
            graph.output.extend(ValueInfoProto(name=prefix + name) for name in piece.outputs)
        for name in dict.fromkeys(name for piece in pieces.values() for name in piece.initializers):
            graph.initializer.add().CopyFrom(_stored(self._initializers[name], CONSTANT + name))
        model = ModelProto(ir_version=self._model.ir_version, producer_name="kir", graph=graph)
        model.opset_import.extend(self._model.opset_import)
        return model

    def _key_of(
        self, nodes: Sequence[NodeProto], inputs: Sequence[str], outputs: Sequence[str], initializers: Iterable[str]
    ) -> object:
        places: dict[str, object] = {"": "", **{name: self._content_of(name) for name in initializers}}
        for name in inputs:
            places[name] = len(places)
        key: list[object] = []
        for node in nodes:
            reads = tuple([places[name] for name in node.input])
            attributes = tuple(sorted([one.SerializeToString(deterministic=True) for one in node.attribute]))
            for name in node.output:
                places.setdefault(name, len(places))
            key.append((node.op_type, node.domain, attributes, reads, len(node.output)))
        return (*key, tuple([places[name] for name in outputs]))

    def _content_of(self, name: str) -> object:
        if name not in self._contents:
            tensor = self._initializers[name]
            is_small = tensor.head.ByteSize() <= MAX_COMPARED_BYTES and not tensor.is_outside
            self._contents[name] = _stored(tensor, "").SerializeToString(deterministic=True) if is_small else name
        return self._contents[name]


CONSTANT = "constant:"  # before the names of initializers; prefixes of pieces begin with digits


def _stored(tensor: StoredTensor, name: str) -> TensorProto:
    """Return an initializer with its data and another name."""
    whole = TensorProto()
    whole.CopyFrom(tensor.head)
    whole.name = name
    if tensor.is_outside:
        whole.ClearField("external_data")
        whole.ClearField("data_location")
        whole.raw_data = bytes(tensor.elements())
    return whole


def _renamed(name: str, prefix: str, constants: set[str]) -> str:
    if not name:
        return ""
    return CONSTANT + name if name in constants else prefix + name


def _input_info(name: str, array: Array) -> ValueInfoProto:
    """Return the type of an input: its first size may be any, the others are those of the array."""
    dtype = onnx_dtype(as_dtype(array.dtype))
    info = ValueInfoProto(name=name, type=TypeProto(tensor_type=TypeProto.Tensor(elem_type=dtype)))
    info.type.tensor_type.shape.SetInParent()
    for axis, size in enumerate(array.shape):
        dim = info.type.tensor_type.shape.dim.add()
        if axis:
            dim.dim_value = size
    return info
