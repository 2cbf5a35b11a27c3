"""Looking inside ONNX models while they run, for verification: models with more outputs, or moved weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from kir.errors import FormatError
from kir.numerics.rounding_sizes import epsilon
from kir.support.onnx_files import locate, parse_file, parse_model, walk_subgraphs

FLOAT_TYPES = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})

MOVEMENTS = frozenset({"Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity"})


@dataclass(frozen=True)
class Draw:
    """A place where a file draws at random.

    Attributes:
        layer: of the node.
        source: what goes in, of which some is kept; None if it is not known.
        result: what comes out.
        is_normal: whether that is numbers of a normal distribution, and not what is kept.
    """

    layer: str
    source: str | None
    result: str
    is_normal: bool = False


def load_model(model: Path | bytes, external_data: bool = True) -> ModelProto:
    """Return the model with its weights; those in a second file only with `external_data`.

    Raises:
        FormatError: it cannot be read.
    """
    if isinstance(model, bytes):
        return parse_model(model, ModelProto, "the model")
    proto = parse_file(model, ModelProto)
    if external_data:
        require_inside(proto, model.parent)
        try:
            onnx.load_external_data_for_model(proto, str(model.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise FormatError(f"cannot read the external data of {model}: {error}") from error
    return proto


def require_inside(model: ModelProto, folder: Path) -> None:
    """Check that the external data of all tensors of a model, however deep, can be located.

    Raises:
        FormatError: as `locate`.
    """
    for tensor in _all_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            locate(tensor.name, {entry.key: entry.value for entry in tensor.external_data}, folder)


def _all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    outer = [node for part in (model.graph, *model.functions) for node in part.node]
    inner = [graph for node in outer for graph in walk_subgraphs(node)]
    for graph in (model.graph, *inner):
        yield from graph.initializer
        yield from _parts(graph.sparse_initializer)
    for node in chain(outer, *(graph.node for graph in inner)):
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == AttributeProto.SPARSE_TENSOR:
                yield from _parts([attribute.sparse_tensor])
            yield from attribute.tensors
            yield from _parts(attribute.sparse_tensors)


def _parts(sparse: Iterable[SparseTensorProto]) -> Iterator[TensorProto]:
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices


def serialize(model: ModelProto) -> bytes:
    """Return the bytes of a model.

    Raises:
        FormatError: it is over protobuf's 2 GiB.
    """
    try:
        return bytes(model.SerializeToString())
    except (ValueError, onnx.checker.ValidationError, DecodeError) as error:
        raise FormatError(f"a model over 2 GiB cannot be run with additional outputs: {error}") from error


def find_alike(model: Path | bytes, op_type: str, node_name: str) -> tuple[str, list[str]]:
    """Return the element type that a node computes in, and the layers (or names) of all nodes of its operator and type.

    The type is "an unknown type" and there are no layers if the model has no such node. Weights in a second file are
    not read.
    """
    proto = load_model(model, external_data=False)
    graph = onnx.shape_inference.infer_shapes(proto).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    computing = [(node, types.get(node.input[0], 0)) for node in graph.node if node.op_type == op_type and node.input]
    wanted = next((type for node, type in computing if node.name == node_name), 0)
    layers = dict.fromkeys(layer_of(node) or node.name for node, type in computing if wanted and type == wanted)
    return (TensorProto.DataType.Name(wanted).lower() if wanted else "an unknown type", list(layers))


def find_readers(model: Path | bytes, name: str) -> dict[str, list[str]]:
    """Return by operator the layers (or names) of all nodes that read a value. Weights in a second file are not."""
    readers: dict[str, list[str]] = {}
    for node in load_model(model, external_data=False).graph.node:
        if name in node.input:
            readers.setdefault(node.op_type, []).append(layer_of(node) or node.name)
    return readers


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def computed_names(model: ModelProto) -> set[str]:
    """Return what the nodes of the model compute."""
    return {name for node in model.graph.node for name in node.output if name}


def more_outputs(names: Sequence[str]) -> bytes:
    """Return the addition to a serialized model that makes values outputs, whose types onnxruntime infers.

    onnxruntime does not fuse nodes over a value that is an output.
    """
    outputs = [ValueInfoProto(name=name) for name in names]
    return serialize(ModelProto(graph=GraphProto(output=outputs)))


GIVEN = "/given"  # ends the name of an input in place of a value


def cut_at(model: ModelProto, types: Mapping[str, tuple[int, int]]) -> ModelProto:
    """Return the model in which every node reads some values from inputs instead, named as they are with `GIVEN`.

    Args:
        model: it stays as it is.
        types: the element type and the rank of each value.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        node.input[:] = [f"{name}{GIVEN}" if name in types else name for name in node.input]
    for name, (element, rank) in types.items():
        shape = [f"{name}/{axis}" for axis in range(rank)]
        copy.graph.input.append(helper.make_tensor_value_info(f"{name}{GIVEN}", element, shape))
    return copy


def resize_inputs(model: ModelProto, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give inputs other sizes, where they are fixed, and forget the shapes of all values that follow from them."""
    for value in model.graph.input:
        if value.name in shapes:
            for dim, size in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
                if dim.HasField("dim_value"):
                    dim.dim_value = size
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def move_weights(model: ModelProto, generator: np.random.Generator) -> bytes:
    """Return the model with every float weight moved by up to one rounding. The model given stays as it is."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_type in FLOAT_TYPES:
            array = numpy_helper.to_array(tensor)
            moved = array.astype(np.float64) * (1 + generator.uniform(-1, 1, array.shape) * epsilon(array.dtype))
            tensor.CopyFrom(numpy_helper.from_array(moved.astype(array.dtype), tensor.name))
    return serialize(copy)


def index_bounds(model: ModelProto) -> dict[str, int]:
    """Return how many rows the tables have that integer inputs select from, by input; the smallest if several."""
    rows = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    inputs = {value.name for value in model.graph.input}
    bounds: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in rows:
            source = _source(node.input[1], makers)
            size = rows[node.input[0]][_attribute(node, "axis", 0)]
            if source in inputs:
                bounds[source] = min(size, bounds.get(source, size))
    return bounds


def _source(name: str, makers: dict[str, NodeProto]) -> str:
    while name in makers and makers[name].op_type in MOVEMENTS:
        name = makers[name].input[0]
    return name


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(helper.get_attribute_value(a)) for a in node.attribute if a.name == name), default)


def find_draws(model: ModelProto) -> list[Draw]:
    """Return where a file draws: Dropout, Bernoulli, a comparison with RandomUniformLike, or RandomNormalLike."""
    uniform = {node.output[0] for node in model.graph.node if node.op_type == "RandomUniformLike"}
    draws: list[Draw] = []
    for node in model.graph.node:
        if node.op_type == "Dropout":
            draws.append(Draw(layer_of(node), node.input[0], node.output[0]))
        elif node.op_type == "Bernoulli" or (node.op_type == "Less" and node.input[0] in uniform):
            draws.append(Draw(layer_of(node), None, node.output[0]))
        elif node.op_type == "RandomNormalLike":
            draws.append(Draw(layer_of(node), None, node.output[0], is_normal=True))
    return draws


def layer_of(node: NodeProto) -> str:
    """Return the layer that kir's metadata names; "" if there is none."""
    return next((entry.value for entry in node.metadata_props if entry.key == "kir.layer"), "")
