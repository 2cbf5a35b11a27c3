"""ONNX models made by hand, as other exporters write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from kir.importers.onnx_file import import_graph
from kir.ir.graph import Graph
from kir.ir.structural import Constant, Input, Output

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def value(name: str, shape: Sequence[int | str | None] | None, dtype: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """Names are separated by blanks; "_" is an absent input."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op_type, names, outputs.split(), name=f"/{outputs.split()[0]}/{op_type}", **attributes)


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]] | Sequence[ValueInfoProto],
    outputs: str = "y",
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
    domains: Mapping[str, int] | None = None,
) -> ModelProto:
    """Return a model of float inputs, unless they are given as they are."""
    given = [value(*entry) for entry in inputs.items()] if isinstance(inputs, Mapping) else list(inputs)
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "made", given, [ValueInfoProto(name=name) for name in outputs.split()], tensors)
    opsets = [helper.make_opsetid(domain, version) for domain, version in {"": opset, **(domains or {})}.items()]
    return helper.make_model(graph, opset_imports=opsets, producer_name="somebody", ir_version=10)


def operators(given: ModelProto | Graph) -> list[str]:
    """Return the operators of a model, imported, that are neither inputs, outputs nor constants."""
    graph = import_graph(given) if isinstance(given, ModelProto) else given
    return [str(n.op) for n in graph.order() if not isinstance(n.op, Input | Output | Constant)]


def with_trilu() -> ModelProto:
    """Return a model with an operator of which kir does not know what it computes, between two that it knows."""
    nodes = [
        node("Relu", "x", "before"),
        node("Trilu", "before", "after", domain="com.microsoft", upper=0),
        node("Neg", "after", "y"),
    ]
    given = model(nodes, {"x": ["N", 3]}, opset=21, domains={"com.microsoft": 1})
    given.graph.value_info.append(value("after", ["N", 3]))
    return given
