"""The types of what carried operators give: from ONNX's inference, from what the file states, from a run of the model.

Each source may know the element type, the rank, and some sizes; what one does not know is asked of the next. The run
comes last, for it takes time. Sizes that none of them knows get a name of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, defs, helper, numpy_helper

from kir.errors import KirError, UnsupportedError
from kir.importers.onnx_file.names import SizeNames
from kir.importers.onnx_file.reading import domain_of, element_number, read_dtype
from kir.importers.onnx_file.translate import Operand
from kir.ir.dims import Dim, Sym
from kir.ir.types import CarriedType, DType, TensorType, carried_type
from kir.support.onnx_files import outer_names
from kir.support.onnx_types import element_text, fill_type, type_text

# Larger arrays are no shapes, and only their type is of use to shape inference.
MAX_SHAPE_BYTES = 4096

# What ONNX's inference raises of a model that it does not understand.
FAILURES = (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError)

# Runs the model once, and returns the types of values by name, as text with the sizes that are the same in every run.
# Values that the runtime does not know are absent.
Observe: TypeAlias = Callable[[Sequence[str]], Mapping[str, str]]

ABSENT = TensorType(DType.BOOL, ())  # the type of an output that a node leaves out


@dataclass(frozen=True)
class Known:
    """What is known of a type: the text of one that is no tensor; or an element type, and sizes, None if unknown."""

    other: str = ""
    element: int = TensorProto.UNDEFINED
    dims: tuple[Dim | None, ...] | None = None

    @property
    def is_typed(self) -> bool:
        """Whether kir can say the type, but for the names of sizes."""
        return bool(self.other or (self.element and self.dims is not None))

    @property
    def is_complete(self) -> bool:
        return bool(self.other or (self.element and self.dims is not None and None not in self.dims))

    def or_else(self, more: Known) -> Known:
        """Return what this knows, and what only the other does."""
        if self.other or (more.other and self.element):
            return self
        if more.other:
            return more
        dims = self.dims
        if dims is None or more.dims is None:
            dims = more.dims if dims is None else dims
        elif len(dims) == len(more.dims):
            dims = tuple(b if a is None else a for a, b in zip(dims, more.dims, strict=True))
        return Known("", self.element or more.element, dims)


class OutputTypes:
    """What is known of the values of a graph of a file.

    Args:
        graph: the graph.
        versions: of the domains that the file imports.
        names: of the sizes in it.
        whole: what is known of the whole model, if the graph is the model's and not one inside an operator.
    """

    def __init__(
        self, graph: GraphProto, versions: Mapping[str, int], names: SizeNames, whole: WholeModel | None = None
    ) -> None:
        self._graph = graph
        self._versions = versions
        self._names = names
        self._whole = whole

    def of(self, node: NodeProto, inputs: Sequence[Operand | None], outer: Sequence[Operand]) -> tuple[TensorType, ...]:
        """Return the types of a node's outputs; `ABSENT` for one that it leaves out.

        Args:
            node: with the names of the file.
            inputs: what it reads.
            outer: what its subgraphs read beside, in the order of `outer_names`.
        """
        named = dict(zip(node.input, inputs, strict=False)) | dict(zip(outer_names(node), outer, strict=True))
        operands = {name: operand for name, operand in named.items() if name and operand is not None}
        # Of graphs inside, inference may take the rank of a branch that is never taken.
        has_graphs = any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute)
        seen = {
            name: self._known(self._whole.seen(name)) for name in node.output if name and has_graphs and self._whole
        }
        inferred = self._from_inputs(node, operands)
        return tuple(
            self._type(name, seen.get(name, Known()).or_else(inferred.get(name, Known()))) if name else ABSENT
            for name in node.output
        )

    def _type(self, name: str, known: Known) -> TensorType:
        if not known.is_complete:
            known = known.or_else(self._stated.get(name, Known()))
        if self._whole is not None and not known.is_complete:
            known = known.or_else(self._known(self._whole.inferred.get(name)))
        if self._whole is not None and not known.is_typed:
            known = known.or_else(self._known(self._whole.seen(name)))
        if known.dims is None or known.other:
            return carried_type(known.other or f"tensor({element_text(known.element)})")
        try:
            dtype = read_dtype(known.element, name)
        except KirError:
            sizes = ",".join(str(dim) if isinstance(dim, int) else "?" for dim in known.dims)
            return carried_type(f"tensor({element_text(known.element)})[{sizes}]")
        dims = [self._names.new(f"{name}_{axis}") if dim is None else dim for axis, dim in enumerate(known.dims)]
        return TensorType(dtype, tuple(dims))

    def _from_inputs(self, node: NodeProto, operands: Mapping[str, Operand]) -> dict[str, Known]:
        """Return what ONNX's definition of an operator says of its outputs, given what is known of its inputs."""
        domain = domain_of(node)
        sizes = {str(dim): dim for operand in operands.values() for dim in operand.type.shape if isinstance(dim, Sym)}
        with suppress(*FAILURES, defs.SchemaError, KirError):
            inferred = onnx.shape_inference.infer_node_outputs(
                defs.get_schema(node.op_type, self._versions[domain], domain),
                node,
                {name: type_proto(operand.type) for name, operand in operands.items()},
                {name: data for name, operand in operands.items() if (data := _small_data(operand)) is not None},
                opset_imports=[helper.make_opsetid(*entry) for entry in self._versions.items()],
            )
            return {name: _known(proto, sizes.get) for name, proto in inferred.items()}
        return {}

    @cached_property
    def _stated(self) -> dict[str, Known]:
        graph = self._graph
        return {value.name: self._known(value.type) for value in (*graph.value_info, *graph.output)}

    def _known(self, proto: TypeProto | None) -> Known:
        return Known() if proto is None else _known(proto, self._names.find)


