"""Nodes that kir has no operator for, carried through a graph as they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.names import SizeNames
from kir.importers.onnx_file.reading import domain_of, read_dtype
from kir.ir.types import DType, TensorType
from kir.ops.opaque import Opaque
from kir.support.onnx_files import defined_names, outer_names, rename_values, walk_subgraphs

# Larger initializers are no shapes, and only their type is of use to shape inference.
MAX_SHAPE_BYTES = 4096
ABSENT = TensorType(DType.BOOL, ())  # the type of an output that a node leaves out


def read_opaque(node: NodeProto, versions: Mapping[str, int], types: Mapping[str, TensorType]) -> Opaque:
    """Return the node as an operator; see `Opaque` for its subgraphs, whose own values are called inner_0, inner_1, ….

    Args:
        node: what to carry.
        versions: of the domains that the model imports.
        types: of the values of the model, as far as they are known.

    Raises:
        UnsupportedError: the type of an output is not known.
        FormatError: a subgraph has operators of a domain that the model does not import.
    """
    unknown = [name for name in node.output if name and name not in types]
    if unknown:
        raise UnsupportedError(
            f"{node.op_type} cannot be carried through: the file does not say the type and rank of {', '.join(unknown)}"
        )
    kept = NodeProto()
    kept.CopyFrom(node)
    del kept.input[:], kept.metadata_props[:]
    for field in ("name", "domain", "op_type"):
        kept.ClearField(field)
    kept.output[:] = ["given" if name else "" for name in node.output]
    captured = outer_names(node)
    names = {name: f"inner_{number}" for number, name in enumerate(defined_names(node))}
    names |= {name: f"outer_{number}" for number, name in enumerate(captured)}
    for graph in walk_subgraphs(kept):
        known = [value for value in graph.value_info if value.name in names]
        del graph.value_info[:]
        graph.value_info.extend(known)
    rename_values(kept, lambda name: names[name])
    encoded = base64.b64encode(kept.SerializeToString(deterministic=True)).decode()
    found = tuple(types[name] if name else ABSENT for name in node.output)
    imports = _imports_of(node, versions)
    return Opaque(
        domain_of(node), node.op_type, versions[domain_of(node)], encoded, found, len(captured), tuple(imports)
    )


def _imports_of(node: NodeProto, versions: Mapping[str, int]) -> list[tuple[str, int]]:
    domains = sorted({domain_of(inner) for graph in walk_subgraphs(node) for inner in graph.node})
    for domain in domains:
        if domain not in versions:
            raise FormatError(f"the model does not import the domain {domain or 'ai.onnx'} in any version")
    return [(domain, versions[domain]) for domain in domains]


def infer_types(model: ModelProto, names: SizeNames) -> dict[str, TensorType]:
    """Return what ONNX's own shape inference knows of the values of a model; unknown sizes get a name."""
    try:
        light = _light(model)
        inferred = onnx.shape_inference.infer_shapes(light).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise UnsupportedError(f"ONNX's shape inference fails on the model: {error}") from None
    return stated_types([*inferred.value_info, *inferred.output], names)


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
