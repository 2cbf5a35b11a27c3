"""ONNX files in which errors are planted: what is asked of them, and how a change is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from kir.ir.op import Array

Edit = Callable[[GraphProto], None]
MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Expand", "Slice", "GatherND", "Dropout", "Cast")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Change:
    """One error to plant.

    Attributes:
        text: the place and what is changed there.
        layers: any of them is the right one to name; empty if the place belongs to none.
        places: names of nodes and values, of which any is right where there are no layers.
        apply: changes the graph of a copy of the file.
    """

    text: str
    layers: frozenset[str]
    places: frozenset[str]
    apply: Edit


class File:
    """An ONNX file, with what the kinds ask of it."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.opset = next(entry.version for entry in model.opset_import if not entry.domain)
        self.outputs = {entry.name for entry in model.graph.output}

    @cached_property
    def constants(self) -> dict[str, Array]:
        return {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}

    @cached_property
    def types(self) -> dict[str, tuple[int, tuple[int | str, ...]]]:
        """The element type and the shape of every value of which they are known."""
        graph = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        found = {
            tensor.name: (int(tensor.data_type), tuple[int | str, ...](tensor.dims)) for tensor in graph.initializer
        }
        for entry in (*graph.input, *graph.value_info, *graph.output):
            tensor = entry.type.tensor_type
            if tensor.HasField("shape"):
                dims = tensor.shape.dim
                shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims)
                found[entry.name] = (int(tensor.elem_type), shape)
        return found

    def shape(self, name: str) -> tuple[int | str, ...] | None:
        return self.types[name][1] if name in self.types else None

    def is_float(self, name: str) -> bool:
        return name in self.types and self.types[name][0] in FLOATS

    def users(self, name: str) -> list[NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def readers(self, name: str) -> list[NodeProto]:
        """Return the nodes that read a value, and those that read it behind nodes which only move its elements."""
        found = self.users(name)
        return found + [reader for node in found if node.op_type in MOVES for reader in self.readers(node.output[0])]

    def change(self, what: str, nodes: Sequence[NodeProto], names: Iterable[str], apply: Edit) -> Change:
        found = frozenset(layer for node in nodes if (layer := layer_of(node)))
        named = frozenset(name for node in nodes for name in (node.name, *node.output, *node.input) if name)
        return Change(what, found, named | frozenset(names), apply)

    def change_node(self, index: int, what: str, edit: Callable[[NodeProto], None], *data: TensorProto) -> Change:
        """Return the change of one node, which `edit` makes; `data` are new constants."""

        def apply(graph: GraphProto) -> None:
            edit(graph.node[index])
            graph.initializer.extend(data)

        return self.change(f"{self.nodes[index].name}: {what}", [self.nodes[index]], [], apply)

    def change_constant(self, name: str, what: str, edit: Callable[[Array], Array]) -> Change:
        """Return the change of one constant, of which `edit` makes another."""

        def apply(graph: GraphProto) -> None:
            tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
            tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), name))

        return self.change(f"{name}: {what}", self.users(name), [name], apply)

    def insert(self, name: str, what: str, add: Callable[[str], list[NodeProto]], *data: TensorProto) -> Change:
        """Return the insertion of nodes after a value: `add` is given its new name, and its nodes make the old one."""
        index = next(index for index, node in enumerate(self.nodes) if name in node.output)
        inner = f"{name}/planted"

        def apply(graph: GraphProto) -> None:
            outputs = graph.node[index].output
            outputs[list(outputs).index(name)] = inner
            for offset, node in enumerate(add(inner)):
                graph.node.insert(index + 1 + offset, node)
            graph.initializer.extend(data)

        return self.change(f"{name}: {what}", [self.nodes[index], *self.readers(name)], [name, inner], apply)

    def floats(self) -> Iterator[str]:
        """Return the float values that nodes compute."""
        for node in self.nodes:
            yield from (name for name in node.output if self.is_float(name))

    def weights(self) -> Iterator[tuple[str, Array]]:
        for name, array in self.constants.items():
            if array.dtype.kind == "f" and array.size > 1:
                yield name, array


def layer_of(node: NodeProto) -> str:
    return next((entry.value for entry in node.metadata_props if entry.key == "kir.layer"), "")
