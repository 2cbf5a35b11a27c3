"""Values that do not depend on the inputs, computed at export."""

from __future__ import annotations

import numpy as np

from kir.ir.control import ControlOp
from kir.ir.dims import is_known
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant, Input, Output
from kir.ir.types import DType, TensorType
from kir.numerics.cost import workspace_bytes
from kir.ops.elementwise import Cast
from kir.ops.quantization import DequantizeLinear
from kir.ops.shape import Reshape, Transpose
from kir.passes.rewrite import Replacement, add_constant, exact_pass, given, rewrite, rule
from kir.support.limits import MAX_FOLDED_BYTES

# A result up to this size is stored even if its inputs are smaller: 64 KiB is a mask of 256 x 256, and no model has so
# many that they add up to much. A larger one is stored only if the constants that it replaces are as large.
MAX_GROWN_BYTES = 64 * 1024


@exact_pass
def fold_constants(graph: Graph) -> int:
    """f(constants) → constant

    1. An operator whose inputs are all constants, or that has neither inputs nor symbolic sizes: its result.
    2. It stays if the result is larger than 64 KiB and than the inputs together: an Expand or a Tile of a number, a
       Range of a million. Inputs that others read too do not count: the transpose of a table that an Embedding also
       reads would be the table once more.
    3. It stays if computing it takes far more memory than the result has: a Conv whose strides skip a giant padding.
    4. It stays if the operator is random, or works on texts, or has graphs inside: a Loop may never end.
    5. A DequantizeLinear stays: it is what tells a runtime to compute with integers.

    Exact: the result is computed by the operator's own `eval`.
    """
    return rewrite(graph, (fold,))


@rule()
def fold(graph: Graph, node: Node) -> Replacement:
    if not _is_constant_expression(node) or not _is_worth_storing(graph, node):
        return None
    arrays = [None if v is None else v.node.op.eval() for v in node.inputs]
    with np.errstate(all="ignore"):  # a model may well compute 1 / 0; its run would give the same infinity
        result = node.op.eval(*arrays)
    results = result if isinstance(result, tuple) else (result,)
    label = _kept_label(graph, node)
    return tuple(add_constant(graph, node, array, label) for array in results)


def _kept_label(graph: Graph, node: Node) -> str | None:
    """Return the name of a weight that is only rearranged or converted, for this reader alone; else None."""
    if not isinstance(node.op, Transpose | Reshape | Cast):
        return None
    source = given(node.inputs[0]).node
    return source.op.label if isinstance(source.op, Constant) and graph.is_read_once(source) else None


def _is_constant_expression(node: Node) -> bool:
    for value in node.inputs:
        if value is not None and value.node.op.__class__ is not Constant:
            return False
    return (
        not isinstance(node.op, Constant | ControlOp | DequantizeLinear | Input | Output)
        and node.op.deterministic
        and not node.op.symbols()
    )


def _is_worth_storing(graph: Graph, node: Node) -> bool:
    if any(value.type.dtype is DType.STRING for value in (*_present(node), *node.outputs)):
        return False
    inputs = [None if value is None else value.type for value in node.inputs]
    if workspace_bytes(node.op, inputs, [value.type for value in node.outputs]) > MAX_FOLDED_BYTES:
        return False
    result = sum(_count_bytes(value.type) for value in node.outputs)
    replaced = sum(_count_bytes(value.type) for value in _present(node) if graph.is_read_once(value.node))
    return result <= max(MAX_GROWN_BYTES, replaced)


def _present(node: Node) -> list[Value]:
    return [value for value in node.inputs if value is not None]


def _count_bytes(type: TensorType) -> int:
    count = type.dtype.itemsize
    for dim in type.shape:
        assert is_known(dim), "constants and operators without symbols have known sizes"
        count *= dim
    return count
