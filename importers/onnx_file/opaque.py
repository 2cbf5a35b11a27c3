"""Nodes that kir has no operator for, carried through a graph as they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.names import SizeNames
from kir.importers.onnx_file.numbers import intended
from kir.importers.onnx_file.reading import domain_of, read_dtype, read_tensor
from kir.ir.op import Array
from kir.ir.structural import Data
from kir.ir.types import DType, TensorType
from kir.ops.opaque import Opaque, Setting
from kir.support.onnx_files import defined_names, outer_names, rename_values, walk_subgraphs

# Larger initializers are no shapes, and only their type is of use to shape inference.
MAX_SHAPE_BYTES = 4096
ABSENT = TensorType(DType.BOOL, ())  # the type of an output that a node leaves out


def read_opaque(
    node: NodeProto, versions: Mapping[str, int], types: Mapping[str, TensorType], folder: Path | None
) -> Opaque:
    """Return the node as an operator; see `Opaque` for its subgraphs, whose own values are called inner_0, inner_1, ….

    Args:
        node: what to carry.
        versions: of the domains that the model imports.
        types: of the values of the model, as far as they are known.
        folder: the one that external data may lie in.

    Raises:
        UnsupportedError: the type of an output is not known.
        FormatError: a subgraph has operators of a domain that the model does not import.
    """
    unknown = [name for name in node.output if name and name not in types]
    if unknown:
        raise UnsupportedError(
            f"{node.op_type} cannot be carried through: the file does not say the type and rank of {', '.join(unknown)}"
        )
    settings, encoded, captured = _read_attributes(node, folder)
    found = tuple(types[name] if name else ABSENT for name in node.output)
    left_out = tuple(place for place, name in enumerate(node.output) if not name)
    imports = tuple(_imports_of(node, versions))
    domain = domain_of(node)
    return Opaque(domain, node.op_type, versions[domain], settings, found, left_out, encoded, len(captured), imports)


def with_exact_types(op: Opaque, inputs: Sequence[Array | None]) -> Opaque:
    """Return an operator on constants, with the sizes of what it computes from them."""
    result = op.eval(*inputs)
    results = result if isinstance(result, tuple) else (result,)
    return replace(op, types=tuple(type.with_shape(y.shape) for type, y in zip(op.types, results, strict=True)))


def _read_attributes(node: NodeProto, folder: Path | None) -> tuple[tuple[tuple[str, Setting], ...], str, list[str]]:
    """Return the attributes of a node that kir can read, the others encoded, and the names that subgraphs read."""
    settings: dict[str, Setting] = {}
    kept = NodeProto()
    for attribute in node.attribute:
        setting = None if attribute.ref_attr_name else _read_setting(attribute, folder)
        if setting is None:
            kept.attribute.append(attribute)
        elif attribute.name in settings:
            raise FormatError(f"node {node.name!r} ({node.op_type}) has the attribute {attribute.name!r} twice")
        else:
            settings[attribute.name] = setting
    captured = outer_names(kept)
    names = {name: f"inner_{number}" for number, name in enumerate(defined_names(kept))}
    names |= {name: f"outer_{number}" for number, name in enumerate(captured)}
    for graph in walk_subgraphs(kept):
        known = [value for value in graph.value_info if value.name in names]
        del graph.value_info[:]
        graph.value_info.extend(known)
    rename_values(kept, lambda name: names[name])
    encoded = base64.b64encode(kept.SerializeToString(deterministic=True)).decode()
    return tuple(sorted(settings.items())), encoded, captured


def _read_setting(attribute: AttributeProto, folder: Path | None) -> Setting | None:
    """Return the value of an attribute; None if it is of a kind, or of an element type, that kir has not."""
    try:
        match attribute.type:
            case AttributeProto.INT:
                return int(attribute.i)
            case AttributeProto.FLOAT:
                return intended(attribute.f)
            case AttributeProto.STRING:
                return str(attribute.s.decode())
            case AttributeProto.TENSOR:
                return Data(read_tensor(attribute.t, folder))
            case AttributeProto.INTS:
                return tuple(attribute.ints)
            case AttributeProto.FLOATS:
                return tuple(map(intended, attribute.floats)) or None
            case AttributeProto.STRINGS:
                return tuple([text.decode() for text in attribute.strings]) or None
    except (UnicodeDecodeError, UnsupportedError):
        pass
    return None


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