class WholeModel:
    """What ONNX's inference and a run know of the values of a model.

    Args:
        model: the file.
        unknown: the outputs of operators that kir does not know, which are observed together.
        observe: runs the model, if it can be run.
    """

    def __init__(self, model: ModelProto, unknown: Sequence[str], observe: Observe | None) -> None:
        self._model = model
        self._unknown = unknown
        self.observe = observe
        self._seen: dict[str, TypeProto | None] = {}

    @cached_property
    def inferred(self) -> dict[str, TypeProto]:
        """The types that ONNX's inference finds, which may fail."""
        with suppress(*FAILURES, EncodeError):
            inferred = onnx.shape_inference.infer_shapes(_light(self._model), data_prop=True).graph
            return {value.name: value.type for value in (*inferred.value_info, *inferred.output)}
        return {}

    def seen(self, name: str) -> TypeProto | None:
        """Return what a run shows of a value: the first one of unknown operators, a second one of all that is left."""
        if self.observe is None:
            return None
        if not self._seen:
            self._run([*self._unknown, name], self.observe)
        if name not in self._seen:
            self._run([output for node in self._model.graph.node for output in node.output if output], self.observe)
        return self._seen.get(name)

    def _run(self, names: Sequence[str], observe: Observe) -> None:
        self._seen |= dict.fromkeys(names)
        with suppress(KirError):  # it cannot be run here
            for name, text in observe(list(dict.fromkeys(names))).items():
                proto = TypeProto()
                fill_type(proto, text)
                self._seen[name] = proto


def type_proto(type: TensorType) -> TypeProto:
    """Return a type of kir as ONNX has it; sizes are called by their texts."""
    proto = TypeProto()
    if isinstance(type, CarriedType):
        fill_type(proto, type.text)
        return proto
    sizes = [dim if isinstance(dim, int) else str(dim) for dim in type.shape]
    return helper.make_tensor_type_proto(element_number(type.dtype), sizes)


def _known(proto: TypeProto, size_of: Callable[[str], Dim | None]) -> Known:
    kind = proto.WhichOneof("value")
    if kind != "tensor_type":
        return Known(type_text(proto)) if kind else Known()
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return Known("", tensor.elem_type)
    return Known("", tensor.elem_type, tuple(_known_size(dim, size_of) for dim in tensor.shape.dim))


def _known_size(dim: Any, size_of: Callable[[str], Dim | None]) -> Dim | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return size_of(dim.dim_param) if dim.dim_param else None


def _small_data(operand: Operand) -> TensorProto | None:
    array = operand.array
    if array is not None and array.nbytes <= MAX_SHAPE_BYTES and array.dtype != object:
        return numpy_helper.from_array(array)
    if operand.sizes is not None and operand.sizes.is_known:
        shape = () if operand.sizes.is_scalar else (len(operand.sizes.items),)
        return numpy_helper.from_array(np.array(operand.sizes.items, np.int64).reshape(shape))
    return None


def _light(model: ModelProto) -> ModelProto:
    """Return the model without its larger initializers, which are inputs instead."""
    graph = GraphProto(name=model.graph.name, node=model.graph.node, output=model.graph.output)
    graph.input.extend(model.graph.input)
    graph.value_info.extend(model.graph.value_info)
    given = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if tensor.ByteSize() <= MAX_SHAPE_BYTES:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    light.graph.CopyFrom(graph)
    return light


def stated_types(values: list[ValueInfoProto], names: SizeNames) -> dict[str, TensorType]:
    """Return the types that a file states of values, where they are tensors of known rank that kir can hold."""
    found: dict[str, TensorType] = {}
    for value in values:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape") or tensor.elem_type == TensorProto.UNDEFINED:
            continue
        try:
            dtype = read_dtype(tensor.elem_type, value.name)
        except UnsupportedError:
            continue
        dims = [
            dim.dim_value if dim.HasField("dim_value") else names.dim(dim.dim_param or f"{value.name}_{axis}")
            for axis, dim in enumerate(tensor.shape.dim)
        ]
        if all(not isinstance(dim, int) or dim >= 0 for dim in dims):
            found[value.name] = TensorType(dtype, tuple(dims))
    return found
